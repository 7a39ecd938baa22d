//! Escaping of untrusted text for output: scenarios, file names and engines' logs reach a terminal.
//!
//! Control characters drive a terminal or forge a line, and marks of direction or without a width make
//! a text look like another one (Unicode TR 36). They are written as JSON writes them, so that a
//! document in JSON stays one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Whether a character shows as itself.
pub fn shows(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// A text of several lines, in which nothing is left that does not show.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| shows(c) || c == '\n') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if shows(c) || c == '\n' => out.push(c),
            c => push_escaped(&mut out, c),
        }
    }
    Cow::Owned(out)
}

/// A text of one line, in which nothing is left that does not show, a line's end neither.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match shows(c) {
            true => out.push(c),
            false => push_escaped(&mut out, c),
        }
    }
    out
}

/// A path as a message names it: whatever a file is called, its name is on one line.
pub fn shown_path(path: &(impl AsRef<Path> + ?Sized)) -> String {
    line(&path.as_ref().display().to_string())
}

/// Adds a character as JSON escapes it (RFC 8259, section 7): one above U+FFFF in two parts.
pub(crate) fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// The same, but these sequences stay: a program's own colours.
pub fn escaped_but(text: &str, kept: &[&str]) -> String {
    let sequence = |at: &str| kept.iter().find(|kept| at.starts_with(**kept)).copied();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(sequence) = sequence(rest) {
            out.push_str(sequence);
            rest = &rest[sequence.len()..];
            continue;
        }
        let mut ends = rest.char_indices().map(|(at, _)| at).skip(1);
        let end = ends.find(|at| sequence(&rest[*at..]).is_some());
        let (foreign, next) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str(&escaped(foreign));
        rest = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invisible_characters_are_escaped_as_in_json() {
        assert_eq!(
            escaped("a\nb\x1b[31m\r\t\u{9b}\u{202e}\u{7f}\0\u{feff}"),
            "a\nb\\u001b[31m\\r\\t\\u009b\\u202e\\u007f\\u0000\\ufeff"
        );
        assert_eq!(
            escaped("zwölf 京都 → `a` \"b\" \\"),
            "zwölf 京都 → `a` \"b\" \\"
        );
    }

    #[test]
    fn a_file_s_name_is_on_one_line() {
        let name = std::path::PathBuf::from("runs/a\nb\u{1b}[2J\u{9b}.toml");
        assert_eq!(shown_path(&name), "runs/a\\nb\\u001b[2J\\u009b.toml");
        assert_eq!(line("a\r\n\u{202e}\u{e0001}"), "a\\r\\n\\u202e\u{e0001}");
        let mut out = String::new();
        push_escaped(&mut out, '\u{e0001}');
        assert_eq!(out, "\\udb40\\udc01");
    }

    #[test]
    fn own_colours_stay_and_others_do_not() {
        let kept = ["\x1b[1;31m", "\x1b[0m"];
        assert_eq!(
            escaped_but("\x1b[1;31mBROKEN\x1b[0m é\n\x1b[2J", &kept),
            "\x1b[1;31mBROKEN\x1b[0m é\n\\u001b[2J"
        );
        assert_eq!(escaped_but("", &kept), "");
    }

    proptest! {
        #[test]
        fn a_document_in_json_stays_what_it_is(text in any::<String>()) {
            let document = serde_json::json!({ "text": text });
            let shown = escaped(&format!("{document:#}")).into_owned();
            prop_assert!(shown.chars().all(|c| shows(c) || c == '\n'));
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
