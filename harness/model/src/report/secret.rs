//! What nobody may read on the wire in the whole run, and whether anybody could.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{Report, Told};
use crate::plan::Secret;

/// Pairs named before it is only said how many there are.
const NAMED: usize = 3;

/// One line for each.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut told = report.of_secrets().peekable();
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
fn about(secret: &Secret) -> String {
    let pairs = secret.pairs.iter().take(NAMED);
    let named: Vec<_> = pairs.map(|(from, to)| format!("{from} → {to}")).collect();
    match secret.pairs.len() {
        0..=NAMED => named.join(", "),
        all => format!("{}, ... ({all} pairs)", named.join(", ")),
    }
}

/// What is promised, as a sentence.
pub(super) fn sentence(secret: &Secret) -> String {
    let (about, line) = (about(secret), secret.line);
    format!("line {line}, {about} must never be readable on the wire")
}

/// For programs: one entry for each.
pub(super) fn json(report: &Report<'_>) -> Value {
    let entry = |told: Told<'_, Secret>| {
        json!({
            "secret": told.promise,
            "verdict": told.outcome(),
            "fact": told.fact(),
            "exhibits": told.verdict.map_or(&[][..], |verdict| &verdict.exhibits),
            "notes": told.verdict.map_or(&[][..], |verdict| &verdict.notes),
        })
    };
    report.of_secrets().map(entry).collect()
}
