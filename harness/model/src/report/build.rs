//! Plan, evidence and verdicts to a report.

use super::judgement::Verdicts;
use super::mtu::{self, SizeResult, Sizes};
use super::never_plaintext::{self, NeverPlaintextResult};
use super::pair::{self, Pair};
use super::run_promise::{self, RunPromise};
use super::spoof::{self, SpoofResult};
use super::step_windows::{self, Through};
use super::total::totals;
use super::{NodeResult, Report, StepResult};
use crate::evidence::{Evidence, StepEvidence};
use crate::judge::{fabric_effects, outer_packets, step_windows as windows};
use crate::plan::{Plan, PromiseKind};
use crate::verdict::Verdict;

/// The report of `verdicts` about a run of `plan` that left `evidence`.
pub(super) fn report<'a>(
    plan: &'a Plan,
    evidence: &'a Evidence,
    verdicts: &'a [Verdict],
) -> Report<'a> {
    let all_steps = || [&evidence.start].into_iter().chain(&evidence.steps);
    let writes = all_steps().filter_map(StepEvidence::all_writes);
    let nodes = evidence.nodes.iter().map(|(name, node)| {
        let result = NodeResult {
            public_key: node.published_key.as_deref(),
            drops: &node.drops,
        };
        (name, result)
    });
    let mut report = Report {
        title: &plan.title,
        scenario: None,
        engine: &plan.engine,
        status: 0,
        skipped: evidence.skipped.as_deref(),
        totals: Vec::new(),
        pairs: Vec::new(),
        flows: plan.flows.flows.len(),
        through: Vec::new(),
        sizes: Sizes {
            promises: Vec::new(),
            outer: outer_packets(plan, evidence),
        },
        spoofs: Vec::new(),
        never_plaintext: Vec::new(),
        run_promises: Vec::new(),
        wire: fabric_effects(plan, evidence),
        nodes: nodes.collect(),
        convergence: all_steps().map(StepEvidence::micros).max().unwrap_or(0),
        writes: writes.reduce(|sum, writes| sum + writes),
        start: step(&evidence.start),
        steps: evidence.steps.iter().map(step).collect(),
        conduct: &evidence.conduct,
        drops: &evidence.drops,
        timings: &evidence.timings,
    };
    report.take_promises(plan, evidence, &Verdicts::new(verdicts));
    report.totals = totals(&report);
    report.status = report.worst();
    report
}

impl<'a> Report<'a> {
    /// Every promise in the part that shows its kind.
    fn take_promises(&mut self, plan: &'a Plan, evidence: &'a Evidence, verdicts: &Verdicts<'a>) {
        let windows = windows(plan, evidence);
        let mut is_judged = vec![false; plan.probes.len()];
        for promise in plan.every_promise() {
            let judged = |sentence| verdicts.of(&promise, sentence);
            match &promise.kind {
                PromiseKind::Pair(pair) => {
                    let number = usize::from(pair.probe.0);
                    is_judged
                        .get_mut(number)
                        .into_iter()
                        .for_each(|own| *own = true);
                    let judged = judged(pair::sentence(pair));
                    let probe = plan.probes.get(number);
                    self.pairs.push(Pair::judged(probe, pair, judged));
                }
                PromiseKind::Step(step) => {
                    let window = windows.iter().find(|window| window.step == step.step);
                    let settled = match step.step.checked_sub(1) {
                        Some(at) => evidence.steps.get(at),
                        None => Some(&evidence.start),
                    };
                    let settled = settled.map(StepEvidence::micros);
                    let judged = judged(step_windows::sentence(plan, step));
                    self.through
                        .push(Through::new(plan, step, window, settled, judged));
                }
                PromiseKind::Size(size) => {
                    let judged = judged(mtu::sentence(plan, size));
                    self.sizes
                        .promises
                        .push(SizeResult::new(plan, size, judged));
                }
                PromiseKind::Spoof(spoof) => {
                    let judged = judged(spoof::sentence(plan, spoof));
                    self.spoofs.push(SpoofResult::new(plan, spoof, judged));
                }
                PromiseKind::NeverPlaintext(never) => {
                    let judged = judged(never_plaintext::sentence(never));
                    self.never_plaintext
                        .push(NeverPlaintextResult::new(never, judged));
                }
                PromiseKind::Budget(_)
                | PromiseKind::Dataplane(..)
                | PromiseKind::Calico(..)
                | PromiseKind::Host(..)
                | PromiseKind::Engine(..)
                | PromiseKind::Warning(_)
                | PromiseKind::Evidence => {
                    let described = run_promise::describe(plan, &promise.kind);
                    let own = described.map(|(subject, sentence)| RunPromise {
                        subject,
                        judged: judged(sentence),
                    });
                    self.run_promises.extend(own);
                }
            }
        }
        let free = plan.probes.iter().zip(is_judged);
        let free = free.filter(|(_, is_judged)| !is_judged);
        self.pairs
            .extend(free.map(|(probe, _)| Pair::unjudged(probe)));
    }
}

fn step(step: &StepEvidence) -> StepResult<'_> {
    StepResult {
        step: step.index,
        action: &step.action,
        micros: step.micros(),
        writes: step.all_writes(),
        notifications: &step.notifications,
        crash_points: step.crash_points,
        note: step.note.as_deref(),
    }
}
