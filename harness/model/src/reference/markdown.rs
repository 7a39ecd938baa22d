//! Cells, lists and paragraphs of Markdown.

use textwrap::{Options, WordSplitter};

use crate::document::{Choice, Form, KeyGrammar};

/// Columns of a line.
pub(super) const WIDTH: usize = 120;

/// More words than this are listed below the table only.
const WORDS_IN_A_CELL: usize = 6;

/// What GitHub makes of a heading for links to it.
pub(super) fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// What a table without the key means.
pub(super) fn default(key: &KeyGrammar) -> String {
    match (key.default, key.otherwise) {
        (Some(value), _) => format!("`{}`", value.trim_matches('"')),
        (None, Some(words)) => words.to_owned(),
        (None, None) => match key.example {
            Some(example) if !key.value.is_name() => format!("required: `{example}`"),
            Some(_) | None => "required".to_owned(),
        },
    }
}

/// What a value may be.
pub(super) fn value(form: &Form) -> String {
    match form {
        Form::Text => "text".to_owned(),
        Form::Flag => "`true` or `false`".to_owned(),
        Form::Number { least, most, unit } => {
            format!("{least} to {most} {unit}").trim_end().to_owned()
        }
        Form::Word { words } if words.len() > WORDS_IN_A_CELL => "one of those below".to_owned(),
        Form::Word { words } => joined(words, " or "),
        Form::Words { words } => format!("a list of {}", joined(words, " and ")),
        Form::Name { of } => format!("the name of {of}"),
        Form::Names { of } => format!("a list of names, each of {of}"),
        Form::NameOrNames { of } => format!("the name of {of}, or a list of such names"),
        Form::Address => "an IPv4 address".to_owned(),
        Form::Written { syntax: "", .. } => "text in one of the forms below".to_owned(),
        Form::Written { syntax, .. } => (*syntax).to_owned(),
        Form::WrittenList { .. } => "a list of texts in the forms below".to_owned(),
        Form::Texts => "a list of texts".to_owned(),
        Form::Fields => "a table".to_owned(),
        Form::TextFields => "a table of texts".to_owned(),
        Form::Table { header } => format!("`{header}`"),
        Form::SameAs { header } => format!("a table with the keys of `{header}`"),
    }
}

fn joined(words: &[Choice], last: &str) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|choice| format!("`{}`", choice.word))
        .collect();
    match words.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{}{last}{end}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// A paragraph over as many lines as it needs.
pub(super) fn paragraph(text: &str) -> String {
    textwrap::fill(text, options()) + "\n"
}

/// An item of a list.
pub(super) fn item(text: &str) -> String {
    let options = options().initial_indent("- ").subsequent_indent("  ");
    textwrap::fill(text, options) + "\n"
}

fn options() -> Options<'static> {
    Options::new(WIDTH)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
}
