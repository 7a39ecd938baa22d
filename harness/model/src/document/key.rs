//! The keys of a table, each with its documentation.
//!
//! Nothing is read by a bare name: a reader asks a [`Table`](super::Table) for a [`Key`], and what it has asked for is
//! what a file may have, in messages and in the reference alike. Texts are Markdown.

/// A key, with its text in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// As it is written.
    pub(crate) name: &'static str,
    /// What it means, in a few words.
    pub(crate) doc: &'static str,
    /// What a table without it means.
    pub(crate) absent: Absent,
    /// Paragraphs about it: what does not fit a few words.
    pub(crate) more: &'static str,
}

/// What a table means that a key is absent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is wrong; a line with the key shows how to put it right.
    Required(&'static str),
    /// The same as with this value, which is TOML.
    Default(&'static str),
    /// This, in words.
    Otherwise(&'static str),
}

/// A word that a value may be: as it is written, what it stands for, and what it means.
pub(crate) type Word<T> = (&'static str, T, &'static str);

/// A form that a text may have, and what it means.
pub(crate) type Written = (&'static str, &'static str);

/// How a text with an inner form is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Syntax {
    /// A value described by these words: `a duration`.
    Described(&'static str),
    /// In one of these forms.
    Forms(fn() -> Vec<Written>),
}

impl Key {
    /// One that has to be there. `example` is a line with it.
    pub(crate) const fn required(
        name: &'static str,
        doc: &'static str,
        example: &'static str,
    ) -> Self {
        Self::new(name, doc, Absent::Required(example))
    }

    /// One that may be left out, which is the same as with this value, as TOML has it.
    pub(crate) const fn or(name: &'static str, doc: &'static str, value: &'static str) -> Self {
        Self::new(name, doc, Absent::Default(value))
    }

    /// One that may be left out, with this meaning.
    pub(crate) const fn optional(
        name: &'static str,
        doc: &'static str,
        otherwise: &'static str,
    ) -> Self {
        Self::new(name, doc, Absent::Otherwise(otherwise))
    }

    /// One of a table or a list of tables; left out, it is the same as empty.
    pub(crate) const fn table(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, doc, Absent::Otherwise("none"))
    }

    const fn new(name: &'static str, doc: &'static str, absent: Absent) -> Self {
        assert!(!doc.is_empty(), "a key says what it means");
        Self {
            name,
            doc,
            absent,
            more: "",
        }
    }

    /// The same with paragraphs of Markdown, which stand below the table.
    pub(crate) const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }
}
