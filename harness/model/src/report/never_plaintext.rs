//! Pairs that are never plaintext, in the report.

use serde::Serialize;

use super::judgement::Judgement;
use crate::plan::NeverPlaintext;

/// Pairs named before the rest is only counted.
const MAX_NAMED: usize = 3;

/// Whether anybody could read pairs that nobody may.
#[derive(Debug, Clone, Serialize)]
pub struct NeverPlaintextResult<'a> {
    /// The pairs, in words.
    pub about: String,
    /// The promise with its pairs.
    pub never_plaintext: &'a NeverPlaintext,
    /// What it came to.
    #[serde(flatten)]
    pub judged: Judgement<'a>,
}

impl<'a> NeverPlaintextResult<'a> {
    pub(super) fn new(promise: &'a NeverPlaintext, judged: Judgement<'a>) -> Self {
        Self {
            about: about(promise),
            never_plaintext: promise,
            judged,
        }
    }
}

/// `web → db`, or how many pairs.
fn about(promise: &NeverPlaintext) -> String {
    let pairs = promise.pairs.iter().take(MAX_NAMED);
    let named: Vec<_> = pairs.map(|(from, to)| format!("{from} → {to}")).collect();
    match promise.pairs.len() {
        0..=MAX_NAMED => named.join(", "),
        all => format!("{}, ... ({all} pairs)", named.join(", ")),
    }
}

/// What is promised, as a sentence.
pub(super) fn sentence(promise: &NeverPlaintext) -> String {
    let (about, line) = (about(promise), promise.line);
    format!("line {line}, {about} must never be readable on the wire")
}
