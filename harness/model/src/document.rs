//! TOML with the place of every value, read key by key.
//!
//! Whatever is wrong is collected while the reading goes on, so that an author
//! meets all mistakes at once; serde's derives stop at the first.

/// Single values: what they must be, and the problem if they are something else.
mod value;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::name::NameError;
use crate::problem::{Problem, Problems, Span, known_words};

use value::Value;
pub(crate) use value::{Unfit, shown};

/// Bytes of the longest line that is read.
const LONGEST_LINE: usize = 64 * 1024;

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
    if let Some(problem) = too_long_a_line(text) {
        return Err(Problems::new(file, text, vec![problem]));
    }
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
/// Its methods return none where the key is absent, and also where its value is
/// wrong; that is reported by then.
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

    /// Whether the key is there, well written or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where a key's value is written.
    pub(crate) fn place_of(&self, key: &str) -> Option<Span> {
        self.entries.get(key).map(Spanned::span)
    }

    /// Reports these keys where an empty list or table is written: it says nothing, and looks as if it did.
    pub(crate) fn refuse_empty(&mut self, keys: &[&'static str]) {
        for key in keys {
            let Some(value) = self.entries.get(*key) else {
                continue;
            };
            let written = value.get_ref();
            let is_empty = written.as_array().is_some_and(|list| list.is_empty())
                || written.as_table().is_some_and(|table| table.is_empty());
            if is_empty {
                self.problems.push(Problem::new(
                    format!("`{key}` says nothing"),
                    value.span(),
                    "is empty",
                    format!("write what is meant, or leave `{key}` out"),
                ));
            }
        }
    }

    /// Adds a problem that only the reader of this table can know.
    pub(crate) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Reports the key's absence. `example` shows how it is written.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) {
        if !self.has(key) {
            self.report(Problem::new(
                format!("missing `{key}`"),
                self.place(),
                format!("{} needs `{key}`", self.noun),
                format!("add `{example}`"),
            ));
        }
    }

    /// One line of text that is not blank.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        self.keep(value::line(key, value))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        self.keep(value::flag(key, value))
    }

    /// A whole number in a range. `unit` is what it counts: ` bytes`, or nothing.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u16>,
        unit: &str,
    ) -> Option<u16> {
        let value = self.get(key)?;
        self.keep(value::number(key, value, range, unit))
    }

    /// One word of a few. `kind` is what they are: `action`.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let value = self.get(key)?;
        let advise = |text: &str| value::word_advice(kind, words, text);
        let written = self.keep(value::fitting_line(key, value, advise))?;
        self.keep(value::one_of(&written, kind, words))
    }

    /// A name. `whose` says of what: `a node`.
    pub(crate) fn name<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &'static str,
        whose: &str,
    ) -> Option<Spanned<N>> {
        let value = self.get(key)?;
        let written = self.keep(value::fitting_line(key, value, value::name_advice))?;
        self.keep(value::name(written, whose))
    }

    /// An IPv4 address.
    pub(crate) fn address(&mut self, key: &'static str) -> Option<Spanned<Ipv4Addr>> {
        let value = self.get(key)?;
        let advise = |_: &str| value::address_advice(key);
        let written = self.keep(value::fitting_line(key, value, advise))?;
        self.keep(value::address(key, &written))
    }

    /// A text with an inner form that `parse` knows.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Option<Spanned<T>> {
        let value = self.get(key)?;
        // A number may lack its quotes, or its unit as well.
        let advise = |text: &str| {
            let forms = ["", "s"].map(|unit| format!("{text}{unit}"));
            match (parse(text), forms.iter().find(|form| parse(form).is_ok())) {
                (_, Some(form)) => value::in_quotes(form),
                (Err(unfit), None) => unfit.help,
                (Ok(_), None) => value::in_quotes(text),
            }
        };
        let written = self.keep(value::fitting_line(key, value, advise))?;
        let place = written.span();
        let parsed = match parse(written.get_ref()) {
            Ok(value) => Ok(Spanned::new(place, value)),
            Err(Unfit { what, label, help }) => Err(Problem::new(what, place, label, help)),
        };
        self.keep(parsed)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Spanned<Vec<Spanned<String>>>> {
        self.fitting_texts(key, value::in_quotes)
    }

    /// A text that stands where a list is meant; for the caller to report.
    pub(crate) fn text_for_a_list(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.entries.get(key)?;
        let text = value.get_ref().as_str()?;
        self.asked.push(key);
        Some(Spanned::new(value.span(), text.to_owned()))
    }

    /// A list of texts; `advise` helps where an item is none.
    fn fitting_texts(
        &mut self,
        key: &'static str,
        advise: impl Fn(&str) -> String,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.get(key)?;
        let items = self.keep(value::list(key, value))?;
        let texts = items
            .iter()
            .filter_map(|item| self.keep(value::fitting_line(key, item, &advise)))
            .collect();
        Some(Spanned::new(value.span(), texts))
    }

    /// A list of names. `whose` says of what: `a pod`.
    pub(crate) fn names<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &'static str,
        whose: &str,
    ) -> Option<Vec<Spanned<N>>> {
        let texts = self.fitting_texts(key, value::name_advice)?.into_inner();
        let names = texts
            .into_iter()
            .filter_map(|text| self.keep(value::name(text, whose)));
        Some(names.collect())
    }

    /// A name, or a list of names. `whose` says of what: `an endpoint`.
    pub(crate) fn one_or_more<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &'static str,
        whose: &str,
    ) -> Option<Spanned<Vec<Spanned<N>>>> {
        let value = self.get(key)?;
        let place = value.span();
        let names = match value.get_ref().as_array() {
            Some(_) => self.names(key, whose)?,
            None => vec![self.name(key, whose)?],
        };
        Some(Spanned::new(place, names))
    }

    /// A list of some of a few words. `kind` is what they are: `protocol`.
    pub(crate) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let advise = |text: &str| value::word_advice(kind, words, text);
        let texts = self.fitting_texts(key, advise)?;
        let found = texts
            .get_ref()
            .iter()
            .filter_map(|text| self.keep(value::one_of(text, kind, words)))
            .collect();
        Some(Spanned::new(texts.span(), found))
    }

    /// A table, such as `[cluster]`.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let value = self.get(key)?;
        let help = format!("begin it with a line `[{key}]`");
        let entries = self.keep(value::table(key, value, &help))?;
        let place = value.span();
        Some(Table::visit(noun, place, entries, self.problems, read))
    }

    /// Tables with names, such as `[node.ada]`, in the order of the names.
    pub(crate) fn named_tables<N: TryFrom<String, Error = NameError>, T>(
        &mut self,
        key: &'static str,
        noun: &'static str,
        mut read: impl FnMut(Spanned<N>, &mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        let help = format!("begin each with a line `[{key}.NAME]`");
        let all = self.get(key);
        let Some(all) = all.and_then(|value| self.keep(value::table(key, value, &help))) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (written, value) in all {
            let name = Spanned::new(written.span(), written.get_ref().to_string());
            let entries = self.keep(value::table(name.get_ref(), value, &help));
            if let (Some(name), Some(entries)) = (self.keep(value::name(name, noun)), entries) {
                let read = |table: &mut Table<'t, '_>| read(name, table);
                tables.push(Table::visit(
                    noun,
                    value.span(),
                    entries,
                    self.problems,
                    read,
                ));
            }
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
        let help = format!("begin each with a line `[[{key}]]`");
        let all = self.get(key);
        let Some(all) = all.and_then(|value| self.keep(value::tables(key, value, &help))) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in all.iter() {
            if let Some(entries) = self.keep(value::table(key, item, &help)) {
                tables.push(Table::visit(
                    noun,
                    item.span(),
                    entries,
                    self.problems,
                    &mut read,
                ));
            }
        }
        tables
    }

    /// A table whose keys and values are the author's choice, such as `[cluster.config]`.
    pub(crate) fn values(&mut self, key: &'static str) -> BTreeMap<String, Json> {
        let values = self.table(key, "a table of fields", |table| {
            table.free = true;
            let entries = table.entries;
            let mut values = BTreeMap::new();
            for (field, value) in entries {
                let name = field.get_ref().to_string();
                if let Some(value) = table.keep(value::json(&name, value)) {
                    values.insert(name, value);
                }
            }
            values
        });
        values.unwrap_or_default()
    }

    /// A table of texts whose keys are the author's choice, such as `[cluster.annotations]`.
    pub(crate) fn annotations(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let texts = self.table(key, "a table of texts", |table| {
            let texts = table.free_texts().into_iter();
            texts
                .map(|(name, text)| (name.into_inner(), text.into_inner()))
                .collect()
        });
        texts.unwrap_or_default()
    }

    /// Every entry of a table whose keys are the author's choice, such as `[env]`, as text.
    pub(crate) fn free_texts(&mut self) -> Vec<(Spanned<String>, Spanned<String>)> {
        self.free = true;
        let mut texts = Vec::new();
        for (key, value) in self.entries {
            let key = Spanned::new(key.span(), key.get_ref().to_string());
            if let Some(value) = self.keep(value::line(key.get_ref(), value)) {
                texts.push((key, value));
            }
        }
        texts
    }

    /// Leaves keys unreported that nobody asks for: what belongs here cannot be known.
    pub(crate) fn accept_any_key(&mut self) {
        self.free = true;
    }

    fn get(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        self.asked.push(key);
        self.entries.get(key)
    }

    /// The value, or none and one problem more.
    fn keep<T>(&mut self, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.report(problem)).ok()
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
                    known_words("key", text, &self.asked),
                ));
            }
        }
    }
}

/// The first line that is longer than any that an author writes.
fn too_long_a_line(text: &str) -> Option<Problem> {
    let mut start = 0;
    for (number, line) in (1..).zip(text.split('\n')) {
        if line.len() > LONGEST_LINE {
            let beyond = (start + LONGEST_LINE..start + line.len())
                .find(|place| text.is_char_boundary(*place))
                .unwrap_or(start);
            return Some(Problem::new(
                format!("line {number} is too long"),
                beyond..beyond,
                format!("{} bytes; a line has at most {LONGEST_LINE}", line.len()),
                "write a long list over several lines",
            ));
        }
        start += line.len() + 1;
    }
    None
}

fn not_toml(text: &str, error: &Error) -> Problem {
    let place = error.span().unwrap_or(text.len()..text.len());
    // The commonest mistake of all, and the one that the parser's words help least with.
    if error.message() == "duplicate key" {
        let help = "keep one of the two, or join them";
        return Problem::new("a key is written twice", place, "again here", help);
    }
    Problem::new(
        "this is not TOML",
        place,
        error.message(),
        "a line is `key = value`, `[table]` or `[[list entry]]`; text stands in double quotes",
    )
}
