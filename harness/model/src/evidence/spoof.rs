//! Outcomes of spoofed packets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::SpoofId;

/// What sockets and counters reported of a spoof. Where its frames were is in the sightings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoofOutcome {
    /// The number of the spoof in the plan.
    pub id: SpoofId,
    /// Spoofed packets that the receiver's socket got.
    pub received: u64,
    /// Packets with a genuine source, sent after them on the same way, that it got.
    pub genuine: u64,
    /// By how much `TcpExt.IPReversePathFilter` of the node moved from before the first of both
    /// until after the last.
    pub counted: u64,
    /// How often the kernel named which reason for dropping a packet meanwhile; otherwise why
    /// that was not to be had.
    pub reasons: Result<BTreeMap<String, u64>, String>,
}
