//! What nobody may read on the wire in the whole run, and whether anybody could.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{Judged, Report};
use crate::plan::NeverPlaintext;

/// Pairs named before it is only said how many there are.
const NAMED: usize = 3;

/// One line for each.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut told = report.of_never_plaintext().peekable();
    if told.peek().is_none() {
        return Ok(());
    }
    writeln!(text, "\nnever in plaintext, through the whole run")?;
    for told in told {
        let (outcome, fact) = (told.outcome().as_str(), told.fact());
        writeln!(text, "  {}, {outcome}: {fact}", about(told.promise))?;
        let notes = told.verdict.map_or(&[][..], |verdict| &verdict.notes);
        for note in notes.iter().filter(|_| measured) {
            writeln!(text, "    {note}")?;
        }
    }
    Ok(())
}

/// `web → db`, or how many pairs.
fn about(promise: &NeverPlaintext) -> String {
    let pairs = promise.pairs.iter().take(NAMED);
    let named: Vec<_> = pairs.map(|(from, to)| format!("{from} → {to}")).collect();
    match promise.pairs.len() {
        0..=NAMED => named.join(", "),
        all => format!("{}, ... ({all} pairs)", named.join(", ")),
    }
}

/// What is promised, as a sentence.
pub(super) fn sentence(promise: &NeverPlaintext) -> String {
    let (about, line) = (about(promise), promise.line);
    format!("line {line}, {about} must never be readable on the wire")
}

/// For programs: one entry for each.
pub(super) fn json(report: &Report<'_>) -> Value {
    let entry = |told: Judged<'_, NeverPlaintext>| {
        json!({
            "never_plaintext": told.promise,
            "verdict": told.outcome(),
            "fact": told.fact(),
            "exhibits": told.verdict.map_or(&[][..], |verdict| &verdict.exhibits),
            "notes": told.verdict.map_or(&[][..], |verdict| &verdict.notes),
        })
    };
    report.of_never_plaintext().map(entry).collect()
}
