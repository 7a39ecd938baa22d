//! Named parts of a node's dataplane, which a scenario promises to be there or not to be.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use strum::EnumDiscriminants;

use crate::name::{IfName, NodeName};

/// The sysctls that are looked at, as paths below `/proc/sys`; `{tunnel}` stands for the tunnel device.
pub const SYSCTLS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/src_valid_mark",
    "net/ipv4/conf/eth0/rp_filter",
    "net/ipv4/conf/eth0/src_valid_mark",
    "net/ipv4/conf/{tunnel}/rp_filter",
];

/// A named part of a dataplane.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, EnumDiscriminants,
)]
#[strum_discriminants(
    name(DataplaneItemKind),
    derive(strum::VariantArray),
    doc = "A named part of a dataplane, by kind."
)]
#[serde(rename_all = "kebab-case")]
pub enum DataplaneItem {
    /// A route to exactly this network, of whatever table.
    Route {
        /// The destination network.
        to: IpNet,
        /// Through what; none is through anything, or a throw route.
        device: Option<IfName>,
        /// Whether it is a throw route.
        throw: bool,
    },
    /// A rule of that priority, of either family.
    Rule {
        /// Lower is asked first.
        priority: u32,
    },
    /// A peer of any of its tunnel devices.
    Peer {
        /// Whose key it has.
        node: NodeName,
    },
    /// An allowed IP of a peer.
    AllowedIp {
        /// Exactly this network.
        network: IpNet,
        /// Of whose peer.
        node: NodeName,
    },
    /// An address of any interface.
    Address {
        /// Without its prefix length.
        address: IpAddr,
    },
    /// A network interface.
    Device {
        /// Its name.
        name: IfName,
    },
    /// A line of nftables.
    Nft {
        /// A part of it.
        part: String,
    },
    /// A sysctl's value.
    Sysctl {
        /// Its name: `net.ipv4.ip_forward`.
        name: String,
        /// As the kernel writes it.
        value: String,
    },
}

impl fmt::Display for DataplaneItem {
    /// As it is written in scenarios.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { to, device, throw } => {
                let throw = if *throw { " throw" } else { "" };
                write!(f, "route {to}{throw}")?;
                device.iter().try_for_each(|name| write!(f, " dev {name}"))
            }
            Self::Rule { priority } => write!(f, "rule {priority}"),
            Self::Peer { node } => write!(f, "peer {node}"),
            Self::AllowedIp { network, node } => write!(f, "allowed-ip {network} of {node}"),
            Self::Address { address } => write!(f, "address {address}"),
            Self::Device { name } => write!(f, "device {name}"),
            Self::Nft { part } => write!(f, "nft {part}"),
            Self::Sysctl { name, value } => write!(f, "sysctl {name} = {value}"),
        }
    }
}

/// What a node's dataplane must have and lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneCheck {
    /// The node that it is about.
    pub node: NodeName,
    /// When that step has settled, 0 being the start; none is at the end, after the probes.
    #[serde(default)]
    pub after: Option<u16>,
    /// Each must be in some line of its snapshot.
    pub has: Vec<String>,
    /// None may be in any line.
    pub lacks: Vec<String>,
    /// Each must be there.
    #[serde(default)]
    pub present: Vec<DataplaneItem>,
    /// None may be there.
    #[serde(default)]
    pub absent: Vec<DataplaneItem>,
    /// The scenario's line that states it, counted from 1.
    pub line: u32,
}
