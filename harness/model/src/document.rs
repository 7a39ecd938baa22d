//! TOML with the place of every value, read key by key.
//!
//! Whatever is wrong is collected while the reading goes on, so that an author
//! meets all mistakes at once; serde's derives stop at the first.

/// The keys of a table, each with its documentation.
mod key;

/// The grammar of a file: its tables and their keys, recorded from their readers.
mod grammar;

/// Single values: what they must be, and the problem if they are something else.
mod value;

/// Tables that are read for their keys only.
mod record;

/// Tables inside a table.
mod nested;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::name::NameError;
use crate::problem::{Problem, Problems, Span, known_words};

pub use grammar::{ActionGrammar, Choice, Form, KeyGrammar, TableGrammar};
use key::Absent;
pub(crate) use key::{Key, Syntax, Word, Written};
pub(crate) use record::record;
use value::Value;
pub(crate) use value::{Unfit, shown};

/// Bytes of the longest line that is read.
const LONGEST_LINE: usize = 64 * 1024;

/// Reads a whole document. `noun` is what it describes: `a scenario`.
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
    let mut found = Found::default();
    let value = Table::visit(noun, 0..0, root.get_ref(), &mut found, read);
    if found.problems.is_empty() {
        Ok(value)
    } else {
        Err(Problems::new(file, text, found.problems))
    }
}

/// What comes of reading, besides the value.
#[derive(Debug, Default)]
struct Found {
    problems: Vec<Problem>,
    /// The tables so far, where nothing is read but for the keys that are asked for.
    grammar: Option<Vec<TableGrammar>>,
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
    found: &'p mut Found,
    /// What is recorded of it, where that is wanted.
    recorded: record::Recorded,
}

impl<'t> Table<'t, '_> {
    fn visit<T>(
        noun: &'static str,
        place: Span,
        entries: &'t DeTable<'t>,
        found: &mut Found,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> T {
        let mut table = Table::new(noun, place, entries, found);
        let value = read(&mut table);
        table.report_unknown_keys();
        value
    }

    fn new<'p>(
        noun: &'static str,
        place: Span,
        entries: &'t DeTable<'t>,
        found: &'p mut Found,
    ) -> Table<'t, 'p> {
        Table {
            noun,
            place,
            entries,
            asked: Vec::new(),
            free: false,
            found,
            recorded: record::Recorded::default(),
        }
    }

    /// Where the table is: its header, or its braces.
    pub(crate) fn place(&self) -> Span {
        self.place.clone()
    }

    /// Whether the key is there, well written or not.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.entries.contains_key(key.name)
    }

    /// Where a key's value is written.
    pub(crate) fn place_of(&self, key: Key) -> Option<Span> {
        self.entries.get(key.name).map(Spanned::span)
    }

    /// Reports these keys where an empty list or table is written: it means nothing, and looks as if it did.
    pub(crate) fn refuse_empty(&mut self, keys: &[Key]) {
        for key in keys {
            let Some(value) = self.entries.get(key.name) else {
                continue;
            };
            let name = key.name;
            let written = value.get_ref();
            let is_empty = written.as_array().is_some_and(|list| list.is_empty())
                || written.as_table().is_some_and(|table| table.is_empty());
            if is_empty {
                self.report(Problem::new(
                    format!("`{name}` says nothing"),
                    value.span(),
                    "is empty",
                    format!("write what is meant, or leave `{name}` out"),
                ));
            }
        }
    }

    /// Adds a problem that only the reader of this table can know.
    pub(crate) fn report(&mut self, problem: Problem) {
        self.found.problems.push(problem);
    }

    /// One line of text that is not blank.
    pub(crate) fn text(&mut self, key: Key) -> Option<Spanned<String>> {
        let value = self.get(key, || Form::Text)?;
        self.keep(value::line(key.name, value))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: Key) -> Option<bool> {
        let value = self.get(key, || Form::Flag)?;
        self.keep(value::flag(key.name, value))
    }

    /// A whole number in a range. `unit` is what it counts: `bytes`, or nothing.
    pub(crate) fn number(
        &mut self,
        key: Key,
        range: RangeInclusive<u16>,
        unit: &'static str,
    ) -> Option<u16> {
        let (least, most) = (*range.start(), *range.end());
        let value = self.get(key, || Form::Number { least, most, unit })?;
        self.keep(value::number(key.name, value, range, unit))
    }

    /// One word of a few. `kind` is what they are: `action`.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: Key,
        kind: &str,
        words: &[Word<T>],
    ) -> Option<Spanned<T>> {
        let form = || Form::Word {
            words: Choice::of(words),
        };
        let value = self.get(key, form)?;
        let advise = |text: &str| value::word_advice(kind, words, text);
        let written = self.keep(value::fitting_line(key.name, value, advise))?;
        self.keep(value::one_of(&written, kind, words))
    }

    /// A name. `whose` is the kind of thing: `a node`.
    pub(crate) fn name<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: Key,
        whose: &'static str,
    ) -> Option<Spanned<N>> {
        let value = self.get(key, || Form::Name { of: whose })?;
        let written = self.keep(value::fitting_line(key.name, value, value::name_advice))?;
        self.keep(value::name(written, whose))
    }

    /// An IPv4 address. `advice` is which one is accepted: that depends on whose it is.
    pub(crate) fn address(&mut self, key: Key, advice: &str) -> Option<Spanned<Ipv4Addr>> {
        let value = self.get(key, || Form::Address)?;
        let advise = |_: &str| advice.to_owned();
        let written = self.keep(value::fitting_line(key.name, value, advise))?;
        self.keep(value::address(&written, advice))
    }

    /// A text with an inner form that `parse` knows, and `syntax` describes.
    pub(crate) fn parsed<T>(
        &mut self,
        key: Key,
        syntax: Syntax,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Option<Spanned<T>> {
        let value = self.get(key, || Form::written(syntax))?;
        // A number may lack its quotes, or its unit as well.
        let advise = |text: &str| {
            let forms = ["", "s"].map(|unit| format!("{text}{unit}"));
            match (parse(text), forms.iter().find(|form| parse(form).is_ok())) {
                (_, Some(form)) => value::in_quotes(form),
                (Err(unfit), None) => unfit.help,
                (Ok(_), None) => value::in_quotes(text),
            }
        };
        let written = self.keep(value::fitting_line(key.name, value, advise))?;
        self.keep(value::parsed(&written, parse))
    }

    /// A list of texts with an inner form that `parse` knows; these are its forms.
    pub(crate) fn parsed_texts<T>(
        &mut self,
        key: Key,
        forms: fn() -> Vec<Written>,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Option<Vec<Spanned<T>>> {
        let form = || Form::WrittenList {
            forms: forms().into_iter().map(Choice::from).collect(),
        };
        let texts = self.fitting_texts(key, form, value::in_quotes)?;
        let texts = texts.into_inner().into_iter();
        let parsed = texts.filter_map(|text| self.keep(value::parsed(&text, &parse)));
        Some(parsed.collect())
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: Key) -> Option<Spanned<Vec<Spanned<String>>>> {
        self.fitting_texts(key, || Form::Texts, value::in_quotes)
    }

    /// A text that stands where a list is meant; for the caller to report.
    pub(crate) fn text_for_a_list(&mut self, key: Key) -> Option<Spanned<String>> {
        let value = self.entries.get(key.name)?;
        let text = value.get_ref().as_str()?;
        self.asked.push(key.name);
        Some(Spanned::new(value.span(), text.to_owned()))
    }

    /// A list of texts; `advise` helps where an item is none.
    fn fitting_texts(
        &mut self,
        key: Key,
        form: impl FnOnce() -> Form,
        advise: impl Fn(&str) -> String,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.get(key, form)?;
        let items = self.keep(value::list(key.name, value))?;
        let texts = items
            .iter()
            .filter_map(|item| self.keep(value::fitting_line(key.name, item, &advise)))
            .collect();
        Some(Spanned::new(value.span(), texts))
    }

    /// A list of names. `whose` is the kind of thing: `a pod`.
    pub(crate) fn names<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: Key,
        whose: &'static str,
    ) -> Option<Vec<Spanned<N>>> {
        let form = || Form::Names { of: whose };
        let texts = self.fitting_texts(key, form, value::name_advice)?;
        let texts = texts.into_inner();
        let names = texts
            .into_iter()
            .filter_map(|text| self.keep(value::name(text, whose)));
        Some(names.collect())
    }

    /// A name, or a list of names. `whose` is the kind of thing: `an endpoint`.
    pub(crate) fn one_or_more<N: TryFrom<String, Error = NameError>>(
        &mut self,
        key: Key,
        whose: &'static str,
    ) -> Option<Spanned<Vec<Spanned<N>>>> {
        let value = self.get(key, || Form::NameOrNames { of: whose })?;
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
        key: Key,
        kind: &str,
        words: &[Word<T>],
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let form = || Form::Words {
            words: Choice::of(words),
        };
        let advise = |text: &str| value::word_advice(kind, words, text);
        let texts = self.fitting_texts(key, form, advise)?;
        let found = texts
            .get_ref()
            .iter()
            .filter_map(|text| self.keep(value::one_of(text, kind, words)))
            .collect();
        Some(Spanned::new(texts.span(), found))
    }

    /// Leaves keys unreported that nobody asks for: what belongs here cannot be known.
    pub(crate) fn accept_any_key(&mut self) {
        self.free = true;
    }

    /// The value of a key, which may have this form; one that has to be there and is not is reported.
    fn get(&mut self, key: Key, form: impl FnOnce() -> Form) -> Option<&'t Value<'t>> {
        let first = !self.asked.contains(&key.name);
        if first && self.records() {
            self.recorded.keys.push(KeyGrammar::new(key, form()));
        }
        if let Absent::Required(example) = key.absent
            && first
            && !self.has(key)
        {
            self.report(Problem::new(
                format!("missing `{}`", key.name),
                self.place(),
                format!("{} needs `{}`", self.noun, key.name),
                format!("add `{example}`"),
            ));
        }
        self.asked.push(key.name);
        self.entries.get(key.name)
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
                self.found.problems.push(Problem::new(
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
