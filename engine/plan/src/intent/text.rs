//! Escaping of untrusted text for a log, a terminal, a supervisor or a metric.
//!
//! What a store holds is data. Control characters could forge a line of a log or drive a terminal, and
//! marks of direction make a text look like another one; they are written as JSON writes them, so
//! that a document in JSON stays one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// How many characters of one line are shown.
const MAX_CHARACTERS: usize = 2000;

/// Whether a character shows as itself.
fn shows(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

fn escaped(text: &str, keep: impl Fn(usize, char) -> bool) -> Cow<'_, str> {
    if text.char_indices().all(|(at, c)| shows(c) || keep(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match c {
            c if shows(c) || keep(at, c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them are below U+10000. Writing to a string cannot fail.
            c => drop(write!(out, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// A text of one line, of a length that can be read.
pub fn line(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => escaped(text, |_, _| false),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            let shown = escaped(&text[..end], |_, _| false);
            Cow::Owned(format!("{shown}… ({more} more characters)"))
        }
    }
}

/// A text of several lines. Whoever puts it together passes foreign text through [`line`].
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |_, c| c == '\n')
}

/// A message that may be followed by a line of help. Only a line that is indented is one: nothing can
/// look like a message of its own.
pub fn message(text: &str) -> Cow<'_, str> {
    let is_indented = |at: usize| text[at..].starts_with("\n  ");
    escaped(text, |at, c| c == '\n' && is_indented(at))
}

/// Writes events, each of which comes in one piece that ends its line.
#[derive(Debug)]
pub struct Log<W>(pub W);

impl<W: io::Write> io::Write for Log<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let end = if text.ends_with('\n') { "\n" } else { "" };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = format!("{}{end}", escaped(text, |_, _| false));
        self.0.write_all(text.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str = "x\n2026 ERROR forged\x1b[31m\u{9b}1m\u{202e}\u{7f}\0";

    #[test]
    fn invisible_characters_are_escaped_as_in_json() {
        assert_eq!(
            line(HOSTILE),
            "x\\n2026 ERROR forged\\u001b[31m\\u009b1m\\u202e\\u007f\\u0000"
        );
        assert_eq!(line("zwölf 京都 `a` \"b\" \\"), "zwölf 京都 `a` \"b\" \\");
        assert_eq!(lines("a\nb\x1b"), "a\nb\\u001b");
        assert_eq!(message("a\nb\n  help: c\rd"), "a\\nb\n  help: c\\rd");
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = line(&"ä".repeat(65_536)).into_owned();
        assert!(long.ends_with("ä… (63536 more characters)"));
        assert!(long.chars().count() < 2100);
    }

    #[test]
    fn an_event_of_the_log_is_one_line() {
        let mut log = Log(Vec::new());
        log.write_all(format!("{HOSTILE}\n").as_bytes()).unwrap();
        let text = String::from_utf8(log.0).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end_matches('\n').chars().all(shows), "{text:?}");
    }

    proptest! {
        #[test]
        fn a_json_document_stays_what_it_is(text in any::<String>()) {
            let document = serde_json::json!({ "text": text });
            let shown = lines(&format!("{document:#}")).into_owned();
            prop_assert!(shown.chars().all(|c| shows(c) || c == '\n'));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), document);
        }
    }
}
