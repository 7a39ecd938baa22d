//! Sections: promises of one kind as lines under a heading.

use std::fmt::{self, Write};

use super::judgement::Judgement;

/// Writes one line for each promise, and its notes if `measured`; nothing where there is no promise.
pub(super) fn write<'j>(
    text: &mut String,
    heading: &str,
    lines: impl Iterator<Item = (String, &'j Judgement<'j>)>,
    measured: bool,
) -> fmt::Result {
    for (number, (about, judged)) in lines.enumerate() {
        if number == 0 {
            writeln!(text, "\n{heading}")?;
        }
        let (verdict, fact) = (judged.verdict.as_str(), judged.fact);
        writeln!(text, "  {about}, {verdict}: {fact}")?;
        for note in judged.notes.iter().filter(|_| measured) {
            writeln!(text, "    {note}")?;
        }
    }
    Ok(())
}
