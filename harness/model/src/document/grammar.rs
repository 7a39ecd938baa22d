//! The grammar of a file: its tables and their keys, recorded from their readers.

use serde::Serialize;

use super::key::{Absent, Key, Syntax, Word, Written};

/// A table, with its keys in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableGrammar {
    /// As it begins in a file: `[cluster]`, `[node.NAME]`, `[[step]]`. That of the file itself is empty.
    pub header: String,
    /// What it is about, in Markdown.
    pub doc: &'static str,
    /// Paragraphs about it, in Markdown.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub more: &'static str,
    /// Whether it may have any other key as well.
    pub open: bool,
    /// The table's keys.
    pub keys: Vec<KeyGrammar>,
    /// What it may be about, where that decides about its other keys: the actions of a step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionGrammar>,
}

/// A key of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyGrammar {
    /// As it is written.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub doc: &'static str,
    /// Paragraphs about it, in Markdown.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub more: &'static str,
    /// What its value may be.
    pub value: Form,
    /// Whether it has to be there.
    pub required: bool,
    /// A line with it, where it has to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<&'static str>,
    /// The value, as TOML has it, that means the same as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
    /// What a table without it means, in Markdown, where no value means the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<&'static str>,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Form {
    /// One line of text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number {
        /// The smallest number.
        least: u16,
        /// The largest number.
        most: u16,
        /// What it counts: `bytes`; empty where that is no unit.
        unit: &'static str,
    },
    /// One of a few words.
    Word {
        /// The words.
        words: Vec<Choice>,
    },
    /// A list of some of a few words.
    Words {
        /// The words.
        words: Vec<Choice>,
    },
    /// A name.
    Name {
        /// Of what: `a node`.
        of: &'static str,
    },
    /// A list of names.
    Names {
        /// Of what: `a pod`.
        of: &'static str,
    },
    /// A name, or a list of them.
    NameOrNames {
        /// Of what: `an endpoint`.
        of: &'static str,
    },
    /// An IPv4 address.
    Address,
    /// A text with an inner form.
    Written {
        /// How it is written, in Markdown; empty where it is in `forms`.
        syntax: &'static str,
        /// The forms that it may have.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        forms: Vec<Choice>,
    },
    /// A list of texts with an inner form.
    WrittenList {
        /// The forms that each may have.
        forms: Vec<Choice>,
    },
    /// A list of texts.
    Texts,
    /// A table whose keys and values are the author's choice.
    Fields,
    /// A table of texts whose keys are the author's choice.
    TextFields,
    /// A table, a table of tables with names, or a list of tables.
    Table {
        /// As each begins in a file.
        header: String,
    },
    /// A table with the keys of another one.
    SameAs {
        /// As that one begins in a file.
        header: &'static str,
    },
}

/// A word or a form that a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Choice {
    /// As it is written.
    pub word: &'static str,
    /// What it means, in Markdown.
    pub doc: &'static str,
}

/// What a table may be about, with the keys that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionGrammar {
    /// As it is written.
    pub word: &'static str,
    /// What it belongs to, as a heading.
    pub group: &'static str,
    /// What happens, in Markdown.
    pub doc: &'static str,
    /// Its keys, besides those that every such table has.
    pub keys: Vec<KeyGrammar>,
}

impl KeyGrammar {
    pub(super) fn new(key: Key, value: Form) -> Self {
        let (example, default, otherwise) = match key.absent {
            Absent::Required(example) => (Some(example), None, None),
            Absent::Default(value) => (None, Some(value), None),
            Absent::Otherwise(words) => (None, None, Some(words)),
        };
        Self {
            name: key.name,
            doc: key.doc,
            more: key.more,
            value,
            required: example.is_some(),
            example,
            default,
            otherwise,
        }
    }
}

impl Form {
    pub(super) fn written(syntax: Syntax) -> Self {
        let (syntax, forms) = match syntax {
            Syntax::Described(words) => (words, Vec::new()),
            Syntax::Forms(forms) => ("", forms()),
        };
        Self::Written {
            syntax,
            forms: forms.into_iter().map(Choice::from).collect(),
        }
    }

    /// Whether it is the name of something that the file names elsewhere.
    pub fn is_name(&self) -> bool {
        match self {
            Self::Name { .. } | Self::Names { .. } | Self::NameOrNames { .. } => true,
            Self::Text
            | Self::Flag
            | Self::Number { .. }
            | Self::Word { .. }
            | Self::Words { .. }
            | Self::Address
            | Self::Written { .. }
            | Self::WrittenList { .. }
            | Self::Texts
            | Self::Fields
            | Self::TextFields
            | Self::Table { .. }
            | Self::SameAs { .. } => false,
        }
    }

    /// The words or forms that a value may have.
    pub fn choices(&self) -> &[Choice] {
        match self {
            Self::Word { words } | Self::Words { words } => words,
            Self::Written { forms, .. } | Self::WrittenList { forms } => forms,
            Self::Text
            | Self::Flag
            | Self::Number { .. }
            | Self::Name { .. }
            | Self::Names { .. }
            | Self::NameOrNames { .. }
            | Self::Address
            | Self::Texts
            | Self::Fields
            | Self::TextFields
            | Self::Table { .. }
            | Self::SameAs { .. } => &[],
        }
    }
}

impl Choice {
    pub(super) fn of<T>(words: &[Word<T>]) -> Vec<Self> {
        let words = words.iter();
        words.map(|(word, _, doc)| Self { word, doc }).collect()
    }
}

impl From<Written> for Choice {
    fn from((word, doc): Written) -> Self {
        Self { word, doc }
    }
}
