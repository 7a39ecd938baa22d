//! What went wrong, as far as the frames.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::{Frame, Judged, Report, limit, never_plaintext, spoof, why, wire};
use crate::plan::{Origin, Promise, StepKind, StepPromise};
use crate::verdict::{Outcome, Verdict};

/// More would hide what they have in common.
const IN_FULL: usize = 10;

/// Frames shown of one promise; the first is the one that decides.
const FRAMES: usize = 3;

/// A promise that did not hold.
struct Failed<'a> {
    outcome: Outcome,
    sentence: String,
    fact: &'a str,
    verdict: Option<&'a Verdict>,
}

impl<'a> Failed<'a> {
    fn new<P>(told: &Judged<'a, P>, sentence: String) -> Self {
        Self {
            outcome: told.outcome(),
            sentence,
            fact: told.fact(),
            verdict: told.verdict,
        }
    }
}

/// Every promise that did not hold, the broken ones first: they are about the engine, the open ones
/// about the run.
fn failed<'a>(report: &Report<'a>) -> Vec<Failed<'a>> {
    let through = report
        .of_steps()
        .map(|told| Failed::new(&told, of_step(report, told.promise)));
    let after = report
        .told()
        .map(|told| Failed::new(&told, sentence(told.promise)));
    let sizes = report
        .of_limits()
        .map(|told| Failed::new(&told, limit::sentence(report.plan, told.promise)));
    let spoofed = report
        .of_spoofs()
        .map(|told| Failed::new(&told, spoof::sentence(report.plan, told.promise)));
    let never_plaintext = report
        .of_never_plaintext()
        .map(|told| Failed::new(&told, never_plaintext::sentence(told.promise)));
    let mut failed: Vec<_> = through
        .chain(after)
        .chain(sizes)
        .chain(spoofed)
        .chain(never_plaintext)
        .filter(|failed| failed.outcome != Outcome::Held)
        .collect();
    failed.sort_by_key(|failed| failed.outcome);
    failed
}

/// What is to be said of frames that show why a promise did not hold.
pub(super) fn comments(report: &Report<'_>) -> Vec<(Frame, String)> {
    let mut comments = Vec::new();
    for failed in failed(report) {
        let told = format!("{} {}", failed.outcome.as_str(), failed.sentence);
        let exhibits = failed.verdict.iter().flat_map(|verdict| &verdict.exhibits);
        for (place, exhibit) in exhibits.enumerate() {
            let text = match place {
                0 => format!("{told}: {}", failed.fact),
                _ => format!("shows too: {told}"),
            };
            comments.extend(Frame::named(&exhibit.capture).map(|frame| (frame, text)));
        }
    }
    comments
}

pub(super) fn failure(report: &Report<'_>, directory: &str) -> String {
    let failed = failed(report);
    let mut text = String::new();
    for breach in report.breaches() {
        text += &format!("{} {}\n", breach.outcome().as_str(), breach.text());
        if let Some(note) = &breach.note {
            text += &format!("  note: {note}\n");
        }
        if let Some(why) = &breach.why {
            text += &why::cause(why);
        }
    }
    text += &wire::failure(report);
    if failed.is_empty() && !text.is_empty() {
        text += &format!("run directory {directory}\n");
    }
    if !failed.is_empty() {
        // Writing to a string cannot fail.
        let _ = write(&mut text, &failed, directory);
    }
    text
}

fn write(text: &mut String, failed: &[Failed<'_>], directory: &str) -> fmt::Result {
    let mut causes = BTreeSet::new();
    for one in failed.iter().take(IN_FULL) {
        writeln!(text, "{} {}", one.outcome.as_str(), one.sentence)?;
        writeln!(text, "  {}", one.fact)?;
        if let Some(verdict) = one.verdict {
            for exhibit in verdict.exhibits.iter().take(FRAMES) {
                writeln!(text, "  {}: {}", exhibit.capture, exhibit.frame)?;
            }
            for note in &verdict.notes {
                writeln!(text, "  note: {note}")?;
            }
            match &verdict.why {
                Some(why) if causes.insert(&why.cause) => text.push_str(&why::told(why)),
                Some(_) => writeln!(text, "  why: the same as above")?,
                None => {}
            }
        }
    }
    let rest = failed.get(IN_FULL..).unwrap_or_default();
    for outcome in [Outcome::Broken, Outcome::Inconclusive, Outcome::Skipped] {
        let count = rest.iter().filter(|one| one.outcome == outcome).count();
        if count > 0 {
            writeln!(text, "and {count} more {}", outcome.as_str())?;
        }
    }
    writeln!(text, "run directory {directory}")
}

/// `step 1 (kill every node's agent) must leave no protected flow readable`.
fn of_step(report: &Report<'_>, promise: &StepPromise) -> String {
    let must = match promise.kind {
        StepKind::Leak => "must leave no protected flow readable",
        StepKind::Outage => "must not interrupt flows for long",
    };
    format!(
        "step {} ({}) {must}",
        promise.step,
        report.action(promise.step)
    )
}

/// `pod-5 → pod-65 udp must be encrypted (cross host, derived)`.
fn sentence(promise: &Promise) -> String {
    let origin = match promise.origin {
        Origin::Derived => "derived".to_owned(),
        Origin::Stated { line } => format!("stated at line {line}"),
    };
    let payload = promise.payload.map(|bytes| format!(" with {bytes} bytes"));
    format!(
        "{} → {} {}{} must be {} ({}, {origin})",
        promise.from,
        promise.to,
        promise.protocol.as_str(),
        payload.unwrap_or_default(),
        promise.protection.as_str(),
        promise.class.as_str()
    )
}
