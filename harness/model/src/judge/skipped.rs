//! Verdicts on a plan that was not tried.

use crate::plan::Plan;
use crate::verdict::{Outcome, Verdict};

/// A verdict on every promise of a plan that was not tried.
pub(super) fn judge(plan: &Plan, why: &str) -> Vec<Verdict> {
    let pairs = plan.promises.iter().map(|promise| promise.id);
    let steps = plan.flows.promises.iter().map(|promise| promise.id);
    let skipped = |promise| Verdict {
        promise,
        outcome: Outcome::Skipped,
        fact: why.to_owned(),
        exhibits: Vec::new(),
        notes: Vec::new(),
        why: None,
    };
    let limits = plan.limits.promises.iter().map(|promise| promise.id);
    let spoofs = plan.spoofs.iter().map(|promise| promise.promise);
    let never_plaintext = plan.never_plaintext.iter().map(|promise| promise.id);
    let after = limits.chain(spoofs).chain(never_plaintext);
    let all = pairs.chain(steps).chain(after);
    all.map(skipped).collect()
}
