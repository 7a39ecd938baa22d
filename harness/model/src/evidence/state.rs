//! Snapshots of nodes' dataplanes after steps had settled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataplane::Dataplane;
use crate::name::NodeName;

/// A node's dataplane between two steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEvidence {
    /// The node that it is about.
    pub node: NodeName,
    /// When that step had settled; 0 is the start.
    pub after: u16,
    /// Its links, addresses, rules, routes, WireGuard devices, nftables and sysctls.
    pub dataplane: Dataplane,
    /// Whose each public key was then.
    pub keys: BTreeMap<String, NodeName>,
}
