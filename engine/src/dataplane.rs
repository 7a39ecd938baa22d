//! What a node's dataplane can be like, for what is and for what should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use ipnet::Ipv4Net;

use crate::key::PublicKey;

/// Everything of a node that this engine looks at and sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dataplane {
    /// The tunnel device.
    pub(crate) device: Option<Device>,
    /// The routes of the engine's own table.
    pub(crate) routes: BTreeMap<Ipv4Net, Target>,
    /// The rules that look the engine's table up.
    pub(crate) rules: BTreeSet<Rule>,
    /// The nftables table that marks incoming packets.
    pub(crate) incoming_mark: Option<IncomingMark>,
    /// `net.ipv4.conf.all.src_valid_mark`: whether the reverse-path filter looks at marks.
    pub(crate) src_valid_mark: bool,
}

/// A WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name.
    pub(crate) name: String,
    /// Whether it has a private key. The key itself is nobody's business.
    pub(crate) has_key: bool,
    /// In bytes.
    pub(crate) mtu: u32,
    /// Whether it is switched on.
    pub(crate) up: bool,
    /// Its own addresses.
    pub(crate) addresses: BTreeSet<Ipv4Net>,
    /// UDP port.
    pub(crate) listen_port: u16,
    /// Mark of its outgoing packets; 0 is none.
    pub(crate) fwmark: u32,
    /// By public key.
    pub(crate) peers: BTreeMap<PublicKey, Peer>,
}

/// A peer of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Where its packets go. A peer that roamed has another one than it was given.
    pub(crate) endpoint: Option<SocketAddrV4>,
    /// What may come from it, and what is sent to it.
    pub(crate) allowed_ips: BTreeSet<Ipv4Net>,
    /// Seconds; 0 is off.
    pub(crate) keepalive: u16,
}

/// What a route of the engine's table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Ends the look-up in this table: the packet goes on in clear, by the main table.
    Throw,
    /// Into the tunnel.
    Tunnel,
    /// Somewhere else; never wanted.
    Foreign,
}

/// `not from all fwmark MARK/MARK lookup TABLE`, at a priority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// Lower is asked first.
    pub(crate) priority: u32,
    /// Whether it is for packets without the mark.
    pub(crate) not: bool,
    /// Mark and mask.
    pub(crate) mark: u32,
    /// The mask of the mark.
    pub(crate) mask: u32,
    /// The table.
    pub(crate) table: u32,
    /// Whether the kernel knows more about it than these fields, so that it cannot be ours.
    pub(crate) foreign: bool,
}

/// Which incoming packets get the mark, so that the reverse-path filter looks up the
/// way back as if WireGuard itself sent the answer (Felix: `cali-wireguard-incoming-mark`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncomingMark {
    /// The mark.
    pub(crate) mark: u32,
    /// Packets from these interfaces are left alone: the loopback and tunnel devices.
    pub(crate) interfaces: BTreeSet<String>,
    /// And from interfaces with these prefixes: the pods'.
    pub(crate) prefixes: BTreeSet<String>,
}
