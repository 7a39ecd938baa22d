//! A node after the last probe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Lookup;
use crate::dataplane::Dataplane;

/// A node after the last probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvidence {
    /// Its links, addresses, rules, routes, WireGuard devices, nftables and sysctls.
    pub dataplane: Dataplane,
    /// The same before the first agent was started; none of a node that was not there.
    #[serde(default)]
    pub before: Option<Dataplane>,
    /// The public key that the engine published for it, in base64; none if it published none.
    pub published_key: Option<String>,
    /// The same for IPv6.
    #[serde(default)]
    pub published_key6: Option<String>,
    /// Every key that was seen published for it, in order: at first, and after each step. A
    /// node that keeps its device keeps its key.
    #[serde(default)]
    pub key_history: Vec<String>,
    /// Packets that the node dropped and counted, by counter name (`TcpExt.IPReversePathFilter`); zeroes left out.
    pub drops: BTreeMap<String, u64>,
    /// By how much such counters, and those of its interfaces' errors (`wireguard.cali.tx_errors`),
    /// moved while the probes were sent; zeroes left out.
    #[serde(default)]
    pub moved: BTreeMap<String, u64>,
    /// Where the kernel sends packets between endpoints that a promise concerns.
    #[serde(default)]
    pub lookups: Vec<Lookup>,
    /// Packets that each rule of nftables with a counter has counted while the probes were sent,
    /// zeroes too, by [`crate::dataplane::rule_key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rule_counts: BTreeMap<String, u64>,
    /// Whether something is mounted over the root directory that its processes had before the engine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub root_hidden: bool,
}
