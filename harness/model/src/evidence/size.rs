//! Outcomes of size probes.

use serde::{Deserialize, Serialize};

use crate::plan::SizeId;

/// What the sockets at both ends reported of a size probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeOutcome {
    /// The number of the probe.
    pub id: SizeId,
    /// How often the sender's kernel took it.
    pub sent: u8,
    /// Whether the receiver's socket got it whole.
    pub delivered: bool,
    /// How many of the small packets that were sent after it, on the same way, have arrived.
    pub controls: u8,
    /// If the sender's kernel would not take it: the MTU that it names, in bytes.
    pub refused: Option<u32>,
    /// Another error that a socket reported.
    pub error: Option<String>,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkOutcome {
    /// The transfer's number in the plan.
    pub id: SizeId,
    /// Whether the connection stood.
    #[serde(default)]
    pub connected: bool,
    /// Bytes that the receiver's socket got.
    pub received: u32,
    /// The error that a socket reported.
    pub error: Option<String>,
}
