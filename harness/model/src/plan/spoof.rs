//! Spoofed packets, and whether they must arrive.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::EndpointName;

use super::{Family, Plan, PromiseId};

/// Packets of each spoof: a counter has to move by each of them.
pub const SPOOFED: u64 = 3;

/// Packets with another's source address, put on a link past its sender's network stack, and
/// what is promised about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoof {
    /// Its index in [`Plan::spoofs`].
    pub id: SpoofId,
    /// Its number among all promises.
    pub promise: PromiseId,
    /// Whose link they come in by: for a node, from the wire to its uplink; for a pod, out of it.
    pub through: EndpointName,
    /// Whose address they bear.
    pub source: EndpointName,
    /// Whom they are for.
    pub to: EndpointName,
    /// The IP family of the packets.
    pub family: Family,
    /// What has to become of them.
    pub drop: DropBy,
    /// The scenario's line that states it, counted from 1.
    pub line: u32,
}

/// Index of a spoof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpoofId(pub u16);

/// What drops a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropBy {
    /// The kernel's reverse-path filter, which counts it.
    ReversePath,
    /// A rule of nftables.
    Rule,
    /// The tunnel that it went into: its other end takes no such source from that peer (allowed IPs).
    Tunnel,
    /// Nothing: it arrives. That is a fact worth knowing.
    Nothing,
}

impl Spoof {
    /// A source that is rightly behind that link, whose packets have to arrive: from the wire
    /// that of the nodes' gateway, out of a pod its own. None if the plan has no such endpoint.
    pub fn genuine(&self, plan: &Plan) -> Option<IpAddr> {
        let through = plan.endpoint(&self.through)?;
        let address = match through.pod {
            Some(pod) => pod.address,
            None => plan.fabric.gateway,
        };
        Some(self.family.address(address))
    }
}
