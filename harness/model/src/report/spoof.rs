//! What became of spoofed packets.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::{Judged, Report};
use crate::plan::{DropBy, Plan, Spoof};

/// One line for each.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut told = report.of_spoofs().peekable();
    if told.peek().is_none() {
        return Ok(());
    }
    writeln!(text, "\nspoofed packets")?;
    for told in told {
        let (outcome, fact) = (told.outcome().as_str(), told.fact());
        let about = about(report.plan, told.promise);
        writeln!(text, "  {about}, {outcome}: {fact}")?;
        let notes = told.verdict.map_or(&[][..], |verdict| &verdict.notes);
        for note in notes.iter().filter(|_| measured) {
            writeln!(text, "    {note}")?;
        }
    }
    Ok(())
}

/// Whom they pretend to be from, and where they come in: `from the wire as pod-1 → pod-2 ipv4`.
fn about(plan: &Plan, spoof: &Spoof) -> String {
    let through = plan.endpoint(&spoof.through);
    let entry = match through.and_then(|through| through.pod) {
        Some(pod) => pod.name.to_string(),
        None => "the wire".to_owned(),
    };
    format!(
        "from {entry} as {} → {} {}",
        spoof.source,
        spoof.to,
        spoof.family.as_str()
    )
}

/// What is promised, as a sentence.
pub(super) fn sentence(plan: &Plan, spoof: &Spoof) -> String {
    let must = match spoof.drop {
        DropBy::ReversePath => "must be dropped by the reverse-path filter",
        DropBy::Rule => "must be dropped by a rule",
        DropBy::Tunnel => "must go into the tunnel and not come out of it",
        DropBy::Nothing => "arrive",
    };
    let (about, line) = (about(plan, spoof), spoof.line);
    format!("line {line}, spoofed packets {about}: {must}")
}

/// For programs: one entry for each.
pub(super) fn json(report: &Report<'_>) -> Value {
    let entry = |told: Judged<'_, Spoof>| {
        json!({
            "spoof": told.promise,
            "verdict": told.outcome(),
            "fact": told.fact(),
            "exhibits": told.verdict.map_or(&[][..], |verdict| &verdict.exhibits),
            "notes": told.verdict.map_or(&[][..], |verdict| &verdict.notes),
        })
    };
    report.of_spoofs().map(entry).collect()
}
