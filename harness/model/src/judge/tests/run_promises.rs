//! Breaches of the promises that need no frame, for the tests of their judges.

use crate::evidence::Evidence;
use crate::judge::judge;
use crate::plan::{Plan, PromiseKind};
use crate::verdict::{Outcome, Verdict};

/// Such a promise that did not hold.
pub(crate) struct Wrong {
    pub(crate) line: Option<u32>,
    pub(crate) outcome: Outcome,
    pub(crate) fact: String,
    pub(crate) notes: Vec<String>,
    pub(crate) why: Option<String>,
    /// Whether it is about the evidence, and not about what the evidence shows.
    pub(crate) of_evidence: bool,
}

impl Wrong {
    /// As reports print it.
    pub(crate) fn text(&self) -> String {
        match self.line {
            Some(line) => format!("line {line}, {}", self.fact),
            None => self.fact.clone(),
        }
    }
}

/// Whether frames decide a promise.
pub(crate) fn is_of_packets(kind: &PromiseKind<'_>) -> bool {
    match kind {
        PromiseKind::Pair(_)
        | PromiseKind::Step(_)
        | PromiseKind::Size(_)
        | PromiseKind::Spoof(_)
        | PromiseKind::NeverPlaintext(_) => true,
        PromiseKind::Budget(_)
        | PromiseKind::Dataplane(..)
        | PromiseKind::Calico(..)
        | PromiseKind::Host(..)
        | PromiseKind::Engine(..)
        | PromiseKind::Warning(_)
        | PromiseKind::Evidence => false,
    }
}

/// Verdicts on the promises that frames decide.
pub(crate) fn judge_packets(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    let verdicts = judge(plan, evidence);
    let every = plan.every_promise().into_iter().zip(verdicts);
    let of_packets = every.filter(|(promise, _)| is_of_packets(&promise.kind));
    of_packets.map(|(_, verdict)| verdict).collect()
}

/// Each fact by which one of them did not hold, once.
pub(crate) fn wrong(plan: &Plan, evidence: &Evidence) -> Vec<Wrong> {
    let verdicts = judge(plan, evidence);
    let every = plan.every_promise();
    assert_eq!(every.len(), verdicts.len(), "a promise has no verdict");
    let mut all: Vec<Wrong> = Vec::new();
    for (promise, verdict) in every.iter().zip(verdicts) {
        assert_eq!(promise.id, verdict.promise);
        let is_wrong = match verdict.outcome {
            Outcome::Held | Outcome::Skipped => false,
            Outcome::Broken | Outcome::Inconclusive => true,
        };
        if is_of_packets(&promise.kind) || !is_wrong {
            continue;
        }
        let one = Wrong {
            line: promise.line,
            outcome: verdict.outcome,
            fact: verdict.fact,
            notes: verdict.notes,
            why: verdict.why.map(|why| why.cause),
            of_evidence: promise.kind == PromiseKind::Evidence,
        };
        if one.of_evidence || !all.iter().any(|known| known.text() == one.text()) {
            all.push(one);
        }
    }
    all
}
