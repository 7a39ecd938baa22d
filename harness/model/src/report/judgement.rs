//! The verdict about one promise, with its sentence.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::{Promise, PromiseId};
use crate::verdict::{Exhibit, Explanation, Outcome, Verdict};

/// The text for a promise that has no verdict, which is an error of the run.
const UNJUDGED: &str = "nobody judged it";

/// The verdict about one promise, with its sentence.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement<'a> {
    /// Its number among all promises of the run.
    pub id: PromiseId,
    /// What is promised, as a sentence.
    pub promise: String,
    /// The scenario's line that states it; none if it is derived, or promised of every run.
    pub line: Option<u32>,
    /// How it was decided.
    pub verdict: Outcome,
    /// The fact that decided it.
    pub fact: &'a str,
    /// The frames that show it, first the one that decides.
    pub exhibits: &'a [Exhibit],
    /// What differs from run to run.
    pub notes: &'a [String],
    /// Why it broke, as far as that is known.
    pub why: Option<&'a Explanation>,
}

impl Judgement<'_> {
    /// Whether nobody judged it.
    pub(super) fn is_missing(&self) -> bool {
        self.fact == UNJUDGED
    }
}

/// The verdicts of a run by their promises.
pub(super) struct Verdicts<'a>(BTreeMap<PromiseId, &'a Verdict>);

impl<'a> Verdicts<'a> {
    pub(super) fn new(verdicts: &'a [Verdict]) -> Self {
        let by_promise = verdicts.iter().map(|verdict| (verdict.promise, verdict));
        Self(by_promise.collect())
    }

    /// The verdict about a promise of that `sentence`.
    pub(super) fn of(&self, promise: &Promise<'_>, sentence: String) -> Judgement<'a> {
        let verdict = self.0.get(&promise.id);
        Judgement {
            id: promise.id,
            promise: sentence,
            line: promise.line,
            verdict: verdict.map_or(Outcome::Inconclusive, |verdict| verdict.outcome),
            fact: verdict.map_or(UNJUDGED, |verdict| &verdict.fact),
            exhibits: verdict.map_or(&[], |verdict| &verdict.exhibits),
            notes: verdict.map_or(&[], |verdict| &verdict.notes),
            why: verdict.and_then(|verdict| verdict.why.as_ref()),
        }
    }
}
