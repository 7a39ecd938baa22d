//! Budgets of steps: whether a run can break them, and whether one can keep them.

use crate::plan::{Action, Plan, Settles, StepKind};
use crate::problem::Problem;
use crate::scenario::{Scenario, Step};

/// Reports budgets that the step itself contradicts.
pub(super) fn check(scenario: &Scenario, problems: &mut Vec<Problem>) {
    for step in &scenario.steps {
        problems.extend(longer_than_the_wait(scenario, step));
        problems.extend(less_than_it_takes(step));
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

/// What was broken is not put right by writing nothing.
fn less_than_it_takes(step: &Step) -> Option<Problem> {
    let repaired = matches!(
        step.action,
        Action::Tamper {
            settles: Settles::Repaired,
            ..
        }
    );
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

/// Interruptions that nobody would notice: there are no flows that outlast the step.
pub(super) fn unseen(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let judged = |number: usize| {
        let mut promises = plan.flows.promises.iter();
        promises.any(|one| one.step == number && one.kind == StepKind::Outage)
    };
    let steps = (1..).zip(&scenario.steps);
    let unseen = steps.filter(|(number, step)| step.outage.is_some() && !judged(*number));
    let problem = |(_, step): (usize, &Step)| {
        let (why, help) = match scenario.flows.off {
            true => (
                "`[flows] off` is true: nothing flows",
                "remove it, or let there be flows",
            ),
            false => (
                "no flow is delivered before and after this step",
                "remove it: nothing is promised about an interruption here",
            ),
        };
        Problem::new(
            "an interruption that nobody would notice",
            step.place("outage"),
            why,
            help,
        )
    };
    unseen.map(problem).collect()
}
