//! What went wrong, as far as the frames.

use std::fmt::{self, Write};

use super::{Report, Told};
use crate::plan::{Origin, Promise};
use crate::verdict::Outcome;

/// More would hide what they have in common.
const IN_FULL: usize = 10;

/// Frames shown of one promise; the first is the one that decides.
const FRAMES: usize = 3;

pub(super) fn failure(report: &Report<'_>, directory: &str) -> String {
    let mut failed: Vec<_> = report
        .told()
        .filter(|told| told.outcome() != Outcome::Held)
        .collect();
    // The broken ones first: they are about the engine, the open ones about the run.
    failed.sort_by_key(Told::outcome);
    let mut text = String::new();
    for breach in report.breaches() {
        text += &format!("BROKEN line {}, {}\n", breach.line, breach.told);
    }
    if failed.is_empty() && !text.is_empty() {
        text += &format!("run directory {directory}\n");
    }
    if !failed.is_empty() {
        // Writing to a string cannot fail.
        let _ = write(&mut text, &failed, directory);
    }
    text
}

fn write(text: &mut String, failed: &[Told<'_>], directory: &str) -> fmt::Result {
    for told in failed.iter().take(IN_FULL) {
        writeln!(
            text,
            "{} {}",
            told.outcome().as_str(),
            sentence(told.promise)
        )?;
        writeln!(text, "  {}", told.fact())?;
        if let Some(verdict) = told.verdict {
            for exhibit in verdict.exhibits.iter().take(FRAMES) {
                writeln!(text, "  {}: {}", exhibit.capture, exhibit.frame)?;
            }
            for note in &verdict.notes {
                writeln!(text, "  note: {note}")?;
            }
        }
    }
    let rest = failed.get(IN_FULL..).unwrap_or_default();
    for outcome in [Outcome::Broken, Outcome::Inconclusive, Outcome::Skipped] {
        let count = rest.iter().filter(|told| told.outcome() == outcome).count();
        if count > 0 {
            writeln!(text, "and {count} more {}", outcome.as_str())?;
        }
    }
    writeln!(text, "run directory {directory}")
}

/// `pod-5 → pod-65 udp must be encrypted (cross host, derived)`.
fn sentence(promise: &Promise) -> String {
    let origin = match promise.origin {
        Origin::Derived => "derived".to_owned(),
        Origin::Stated { line } => format!("stated at line {line}"),
    };
    format!(
        "{} → {} {} must be {} ({}, {origin})",
        promise.from,
        promise.to,
        promise.protocol.as_str(),
        promise.protection.as_str(),
        promise.class.as_str()
    )
}
