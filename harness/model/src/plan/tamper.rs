//! Tampering: changes to a node's dataplane behind the engine's back.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use strum::EnumDiscriminants;

use crate::name::NodeName;

/// One act of tampering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tamper {
    /// Something of the engine's is deleted.
    Delete(Own),
    /// Kernel parameters are set, by their dotted names.
    Sysctl(BTreeMap<String, String>),
    /// Something is added that the engine did not make.
    Add(Foreign),
}

/// What an engine makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EnumDiscriminants)]
#[strum_discriminants(
    name(OwnKind),
    derive(strum::VariantArray),
    doc = "What an engine makes, by kind."
)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// The route to a destination, in whatever table of the engine's.
    Route(IpNet),
    /// Every rule with a mark.
    Rule,
    /// Every rule of this priority, of either family and whoever made it.
    RulesOf(u32),
    /// A node's peer, on the tunnel device.
    Peer(NodeName),
    /// Every nftables rule.
    Nft,
    /// The tunnel device's addresses.
    Address,
    /// The tunnel device.
    Device,
    /// The process that is the tunnel device, where the kernel has none.
    TunnelProcess,
    /// All of it: device, routes, rules, nftables and the kernel parameter.
    Everything,
}

/// What an engine has not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EnumDiscriminants)]
#[strum_discriminants(
    name(ForeignKind),
    derive(strum::VariantArray),
    doc = "What an engine has not made, by kind."
)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// A route to nowhere, in the main table.
    Route(IpNet),
    /// A route to nowhere, in this table.
    RouteIn {
        /// The destination network.
        destination: IpNet,
        /// The table's number.
        table: u32,
    },
    /// A rule of this priority, with a table of its own.
    Rule(u32),
    /// A rule of this priority in each family of the cluster, which looks this table up.
    RuleFor {
        /// Lower is asked first.
        priority: u32,
        /// The table's number.
        table: u32,
    },
    /// A rule of this priority that looks a table up for packets to a destination.
    RuleTo {
        /// Lower is asked first.
        priority: u32,
        /// The destination network.
        destination: IpNet,
        /// The table's number.
        table: u32,
    },
    /// A peer that is no node's, on the tunnel device.
    Peer {
        /// Its public key, in base64; none is one that nobody has.
        key: Option<String>,
    },
    /// An nftables table.
    Table,
}

/// What a dataplane is like once the engine has seen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settles {
    /// As before: what was done is undone.
    Repaired,
    /// As it was left: what is not the engine's is none of its business.
    Unchanged,
    /// As the engine has left it after two comparisons with the kernel; what that must be is stated
    /// by `[[dataplane]]`.
    Compared,
}

impl Tamper {
    /// Whether what drops plaintext is gone afterwards.
    pub(crate) fn takes_firewall(&self) -> bool {
        matches!(self, Self::Delete(Own::Nft | Own::Everything))
    }
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(own) => write!(f, "delete {own}"),
            Self::Sysctl(settings) => {
                let settings: Vec<_> = settings
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect();
                write!(f, "set {}", settings.join(", "))
            }
            Self::Add(foreign) => write!(f, "add {foreign}"),
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(destination) => write!(f, "the route to {destination}"),
            Self::Rule => f.write_str("the rules with a mark"),
            Self::RulesOf(priority) => write!(f, "the rules of priority {priority}"),
            Self::Peer(node) => write!(f, "the peer {node}"),
            Self::Nft => f.write_str("every nftables rule"),
            Self::Address => f.write_str("the tunnel device's addresses"),
            Self::Device => f.write_str("the tunnel device"),
            Self::Everything => f.write_str("everything"),
            Self::TunnelProcess => f.write_str("the tunnel's process"),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(destination) => write!(f, "a foreign route to {destination}"),
            Self::RouteIn { destination, table } => {
                write!(f, "a foreign route to {destination} to table {table}")
            }
            Self::Rule(priority) => write!(f, "a foreign rule of priority {priority}"),
            Self::RuleFor { priority, table } => {
                write!(
                    f,
                    "a foreign rule of priority {priority} that looks up table {table}"
                )
            }
            Self::RuleTo {
                priority,
                destination,
                table,
            } => write!(
                f,
                "a foreign rule of priority {priority} that looks up table {table} for {destination}"
            ),
            Self::Peer { key: None } => f.write_str("a foreign peer"),
            Self::Peer { key: Some(key) } => write!(f, "the foreign peer {key}"),
            Self::Table => f.write_str("a foreign nftables table"),
        }
    }
}
