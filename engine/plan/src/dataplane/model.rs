//! The dataplane's types: devices, peers, routes and rules, for the actual and the desired one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::dataplane::firewall::Firewall;
use crate::intent::family::PerFamily;
use crate::intent::key::PublicKey;

/// Everything of a node that this engine looks at and sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dataplane {
    /// The part of each family.
    pub families: PerFamily<FamilyDataplane>,
    /// The nftables of both.
    pub firewall: Firewall,
    /// `net.ipv4.conf.all.src_valid_mark`: whether the reverse-path filter looks at marks.
    pub src_valid_mark: bool,
}

/// The part of a dataplane that belongs to one family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FamilyDataplane {
    /// The tunnel device by name. There is more than one only while one takes the other's place.
    pub devices: BTreeMap<String, Device>,
    /// This engine's routes, and those that an engine of its kind has left behind.
    pub routes: BTreeMap<RouteKey, Target>,
    /// This engine's rules.
    pub rules: BTreeSet<Rule>,
}

/// Where a route is: a table and a network. There is one route of ours for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The routing table's number.
    pub table: u32,
    /// The destination network.
    pub network: IpNet,
}

/// A WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Whether it has a private key. The key itself is nobody's business.
    pub has_key: bool,
    /// Whether it carries this engine's name tag, by which it is known after a change of its name.
    pub tagged: bool,
    /// The MTU in bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Its own addresses.
    pub addresses: BTreeSet<IpNet>,
    /// The UDP port that it listens at.
    pub listen_port: u16,
    /// Mark of its outgoing packets; 0 is none.
    pub fwmark: u32,
    /// Whether kernel threads do its work; none where it is unknown, or does not matter.
    pub threaded: Option<bool>,
    /// By public key.
    pub peers: BTreeMap<PublicKey, Peer>,
}

/// A peer of the device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Where its packets go. A peer that roamed has another one than it was given.
    pub endpoint: Option<SocketAddr>,
    /// What may come from it, and what is sent to it.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Seconds; 0 is off.
    pub keepalive: u16,
}

/// What a route of the engine's table does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Ends the look-up in this table: the packet goes on in clear, by the main table.
    Throw,
    /// Into the tunnel device of that name.
    Tunnel(String),
    /// What an engine of this one's kind has left behind; never wanted.
    Foreign,
}

/// `not from all fwmark MARK/MARK lookup TABLE`, at a priority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// Whether it is for packets without the mark.
    pub not: bool,
    /// Mark and mask.
    pub mark: u32,
    /// The mask of the mark.
    pub mask: u32,
    /// The table that it looks up; 0 where it looks up none (actions `goto`, `blackhole`, …).
    pub table: u32,
    /// Whether it carries this engine's number.
    pub own: bool,
    /// Whether it has other selectors or another action than these fields hold, so that it cannot be this
    /// engine's.
    pub foreign: bool,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.not { "not " } else { "" };
        let Self {
            priority,
            mark,
            mask,
            table,
            ..
        } = self;
        write!(
            f,
            "{priority}: {not}from all fwmark {mark:#x}/{mask:#x} lookup {table}"
        )
    }
}

impl Rule {
    /// This engine's rule.
    pub fn for_mark(priority: u32, mark: u32, table: u32) -> Self {
        Self {
            priority,
            not: true,
            mark,
            mask: mark,
            table,
            own: true,
            foreign: false,
        }
    }

    /// Whether this engine made it.
    pub fn is_own(&self) -> bool {
        self.own && !self.foreign
    }

    /// Whether another engine of this one's kind made it: Felix's rule is for packets without one bit of
    /// a mark, and has no other selector (Felix: `wireguard/wireguard.go`).
    pub fn is_of_our_kind(&self) -> bool {
        let marks_one_bit = self.mark.count_ones() == 1 && self.mask == self.mark;
        self.not && marks_one_bit && !self.foreign && !self.own
    }
}
