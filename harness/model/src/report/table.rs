//! Rows and totals as a table.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::row::{Kind, Row, sections};
use super::run_promise::Subject;
use super::total::Total;
use super::{Report, conduct, fabric_effects, mtu, section, step_windows};
use crate::count::counted;
use crate::evidence::Timing;
use crate::plan::Protocol;
use crate::verdict::Outcome;

/// Columns of a terminal that nobody has made narrow.
const WIDTH: usize = 120;

/// Senders of a section that a terminal shows; `--json` and `verdicts.json` have all.
const ROWS: usize = 40;

/// Receivers of a sender that a terminal shows.
const NAMES: usize = 40;

/// Width of `icmp udp tcp`.
const PROTOCOLS: usize = 12;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const PLAIN: &str = "\x1b[0m";

/// What a table in colour has besides its text.
pub const COLOURS: &[&str] = &[RED, YELLOW, PLAIN];

pub(super) fn table(report: &Report<'_>, directory: &str, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_promises(&mut text, report, colour, true);
    let _ = write_run(&mut text, report, directory);
    text
}

pub(super) fn snapshot(report: &Report<'_>) -> String {
    let mut text = String::new();
    let _ = write_promises(&mut text, report, false, false);
    text
}

fn write_promises(
    text: &mut String,
    report: &Report<'_>,
    colour: bool,
    measured: bool,
) -> fmt::Result {
    writeln!(text, "{}", report.title)?;
    writeln!(text, "engine {}", report.engine)?;
    for (kind, rows) in sections(&report.pairs) {
        let most = match measured {
            true => (ROWS, NAMES),
            false => (usize::MAX, usize::MAX),
        };
        write_section(text, &kind, &rows, colour, most)?;
    }
    step_windows::write(text, report, measured)?;
    fabric_effects::write(text, report, measured)?;
    mtu::write(text, &report.sizes, measured)?;
    let spoofs = report.spoofs.iter();
    let spoofs = spoofs.map(|one| (one.about.clone(), &one.judged));
    section::write(text, "spoofed packets", spoofs, measured)?;
    let never = report.never_plaintext.iter();
    let never = never.map(|one| (one.about.clone(), &one.judged));
    let heading = "never in plaintext, through the whole run";
    section::write(text, heading, never, measured)?;
    text.push('\n');
    // What every run promises alike is no news to who reviews a scenario.
    let is_shown = |total: &&Total| measured || !total.is_of_every_run();
    for total in report.totals.iter().filter(is_shown) {
        writeln!(text, "{total}")?;
    }
    let mut known = BTreeSet::new();
    for wrong in report.run_promises.iter().filter(|one| one.is_wrong()) {
        let line = wrong.text();
        if known.insert(line.clone()) {
            writeln!(text, "{line}")?;
        }
    }
    Ok(())
}

/// Writes so many rows `most`, each with so many names.
fn write_section(
    text: &mut String,
    kind: &Kind<'_>,
    rows: &[Row<'_>],
    colour: bool,
    most: (usize, usize),
) -> fmt::Result {
    let payload = kind.payload.map(|bytes| format!(" with {bytes} bytes"));
    let heading = format!(
        "{}, {}{}, {}: {}",
        kind.class.as_str(),
        kind.protection.as_str(),
        payload.unwrap_or_default(),
        kind.outcome.as_str(),
        kind.fact
    );
    let (on, off) = match kind.outcome {
        Outcome::Broken if colour => (RED, PLAIN),
        Outcome::Inconclusive if colour => (YELLOW, PLAIN),
        Outcome::Held | Outcome::Broken | Outcome::Inconclusive | Outcome::Skipped => ("", ""),
    };
    let heading = wrapped(heading.split(' '), 0, 4);
    writeln!(text, "\n{on}{heading}{off}")?;
    let widest = rows
        .iter()
        .map(|row| row.from.as_str().len())
        .max()
        .unwrap_or(0);
    for row in rows.iter().take(most.0) {
        let protocols = names(&row.protocols);
        let start = format!("  {:<widest$}  {protocols:<PROTOCOLS$}  → ", row.from);
        let indent = start.chars().count();
        let listed = row.to.iter().take(most.1).map(|name| name.as_str());
        let more = row.to.len().saturating_sub(most.1);
        let more = (more > 0).then(|| format!("and {more} more"));
        let to = wrapped(listed.chain(more.as_deref()), indent, indent);
        writeln!(text, "{start}{to}")?;
    }
    let rest = rows.get(most.0..).unwrap_or_default();
    if !rest.is_empty() {
        let pairs: usize = rest.iter().map(|row| row.to.len()).sum();
        let (senders, pairs) = (counted(rest.len(), "row"), counted(pairs, "pair"));
        writeln!(text, "  and {senders} more, with {pairs}; --json has all")?;
    }
    Ok(())
}

fn names(protocols: &[Protocol]) -> String {
    let names: Vec<_> = protocols.iter().map(|protocol| protocol.as_str()).collect();
    names.join(" ")
}

/// Words in lines of at most [`WIDTH`] columns. The first line starts at column `used`,
/// the others after `indent` spaces.
pub(super) fn wrapped<'w>(
    words: impl Iterator<Item = &'w str>,
    used: usize,
    indent: usize,
) -> String {
    let mut text = String::new();
    let mut column = used;
    for word in words {
        let length = word.chars().count();
        if text.is_empty() {
            column += length;
        } else if column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent + length;
        } else {
            text.push(' ');
            column += 1 + length;
        }
        text.push_str(word);
    }
    text
}

/// One line for a list of many runs. It counts what the scenario promises; what every run promises alike is
/// in the verdict.
pub(super) fn line(report: &Report<'_>, name: &str) -> String {
    let of_every_run = |subject| match subject {
        Subject::Budget | Subject::Dataplane | Subject::Warning => false,
        Subject::Host | Subject::Engine | Subject::Evidence => true,
    };
    let others = report.run_promises.iter();
    let others = others.filter(|one| of_every_run(one.subject)).count();
    let others_held = report.run_promises.iter();
    let others_held = others_held
        .filter(|one| of_every_run(one.subject) && one.judged.verdict == Outcome::Held)
        .count();
    let all = report.judgements().count() - others;
    let held = report.judgements();
    let held = held.filter(|one| one.verdict == Outcome::Held).count() - others_held;
    let settled = span(report.convergence);
    let writes = match report.writes {
        Some(writes) => counted(writes, "write"),
        None => "writes unknown".into(),
    };
    let points: u32 = report
        .steps
        .iter()
        .filter_map(|step| step.crash_points)
        .sum();
    let points = match points {
        0 => String::new(),
        points => format!(", {points} crash points"),
    };
    let verdict = match held == all && others_held == others {
        true => "held",
        false => "NOT HELD",
    };
    format!(
        "{name:<70} {held:>4} of {all:<4} {verdict:<8} settled {settled:>8}, {writes}{points}\n"
    )
}

fn write_run(text: &mut String, report: &Report<'_>, directory: &str) -> fmt::Result {
    let timings: Vec<_> = report.timings.iter().map(duration).collect();
    if !timings.is_empty() {
        writeln!(text, "{}", timings.join(", "))?;
    }
    if report.convergence > 0 {
        let all = report.steps.iter().chain([&report.start]);
        let slowest = all.max_by_key(|step| step.micros);
        let when = match slowest.map_or(0, |step| step.step) {
            0 => "at the start".into(),
            step => format!("in step {step}"),
        };
        let writes = match report.writes {
            Some(writes) => format!("; {writes} kernel writes"),
            None => String::new(),
        };
        let within = span(report.convergence);
        writeln!(text, "settled within {within} ({when}){writes}")?;
    }
    if let Some(line) = conduct::line(report) {
        writeln!(text, "{line}")?;
    }
    for step in &report.steps {
        if let Some(points) = step.crash_points {
            writeln!(text, "step {}: {points} crash points", step.step)?;
        }
    }
    writeln!(text, "run directory {directory}")
}

fn duration(timing: &Timing) -> String {
    format!("{} {}", timing.phase, span(timing.micros))
}

/// Microseconds as people read them.
fn span(micros: u64) -> String {
    match micros / 1_000 {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis => format!("{}.{:02} s", millis / 1_000, millis % 1_000 / 10),
    }
}
