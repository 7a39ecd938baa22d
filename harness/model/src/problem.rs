//! Problems of an input file: each names the thing, its place in the text and the fix.

/// Line numbers of places in a text.
mod lines;

/// Excerpts of a file for problems: long lines cut, and control characters escaped.
mod excerpt;

use std::error::Error;
use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use textwrap::WordSplitter;

use crate::count::plural;

use excerpt::Excerpt;
pub(crate) use lines::Lines;

/// Bytes of the input file.
pub type Span = Range<usize>;

/// Columns of a rendered problem, wherever it is read.
const WIDTH: usize = 100;

/// How many problems are printed before the rest is only counted.
const MAX_SHOWN: usize = 50;

/// How many of the file's own names a help lists before it only counts them.
const MAX_LISTED: usize = 12;

/// How many known names a wrong one is compared with: a file of as many wrong names as right ones
/// is answered all the same.
const COMPARED: usize = 200;

/// Everything wrong with one input file; at least one problem.
#[derive(Debug)]
pub struct Problems {
    source: NamedSource<String>,
    problems: Vec<Problem>,
}

impl Problems {
    /// The `problems`, at least one, of the file `name` with this `text`.
    pub(crate) fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::start);
        Self {
            source: NamedSource::new(name, text.to_owned()),
            problems,
        }
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Each of them, for tests that follow their help.
    #[cfg(test)]
    pub(crate) fn each(&self) -> &[Problem] {
        &self.problems
    }

    /// As a user reads them: every problem with its file, line, column and help, 100 columns
    /// wide, without colour. The same input gives the same text anywhere.
    pub fn render(&self) -> String {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .with_width(WIDTH)
            .with_links(false)
            .with_word_splitter(WordSplitter::NoHyphenation)
            .without_syntax_highlighting();
        let mut text = String::new();
        for (number, problem) in self.problems.iter().take(MAX_SHOWN).enumerate() {
            if number > 0 {
                text.push('\n');
            }
            let rendered = RenderedProblem::new(problem, self.source.name(), self.source.inner());
            // Writing to a string cannot fail, and every label is in the text.
            let _ = handler.render_report(&mut text, &rendered);
        }
        let rest = self.problems.len().saturating_sub(MAX_SHOWN);
        if rest > 0 {
            text.push_str(&format!("\n  and {rest} more\n"));
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => write!(f, "a problem in {}", self.source.name()),
            many => write!(f, "{many} problems in {}", self.source.name()),
        }
    }
}

impl Error for Problems {}

impl Diagnostic for Problems {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.problems
                .iter()
                .map(|problem| problem as &dyn Diagnostic),
        ))
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    what: String,
    labels: Vec<(Span, String)>,
    help: String,
}

impl Problem {
    /// `what`: a lower-case fragment that names the thing in backticks. `label`: what is wrong at
    /// `place`. `help`: how to put it right.
    pub(crate) fn new(
        what: impl Into<String>,
        place: Span,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            labels: vec![(place, label.into())],
            help: help.into(),
        }
    }

    /// The other place of a contradiction.
    pub(crate) fn and(mut self, place: Span, label: impl Into<String>) -> Self {
        self.labels.push((place, label.into()));
        self
    }

    /// Its place and its help, for tests that follow the help.
    #[cfg(test)]
    pub(crate) fn advice(&self) -> (Span, &str) {
        let place = self.labels.first().map_or(0..0, |(place, _)| place.clone());
        (place, &self.help)
    }

    fn start(&self) -> Option<usize> {
        self.labels.first().map(|(place, _)| place.start)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Problem {}

impl Diagnostic for Problem {
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self
            .labels
            .iter()
            .enumerate()
            .map(|(number, (place, label))| {
                let make = if number == 0 {
                    LabeledSpan::new_primary_with_span
                } else {
                    LabeledSpan::new_with_span
                };
                make(Some(label.clone()), place.clone())
            });
        Some(Box::new(labels))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }
}

/// A problem together with what of the file it shows.
#[derive(Debug)]
struct RenderedProblem {
    what: String,
    labels: Vec<LabeledSpan>,
    help: String,
    source: Excerpt,
}

impl RenderedProblem {
    fn new(problem: &Problem, name: &str, text: &str) -> Self {
        let spans: Vec<Span> = problem.labels.iter().map(|one| one.0.clone()).collect();
        let source = Excerpt::new(name, text, &spans);
        let labels = problem.labels.iter().enumerate();
        let labels = labels.map(|(number, (place, label))| {
            let make = match number {
                0 => LabeledSpan::new_primary_with_span,
                _ => LabeledSpan::new_with_span,
            };
            make(Some(excerpt::shown(label)), source.span(text, place))
        });
        Self {
            what: excerpt::shown(&problem.what),
            labels: labels.collect(),
            help: excerpt::shown(&problem.help),
            source,
        }
    }
}

impl fmt::Display for RenderedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for RenderedProblem {}

impl Diagnostic for RenderedProblem {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }
}

/// Help for a word of a language that is not one of the `known` ones: the nearest if one is near,
/// and all of them. `kind` is what they are: `action`.
pub(crate) fn known_words(kind: &str, word: &str, known: &[&str]) -> String {
    among(kind, word, known, usize::MAX)
}

/// The same for a name that the author gave to something: of many names of the same file only
/// some are listed. `kind` is what they are: `node`.
pub(crate) fn known_names(kind: &str, word: &str, known: &[&str]) -> String {
    among(kind, word, known, MAX_LISTED)
}

/// Words of scenarios that are called otherwise now: the former one, and the one in its place.
const RENAMED: [(&str, &str); 3] = [
    ("fault", "impairment"),
    ("intrusion", "spoof"),
    ("mend", "clear-impairments"),
];

fn among(kind: &str, word: &str, known: &[&str], most: usize) -> String {
    let mut renamed = RENAMED.into_iter();
    if let Some((_, now)) = renamed.find(|(former, now)| *former == word && known.contains(now)) {
        return format!("`{word}` is called `{now}` now");
    }
    if known.is_empty() {
        return format!("there is no {kind}");
    }
    let listed = known.iter().take(most);
    let listed: Vec<_> = listed.map(|word| format!("`{word}`")).collect();
    let more = match known.len().saturating_sub(most) {
        0 => String::new(),
        more => format!(" and {more} more in this file"),
    };
    let all = format!("known {}: {}{more}", plural(kind), listed.join(", "));
    match nearest(word, known) {
        Some(nearest) => format!("did you mean `{nearest}`? {all}"),
        None => all,
    }
}

/// The known word that was probably meant. `node-3` is no slip for `node-1`: words that
/// differ in their digits only are meant to differ.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters = |word: &str| word.replace(|c: char| c.is_ascii_digit(), "");
    let (length, written) = (word.chars().count(), letters(word));
    let most = |candidate: &str| (candidate.chars().count() / 3).max(1);
    known
        .iter()
        .take(COMPARED)
        // Each character that one has more is an edit.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= most(candidate))
        .filter(|candidate| letters(candidate) != written)
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= most(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, removed or changed to make `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let cost = diagonal + usize::from(from != to);
            diagonal = *cell;
            left = cost.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
