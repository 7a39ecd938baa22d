//! Verdicts about a plan that was not tried.

use crate::plan::{Plan, Promise};
use crate::verdict::{Outcome, Verdict};

/// A verdict on every promise of a plan that was not tried.
pub(super) fn judge(plan: &Plan, why: &str) -> Vec<Verdict> {
    let skipped = |promise: Promise<'_>| Verdict {
        promise: promise.id,
        outcome: Outcome::Skipped,
        fact: why.to_owned(),
        exhibits: Vec::new(),
        notes: Vec::new(),
        why: None,
    };
    plan.every_promise().into_iter().map(skipped).collect()
}
