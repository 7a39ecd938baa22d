//! Promises about one ordered pair and one protocol, and the probes that test them.

use serde::{Deserialize, Serialize};

use crate::name::EndpointName;

use super::Family;

/// Tagged packets from one endpoint to another, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its index in [`Plan::probes`].
    pub id: ProbeId,
    /// The endpoint that sends first.
    pub from: EndpointName,
    /// The endpoint that answers.
    pub to: EndpointName,
    /// The protocol of the packets.
    pub protocol: Protocol,
    /// Bytes of payload, all of them tags.
    pub payload: u16,
    /// The least payload that the author has asked for by a promise; none of the usual probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u16>,
}

/// Index of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeId(pub u16);

/// The protocol of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// ICMP echo; the kernel of the other side answers.
    Icmp,
    /// A datagram, and one back.
    Udp,
    /// A connection; its payload comes back.
    Tcp,
    /// ICMP echo over IPv6.
    Icmp6,
    /// A datagram over IPv6, and one back.
    Udp6,
    /// A connection over IPv6.
    Tcp6,
}

impl Protocol {
    /// All of IPv4, in the order of the report.
    pub const IPV4: [Self; 3] = [Self::Icmp, Self::Udp, Self::Tcp];

    /// All of IPv6, in the order of the report.
    pub const IPV6: [Self; 3] = [Self::Icmp6, Self::Udp6, Self::Tcp6];

    /// All of a family.
    pub fn of(family: Family) -> [Self; 3] {
        match family {
            Family::Ipv4 => Self::IPV4,
            Family::Ipv6 => Self::IPV6,
        }
    }

    /// What flows send in a family.
    pub(crate) fn of_flows(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Udp,
            Family::Ipv6 => Self::Udp6,
        }
    }

    /// What its packets are.
    pub fn family(self) -> Family {
        match self {
            Self::Icmp | Self::Udp | Self::Tcp => Family::Ipv4,
            Self::Icmp6 | Self::Udp6 | Self::Tcp6 => Family::Ipv6,
        }
    }

    /// As written in scenarios and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Icmp6 => "icmp6",
            Self::Udp6 => "udp6",
            Self::Tcp6 => "tcp6",
        }
    }

    /// The IP header's protocol number (IANA).
    pub fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp | Self::Tcp6 => 6,
            Self::Udp | Self::Udp6 => 17,
            Self::Icmp6 => 58,
        }
    }
}

/// An expectation about one ordered pair and one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairPromise {
    /// Its index in [`Plan::promises`].
    pub id: PromiseId,
    /// The probe that tests it.
    pub probe: ProbeId,
    /// The sender.
    pub from: EndpointName,
    /// The receiver.
    pub to: EndpointName,
    /// The protocol of the packets.
    pub protocol: Protocol,
    /// The least payload of the probe in bytes, where the author asked for one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<u16>,
    /// Which of the traffic classes the pair is in.
    pub class: Class,
    /// How its packets must look outside the nodes.
    pub protection: Protection,
    /// Where the promise comes from.
    pub origin: Origin,
}

/// Index of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromiseId(pub u32);

/// The traffic classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Both on one node.
    SameHost,
    /// Two nodes, at least one of the two a pod.
    CrossHost,
    /// Node to node.
    HostToHost,
    /// Two nodes, at least one without WireGuard.
    Mixed,
    /// One of the two is outside the cluster.
    External,
}

impl Class {
    /// As written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameHost => "same host",
            Self::CrossHost => "cross host",
            Self::HostToHost => "host to host",
            Self::Mixed => "mixed",
            Self::External => "external",
        }
    }
}

/// How a pair's packets must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Delivered, never through a tunnel device; between nodes, seen on the wire as sent.
    Plaintext,
    /// Delivered, and only ciphertext on the wire.
    Encrypted,
    /// Not delivered, and nothing of it on the wire: encrypt or drop.
    Blocked,
    /// Delivered and answered, whatever it looks like.
    Delivered,
}

impl Protection {
    /// As written in scenarios and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Encrypted => "encrypted",
            Self::Blocked => "blocked",
            Self::Delivered => "delivered",
        }
    }
}

/// Who made a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The model, from the pair's class and the cluster's intent.
    Derived,
    /// The author, in the scenario; `line` counts from 1.
    Stated {
        /// Line of the scenario.
        line: u32,
    },
}
