//! Keys that the engines have published in the course of a run.

use std::collections::BTreeMap;

use wireproof_model::name::NodeName;

/// The keys that each node's engine has published, one after the other.
#[derive(Debug, Default)]
pub(crate) struct KeyHistory(pub(crate) BTreeMap<NodeName, Vec<String>>);

impl KeyHistory {
    /// Notes what is published now.
    pub(crate) fn note(&mut self, keys: BTreeMap<NodeName, String>) {
        for (node, key) in keys {
            let known = self.0.entry(node).or_default();
            if known.last() != Some(&key) {
                known.push(key);
            }
        }
    }
}
