//! The TOML as written: every key that a scenario may have, with the place of
//! whatever another part of the file can contradict.
//!
//! What a single value can be wrong about is checked here; what only shows when
//! values meet is checked by [`crate::resolve`].

/// Texts with an inner form: subnets, durations and what the tunnel device may be called.
mod value;

/// The keys of one step, and where the file has them.
mod keys;

/// The words of a step that tampers.
mod tamper;

/// The fabric, and what it does to packets: `[fabric]`, each `[[impairment]]`, and the steps about it.
mod fabric;

/// Each `[[step]]`: what happens, and where the file says so.
mod step;

/// Each `[[dataplane]]`: what a node's dataplane must have and lack.
mod fact;

/// Each `[[promise]]`: what must become of the packets between which endpoints.
mod promise;

/// Each `[[mtu]]`: whose largest packet is looked for.
mod limit;

/// Each `[[warning]]`: what the engine's log may say.
mod warning;

/// Each `[[spoof]]`: which packets are spoofed, and what must become of them.
mod spoof;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use toml::Spanned;

use crate::document::{self, Table};
use crate::name::{EngineName, IfName, NodeName, PodName};
use crate::plan::{Addressing, Family, RouteSource, RpFilter, Settings};
use crate::problem::{Problems, Span};

pub use fabric::{Fabric, Impairment};
pub use fact::DataplaneCheck;
pub use limit::{Limit, Teller};
pub use promise::{Expectation, PairPromise};
pub use spoof::Spoof;
pub use step::Step;
pub(crate) use value::millis;
pub use warning::Warning;

/// The smallest MTU in bytes: every IPv4 host takes a packet of this size (RFC 791, RFC 1122).
pub const MTU_MIN: u16 = 576;

/// Payloads of probes, in bytes: the least has room for five whole tags.
const PAYLOADS: RangeInclusive<u16> = 64..=8000;

const STORES: &[(&str, StoreKind)] = &[("dir", StoreKind::Directory), ("etcd", StoreKind::Etcd)];

const RP_FILTERS: &[(&str, RpFilter)] = &[
    ("strict", RpFilter::Strict),
    ("loose", RpFilter::Loose),
    ("off", RpFilter::Off),
];

const FAMILIES: &[(&str, Family)] = &[("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];

const ROUTE_SOURCES: &[(&str, RouteSource)] = &[
    ("workload-ips", RouteSource::WorkloadIps),
    ("calico-ipam", RouteSource::CalicoIpam),
];

const ADDRESSINGS: &[(&str, Addressing)] =
    &[("veth", Addressing::Veth), ("bridge", Addressing::Bridge)];

/// A scenario as its author wrote it. What was left out is none.
#[derive(Debug)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// The engine under test.
    pub engine: Option<Spanned<EngineName>>,
    /// Where the cluster's resources are.
    pub store: Option<Spanned<StoreKind>>,
    /// The node that an etcd is on.
    pub store_on: Option<Spanned<NodeName>>,
    /// Faults of the engine under which a promise must break.
    pub broken_by: Vec<String>,
    /// The nodes whose dataplanes are snapshotted; none is all.
    pub snapshots: Option<Vec<Spanned<NodeName>>>,
    /// `[fabric]`.
    pub fabric: Fabric,
    /// Each `[[impairment]]`.
    pub impairments: Vec<Impairment>,
    /// `[probes]`.
    pub probes: Probes,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// Each `[node.NAME]`, in the order of the names.
    pub nodes: Vec<Node>,
    /// Each `[pod.NAME]`, in the order of the names.
    pub pods: Vec<Pod>,
    /// Each `[client.NAME]`, in the order of the names.
    pub clients: Vec<Client>,
    /// Each `[phantoms.NAME]`, in the order of the names.
    pub phantoms: Vec<Phantoms>,
    /// Each `[[step]]`.
    pub steps: Vec<Step>,
    /// Each `[[dataplane]]`.
    pub facts: Vec<DataplaneCheck>,
    /// Each `[[promise]]`.
    pub promises: Vec<PairPromise>,
    /// `[flows]`.
    pub flows: Flows,
    /// Each `[[mtu]]`.
    pub limits: Vec<Limit>,
    /// Each `[[spoof]]`.
    pub spoofs: Vec<Spoof>,
    /// Each `[[warning]]`.
    pub warnings: Vec<Warning>,
    /// `[deadline]`.
    pub deadline: Deadline,
}

/// `[flows]`.
#[derive(Debug, Default)]
pub struct Flows {
    /// Whether there are none, although there are steps.
    pub off: bool,
    /// Milliseconds between two packets of a flow.
    pub every: Option<u16>,
    /// The most flows.
    pub count: Option<u16>,
}

/// What the cluster's resources are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A directory.
    Directory,
    /// An etcd.
    Etcd,
}

/// `[cluster]`.
#[derive(Debug, Default)]
pub struct Cluster {
    /// ClusterInformation's type.
    pub kind: Option<String>,
    /// Whether encryption is on at first.
    pub wireguard: Option<bool>,
    /// Whether it covers the nodes' own traffic.
    pub host_encryption: Option<bool>,
    /// Where the pods' addresses come from.
    pub route_source: Option<Spanned<RouteSource>>,
    /// How nodes connect their pods.
    pub addressing: Option<Spanned<Addressing>>,
    /// The families that it speaks.
    pub families: Option<Vec<Spanned<Family>>>,
    /// Name of the tunnel device.
    pub interface: Option<IfName>,
    /// UDP port of the tunnel devices.
    pub listen_port: Option<u16>,
    /// MTU of the tunnel devices, in bytes.
    pub mtu: Option<u16>,
    /// Seconds between keepalives.
    pub keepalive: Option<u16>,
    /// `[cluster.config]` and `[cluster.annotations]`.
    pub settings: Settings,
}

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
    /// Where it is said to be behind a NAT.
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

/// `[probes]`.
#[derive(Debug, Default)]
pub struct Probes {
    /// The least payload, in bytes.
    pub payload: Option<u16>,
}

/// `[deadline]`, in milliseconds.
#[derive(Debug, Default)]
pub struct Deadline {
    /// Until every node is in sync.
    pub ready: Option<u32>,
    /// Until a probe is answered.
    pub probe: Option<u32>,
}

impl Scenario {
    /// Reads a scenario. `file` is its name as the user gave it.
    ///
    /// # Errors
    /// All that is wrong with single keys and values; or the one thing that makes it no TOML.
    pub fn read(file: &str, text: &str) -> Result<Self, Problems> {
        document::read(file, text, "a scenario", scenario)
    }
}

fn scenario(table: &mut Table<'_, '_>) -> Scenario {
    table.require("title", "title = \"what it shows\"");
    Scenario {
        title: table
            .text("title")
            .map(Spanned::into_inner)
            .unwrap_or_default(),
        engine: table.name("engine", "an engine"),
        store: table.word("store", "store", STORES),
        store_on: table.name("store-on", "a node"),
        broken_by: table
            .texts("broken-by")
            .map(Spanned::into_inner)
            .into_iter()
            .flatten()
            .map(Spanned::into_inner)
            .collect(),
        snapshots: table.names("snapshots", "a node"),
        fabric: table
            .table("fabric", "the fabric", fabric::fabric)
            .unwrap_or_default(),
        impairments: table
            .tables("impairment", "an impairment", fabric::impairment)
            .into_iter()
            .flatten()
            .collect(),
        probes: table
            .table("probes", "the probes", probes)
            .unwrap_or_default(),
        cluster: table
            .table("cluster", "the cluster", cluster)
            .unwrap_or_default(),
        nodes: table.named_tables("node", "a node", node),
        pods: table.named_tables("pod", "a pod", pod),
        clients: table.named_tables("client", "a client", client),
        phantoms: table.named_tables("phantoms", "phantoms", phantoms),
        steps: table
            .tables("step", "a step", step::step)
            .into_iter()
            .flatten()
            .collect(),
        facts: table
            .tables("dataplane", "a dataplane", fact::fact)
            .into_iter()
            .flatten()
            .collect(),
        promises: table
            .tables("promise", "a promise", promise::promise)
            .into_iter()
            .flatten()
            .collect(),
        flows: table.table("flows", "the flows", flows).unwrap_or_default(),
        limits: table
            .tables("mtu", "a promise about sizes", limit::limit)
            .into_iter()
            .flatten()
            .collect(),
        spoofs: table
            .tables("spoof", "a spoof", spoof::spoof)
            .into_iter()
            .flatten()
            .collect(),
        warnings: table
            .tables("warning", "a warning", warning::warning)
            .into_iter()
            .flatten()
            .collect(),
        deadline: table
            .table("deadline", "the deadline", deadline)
            .unwrap_or_default(),
    }
}

fn cluster(table: &mut Table<'_, '_>) -> Cluster {
    Cluster {
        kind: table
            .parsed("type", value::cluster_type)
            .map(Spanned::into_inner),
        wireguard: table.flag("wireguard"),
        host_encryption: table.flag("host-encryption"),
        route_source: table.word("route-source", "route source", ROUTE_SOURCES),
        addressing: table.word("addressing", "addressing", ADDRESSINGS),
        families: table
            .words("families", "family", FAMILIES)
            .map(Spanned::into_inner),
        interface: table
            .parsed("interface", value::tunnel_device)
            .map(Spanned::into_inner),
        listen_port: table.number("listen-port", 1..=u16::MAX, ""),
        mtu: mtu(table),
        keepalive: table.number("keepalive", 0..=u16::MAX, " seconds"),
        settings: settings(table),
    }
}

fn node(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Node {
    Node {
        name,
        address: table.address("address"),
        pods: table.names("pods", "a pod").unwrap_or_default(),
        mtu: mtu(table),
        rp_filter: rp_filter(table),
        wireguard: table.flag("wireguard"),
        behind_nat: table
            .flag("behind-nat")
            .filter(|behind| *behind)
            .and_then(|_| table.place_of("behind-nat")),
        settings: settings(table),
    }
}

/// Fields and annotations of a FelixConfiguration.
fn settings(table: &mut Table<'_, '_>) -> Settings {
    Settings {
        fields: table.values("config"),
        annotations: table.annotations("annotations"),
    }
}

fn pod(name: Spanned<PodName>, table: &mut Table<'_, '_>) -> Pod {
    Pod {
        name,
        address: table.address("address"),
        node: table.name("node", "a node"),
        mtu: mtu(table),
        rp_filter: rp_filter(table),
    }
}

fn client(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Client {
    Client {
        name,
        address: table.address("address"),
    }
}

fn phantoms(name: Spanned<NodeName>, table: &mut Table<'_, '_>) -> Phantoms {
    Phantoms {
        name,
        nodes: table.number("nodes", 1..=1000, " nodes").unwrap_or(1),
        pods: table.number("pods", 0..=10_000, " pods").unwrap_or(0),
    }
}

fn flows(table: &mut Table<'_, '_>) -> Flows {
    Flows {
        off: table.flag("off").unwrap_or_default(),
        every: table.number("every", 1..=1000, " milliseconds"),
        count: table.number("count", 1..=1000, " flows"),
    }
}

fn probes(table: &mut Table<'_, '_>) -> Probes {
    Probes {
        payload: table.number("payload", PAYLOADS, " bytes"),
    }
}

fn deadline(table: &mut Table<'_, '_>) -> Deadline {
    let mut millis = |key| table.parsed(key, millis).map(Spanned::into_inner);
    Deadline {
        ready: millis("ready"),
        probe: millis("probe"),
    }
}

fn rp_filter(table: &mut Table<'_, '_>) -> Option<RpFilter> {
    let filter = table.word("rp-filter", "reverse-path filter", RP_FILTERS);
    filter.map(Spanned::into_inner)
}

fn mtu(table: &mut Table<'_, '_>) -> Option<u16> {
    table.number("mtu", MTU_MIN..=u16::MAX, " bytes")
}
