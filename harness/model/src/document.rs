//! TOML with the place of every value, read key by key.
//!
//! Whatever is wrong is collected while the reading goes on, so that an author
//! meets all mistakes at once; serde's derives stop at the first.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, Error};

use crate::name::NameError;
use crate::problem::{Problem, Problems, Span, known_words};

/// Reads a whole document. `noun` says what it describes: `a scenario`.
///
/// # Errors
/// The text is not TOML, or something in it is not as `read` wants it.
pub(crate) fn read<T>(
    file: &str,
    text: &str,
    noun: &'static str,
    read: impl FnOnce(&mut Table<'_, '_>) -> T,
) -> Result<T, Problems> {
    let root = DeTable::parse(text)
        .map_err(|error| Problems::new(file, text, vec![not_toml(text, &error)]))?;
    let mut problems = Vec::new();
    let value = Table::visit(noun, 0..0, root.get_ref(), &mut problems, read);
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(Problems::new(file, text, problems))
    }
}

/// A table while it is read. Keys that nobody has asked for are reported at the end.
///
/// Every method returns none where the key is absent, and also where its value is
/// wrong; then it has reported that.
#[derive(Debug)]
pub(crate) struct Table<'t, 'p> {
    noun: &'static str,
    place: Span,
    entries: &'t DeTable<'t>,
    asked: Vec<&'static str>,
    /// Whether any key may be here.
    free: bool,
    problems: &'p mut Vec<Problem>,
}

impl<'t> Table<'t, '_> {
    fn visit<T>(
        noun: &'static str,
        place: Span,
        entries: &'t DeTable<'t>,
        problems: &mut Vec<Problem>,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> T {
        let mut table = Table {
            noun,
            place,
            entries,
            asked: Vec::new(),
            free: false,
            problems,
        };
        let value = read(&mut table);
        table.report_unknown_keys();
        value
    }

    /// Where the table is: its header, or its braces.
    pub(crate) fn place(&self) -> Span {
        self.place.clone()
    }

    /// Adds a problem that only the reader of this table can know.
    pub(crate) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reports the key's absence. `example` shows how it is written.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) {
        if !self.has(key) {
            let noun = self.noun;
            self.problems.push(Problem::new(
                format!("missing `{key}`"),
                self.place(),
                format!("{noun} has a `{key}`"),
                format!("add `{example}`"),
            ));
        }
    }

    /// Whether the key is there, well written or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// One line of text that is not blank.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        self.line(key, value)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.mismatch(
                key,
                value,
                "true or false",
                format!("write `{key} = true` or `{key} = false`"),
            );
        }
        flag
    }

    /// A whole number in a range. `unit` is what it counts: ` bytes`, or nothing.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u16>,
        unit: &str,
    ) -> Option<u16> {
        let value = self.get(key)?;
        let (least, most) = range.into_inner();
        let help = format!("write a whole number from {least} to {most}");
        let Some(written) = value.get_ref().as_integer() else {
            self.mismatch(key, value, "a whole number", help);
            return None;
        };
        let label = match in_range(written, least, most) {
            Ok(number) => return Some(number),
            Err(Beyond::Below) => format!("less than {least}{unit}"),
            Err(Beyond::Above) => format!("more than {most}{unit}"),
        };
        self.problems.push(Problem::new(
            format!("`{key}` is out of range"),
            value.span(),
            label,
            help,
        ));
        None
    }

    /// One word of a few. `kind` is their plural: `actions`.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let written = self.text(key)?;
        self.one_of(key, written, kind, words)
    }

    /// A name. `whose` says of what: `a node`.
    pub(crate) fn name<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &'static str,
        whose: &str,
    ) -> Option<Spanned<N>> {
        let written = self.text(key)?;
        self.named(written, whose)
    }

    /// An IPv4 address.
    pub(crate) fn address(&mut self, key: &'static str) -> Option<Spanned<Ipv4Addr>> {
        let written = self.text(key)?;
        if let Ok(address) = written.get_ref().parse() {
            return Some(Spanned::new(written.span(), address));
        }
        let text = shown(written.get_ref());
        let (what, label) = if written.get_ref().parse::<std::net::Ipv6Addr>().is_ok() {
            (
                format!("`{text}` is an IPv6 address"),
                "an IPv4 address is needed here",
            )
        } else if written.get_ref().contains('/') {
            (
                format!("`{text}` is not an IPv4 address"),
                "an address has no prefix length",
            )
        } else {
            (
                format!("`{text}` is not an IPv4 address"),
                "not four numbers from 0 to 255",
            )
        };
        let help =
            format!("write an address of the fabric's subnet, such as `{key} = \"10.240.0.4\"`");
        self.problems
            .push(Problem::new(what, written.span(), label, help));
        None
    }

    /// A text with an inner form that `parse` knows.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Unfit>,
    ) -> Option<Spanned<T>> {
        let written = self.text(key)?;
        match parse(written.get_ref()) {
            Ok(value) => Some(Spanned::new(written.span(), value)),
            Err(Unfit { what, label, help }) => {
                self.problems
                    .push(Problem::new(what, written.span(), label, help));
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            let help = match value.get_ref().as_str() {
                Some(text) => format!("write `{key} = [\"{}\"]`", shown(text)),
                None => format!("write `{key} = [\"..\", \"..\"]`"),
            };
            self.mismatch(key, value, "a list", help);
            return None;
        };
        let texts = items
            .iter()
            .filter_map(|item| self.line(key, item))
            .collect();
        Some(Spanned::new(value.span(), texts))
    }

    /// A list of names. `whose` says of what: `a pod`.
    pub(crate) fn names<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &'static str,
        whose: &str,
    ) -> Option<Vec<Spanned<N>>> {
        let texts = self.texts(key)?.into_inner();
        Some(
            texts
                .into_iter()
                .filter_map(|text| self.named(text, whose))
                .collect(),
        )
    }

    /// A list of some of a few words.
    pub(crate) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let texts = self.texts(key)?;
        let place = texts.span();
        let mut found = Vec::new();
        for text in texts.into_inner() {
            found.extend(self.one_of(key, text, kind, words));
        }
        Some(Spanned::new(place, found))
    }

    /// A table, such as `[cluster]`.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let value = self.get(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            self.mismatch(
                key,
                value,
                "a table",
                format!("begin it with a line `[{key}]`"),
            );
            return None;
        };
        Some(Table::visit(
            noun,
            value.span(),
            entries,
            self.problems,
            read,
        ))
    }

    /// Tables with names, such as `[node.ada]`, in the order of the names.
    pub(crate) fn named_tables<N: TryFrom<String, Error = NameError>, T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        mut read: impl FnMut(Spanned<N>, &mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let help = format!("begin each with a line `[{key}.NAME]`");
        let Some(entries) = value.get_ref().as_table() else {
            self.mismatch(key, value, "a table", help);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (written, value) in entries {
            let name = Spanned::new(written.span(), written.get_ref().to_string());
            let Some(entries) = value.get_ref().as_table() else {
                let path = format!("{key}.{}", shown(name.get_ref()));
                self.mismatch(&path, value, "a table", help.clone());
                continue;
            };
            let Some(name) = self.named(name, noun) else {
                continue;
            };
            let problems = &mut *self.problems;
            tables.push(Table::visit(
                noun,
                value.span(),
                entries,
                problems,
                |table| read(name, table),
            ));
        }
        tables
    }

    /// A list of tables, such as each `[[step]]`, in their order.
    pub(crate) fn tables<T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        mut read: impl FnMut(&mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let help = format!("begin each with a line `[[{key}]]`");
        let Some(items) = value.get_ref().as_array() else {
            self.mismatch(key, value, "a list of tables", help);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_table() {
                Some(entries) => {
                    tables.push(Table::visit(
                        noun,
                        item.span(),
                        entries,
                        self.problems,
                        &mut read,
                    ));
                }
                None => self.mismatch(key, item, "a list of tables", help.clone()),
            }
        }
        tables
    }

    /// Every entry of a table whose keys are free, such as `[env]`, as texts.
    pub(crate) fn free_texts(&mut self) -> Vec<(Spanned<String>, Spanned<String>)> {
        let mut texts = Vec::new();
        for (key, value) in self.entries {
            let key = Spanned::new(key.span(), key.get_ref().to_string());
            if let Some(value) = self.line(key.get_ref(), value) {
                texts.push((key, value));
            }
        }
        self.free = true;
        texts
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.entries.get(key)
    }

    fn line(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<String>> {
        let Some(text) = value.get_ref().as_str() else {
            let help = match value.get_ref() {
                DeValue::Integer(number) => format!("put it in quotes: `\"{number}\"`"),
                DeValue::Boolean(flag) => format!("put it in quotes: `\"{flag}\"`"),
                DeValue::String(_)
                | DeValue::Float(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => "write it in double quotes: `\"..\"`".to_owned(),
            };
            self.mismatch(key, value, "text", help);
            return None;
        };
        let (what, label) = if text.trim().is_empty() {
            (
                format!("`{}` is empty", shown(key)),
                "nothing is written here",
            )
        } else if text.contains(char::is_control) {
            (
                format!("`{}` is not one line", shown(key)),
                "a line break or another control character",
            )
        } else {
            return Some(Spanned::new(value.span(), text.to_owned()));
        };
        let help = "write one line of text, or leave the key out";
        self.problems
            .push(Problem::new(what, value.span(), label, help));
        None
    }

    fn named<N: TryFrom<String, Error = NameError>>(
        &mut self,
        written: Spanned<String>,
        whose: &str,
    ) -> Option<Spanned<N>> {
        let place = written.span();
        let text = written.into_inner();
        match N::try_from(text.clone()) {
            Ok(name) => Some(Spanned::new(place, name)),
            Err(error) => {
                self.problems.push(Problem::new(
                    format!("`{}` cannot be the name of {whose}", shown(&text)),
                    place,
                    error.to_string(),
                    "names are made of a-z, 0-9 and `-`, and start with a letter",
                ));
                None
            }
        }
    }

    fn one_of<T: Copy>(
        &mut self,
        key: &str,
        written: Spanned<String>,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let text = written.get_ref();
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(Spanned::new(written.span(), *value));
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        self.problems.push(Problem::new(
            format!("unknown `{key}` `{}`", shown(text)),
            written.span(),
            format!("not one of the {kind}"),
            known_words(kind, text, &known),
        ));
        None
    }

    fn mismatch(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, help: String) {
        let is = match value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problems.push(Problem::new(
            format!("`{key}` must be {wanted}"),
            value.span(),
            format!("this is {is}"),
            help,
        ));
    }

    fn report_unknown_keys(&mut self) {
        if self.free {
            return;
        }
        for key in self.entries.keys() {
            let text = key.get_ref().as_ref();
            if !self.asked.contains(&text) {
                self.problems.push(Problem::new(
                    format!("unknown key `{}`", shown(text)),
                    key.span(),
                    format!("{} has no such key", self.noun),
                    known_words("keys", text, &self.asked),
                ));
            }
        }
    }
}

/// Why a text does not have the form that it must have.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// The problem's header.
    pub(crate) what: String,
    /// What is wrong at the text.
    pub(crate) label: String,
    /// How to put it right.
    pub(crate) help: String,
}

/// A user's text as it may stand in a message: control characters cannot reach the terminal.
pub(crate) fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

/// On which side of its range a number is.
enum Beyond {
    Below,
    Above,
}

fn in_range(written: &DeInteger<'_>, least: u16, most: u16) -> Result<u16, Beyond> {
    // Whatever does not even fit here is far outside every range.
    let number = i64::from_str_radix(written.as_str(), written.radix()).map_err(|_| {
        if written.as_str().starts_with('-') {
            Beyond::Below
        } else {
            Beyond::Above
        }
    })?;
    match u16::try_from(number) {
        Ok(number) if number > most => Err(Beyond::Above),
        Ok(number) if number < least => Err(Beyond::Below),
        Ok(number) => Ok(number),
        Err(_) if number < 0 => Err(Beyond::Below),
        Err(_) => Err(Beyond::Above),
    }
}

fn not_toml(text: &str, error: &Error) -> Problem {
    let place = error.span().unwrap_or(text.len()..text.len());
    Problem::new(
        "this is not TOML",
        place,
        error.message(),
        "a line is `key = value`, `[table]` or `[[list entry]]`; text stands in double quotes",
    )
}
