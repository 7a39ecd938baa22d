//! The engines' conduct in the report.

use super::Report;
use crate::evidence::{ConductEvidence, End};

/// One line: how large their processes got, how soon their agents ended, and how often they warned.
pub(super) fn line(report: &Report<'_>) -> Option<String> {
    let all = || report.conduct.values();
    all().next()?;
    let warnings: u64 = all().flat_map(of_log).sum();
    let mut parts = vec![match warnings {
        1 => "1 warning".to_owned(),
        many => format!("{many} warnings"),
    }];
    let peaks = all().flat_map(|one| &one.processes);
    if let Some(largest) = peaks.max_by_key(|process| process.peak) {
        let mebibytes = largest.peak.div_ceil(1024);
        parts.push(format!("{} up to {mebibytes} MiB", largest.command));
    }
    let ends = all().flat_map(|one| &one.ends).filter(|end| end.asked);
    if let Some(slowest) = ends.map(|end: &End| end.micros).max() {
        parts.push(format!("agents end within {} ms", slowest.div_ceil(1_000)));
    }
    Some(format!("engine: {}", parts.join(", ")))
}

fn of_log(one: &ConductEvidence) -> impl Iterator<Item = u64> {
    one.warnings.iter().map(|warning| warning.times)
}
