//! The ports of the lab's own packets. No tunnel may have one of them: its packets could not be distinguished from
//! the lab's.

use std::ops::RangeInclusive;

use super::{SizeId, SpoofId};

/// All of them.
pub const LAB_PORTS: RangeInclusive<u16> = 7007..=7999;

/// Where probes go, over UDP and TCP.
pub const PROBE_PORT: u16 = 7007;

/// Where flows go.
pub const FLOW_PORT: u16 = 7008;

/// Where the first packet whose size is tried goes.
const SIZES: u16 = 7009;

/// Where the first spoofed packets go.
const SPOOFS: u16 = 7100;

/// How many packets whose size is tried have a port, and how many spoofs.
pub(crate) const MOST_SIZES: usize = (*LAB_PORTS.end() - SIZES) as usize + 1;
pub(crate) const MOST_SPOOFS: usize = (*LAB_PORTS.end() - SPOOFS) as usize + 1;

/// Their text in messages.
pub(crate) fn describe() -> String {
    format!(
        "the lab's own packets go to the ports {} to {}: probes to {PROBE_PORT}, flows to {FLOW_PORT}, packets \
         of an `[[mtu]]` to {SIZES} and up, spoofed ones to {SPOOFS} and up",
        LAB_PORTS.start(),
        LAB_PORTS.end(),
    )
}

impl SizeId {
    /// The port that its packet goes to: each has its own, so that none receives another's.
    pub fn port(self) -> u16 {
        SIZES.saturating_add(self.0)
    }
}

impl SpoofId {
    /// The port that its packets are for, and the one that they are from: each has its own, as a program
    /// that is being started may hold the last one's socket for a moment.
    pub fn port(self) -> u16 {
        SPOOFS.saturating_add(self.0)
    }
}
