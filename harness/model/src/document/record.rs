//! Tables that are read for their keys only: each reader is called with an empty table, and what it asks for is
//! recorded.
//!
//! A reader asks for all its keys whatever is there, or those that it skips would be unknown in files; so nothing
//! is left out here.

use toml::de::DeTable;

use super::grammar::{ActionGrammar, Form, KeyGrammar, TableGrammar};
use super::key::{Key, Word};
use super::{Found, Table};

/// What is recorded of one table.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Its place among all tables: `conduct.log`; nothing for the file's own.
    path: String,
    pub(super) keys: Vec<KeyGrammar>,
    actions: Vec<ActionGrammar>,
}

/// What `read` asks for, of a file that has nothing: its own table first, then each of the others before those
/// that are inside it. `doc` is what such a file is.
pub(crate) fn record<T>(
    doc: &'static str,
    read: impl FnOnce(&mut Table<'_, '_>) -> T,
) -> Vec<TableGrammar> {
    let empty = DeTable::new();
    let mut found = Found {
        grammar: Some(Vec::new()),
        ..Found::default()
    };
    let mut table = Table::new("", 0..0, &empty, &mut found);
    read(&mut table);
    let (recorded, open) = (table.recorded, table.free);
    let root = TableGrammar {
        header: String::new(),
        doc,
        more: "",
        open,
        keys: recorded.keys,
        actions: recorded.actions,
    };
    let others = found.grammar.into_iter().flatten();
    std::iter::once(root).chain(others).collect()
}

impl<'t> Table<'t, '_> {
    /// Whether keys are recorded, and nothing is there.
    pub(crate) fn records(&self) -> bool {
        self.found.grammar.is_some()
    }

    /// Reads a table that is not there. `header` makes of its path what it begins with in a file.
    pub(super) fn record<T>(
        &mut self,
        key: Key,
        header: impl FnOnce(&str) -> String,
        read: impl FnOnce(&mut Table<'t, '_>) -> T,
    ) {
        let path = match self.recorded.path.as_str() {
            "" => key.name.to_owned(),
            path => format!("{path}.{}", key.name),
        };
        let header = header(&path);
        let form = Form::Table {
            header: header.clone(),
        };
        self.get(key, || form);
        let place = self.found.grammar.as_ref().map_or(0, Vec::len);
        let mut table = Table::new("", 0..0, self.entries, self.found);
        table.recorded.path = path;
        read(&mut table);
        let (recorded, open) = (table.recorded, table.free);
        if let Some(tables) = &mut self.found.grammar {
            let table = TableGrammar {
                header,
                doc: key.doc,
                more: key.more,
                open,
                keys: recorded.keys,
                actions: recorded.actions,
            };
            tables.insert(place, table);
        }
    }

    /// Records what else this table may have where it is about `word`, which `read` asks for.
    pub(crate) fn record_action<W, T>(
        &mut self,
        group: &'static str,
        (word, _, doc): &Word<W>,
        read: impl FnOnce(&mut Self) -> T,
    ) {
        let common = std::mem::take(&mut self.recorded.keys);
        let asked = std::mem::take(&mut self.asked);
        read(self);
        self.asked = asked;
        self.recorded.actions.push(ActionGrammar {
            word,
            group,
            doc,
            keys: std::mem::replace(&mut self.recorded.keys, common),
        });
    }
}
