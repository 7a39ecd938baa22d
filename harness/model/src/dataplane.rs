//! A node's dataplane as data, and as the text that reviewers read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::{IfName, NodeName};
use crate::plan::Node;

pub use kind::{LinkKind, RouteKind};

/// The kinds of links and routes.
mod kind;

/// The dataplane as text.
mod text;

/// Lost links: those that carry nothing any more.
mod lost;

/// The listing of nftables as data.
pub(crate) mod ruleset;

/// A node's dataplane as reviewers read it: in the words of `ip`, `wg`, `nft` and
/// `sysctl`, without what differs from run to run. `keys` names the nodes by their
/// public keys in base64; a key that is nobody's becomes `unknown-1` and so on.
pub fn render(plane: &Dataplane, keys: &BTreeMap<String, NodeName>) -> String {
    text::render(plane, keys)
}

/// The same for two dataplanes that do the same, in whatever order the kernel lists their parts.
pub fn comparable(plane: &Dataplane, keys: &BTreeMap<String, NodeName>) -> String {
    let mut plane = plane.clone();
    plane.links.sort_by(|a, b| a.name.cmp(&b.name));
    let mut tables: Vec<_> = plane.nftables.split("table ").collect();
    tables.sort_unstable();
    plane.nftables = tables.join("table ");
    text::render(&plane, keys)
}

/// A rule as `ip rule` prints it.
pub fn rule(rule: &Rule) -> String {
    text::rule(rule)
}

/// A route as `ip -d route` prints it, without the words that are defaults.
pub fn route(route: &Route) -> String {
    text::describe(route)
}

/// A table by its name (`main`) or number.
pub fn table(table: u32) -> String {
    text::table_name(table)
}

/// What is wrong with an interface that a node has to have and that has to be up, in one sentence;
/// none if nothing is.
pub fn lost_link(plane: &Dataplane, node: &Node, name: &IfName) -> Option<String> {
    lost::lost_link(plane, node, name)
}

/// The packets that rules have counted, by [`rule_key`], from `nft list ruleset`. Rules without a
/// counter are left out.
pub fn rule_counts(listing: &str) -> BTreeMap<String, u64> {
    ruleset::counts(listing)
}

/// The identity of a rule of nftables: its table's family and name, its chain, and its text without counts.
/// Rules of one chain with the same text are one.
pub fn rule_key(family: &str, table: &str, chain: &str, rule: &str) -> String {
    format!("{family} {table} {chain}: {rule}")
}

/// The first lines that one of two texts of [`comparable`] has and the other has not; none if
/// they are the same.
pub fn difference(before: &str, after: &str) -> Option<String> {
    let lines = |text: &str| -> BTreeSet<String> {
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    let (old, new) = (lines(before), lines(after));
    if before == after {
        return None;
    }
    let lacks = old.difference(&new).map(|line| format!("without `{line}`"));
    let more = new.difference(&old).map(|line| format!("with `{line}`"));
    let differences: Vec<_> = lacks.chain(more).take(4).collect();
    Some(if differences.is_empty() {
        "in another order".into()
    } else {
        differences.join(", ")
    })
}

/// All that decides what a node does with a packet. The lab fills it in as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dataplane {
    /// In the order of the kernel's indexes.
    pub links: Vec<Link>,
    /// In the kernel's order.
    pub addresses: Vec<Address>,
    /// IPv4 rules in order of priority.
    pub rules: Vec<Rule>,
    /// IPv6 rules; none where the cluster has no IPv6.
    #[serde(default)]
    pub rules6: Vec<Rule>,
    /// Routes of every table.
    pub routes: Vec<Route>,
    /// Every WireGuard device, kernel or userspace.
    pub wireguard: Vec<WireGuard>,
    /// `nft --stateless list ruleset`, as printed.
    pub nftables: String,
    /// The sysctls that matter, by name (`net.ipv4.conf.all.src_valid_mark`).
    pub sysctls: BTreeMap<String, String>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: IfName,
    /// What it is.
    pub kind: LinkKind,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// On which interface.
    pub interface: IfName,
    /// Address and prefix length, host bits kept.
    pub address: IpNet,
    /// `global`, `link` or `host`.
    pub scope: String,
}

/// A routing rule (`ip rule`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// Whether the selector is inverted (`not`).
    pub not: bool,
    /// Mark and mask, where the rule has them.
    pub fwmark: Option<(u32, u32)>,
    /// The table that is looked up; none for other actions.
    pub table: Option<u32>,
    /// Any further selector or action that the lab knows no field for, as `name value`.
    pub other: Vec<String>,
}

/// A route of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The table: 255 is local, 254 main.
    pub table: u32,
    /// Where to; `0.0.0.0/0` is the default route.
    pub destination: IpNet,
    /// What it does with packets.
    pub kind: RouteKind,
    /// The next hop, where there is one.
    pub via: Option<IpAddr>,
    /// The device, where there is one.
    pub interface: Option<IfName>,
    /// Who made it: `kernel`, `boot`, `static` or a number.
    pub protocol: String,
    /// `global`, `link`, `host` or `nowhere`.
    pub scope: String,
    /// The preferred source address, where there is one.
    pub source: Option<IpAddr>,
    /// Zero for most.
    pub metric: u32,
}

/// A WireGuard device. There is no field for a private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuard {
    /// The device's name.
    pub interface: IfName,
    /// Base64; none if the device has no key.
    pub public_key: Option<String>,
    /// The UDP port that it listens at.
    pub listen_port: Option<u16>,
    /// Mark of its outgoing packets; 0 is none.
    pub fwmark: u32,
    /// In any order.
    pub peers: Vec<Peer>,
}

/// A peer of a WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The public key, in base64.
    pub public_key: String,
    /// Where its packets go.
    pub endpoint: Option<SocketAddr>,
    /// In any order.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds; none is off.
    pub keepalive: Option<u16>,
}
