//! Verdicts about the flows in each step: frames that should not have been readable, and packets that never
//! came.

use super::flow_leak::Leak;
use super::outage::Outage;
use super::step_clock::StepClock;
use crate::evidence::Evidence;
use crate::plan::{Plan, StepKind, StepPromise};
use crate::verdict::Verdict;

/// What the flows showed from one step's beginning until the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWindow {
    /// Which step; 0 is the time before the first.
    pub step: usize,
    /// Frames of protected flows that were readable on the wire.
    pub leaked: usize,
    /// Such frames besides that nobody promised anything about: what broke the dataplane was not the
    /// engine, and it had not put it right yet.
    pub excused: usize,
    /// The first and the last of them, in microseconds since the step began.
    pub leak: Option<(u64, u64)>,
    /// The longest interruption of a flow that had to arrive throughout.
    pub outage: Option<Outage>,
}

/// What each step's flows showed, the time before the first step included.
pub fn step_windows(plan: &Plan, evidence: &Evidence) -> Vec<StepWindow> {
    let times = StepClock::new(plan, evidence);
    let leaks = times.leaks();
    (0..=times.steps.len())
        .map(|step| {
            let own = || leaks.iter().filter(|leak| leak.step == step);
            let excused = own().filter(|leak| leak.excused).count();
            let leaks: Vec<_> = own().filter(|leak| !leak.excused).collect();
            let since = times.began(step);
            let micros = |leak: &&Leak<'_>| leak.seen.at().0.saturating_sub(since.0) / 1_000;
            StepWindow {
                step,
                leaked: leaks.len(),
                excused,
                leak: leaks.first().map(micros).zip(leaks.last().map(micros)),
                outage: times.longest_outage(step),
            }
        })
        .collect()
}

/// Decides about every promise of the plan that is about a step.
pub(super) fn judge(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    if plan.flows.promises.is_empty() {
        return Vec::new();
    }
    let times = StepClock::new(plan, evidence);
    let leaks = times.leaks();
    let decide = |promise: &StepPromise| match promise.kind {
        StepKind::Leak => times.about_leaks(promise, &leaks),
        StepKind::Outage => times.about_outages(promise),
    };
    plan.flows.promises.iter().map(decide).collect()
}
