//! The fabric between the nodes, and its impairments.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::name::NodeName;

use super::{Family, Nat};

/// The network between the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fabric {
    /// Nodes and pods have their addresses from here.
    pub subnet: Ipv4Net,
    /// The nodes' default gateway: the subnet's first host address.
    pub gateway: Ipv4Addr,
    /// The largest IP packet that the fabric carries, in bytes.
    pub mtu: u16,
    /// What becomes of larger ones.
    #[serde(default)]
    pub beyond_mtu: BeyondMtu,
    /// Whether it carries IPv6 besides IPv4.
    #[serde(default)]
    pub ipv6: bool,
    /// What it is made of.
    #[serde(default)]
    pub kind: FabricKind,
    /// Length of the racks' prefixes, where it has racks.
    #[serde(default)]
    pub rack: Option<u8>,
    /// What it does to packets besides.
    #[serde(default)]
    pub impairments: Vec<Impairment>,
    /// What stands in front of a node.
    #[serde(default)]
    pub nat: Option<Nat>,
}

/// What connects the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FabricKind {
    /// A cloud's network: routed, answers ARP for every address, and delivers each known
    /// address to the NIC that holds it, as Azure's does.
    #[default]
    Vnet,
    /// A switch: nodes ask each other for their Ethernet addresses, and know by routes of
    /// their own behind which node a pod is.
    Flat,
    /// A router between racks: each node has a subnet to itself, and the router leads to pods by
    /// static routes by way of their nodes.
    Routed,
}

impl FabricKind {
    /// As written in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vnet => "vnet",
            Self::Flat => "flat",
            Self::Routed => "routed",
        }
    }

    /// Whether it leads packets to pods, as a switch does not.
    pub fn is_routed(self) -> bool {
        match self {
            Self::Vnet | Self::Routed => true,
            Self::Flat => false,
        }
    }
}

/// What becomes of packets that are larger than the fabric carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeyondMtu {
    /// They are dropped without an ICMP error (felix#2840 is about such a cloud).
    #[default]
    Drop,
    /// The router that the fabric is fragments those that may be, and answers the others with
    /// "fragmentation needed" (RFC 1191) or "packet too big" (RFC 4443).
    Fragment,
    /// The same router, and its answers never leave it: a black hole for path MTU discovery
    /// (RFC 2923).
    Swallow,
}

impl BeyondMtu {
    /// As written in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Fragment => "fragment",
            Self::Swallow => "swallow",
        }
    }

    /// What the fabric does with them, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Drop => "dropped silently",
            Self::Fragment => "fragmented, or answered where they must not be",
            Self::Swallow => "fragmented, or lost where they must not be",
        }
    }

    /// Whether there is a router that knows of its MTU.
    pub fn is_routers(self) -> bool {
        match self {
            Self::Drop => false,
            Self::Fragment | Self::Swallow => true,
        }
    }
}

/// Something that the fabric does to packets of its nodes, and that has to happen in a run: a
/// impairment that never hit a packet proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impairment {
    /// The scenario's line that states it, counted from 1; its name among the others.
    pub line: u32,
    /// Whose packets; none is everybody's.
    pub node: Option<NodeName>,
    /// Which of them.
    pub way: WireDirection,
    /// What becomes of them.
    pub kind: ImpairmentKind,
}

/// Packets of a node by their direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireDirection {
    /// What it sends and what it is sent.
    #[default]
    Both,
    /// What it sends.
    From,
    /// What it is sent.
    To,
}

/// What becomes of packets on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImpairmentKind {
    /// So many of a hundred are lost, at random.
    Loss {
        /// From 1 to 99.
        percent: u16,
    },
    /// Of so many, the last is lost.
    EveryNth {
        /// 1 is every packet.
        nth: u16,
    },
    /// What is more than this is lost.
    Rate {
        /// Kilobytes (1024 bytes) in a second.
        kilobytes: u16,
    },
    /// They come later, and perhaps in another order. Needs [`Need::Netem`](super::Need::Netem).
    Delay {
        /// By so many milliseconds.
        millis: u16,
        /// Give or take so many.
        jitter: u16,
        /// So many of a hundred are not delayed, and so overtake others.
        reorder: u16,
    },
}

impl Fabric {
    /// The families that it carries.
    pub fn families(&self) -> Vec<Family> {
        let ipv6 = self.ipv6.then_some(Family::Ipv6);
        std::iter::once(Family::Ipv4).chain(ipv6).collect()
    }

    /// The rack that an address is in: a node's link, and the addresses of its pods behind.
    pub fn rack_of(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        let rack = Ipv4Net::new(address, self.rack?).ok()?;
        Some(rack.trunc())
    }

    /// The subnet that a node with this address finds at its uplink: of a rack its lower half.
    pub fn link_of(&self, address: Ipv4Addr) -> Ipv4Net {
        let lower = |rack: Ipv4Net| rack.subnets(rack.prefix_len() + 1).ok()?.next();
        self.rack_of(address).and_then(lower).unwrap_or(self.subnet)
    }

    /// The default gateway of a node with this address: the first of its link.
    pub fn gateway_of(&self, address: Ipv4Addr) -> Ipv4Addr {
        gateway_of(self.link_of(address))
    }

    /// The MTU that its routes have: a router's own, where it is one.
    pub fn route_mtu(&self) -> Option<u16> {
        self.beyond_mtu.is_routers().then_some(self.mtu)
    }

    /// Whether that is a port that a NAT lets others see instead of a node's own.
    pub fn translates(&self, address: IpAddr, port: u16) -> bool {
        self.nat.as_ref().is_some_and(|nat| nat.has(address, port))
    }

    /// What a step in this line of the scenario makes of it.
    pub(super) fn act(&mut self, action: &FabricAction, line: u32) {
        match action {
            FabricAction::SetMtu { mtu } => self.mtu = *mtu,
            FabricAction::SwallowIcmp => self.beyond_mtu = BeyondMtu::Swallow,
            FabricAction::AnswerIcmp => self.beyond_mtu = BeyondMtu::Fragment,
            FabricAction::Impair { node, way, kind } => self.impairments.push(Impairment {
                line,
                node: node.clone(),
                way: *way,
                kind: *kind,
            }),
            FabricAction::ForgetNat { .. } => {
                if let Some(nat) = &mut self.nat {
                    nat.lines.push(line);
                }
            }
            FabricAction::ClearImpairments { node } => {
                let stays = |impairment: &Impairment| node.is_some() && impairment.node != *node;
                self.impairments.retain(stays);
            }
        }
    }
}

/// The first address of a subnet, which its gateway has.
pub fn gateway_of(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// What happens to the fabric in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FabricAction {
    /// It carries larger packets, or only smaller ones.
    SetMtu {
        /// The new MTU, in bytes.
        mtu: u16,
    },
    /// The router's ICMP errors do not leave it any more.
    SwallowIcmp,
    /// They leave it again.
    AnswerIcmp,
    /// It begins to lose or delay packets.
    Impair {
        /// The node whose packets it impairs; none is every node.
        node: Option<NodeName>,
        /// Their direction, seen from the node.
        way: WireDirection,
        /// What becomes of them.
        kind: ImpairmentKind,
    },
    /// It does so no more.
    ClearImpairments {
        /// Of this node; none is of all.
        node: Option<NodeName>,
    },
    /// The NAT in front of a node forgets who is behind which of its ports.
    ForgetNat {
        /// The node behind the NAT.
        node: NodeName,
    },
}

impl FabricAction {
    /// As written in scenarios.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::SetMtu { .. } => "set-fabric-mtu",
            Self::SwallowIcmp => "swallow-icmp",
            Self::AnswerIcmp => "answer-icmp",
            Self::Impair { kind, .. } => match kind {
                ImpairmentKind::Loss { .. } => "set-loss",
                ImpairmentKind::EveryNth { .. } => "drop-nth",
                ImpairmentKind::Rate { .. } => "set-rate",
                ImpairmentKind::Delay { .. } => "set-delay",
            },
            Self::ClearImpairments { .. } => "clear-impairments",
            Self::ForgetNat { .. } => "forget-nat",
        }
    }

    /// The node that it names.
    pub(super) fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Impair { node, .. } | Self::ClearImpairments { node } => node.as_ref(),
            Self::ForgetNat { node } => Some(node),
            Self::SetMtu { .. } | Self::SwallowIcmp | Self::AnswerIcmp => None,
        }
    }

    /// What happens, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::SetMtu { mtu } => format!("the fabric carries {mtu} bytes"),
            Self::SwallowIcmp => "the fabric's ICMP errors are lost".into(),
            Self::AnswerIcmp => "the fabric's ICMP errors arrive again".into(),
            Self::Impair { node, way, kind } => describe(node.as_ref(), *way, *kind),
            Self::ClearImpairments { node: None } => "the wire carries everything again".into(),
            Self::ClearImpairments { node: Some(node) } => {
                format!("the wire carries everything of {node} again")
            }
            Self::ForgetNat { node } => format!("the NAT in front of {node} forgets its mappings"),
        }
    }
}

impl Impairment {
    /// What its counter is called.
    pub fn counter(&self) -> String {
        format!("line{}", self.line)
    }

    /// In words: `10 % of the packets from ada are lost`.
    pub fn describe(&self) -> String {
        describe(self.node.as_ref(), self.way, self.kind)
    }
}

fn describe(node: Option<&NodeName>, way: WireDirection, kind: ImpairmentKind) -> String {
    let whose = match (node, way) {
        (None, _) => "between nodes".to_owned(),
        (Some(node), WireDirection::Both) => format!("from and to {node}"),
        (Some(node), WireDirection::From) => format!("from {node}"),
        (Some(node), WireDirection::To) => format!("to {node}"),
    };
    match kind {
        ImpairmentKind::Loss { percent } => format!("{percent} % of the packets {whose} are lost"),
        ImpairmentKind::EveryNth { nth: 1 } => format!("every packet {whose} is lost"),
        ImpairmentKind::EveryNth { nth } => format!("of {nth} packets {whose} one is lost"),
        ImpairmentKind::Rate { kilobytes } => {
            format!("{kilobytes} kilobytes {whose} pass in a second, the rest is lost")
        }
        ImpairmentKind::Delay {
            millis,
            jitter,
            reorder,
        } => {
            let jitter = match jitter {
                0 => String::new(),
                jitter => format!(", give or take {jitter} ms"),
            };
            let reorder = match reorder {
                0 => String::new(),
                reorder => format!("; {reorder} % of them overtake others"),
            };
            format!("packets {whose} come {millis} ms later{jitter}{reorder}")
        }
    }
}
