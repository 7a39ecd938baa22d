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
