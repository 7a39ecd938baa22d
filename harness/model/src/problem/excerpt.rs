//! Excerpts of a file for problems: its text, but with its long lines cut around what the labels point at, and
//! without characters that a terminal obeys or does not show.
//!
//! The renderer counts columns by the width of characters, and pads with a width of at most 16
//! bits: a line of 70,000 characters, or a label on a character without a width, ends it.

use std::collections::BTreeMap;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Span;
use crate::text::{self, push_escaped};

/// Characters of a line that are shown.
const MAX_COLUMNS: usize = 400;

/// Characters that are shown before the first label of a line that is cut.
const COLUMNS_BEFORE_LABEL: usize = 60;

/// Characters of a message that are shown.
const MAX_MESSAGE: usize = 1_000;

/// A text as a problem with certain labels shows it.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// For each end of a label in the file: its place in the excerpt.
    places: BTreeMap<usize, usize>,
    /// For each place in the excerpt where a label begins: its column in the file, from 0, in bytes.
    columns: BTreeMap<usize, usize>,
}

impl Excerpt {
    /// Of the file `name` with this `text`, for labels at `spans`.
    pub(super) fn new(name: &str, text: &str, spans: &[Span]) -> Self {
        let mut ends: Vec<usize> = spans
            .iter()
            .flat_map(|span| [span.start, span.end])
            .map(|end| on_a_character(text, end))
            .collect();
        ends.sort_unstable();
        ends.dedup();
        let mut excerpt = Self {
            name: text::line(name),
            text: String::with_capacity(text.len()),
            places: BTreeMap::new(),
            columns: BTreeMap::new(),
        };
        let mut start = 0;
        let mut waiting = ends.as_slice();
        for line in text.split_inclusive('\n') {
            let next = start + line.len();
            let here = waiting.partition_point(|end| *end < next);
            let (own, rest) = waiting.split_at(here);
            excerpt.add(line, start, own);
            waiting = rest;
            start = next;
        }
        let last = text.rfind('\n').map_or(0, |at| at + 1);
        for end in waiting {
            excerpt.put(*end, *end - last);
        }
        // What is missing at the end of a file is shown behind it.
        if spans.iter().any(|span| span.start >= text.len()) {
            excerpt.text.push(' ');
        }
        excerpt
    }

    /// One line more, which begins at `start` of the file; `ends` of labels are on it.
    fn add(&mut self, line: &str, start: usize, ends: &[usize]) {
        let content = line.trim_end_matches(['\r', '\n']);
        let is_long = content.len() > MAX_COLUMNS && content.chars().count() > MAX_COLUMNS;
        let from = match ends.first() {
            Some(first) if is_long => {
                let before = content.get(..first - start).unwrap_or(content);
                let before = before.chars().count().saturating_sub(COLUMNS_BEFORE_LABEL);
                before.min(content.chars().count() - MAX_COLUMNS)
            }
            _ => 0,
        };
        if from > 0 {
            self.text.push('…');
        }
        let mut waiting = ends.iter().peekable();
        let mut place = start;
        for (number, character) in content.chars().enumerate() {
            while let Some(end) = waiting.next_if(|end| **end <= place) {
                self.put(*end, *end - start);
            }
            place += character.len_utf8();
            if number >= from && number < from.saturating_add(MAX_COLUMNS) {
                push_shown(&mut self.text, character);
            }
        }
        for end in waiting {
            self.put(*end, *end - start);
        }
        if is_long && content.chars().count() > from + MAX_COLUMNS {
            self.text.push('…');
        }
        // What ends the line is no more than its break.
        match line.get(content.len()..) {
            Some("") | None => {}
            Some(ending) if ending.ends_with('\n') => self.text.push('\n'),
            Some(_) => push_escaped(&mut self.text, '\r'),
        }
    }

    fn put(&mut self, end: usize, column: usize) {
        let place = self.text.len();
        self.places.insert(end, place);
        self.columns.entry(place).or_insert(column);
    }

    /// Where a label of the file is in the excerpt.
    pub(super) fn span(&self, text: &str, span: &Span) -> Span {
        let place = |end: usize| {
            let place = self.places.get(&on_a_character(text, end));
            place.copied().unwrap_or_default()
        };
        let start = place(span.start);
        let least = usize::from(span.start >= text.len());
        start..place(span.end).max(start + least)
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        // The head of a problem is asked for without the lines around it.
        let column = match before {
            0 => self.columns.get(&span.offset()).copied(),
            _ => None,
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            found.line(),
            column.unwrap_or(found.column()),
            found.line_count(),
        )))
    }
}

/// A message as it is shown: one that is too long is cut.
pub(super) fn shown(message: &str) -> String {
    let mut text = String::new();
    for character in message.chars().take(MAX_MESSAGE) {
        match character {
            '\n' => text.push('\n'),
            other => push_shown(&mut text, other),
        }
    }
    if message.chars().nth(MAX_MESSAGE).is_some() {
        text.push('…');
    }
    text
}

/// Adds a character, or how one is written that is not shown by itself.
fn push_shown(text: &mut String, character: char) {
    match character {
        '\t' | '"' | '\'' | '\\' => text.push(character),
        // What Rust escapes is a control character, joins others, or has no width.
        other if other.escape_debug().len() > 1 => push_escaped(text, other),
        other => text.push(other),
    }
}

/// The nearest place at or before `place` where a character begins.
fn on_a_character(text: &str, place: usize) -> usize {
    let mut place = place.min(text.len());
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}
