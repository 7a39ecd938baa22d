//! Losses while the kernel's table of neighbours is full, which prove nothing about an engine.

use crate::evidence::Evidence;
use crate::verdict::{Outcome, Verdict};

/// Why a loss in this run proves nothing; none if the kernel noted every neighbour.
pub(super) fn doubt(evidence: &Evidence) -> Option<String> {
    let refused = match evidence.neighbours_refused {
        0 => return None,
        1 => "a new neighbour was refused".to_owned(),
        count => format!("{count} new neighbours were refused"),
    };
    Some(format!(
        "the machine's neighbour table was full, which drops packets: {refused} \
         (run fewer labs at once, or raise net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3)"
    ))
}

/// The fact in place of the one that a packet was lost, if that broke a promise.
pub(super) fn excuse(outcome: Outcome, fact: &str, evidence: &Evidence) -> Option<String> {
    let why = doubt(evidence).filter(|_| outcome == Outcome::Broken)?;
    Some(format!("{fact}; {why}"))
}

/// A verdict about packets that were lost, open where the table was full.
pub(super) fn of_loss(verdict: Verdict, evidence: &Evidence) -> Verdict {
    match excuse(verdict.outcome, &verdict.fact, evidence) {
        Some(fact) => Verdict {
            outcome: Outcome::Inconclusive,
            fact,
            why: None,
            ..verdict
        },
        None => verdict,
    }
}

/// The same of several.
pub(super) fn of_losses(
    verdicts: Vec<Verdict>,
    evidence: &Evidence,
) -> impl Iterator<Item = Verdict> {
    let verdicts = verdicts.into_iter();
    verdicts.map(|verdict| of_loss(verdict, evidence))
}

/// The same of spoofed packets: one that is shown came in all the same.
pub(super) fn of_spoofs(
    verdicts: Vec<Verdict>,
    evidence: &Evidence,
) -> impl Iterator<Item = Verdict> {
    let verdicts = verdicts.into_iter();
    verdicts.map(|verdict| match verdict.exhibits.is_empty() {
        true => of_loss(verdict, evidence),
        false => verdict,
    })
}
