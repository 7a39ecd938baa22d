//! Each `[[step]]`: what happens, and where the file says so.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::document::Table;
use crate::name::NodeName;
use crate::plan::Action;
use crate::problem::Span;

use super::value;

/// `[[step]]`.
#[derive(Debug)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// Milliseconds until everything has settled.
    pub deadline: Option<u32>,
    /// Where the action and the names in it are written, by key.
    places: BTreeMap<&'static str, Span>,
}

impl Step {
    /// Where a key's value is written; the action itself where that key is not.
    pub fn place(&self, key: &str) -> Span {
        let known = self.places.get(key).or_else(|| self.places.get("action"));
        known.cloned().unwrap_or_default()
    }
}

/// Reads the keys of one kind of step.
type Reader = fn(&mut Keys<'_, '_, '_>) -> Option<Action>;

const ACTIONS: &[(&str, Reader)] = &[
    ("enable", |_| Some(Action::Enable)),
    ("disable", |_| Some(Action::Disable)),
    ("kill-engine", |keys| {
        Some(Action::KillEngine { node: keys.node() })
    }),
    ("start-engine", |keys| {
        Some(Action::StartEngine { node: keys.node() })
    }),
];

pub(super) fn step(table: &mut Table<'_, '_>) -> Option<Step> {
    table.require("action", "action = \"enable\"");
    let reader = table.word("action", "action", ACTIONS);
    let deadline = table.parsed("deadline", value::millis);
    let Some(reader) = reader else {
        // Which keys belong here is unknown.
        table.accept_any_key();
        return None;
    };
    let mut keys = Keys {
        table,
        places: BTreeMap::from([("action", reader.span())]),
    };
    let action = reader.into_inner()(&mut keys)?;
    Some(Step {
        action,
        deadline: deadline.map(Spanned::into_inner),
        places: keys.places,
    })
}

/// A step's table, and the places of what has been read from it.
struct Keys<'k, 't, 'p> {
    table: &'k mut Table<'t, 'p>,
    places: BTreeMap<&'static str, Span>,
}

impl Keys<'_, '_, '_> {
    fn node(&mut self) -> Option<NodeName> {
        let name = self.table.name("node", "a node");
        self.noted("node", name)
    }

    fn noted<T>(&mut self, key: &'static str, value: Option<Spanned<T>>) -> Option<T> {
        let value = value?;
        self.places.insert(key, value.span());
        Some(value.into_inner())
    }
}
