//! The store of the cluster's resources: a directory, or an etcd.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::count::counted;
use crate::name::NodeName;

use super::{Node, Plan, RpFilter, Settings, replaced};

/// The port of etcd's clients.
const PORT: u16 = 2379;

/// What the host of an etcd that is on no node is called.
pub const STORE_HOST: &str = "etcd";

/// The store of the cluster's resources: a directory, or an etcd.
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
        /// The number of events.
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

    /// The node whose Node is deleted for those who read a directory, as other resources take its place.
    pub(crate) fn deletes(&self) -> Option<&NodeName> {
        let Self::Garbage {
            node: Some(node),
            text: Some(text),
        } = self
        else {
            return None;
        };
        replaced::deletes(text, node).then_some(node)
    }

    /// The node that it names.
    pub(super) fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Garbage { node, .. } => node.as_ref(),
            Self::Down
            | Self::Up
            | Self::Freeze
            | Self::Thaw
            | Self::Compact
            | Self::Burst { .. }
            | Self::Repair => None,
        }
    }

    /// What happens, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Down => "the store goes down".into(),
            Self::Up => "the store is up again".into(),
            Self::Freeze => "the store freezes".into(),
            Self::Thaw => "the store thaws".into(),
            Self::Compact => "the store forgets its history".into(),
            Self::Burst { events } => format!("{} to the store", counted(*events, "write")),
            Self::Garbage { node: None, .. } => "garbage in the store".into(),
            Self::Garbage {
                node: Some(node), ..
            } => format!("garbage in place of {node}'s resource"),
            Self::Repair => "the garbage is taken away".into(),
        }
    }
}

impl Store {
    /// The store's address for engines; of a directory, the part after its path is known.
    pub fn url(&self) -> Option<String> {
        self.socket().map(|socket| format!("http://{socket}"))
    }

    /// Where it listens.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Directory => None,
            Self::Etcd { address, .. } => Some(SocketAddr::new((*address).into(), PORT)),
        }
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
            blocks: Vec::new(),
            bridge: None,
            external: false,
            tunnel_address: None,
            pods: Vec::new(),
        })
    }
}
