//! Route lookups of the kernel for packets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dataplane::Route;
use crate::name::IfName;

/// A question to a node's kernel, and its answer (`RTM_GETROUTE` with `RTM_F_FIB_MATCH`): the
/// route that a packet matches, before any neighbour is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Who sends the packet; none lets the kernel choose.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: IpAddr,
    /// The interface it comes in by; none for the node's own. With one, the kernel checks the
    /// source by its reverse path as well.
    pub input: Option<IfName>,
    /// Its mark; 0 is none.
    pub mark: u32,
    /// The kernel's answer.
    pub answer: Answer,
}

/// A kernel's answer about a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It goes by this route.
    Route(Route),
    /// It goes nowhere: the error.
    Refused(String),
}
