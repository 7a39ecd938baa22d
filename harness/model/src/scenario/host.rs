//! Hosts: each `[node.NAME]`, `[pod.NAME]`, `[client.NAME]` and `[phantoms.NAME]`.

use std::net::Ipv4Addr;

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::{NodeName, PodName};
use crate::plan::{RpFilter, Settings};
use crate::problem::Span;

use super::cluster::settings;
use super::read_mtu;

const RP_FILTERS: &[Word<RpFilter>] = &[
    (
        "strict",
        RpFilter::Strict,
        "a packet passes where its source is routed back by the same interface (`rp_filter` 1)",
    ),
    (
        "loose",
        RpFilter::Loose,
        "a packet passes where its source is routed by any interface (`rp_filter` 2)",
    ),
    ("off", RpFilter::Off, "every packet passes (`rp_filter` 0)"),
];

/// The message about an address that is none: which one is accepted depends on whose it is.
pub(super) const NODE_ADVICE: &str =
    "write an address of the fabric's subnet, such as `address = \"10.240.0.4\"`";
const POD_ADVICE: &str = "write an address of the fabric's subnet, such as `address = \"10.240.0.4\"`; with \
                          `calico-ipam` one of 10.65.0.0/16, with bridges one of 10.244.0.0/16";
const CLIENT_ADVICE: &str =
    "write an address outside the cluster, such as `address = \"198.51.100.10\"`";

const ADDRESS: Key = Key::optional("address", "its address", "chosen of its subnet");

const CLIENT_ADDRESS: Key = Key::optional("address", "its address", "chosen of 198.51.100.0/24");

const PODS: Key = Key::optional("pods", "the pods on it", "none");

const MTU: Key = Key::or("mtu", "its uplink's MTU", "1500");

const RP_FILTER: Key = Key::or(
    "rp-filter",
    "its uplink's reverse-path filter",
    "\"strict\"",
);

const WIREGUARD: Key = Key::or("wireguard", "whether it takes part in encryption", "true");

const BEHIND_NAT: Key = Key::or(
    "behind-nat",
    "whether it is behind a NAT",
    "false",
)
.more(
    "Behind a NAT a node's packets leave from other ports (from 40000), and a packet to it arrives only where it has sent\n\
     one before. There is one such node at most, in a virtual network (`vnet`) that encrypts everything, in IPv4, with\n\
     `cluster.keepalive`.",
);

const CONFIG: Key = Key::optional(
    "config",
    "fields of FelixConfiguration `node.NAME`, which are passed on as they are",
    "none",
);

const ANNOTATIONS: Key = Key::optional(
    "annotations",
    "annotations of FelixConfiguration `node.NAME`",
    "none",
);

const ON: Key = Key::optional("node", "the node that it is on", "the node that lists it");

const POD_MTU: Key = Key::or("mtu", "its link's MTU", "1500");

const POD_RP_FILTER: Key = Key::or(
    "rp-filter",
    "the reverse-path filter of its node's end of the veth",
    "\"off\"",
);

const COUNT: Key = Key::or("nodes", "how many there are", "1");

const PODS_OF_EACH: Key = Key::or("pods", "how many pods each has", "0");

/// `[node.NAME]`.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: Spanned<NodeName>,
    /// Its address.
    pub address: Option<Spanned<Ipv4Addr>>,
    /// The pods on it.
    pub pods: Vec<Spanned<PodName>>,
    /// MTU of its uplink, in bytes.
    pub mtu: Option<u16>,
    /// Reverse-path filter of its uplink.
    pub rp_filter: Option<RpFilter>,
    /// Whether it takes part in encryption.
    pub wireguard: Option<bool>,
    /// The place where it is stated to be behind a NAT.
    pub behind_nat: Option<Span>,
    /// `[node.NAME.config]` and `[node.NAME.annotations]`.
    pub settings: Settings,
}

/// `[pod.NAME]`.
#[derive(Debug)]
pub struct Pod {
    /// Its name.
    pub name: Spanned<PodName>,
    /// Its address.
    pub address: Option<Spanned<Ipv4Addr>>,
    /// The node it is on.
    pub node: Option<Spanned<NodeName>>,
    /// MTU of its link, in bytes.
    pub mtu: Option<u16>,
    /// Reverse-path filter of the node's end of its link.
    pub rp_filter: Option<RpFilter>,
}

/// `[client.NAME]`.
#[derive(Debug)]
pub struct Client {
    /// Its name.
    pub name: Spanned<NodeName>,
    /// Its address.
    pub address: Option<Spanned<Ipv4Addr>>,
}

/// `[phantoms.NAME]`.
#[derive(Debug)]
pub struct Phantoms {
    /// What each is called, before its number.
    pub name: Spanned<NodeName>,
    /// How many nodes.
    pub nodes: u16,
    /// How many pods on each.
    pub pods: u16,
}

pub(super) fn node(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Node {
    Node {
        name,
        address: table.address(ADDRESS, NODE_ADVICE),
        pods: table.names(PODS, "a pod").unwrap_or_default(),
        mtu: read_mtu(table, MTU),
        rp_filter: rp_filter(table, RP_FILTER),
        wireguard: table.flag(WIREGUARD),
        behind_nat: table
            .flag(BEHIND_NAT)
            .filter(|behind| *behind)
            .and_then(|_| table.place_of(BEHIND_NAT)),
        settings: settings(table, CONFIG, ANNOTATIONS),
    }
}

pub(super) fn pod(name: Spanned<PodName>, table: &mut Table<'_, '_>) -> Pod {
    Pod {
        name,
        address: table.address(ADDRESS, POD_ADVICE),
        node: table.name(ON, "a node"),
        mtu: read_mtu(table, POD_MTU),
        rp_filter: rp_filter(table, POD_RP_FILTER),
    }
}

pub(super) fn client(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Client {
    Client {
        name,
        address: table.address(CLIENT_ADDRESS, CLIENT_ADVICE),
    }
}

pub(super) fn phantoms(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Phantoms {
    Phantoms {
        name,
        nodes: table.number(COUNT, 1..=1000, "nodes").unwrap_or(1),
        pods: table.number(PODS_OF_EACH, 0..=10_000, "pods").unwrap_or(0),
    }
}

fn rp_filter(table: &mut Table<'_, '_>, key: Key) -> Option<RpFilter> {
    let filter = table.word(key, "reverse-path filter", RP_FILTERS);
    filter.map(Spanned::into_inner)
}
