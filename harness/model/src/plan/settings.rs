//! Fields of FelixConfiguration, as an author writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{IfName, NodeName};

/// What an author writes into a FelixConfiguration, besides what scenarios have keys for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Fields of its `spec`, with Calico's names; these go before keys.
    pub fields: BTreeMap<String, Value>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Settings {
    /// Whether encrypt or drop is asked for.
    pub(crate) fn asks_to_drop(&self) -> bool {
        self.annotations.get(STRICT).is_some_and(|on| on == "true")
    }

    /// Whether plaintext with that node is refused: encrypt or drop is asked for, and the node is not listed as
    /// one that may be reached in clear.
    pub(crate) fn refuses(&self, node: &NodeName) -> bool {
        let listed = self.annotations.get(PLAIN_NODES);
        let mut listed = listed.into_iter().flat_map(|nodes| nodes.split(','));
        self.asks_to_drop() && !listed.any(|listed| listed.trim() == node.as_str())
    }

    pub(super) fn flag(&self, field: &str) -> Option<bool> {
        self.fields.get(field)?.as_bool()
    }

    pub(super) fn number(&self, field: &str) -> Option<u16> {
        u16::try_from(self.fields.get(field)?.as_u64()?).ok()
    }

    /// A field that names an interface, if it does.
    pub(super) fn name(&self, field: &str) -> Option<IfName> {
        self.fields.get(field)?.as_str()?.parse().ok()
    }
}

/// Annotations of FelixConfiguration by which wiremesh encrypts or drops; Calico has no field for it.
const STRICT: &str = "wiremesh/strict";
const PLAIN_NODES: &str = "wiremesh/plain-nodes";

/// Calico's default (`WireguardListeningPort`).
pub(crate) const LISTEN_PORT: u16 = 51820;

/// Calico's default (`WireguardListeningPortV6`).
pub(crate) const LISTEN_PORT_V6: u16 = 51821;
