//! Promises about MTUs: the sizes that must arrive, and the ICMP errors for larger ones.

use serde::{Deserialize, Serialize};

use crate::name::{EndpointName, NodeName};

use super::{Family, Origin, PromiseId};

/// The packets whose size is tried, and what is promised about them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MtuPlan {
    /// Single datagrams; `sizes[i].id == SizeId(i)`.
    pub sizes: Vec<SizeProbe>,
    /// Whole transfers over TCP, whose numbers go on where those of the datagrams end.
    pub bulks: Vec<Bulk>,
    /// In the order of the report; their numbers follow those of the steps' promises.
    pub promises: Vec<MtuPromise>,
}

/// One size of packet from one endpoint to another, sent as UDP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeProbe {
    /// The number of the probe.
    pub id: SizeId,
    /// The sender.
    pub from: EndpointName,
    /// The receiver.
    pub to: EndpointName,
    /// The IP family of the packets.
    pub family: Family,
    /// Bytes of the whole IP packet, its header included.
    pub size: u32,
    /// Whether nobody may fragment it (IPv4: DF; IPv6: the sender does not either).
    pub dont_fragment: bool,
}

impl SizeProbe {
    /// Bytes of the UDP payload.
    pub fn payload(&self) -> usize {
        usize::try_from(self.size)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.family.ip_header() + UDP_HEADER)
    }
}

/// RFC 768.
const UDP_HEADER: usize = 8;

/// A transfer over TCP that fills packets: it gets through only if both ends learn what fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    /// The number of the probe.
    pub id: SizeId,
    /// The sender.
    pub from: EndpointName,
    /// The receiver.
    pub to: EndpointName,
    /// The IP family of the packets.
    pub family: Family,
    /// Bytes of payload.
    pub bytes: u32,
}

/// Number of a size probe or a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SizeId(pub u16);

/// An expectation about sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MtuPromise {
    /// Its number among all promises.
    pub id: PromiseId,
    /// In which family.
    pub family: Family,
    /// What is promised.
    pub kind: MtuKind,
    /// Where the promise comes from.
    pub origin: Origin,
}

/// What is promised about sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MtuKind {
    /// A node's tunnel device has this MTU, in bytes.
    Device {
        /// The node that it is about.
        node: NodeName,
        /// The MTU, in bytes.
        mtu: u16,
    },
    /// Of packets that nobody may fragment the first two arrive and the third does not.
    Largest {
        /// One byte less than the largest.
        below: SizeId,
        /// The largest that arrives.
        at: SizeId,
        /// One byte more.
        above: SizeId,
        /// Whether they go through the tunnel.
        encrypted: bool,
    },
    /// The ICMP error, or refusal, that the sender of a packet that is too large gets.
    TooLarge {
        /// The packet that is too large.
        above: SizeId,
        /// The MTU in that error, in bytes.
        mtu: u32,
        /// The hop that sends it.
        #[serde(rename = "told_by")]
        reported_by: Hop,
    },
    /// Packets that may be fragmented arrive whole.
    Fragmented {
        /// The probes of sizes, by their numbers.
        sizes: Vec<SizeId>,
    },
    /// A transfer gets through; or, where a scenario states so, it does not although its connection stands: its
    /// segments fill the sender's link, and there is no ICMP error that they are too large.
    Bulk {
        /// The bulk transfer, by its number.
        bulk: SizeId,
        /// Whether it gets through.
        arrives: bool,
    },
    /// No packet of the tunnel from one node to another is larger than the way, and none is
    /// a fragment.
    Outer {
        /// The node that sends.
        from: NodeName,
        /// The node that receives.
        to: NodeName,
        /// The smallest MTU of the way, in bytes.
        mtu: u16,
        /// Whether fragments are what has to be: what the device lets in does not fit into the uplink.
        fragments: bool,
    },
}

/// The hop that reports to a sender that its packet was too large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// The sender's own kernel refuses to send it (`EMSGSIZE`).
    Sender,
    /// A node, by ICMP "fragmentation needed" (RFC 1191) or ICMPv6 "packet too big" (RFC 4443).
    Node(NodeName),
    /// The router between the nodes, likewise.
    Fabric,
    /// Nobody: it is lost without a word.
    Nobody,
}

impl MtuPlan {
    /// The probe of that number.
    pub fn size(&self, id: SizeId) -> Option<&SizeProbe> {
        self.sizes.get(usize::from(id.0))
    }

    /// The transfer of that number.
    pub fn bulk(&self, id: SizeId) -> Option<&Bulk> {
        self.bulks.iter().find(|bulk| bulk.id == id)
    }
}
