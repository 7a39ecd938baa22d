//! The text of failures, with the frames that prove them.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::{Frame, Judgement, Pair, Report, fabric_effects, why};
use crate::verdict::Outcome;

/// More would hide what they have in common.
const IN_FULL: usize = 10;

/// Frames shown of one promise; the first is the one that decides.
const FRAMES: usize = 3;

/// Every promise that frames decide and that did not hold, the broken ones first: they are about the engine,
/// the open ones about the run.
fn failed<'r, 'a>(report: &'r Report<'a>) -> Vec<&'r Judgement<'a>> {
    let through = report.through.iter().map(|one| &one.judged);
    let after = report.pairs.iter().filter_map(Pair::judgement);
    let sizes = report.sizes.promises.iter().map(|one| &one.judged);
    let spoofed = report.spoofs.iter().map(|one| &one.judged);
    let never_plaintext = report.never_plaintext.iter().map(|one| &one.judged);
    let mut failed: Vec<_> = through
        .chain(after)
        .chain(sizes)
        .chain(spoofed)
        .chain(never_plaintext)
        .filter(|judged| judged.verdict != Outcome::Held)
        .collect();
    failed.sort_by_key(|judged| judged.verdict);
    failed
}

/// Comments on frames that show why a promise did not hold.
pub(super) fn comments(report: &Report<'_>) -> Vec<(Frame, String)> {
    let mut comments = Vec::new();
    for judged in failed(report) {
        let about = format!("{} {}", judged.verdict.as_str(), judged.promise);
        for (place, exhibit) in judged.exhibits.iter().enumerate() {
            let text = match place {
                0 => format!("{about}: {}", judged.fact),
                _ => format!("shows too: {about}"),
            };
            comments.extend(Frame::named(&exhibit.capture).map(|frame| (frame, text)));
        }
    }
    comments
}

/// What is wrong of steps, dataplanes, hosts and engines. Several promises may have broken by one thing.
fn of_run(report: &Report<'_>) -> String {
    let mut text = String::new();
    let mut known = BTreeSet::new();
    for one in report.run_promises.iter().filter(|one| one.is_wrong()) {
        let line = one.text();
        if !known.insert(line.clone()) {
            continue;
        }
        text += &format!("{line}\n");
        for note in one.judged.notes {
            text += &format!("  note: {note}\n");
        }
        if let Some(why) = one.judged.why {
            text += &why::describe(why);
        }
    }
    text
}

pub(super) fn failure(report: &Report<'_>, directory: &str) -> String {
    let failed = failed(report);
    let mut text = of_run(report);
    text += &fabric_effects::failure(report);
    if failed.is_empty() && !text.is_empty() {
        text += &format!("run directory {directory}\n");
    }
    if !failed.is_empty() {
        // Writing to a string cannot fail.
        let _ = write(&mut text, &failed, directory);
    }
    text
}

fn write(text: &mut String, failed: &[&Judgement<'_>], directory: &str) -> fmt::Result {
    let mut causes = BTreeSet::new();
    for one in failed.iter().take(IN_FULL) {
        writeln!(text, "{} {}", one.verdict.as_str(), one.promise)?;
        writeln!(text, "  {}", one.fact)?;
        for exhibit in one.exhibits.iter().take(FRAMES) {
            writeln!(text, "  {}: {}", exhibit.capture, exhibit.frame)?;
        }
        for note in one.notes {
            writeln!(text, "  note: {note}")?;
        }
        match one.why {
            Some(why) if causes.insert(&why.cause) => text.push_str(&why::describe(why)),
            Some(_) => writeln!(text, "  why: the same as above")?,
            None => {}
        }
    }
    let rest = failed.get(IN_FULL..).unwrap_or_default();
    for outcome in [Outcome::Broken, Outcome::Inconclusive, Outcome::Skipped] {
        let count = rest.iter().filter(|one| one.verdict == outcome).count();
        if count > 0 {
            writeln!(text, "and {count} more {}", outcome.as_str())?;
        }
    }
    writeln!(text, "run directory {directory}")
}
