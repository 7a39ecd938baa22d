//! Effects of the fabric in the report.

use std::fmt::{self, Write};

use super::Report;
use crate::count::counted;
use crate::verdict::Outcome;

/// One line for each thing. Numbers differ from run to run, and are printed only if `measured`.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let effects = &report.wire;
    if !effects.is_empty() {
        writeln!(text, "\non the wire")?;
    }
    for one in effects {
        let line = one.line.map(|line| format!(" (line {line})"));
        let line = line.unwrap_or_default();
        let count = match (one.is_idle(), measured) {
            (true, _) if one.packets > 0 => {
                format!("{}: not what was seen", Outcome::Inconclusive.as_str())
            }
            (true, _) => format!("{}: hit no packet", Outcome::Inconclusive.as_str()),
            (false, true) => counted(one.packets, "packet"),
            (false, false) => "some packets".into(),
        };
        writeln!(text, "  {}{line}: {count}", one.what)?;
    }
    Ok(())
}

/// What went wrong: impairments that hit nothing.
pub(super) fn failure(report: &Report<'_>) -> String {
    let effects = report.wire.iter();
    let idle = effects.filter(|one| one.is_idle()).map(|one| {
        format!(
            "{} line {}: {}, but {}\n",
            Outcome::Inconclusive.as_str(),
            one.line.unwrap_or_default(),
            one.what,
            one.idleness()
        )
    });
    idle.collect()
}
