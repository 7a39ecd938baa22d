//! The keys of one `[[step]]`, and where the file has them.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::document::Table;
use crate::name::{NodeName, PodName};
use crate::problem::Span;

/// A step's table, and the places of what has been read from it.
pub(super) struct Keys<'k, 't, 'p> {
    pub(super) table: &'k mut Table<'t, 'p>,
    pub(super) places: BTreeMap<&'static str, Span>,
}

impl Keys<'_, '_, '_> {
    /// The node that the step is about, if one is named.
    pub(super) fn node(&mut self) -> Option<NodeName> {
        self.name("node")
    }

    /// The node that the step must name.
    pub(super) fn target(&mut self) -> Option<NodeName> {
        self.table.require("node", "node = \"NAME\"");
        self.node()
    }

    /// The pod that the step must name.
    pub(super) fn pod(&mut self) -> Option<PodName> {
        self.table.require("pod", "pod = \"NAME\"");
        let name = self.table.name("pod", "a pod");
        self.noted("pod", name)
    }

    /// A node's name under another key.
    pub(super) fn name(&mut self, key: &'static str) -> Option<NodeName> {
        let name = self.table.name(key, "a node");
        self.noted(key, name)
    }

    pub(super) fn noted<T>(&mut self, key: &'static str, value: Option<Spanned<T>>) -> Option<T> {
        let value = value?;
        self.places.insert(key, value.span());
        Some(value.into_inner())
    }
}
