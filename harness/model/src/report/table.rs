//! Rows and totals as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::row::{Kind, Row, sections};
use super::{Judged, Report};
use super::{conduct, limit, never_plaintext, spoof, step_windows, wire};
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
    writeln!(text, "{}", report.plan.title)?;
    writeln!(text, "engine {}", report.plan.engine)?;
    for (kind, rows) in sections(report.told()) {
        let most = match measured {
            true => (ROWS, NAMES),
            false => (usize::MAX, usize::MAX),
        };
        write_section(text, &kind, &rows, colour, most)?;
    }
    step_windows::write(text, report, measured)?;
    wire::write(text, report, measured)?;
    limit::write(text, report, measured)?;
    spoof::write(text, report, measured)?;
    never_plaintext::write(text, report, measured)?;
    text.push('\n');
    for total in totals(report) {
        writeln!(text, "{total}")?;
    }
    for breach in report.breaches() {
        writeln!(text, "{} {}", breach.outcome().as_str(), breach.text())?;
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

/// One line for each class and protection: `cross host 36 pairs: encrypted, 108 of 108 held`.
fn totals(report: &Report<'_>) -> Vec<String> {
    let mut kinds = BTreeMap::<_, (BTreeSet<_>, BTreeMap<Outcome, usize>)>::new();
    let mut promised = BTreeSet::new();
    for told in report.told() {
        let promise = told.promise;
        let (pairs, outcomes) = kinds
            .entry((promise.class, promise.protection))
            .or_default();
        pairs.insert((&promise.from, &promise.to));
        *outcomes.entry(told.outcome()).or_default() += 1;
        promised.insert(promise.probe);
    }
    let mut lines: Vec<_> = kinds
        .into_iter()
        .map(|((class, protection), (pairs, outcomes))| {
            let all: usize = outcomes.values().sum();
            let held = outcomes.get(&Outcome::Held).copied().unwrap_or(0);
            let mut line = format!(
                "{} {} {}: {}, {held} of {all} held",
                class.as_str(),
                pairs.len(),
                if pairs.len() == 1 { "pair" } else { "pairs" },
                protection.as_str()
            );
            for (outcome, count) in outcomes {
                if outcome != Outcome::Held {
                    line.push_str(&format!(", {count} {}", outcome.as_str()));
                }
            }
            line
        })
        .collect();
    lines.extend(total("through the steps", report.of_steps()));
    lines.extend(total("sizes", report.of_limits()));
    lines.extend(total("spoofed packets", report.of_spoofs()));
    lines.extend(total("never in plaintext", report.of_never_plaintext()));
    let free = report
        .plan
        .probes
        .iter()
        .filter(|probe| !promised.contains(&probe.id))
        .count();
    if free > 0 {
        lines.push(match free {
            1 => "no promise: 1 probe was sent and is not judged".to_owned(),
            free => format!("no promise: {free} probes were sent and are not judged"),
        });
    }
    lines
}

/// `sizes 4 promises: 4 held`; none where nothing of the kind is promised.
fn total<'a, P: 'a>(kind: &str, promises: impl Iterator<Item = Judged<'a, P>>) -> Option<String> {
    let mut outcomes = BTreeMap::<Outcome, usize>::new();
    for told in promises {
        *outcomes.entry(told.outcome()).or_default() += 1;
    }
    let all: usize = outcomes.values().sum();
    let counts = outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.as_str()));
    let counts: Vec<_> = counts.collect();
    (all > 0).then(|| format!("{kind} {}: {}", counted(all, "promise"), counts.join(", ")))
}

/// One line for a list of many runs.
pub(super) fn line(report: &Report<'_>, name: &str) -> String {
    let all = report.verdicts.len();
    let verdicts = report.verdicts.values();
    let held = verdicts
        .filter(|verdict| verdict.outcome == Outcome::Held)
        .count();
    let settled = span(report.convergence().micros());
    let writes = match report.writes() {
        Some(writes) => counted(writes, "write"),
        None => "writes unknown".into(),
    };
    let points: u32 = report
        .evidence
        .steps
        .iter()
        .filter_map(|step| step.crash_points)
        .sum();
    let points = match points {
        0 => String::new(),
        points => format!(", {points} crash points"),
    };
    let verdict = if held == all { "held" } else { "NOT HELD" };
    format!(
        "{name:<70} {held:>4} of {all:<4} {verdict:<8} settled {settled:>8}, {writes}{points}\n"
    )
}

fn write_run(text: &mut String, report: &Report<'_>, directory: &str) -> fmt::Result {
    let timings: Vec<_> = report.evidence.timings.iter().map(duration).collect();
    if !timings.is_empty() {
        writeln!(text, "{}", timings.join(", "))?;
    }
    let slowest = report.convergence();
    if slowest.settled > slowest.began {
        let micros = slowest.micros();
        let when = match slowest.index {
            0 => "at the start".into(),
            index => format!("in step {index}"),
        };
        let writes = match report.writes() {
            Some(writes) => format!("; {writes} kernel writes"),
            None => String::new(),
        };
        writeln!(text, "settled within {} ({when}){writes}", span(micros))?;
    }
    if let Some(line) = conduct::line(report) {
        writeln!(text, "{line}")?;
    }
    for step in &report.evidence.steps {
        if let Some(points) = step.crash_points {
            writeln!(text, "step {}: {points} crash points", step.index)?;
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
