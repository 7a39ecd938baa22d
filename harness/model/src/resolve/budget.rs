//! Budgets of steps: whether a run can break them, and whether one can keep them.

use std::collections::BTreeSet;

use crate::plan::{Action, Change, Comparisons, Configuration, Plan, Settles, StepKind};
use crate::problem::{Problem, Span};
use crate::scenario::{Scenario, Step, millis};

/// How often agents compare their dataplane with the kernel (Felix: `RouteRefreshInterval`).
const REFRESH: &str = "routeRefreshInterval";

/// Its default in milliseconds.
const REFRESH_DEFAULT: u64 = 90_000;

/// Reports budgets that the step itself contradicts.
pub(super) fn check(scenario: &Scenario, problems: &mut Vec<Problem>) {
    let interval = refresh_interval(scenario);
    for step in &scenario.steps {
        problems.extend(longer_than_the_wait(scenario, step));
        problems.extend(less_than_it_takes(step));
        let sooner = |interval| sooner_than_compared(scenario, step, interval);
        problems.extend(interval.and_then(sooner));
    }
}

/// A time that no run can break, since the lab waits no longer.
fn longer_than_the_wait(scenario: &Scenario, step: &Step) -> Option<Problem> {
    let within = step.settles_within?;
    let ready = scenario.deadline.ready.unwrap_or(super::DEADLINES.ready);
    let deadline = step.deadline.unwrap_or(ready);
    let problem = Problem::new(
        "a budget that nothing can break",
        step.place("settles-within"),
        format!("the lab waits for {deadline} ms, and no longer"),
        "write less than the deadline, or give the step a longer `deadline`",
    );
    let problem = match step.deadline {
        Some(_) => problem.and(step.place("deadline"), "the deadline"),
        None => problem,
    };
    (within >= deadline).then_some(problem)
}

/// A wait for comparisons with the kernel, each after `interval` milliseconds, that is over before the
/// engine has done them all.
fn sooner_than_compared(scenario: &Scenario, step: &Step, interval: u64) -> Option<Problem> {
    let Comparisons { count, key } = step.action.change().comparisons()?;
    let ready = scenario.deadline.ready.unwrap_or(super::DEADLINES.ready);
    let deadline = u64::from(step.deadline.unwrap_or(ready));
    (deadline <= count * interval).then(|| {
        let problem = Problem::new(
            "a wait that is over too soon",
            step.place(key),
            format!(
                "{count} comparisons with the kernel, each after {interval} ms, take longer than {deadline} ms"
            ),
            "write `config = { routeRefreshInterval = \"300ms\" }` in `[cluster]`, or give the step a longer `deadline`",
        );
        match step.deadline {
            Some(_) => problem.and(step.place("deadline"), "the deadline"),
            None => problem,
        }
    })
}

/// Milliseconds between two comparisons with the kernel; none where steps or nodes have their own.
fn refresh_interval(scenario: &Scenario) -> Option<u64> {
    let sets = |action: &Action| {
        let Change::Configuration(Configuration { set, unset, .. }) = action.change() else {
            return false;
        };
        set.contains_key(REFRESH) || unset.contains(REFRESH)
    };
    let of_nodes = scenario.nodes.iter();
    let mut of_nodes = of_nodes.map(|node| node.settings.fields.contains_key(REFRESH));
    if scenario.steps.iter().any(|step| sets(&step.action)) || of_nodes.any(|set| set) {
        return None;
    }
    match scenario.cluster.settings.fields.get(REFRESH) {
        None => Some(REFRESH_DEFAULT),
        Some(written) => millis(written.as_str()?).ok().map(u64::from),
    }
}

/// What was broken is not put right by writing nothing.
fn less_than_it_takes(step: &Step) -> Option<Problem> {
    let Change::Dataplane { settles, .. } = step.action.change() else {
        return None;
    };
    let repaired = settles == Settles::Repaired;
    (repaired && step.writes == Some(0)).then(|| {
        let problem = Problem::new(
            "a repair without a write",
            step.place("writes"),
            "nothing is put right by writing nothing",
            "allow a write, or write `settles = \"unchanged\"` where nothing must be put right",
        );
        problem.and(step.place("action"), "must be repaired")
    })
}

/// Budgets about flows that no flow can use up: of interruptions, where none outlasts the step, and of
/// frames, where none is protected.
pub(super) fn unseen(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let promises = plan.flows.promises.iter();
    let promises: BTreeSet<_> = promises.map(|one| (one.step, one.kind)).collect();
    let judged = |number: usize, kind: StepKind| promises.contains(&(number, kind));
    let steps = || (1..).zip(&scenario.steps);
    let outages = steps()
        .filter(|(number, step)| step.outage.is_some() && !judged(*number, StepKind::Outage));
    let leaks =
        steps().filter(|(number, step)| step.leaks.is_some() && !judged(*number, StepKind::Leak));
    let off = scenario.flows.off;
    let outages = outages.map(|(_, step)| {
        unnoticed(
            off,
            "an interruption that nobody would notice",
            step.place("outage"),
            "no flow is delivered before and after this step",
            "remove it: nothing is promised about an interruption here",
        )
    });
    let leaks = leaks.map(|(_, step)| {
        unnoticed(
            off,
            "leaks that nobody would notice",
            step.place("leaks"),
            "no flow is protected after this step",
            "remove it: nothing is promised about what is readable here",
        )
    });
    outages.chain(leaks).collect()
}

fn unnoticed(off: bool, what: &str, place: Span, why: &str, help: &str) -> Problem {
    match off {
        true => Problem::new(
            what,
            place,
            "`[flows] off` is true: nothing flows",
            "remove it, or let there be flows",
        ),
        false => Problem::new(what, place, why, help),
    }
}
