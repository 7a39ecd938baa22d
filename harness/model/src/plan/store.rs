//! Where the cluster's resources are.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::frame::{Packet, Payload};
use crate::name::NodeName;

use super::{Node, Plan, RpFilter, Settings};

/// The port of etcd's clients.
const PORT: u16 = 2379;

/// What the host of an etcd that is on no node is called.
pub const STORE_HOST: &str = "etcd";

/// Where the cluster's resources are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// In a directory that every node sees.
    #[default]
    Directory,
    /// In an etcd.
    Etcd {
        /// Its address on the fabric.
        address: Ipv4Addr,
        /// The node that it is on; none is a host of its own, which is no node.
        on: Option<NodeName>,
    },
}

/// What happens to the store in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAction {
    /// Nobody can reach it: the directory is renamed away, etcd is killed.
    Down,
    /// It is back, with all that was written to it meanwhile.
    Up,
    /// It takes connections and answers nothing (SIGSTOP).
    Freeze,
    /// It goes on.
    Thaw,
    /// It forgets its history, up to now.
    Compact,
    /// Many writes, to resources that concern no node.
    Burst {
        /// How many.
        events: u16,
    },
    /// Something that is no resource takes the place of one.
    Garbage {
        /// Of this node; none is one of its own.
        node: Option<NodeName>,
        /// What is there then; none is the first half of what was there.
        text: Option<String>,
    },
    /// All garbage is gone, and what was in its place is there again.
    Repair,
}

impl StoreAction {
    /// As written in scenarios.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Down => "store-down",
            Self::Up => "store-up",
            Self::Freeze => "store-freeze",
            Self::Thaw => "store-thaw",
            Self::Compact => "store-compact",
            Self::Burst { .. } => "store-burst",
            Self::Garbage { .. } => "store-garbage",
            Self::Repair => "store-repair",
        }
    }

    /// What happens, in words.
    pub fn told(&self) -> String {
        match self {
            Self::Down => "the store goes down".into(),
            Self::Up => "the store is up again".into(),
            Self::Freeze => "the store freezes".into(),
            Self::Thaw => "the store thaws".into(),
            Self::Compact => "the store forgets its history".into(),
            Self::Burst { events } => format!("{events} writes to the store"),
            Self::Garbage { node: None, .. } => "garbage in the store".into(),
            Self::Garbage {
                node: Some(node), ..
            } => format!("garbage in place of {node}'s resource"),
            Self::Repair => "the garbage is taken away".into(),
        }
    }
}

impl Store {
    /// What engines are told; of a directory, the part after its path is known.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Directory => None,
            Self::Etcd { address, .. } => Some(format!("http://{address}:{PORT}")),
        }
    }

    /// Whether a packet is part of a conversation with the store. With an etcd on a node
    /// these are the only ones that two encrypting nodes may have in clear: over them they
    /// tell each other their keys.
    pub fn is_addressed(&self, packet: &Packet) -> bool {
        let Self::Etcd { address, .. } = self else {
            return false;
        };
        let Payload::Tcp {
            source_port,
            destination_port,
            ..
        } = packet.payload
        else {
            return false;
        };
        (packet.source == *address && source_port == PORT)
            || (packet.destination == *address && destination_port == PORT)
    }
}

impl Plan {
    /// The host of an etcd that is on no node, as the fabric sees it.
    pub fn store_host(&self) -> Option<Node> {
        let Store::Etcd { address, on: None } = self.store else {
            return None;
        };
        Some(Node {
            name: STORE_HOST.parse().ok()?,
            address,
            mtu: self.fabric.mtu,
            rp_filter: RpFilter::Strict,
            wireguard: false,
            settings: Settings::default(),
            pods: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(from: (&str, u16), to: (&str, u16)) -> Packet {
        Packet {
            source: from.0.parse().unwrap(),
            destination: to.0.parse().unwrap(),
            length: 60,
            dont_fragment: true,
            fragment: false,
            payload: Payload::Tcp {
                source_port: from.1,
                destination_port: to.1,
                flags: 0x02,
            },
        }
    }

    #[test]
    fn only_the_store_s_own_port_at_its_own_address_is_the_store() {
        let store = Store::Etcd {
            address: Ipv4Addr::new(10, 0, 0, 1),
            on: None,
        };
        let is = |from, to| store.is_addressed(&packet(from, to));
        assert!(is(("10.0.0.2", 4000), ("10.0.0.1", 2379)));
        assert!(is(("10.0.0.1", 2379), ("10.0.0.2", 4000)));
        assert!(!is(("10.0.0.2", 2379), ("10.0.0.1", 4000)));
        assert!(!is(("10.0.0.2", 4000), ("10.0.0.3", 2379)));
        assert!(!Store::Directory.is_addressed(&packet(("10.0.0.2", 1), ("10.0.0.1", 2379))));
    }
}
