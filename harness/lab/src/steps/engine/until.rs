//! Conditions on the store that must hold before a step has settled.

use std::collections::BTreeMap;

use wireproof_model::name::NodeName;

use crate::base::error::LabError;
use crate::cluster::store::Store;

/// What must be so in the store, besides the agents' being in sync with it.
#[derive(Debug, Default)]
pub(crate) enum Until {
    /// No further condition.
    #[default]
    InSync,
    /// A node publishes this key.
    Publishes(NodeName, String),
    /// A node publishes another key than this one.
    PublishesNot(NodeName, Option<String>),
    /// Every agent's status differs from this one: it has noticed that the store is gone.
    StatusesDiffer(BTreeMap<NodeName, Option<String>>),
}

impl Until {
    /// Whether it is so.
    pub(super) fn reached(&self, store: &Store) -> Result<bool, LabError> {
        Ok(match self {
            Self::InSync | Self::StatusesDiffer(_) => true,
            Self::Publishes(node, key) => store.published_keys()?.get(node) == Some(key),
            Self::PublishesNot(node, key) => {
                let keys = store.published_keys()?;
                keys.contains_key(node) && keys.get(node) != key.as_ref()
            }
        })
    }
}
