//! Tables inside a table: those of a name, lists of them, and those whose keys are the author's choice.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::Spanned;

use crate::name::NameError;
use crate::problem::Span;

use super::grammar::Form;
use super::key::Key;
use super::{Table, value};

impl<'t> Table<'t, '_> {
    /// A table, such as `[cluster]`.
    pub(crate) fn table<T>(
        &mut self,
        key: Key,
        noun: &'static str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let help = format!("begin it with a line `[{}]`", key.name);
        self.recorded_or_entered(key, noun, &help, read)
    }

    /// A table inside another one. `example` is how it is written there, between braces.
    pub(crate) fn inner_table<T>(
        &mut self,
        key: Key,
        noun: &'static str,
        example: &str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let help = between_braces(key, example);
        self.recorded_or_entered(key, noun, &help, read)
    }

    fn recorded_or_entered<T>(
        &mut self,
        key: Key,
        noun: &'static str,
        help: &str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        if self.records() {
            self.record(key, |path| format!("[{path}]"), read);
            return None;
        }
        self.entered(key, || Form::Fields, noun, help, read)
    }

    /// A table with the keys of another one, which begins with `header`: a step inside a step.
    /// `example` is how it is written there, between braces.
    pub(crate) fn table_like<T>(
        &mut self,
        key: Key,
        noun: &'static str,
        header: &'static str,
        example: &str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let help = between_braces(key, example);
        self.entered(key, || Form::SameAs { header }, noun, &help, read)
    }

    fn entered<T>(
        &mut self,
        key: Key,
        form: impl FnOnce() -> Form,
        noun: &'static str,
        help: &str,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) -> Option<T> {
        let value = self.get(key, form)?;
        let entries = self.keep(value::table(key.name, value, help))?;
        let place = value.span();
        Some(Table::visit(noun, place, entries, self.found, read))
    }

    /// Tables with names, such as `[node.ada]`, in the order of the names.
    pub(crate) fn named_tables<N: TryFrom<String, Error = NameError>, T>(
        &mut self,
        key: Key,
        noun: &'static str,
        mut read: impl FnMut(Spanned<N>, &mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        if self.records() {
            if let Ok(name) = N::try_from("name".to_owned()) {
                let read = |table: &mut Table<'t, '_>| read(Spanned::new(0..0, name), table);
                self.record(key, |path| format!("[{path}.NAME]"), read);
            }
            return Vec::new();
        }
        let help = format!("begin each with a line `[{}.NAME]`", key.name);
        let all = self.get(key, || Form::Fields);
        let all = all.and_then(|value| self.keep(value::table(key.name, value, &help)));
        let mut tables = Vec::new();
        for (written, value) in all.into_iter().flatten() {
            let name = Spanned::new(written.span(), written.get_ref().to_string());
            let entries = self.keep(value::table(name.get_ref(), value, &help));
            if let (Some(name), Some(entries)) = (self.keep(value::name(name, noun)), entries) {
                let read = |table: &mut Table<'t, '_>| read(name, table);
                tables.push(Table::visit(noun, value.span(), entries, self.found, read));
            }
        }
        tables
    }

    /// A list of tables, such as each `[[step]]`, in their order.
    pub(crate) fn tables<T>(
        &mut self,
        key: Key,
        noun: &'static str,
        mut read: impl FnMut(&mut Table<'t, '_>) -> T,
    ) -> Vec<T> {
        if self.records() {
            self.record(key, |path| format!("[[{path}]]"), read);
            return Vec::new();
        }
        let help = format!("begin each with a line `[[{}]]`", key.name);
        let all = self.get(key, || Form::Fields);
        let all = all.and_then(|value| self.keep(value::tables(key.name, value, &help)));
        let mut tables = Vec::new();
        for item in all.into_iter().flat_map(|all| all.iter()) {
            if let Some(entries) = self.keep(value::table(key.name, item, &help)) {
                tables.push(Table::visit(
                    noun,
                    item.span(),
                    entries,
                    self.found,
                    &mut read,
                ));
            }
        }
        tables
    }

    /// A table whose keys and values are the author's choice, such as `[cluster.config]`. `example` is one of
    /// them.
    pub(crate) fn values(&mut self, key: Key, example: &str) -> BTreeMap<String, Json> {
        let form = || Form::Fields;
        let help = between_braces(key, example);
        let values = self.entered(key, form, "a table of fields", &help, |table| {
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

    /// A field of a table whose keys and values are the author's choice, and where its value is written.
    pub(crate) fn field(&self, key: Key, field: &str) -> Option<(Json, Span)> {
        let fields = self.entries.get(key.name)?.get_ref().as_table()?;
        let value = fields.get(field)?;
        Some((value::json(field, value).ok()?, value.span()))
    }

    /// A table of texts whose keys are the author's choice, such as `[cluster.annotations]`.
    pub(crate) fn annotations(&mut self, key: Key) -> BTreeMap<String, String> {
        let form = || Form::TextFields;
        let help = between_braces(key, "\"wiremesh/strict\" = \"true\"");
        let texts = self.entered(key, form, "a table of texts", &help, |table| {
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
}

/// How a table inside another one is written: a header of its own would begin another table.
fn between_braces(key: Key, example: &str) -> String {
    format!("write it between braces: `{} = {{ {example} }}`", key.name)
}
