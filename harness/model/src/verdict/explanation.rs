//! Explanations of broken promises.

use serde::{Deserialize, Serialize};

/// The cause of a broken promise, as the dataplanes of the nodes show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where the packet stopped, or where it left the way it had to take.
    pub stopped_at: String,
    /// The kernel's route lookup for the packet there: addresses, input device, mark, and the route.
    pub lookup: Option<String>,
    /// The rule and the route that decided.
    pub won: Option<String>,
    /// Those that had to.
    pub expected: Option<String>,
    /// The counters of both nodes that moved while the probes were sent.
    pub moved: Vec<String>,
    /// The likely cause, in one sentence; where the evidence fits several, all of them.
    pub cause: String,
}

impl Explanation {
    /// The cause alone, where it is known without following a packet.
    pub(crate) fn of_cause(stopped_at: String, cause: String) -> Self {
        Self {
            stopped_at,
            lookup: None,
            won: None,
            expected: None,
            moved: Vec::new(),
            cause,
        }
    }
}

/// Where a packet was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// On its sender's node, before it was routed.
    Sender,
    /// In a tunnel device, and not as ciphertext yet.
    Device,
    /// On its way to the other node.
    Wire,
    /// On the receiver's node, as it was on the wire.
    Receiver,
    /// On the receiver's node, out of the tunnel device.
    Inside,
    /// Where it must not be.
    Elsewhere,
}

/// Which packet stopped, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Whether it was on its way back.
    pub answer: bool,
    /// How far it came.
    pub reached: Reached,
}
