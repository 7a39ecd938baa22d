//! The keys of one `[[step]]`, and their places in the file.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::document::{Key, Table};
use crate::name::{NodeName, PodName};
use crate::plan::Action;
use crate::problem::Span;

/// The node that a step is about.
const NODE: Key = Key::required("node", "the node that it is about", "node = \"NAME\"");

/// The node whose agent a step is about.
pub(super) const AGENT: Key = Key::optional("node", "whose agent", "every node's");

const POD: Key = Key::required("pod", "the pod that it is about", "pod = \"NAME\"");

/// A step's table, and the places of what has been read from it.
pub(super) struct Keys<'k, 't, 'p> {
    pub(super) table: &'k mut Table<'t, 'p>,
    pub(super) places: BTreeMap<&'static str, Span>,
}

/// Reads the keys of one kind of step.
pub(super) type Reader = fn(&mut Keys<'_, '_, '_>) -> Option<Action>;

impl Keys<'_, '_, '_> {
    /// The node that the step must name.
    pub(super) fn node(&mut self) -> Option<NodeName> {
        self.name(NODE)
    }

    /// The pod that the step must name.
    pub(super) fn pod(&mut self) -> Option<PodName> {
        let name = self.table.name(POD, "a pod");
        self.noted(POD, name)
    }

    /// A node's name under a key.
    pub(super) fn name(&mut self, key: Key) -> Option<NodeName> {
        let name = self.table.name(key, "a node");
        self.noted(key, name)
    }

    pub(super) fn noted<T>(&mut self, key: Key, value: Option<Spanned<T>>) -> Option<T> {
        let value = value?;
        self.places.insert(key.name, value.span());
        Some(value.into_inner())
    }
}
