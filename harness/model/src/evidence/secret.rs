//! Copies of private keys outside the devices that have them.
//!
//! A key itself is never part of the evidence: a copy is named by the node that has the device, and by
//! the place where it was found.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// The result of the search for the private keys, and preshared keys, of all nodes' devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecretEvidence {
    /// The public keys, in base64, of the private keys that each node's devices have had when they were read: at
    /// the start, after each step and at the end. A node whose devices had none is missing.
    pub keys: BTreeMap<NodeName, BTreeSet<String>>,
    /// The public keys, in base64, that nodes published while a device of theirs did not show its private key:
    /// texts were searched for a key that belongs to one of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub silent: BTreeMap<NodeName, BTreeSet<String>>,
    /// The number of places of each kind that were searched.
    pub searched: BTreeMap<SecretPlace, u32>,
    /// The copies that were found, each place and encoding once.
    pub copies: Vec<SecretCopy>,
    /// Control sockets of devices that users other than root can connect to.
    pub open_sockets: Vec<OpenSocket>,
    /// Places that could not be searched, and why.
    pub unsearched: Vec<String>,
}

/// A kind of place where a copy of a key can be.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
pub enum SecretPlace {
    /// The log of an engine.
    Log,
    /// A file in the state directory of an engine.
    State,
    /// The store.
    Store,
    /// Another file that a process of a node wrote.
    File,
    /// The command line of a process of a node.
    CommandLine,
    /// The environment of a process of a node.
    Environment,
    /// An answer of an HTTP server of a node, such as its metrics.
    Http,
    /// A capture: the frames that were on the wire.
    Capture,
    /// The evidence: what the lab observed, such as a node's dataplane.
    Evidence,
}

impl SecretPlace {
    /// As in `the log`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "the log",
            Self::State => "the state directory",
            Self::Store => "the store",
            Self::File => "a file",
            Self::CommandLine => "a command line",
            Self::Environment => "an environment",
            Self::Http => "an HTTP answer",
            Self::Capture => "a capture",
            Self::Evidence => "the evidence",
        }
    }
}

/// A copy of a key outside its device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretCopy {
    /// The node whose device has, or had, the key.
    pub owner: NodeName,
    /// Whether it is a preshared key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preshared: bool,
    /// The kind of place.
    pub place: SecretPlace,
    /// The place: a file's name, a process, an address.
    pub name: String,
    /// How the key is written there: `base64`, `hex`.
    pub encoding: String,
    /// The permission bits of the file, where it is one that an engine wrote.
    pub mode: Option<u32>,
}

/// A control socket of a device that users other than root can connect to, and so read its private key
/// (`get=1` of the cross-platform interface, wireguard.com/xplatform).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSocket {
    /// The node.
    pub node: NodeName,
    /// The socket's path on the node.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
}
