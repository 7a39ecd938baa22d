//! The TOML as written: every key that a scenario may have, with the place of
//! whatever another part of the file can contradict.
//!
//! What a single value can be wrong about is checked here; what only shows when
//! values meet is checked by [`crate::resolve`].

/// Texts with an inner form: subnets, durations and what the tunnel device may be called.
mod value;

/// The keys of one `[[step]]`, and their places in the file.
mod keys;

/// The words of a step that tampers.
mod tamper;

/// Ports that an author gives to tunnels.
mod port;

/// `[cluster]`, and the fields of a FelixConfiguration.
mod cluster;

/// Nodes, pods, clients and phantoms.
mod host;

/// The steps about the store.
mod store;

/// The fabric and its impairments: `[fabric]`, each `[[impairment]]`, and the steps about it.
mod fabric;

/// Each `[[step]]`: its action, and its place in the file.
mod step;

/// Each `[[dataplane]]`: what a node's dataplane must have and lack.
mod dataplane_check;

/// Each `[[promise]]`: what must become of the packets between which endpoints.
mod promise;

/// Each `[[mtu]]`: the pair whose largest packet is searched.
mod mtu;

/// Each `[[warning]]`: what the engine's log may have.
mod warning;

/// Each `[[spoof]]`: which packets are spoofed, and what must become of them.
mod spoof;

use std::ops::RangeInclusive;

use toml::Spanned;

use crate::document::{self, Key, Table, TableGrammar, Word};
use crate::name::{EngineName, NodeName};
use crate::plan::Family;
use crate::problem::Problems;

pub use cluster::Cluster;
pub use dataplane_check::DataplaneCheck;
pub use fabric::{Fabric, Impairment};
pub use host::{Client, Node, Phantoms, Pod};
pub use mtu::{MtuTable, Reporter};
pub use promise::{Expectation, PairPromise};
pub use spoof::Spoof;
pub use step::Step;
pub(crate) use value::{DURATION, millis};
pub use warning::Warning;

/// The smallest MTU in bytes: every IPv4 host takes a packet of this size (RFC 791, RFC 1122).
pub const MTU_MIN: u16 = 576;

/// Payloads of probes, in bytes: the least has room for five whole tags.
const PAYLOADS: RangeInclusive<u16> = 64..=8000;

const STORES: &[Word<StoreKind>] = &[
    (
        "dir",
        StoreKind::Directory,
        "a directory, with a JSON file for each resource",
    ),
    ("etcd", StoreKind::Etcd, "an etcd, with Calico's keys"),
];

const FAMILIES: &[Word<Family>] = &[
    (
        "ipv4",
        Family::Ipv4,
        "IPv4, whose addresses are written or chosen",
    ),
    (
        "ipv6",
        Family::Ipv6,
        "IPv6, whose addresses follow from the IPv4 ones",
    ),
];

const TITLE: Key = Key::required(
    "title",
    "what the scenario shows",
    "title = \"what it shows\"",
);

const ENGINE: Key = Key::or(
    "engine",
    "the engine under test: `wiremesh` or `none`; `run --engine FILE.toml` runs any other",
    "\"wiremesh\"",
);

const STORE: Key = Key::or("store", "where the cluster's resources are", "\"dir\"");

const STORE_ON: Key = Key::optional(
    "store-on",
    "the node that etcd runs on",
    "a host of its own, which is no node",
);

const BROKEN_BY: Key = Key::optional(
    "broken-by",
    "faults of the engine, each of which must break the scenario; each is a trial of its own",
    "none",
);

const SNAPSHOTS: Key = Key::optional(
    "snapshots",
    "the nodes whose dataplanes are snapshotted",
    "all",
);

const FABRIC: Key = Key::table("fabric", "what connects the nodes");

const IMPAIRMENT: Key = Key::table(
    "impairment",
    "what the wire does to packets from the beginning; each has one of `loss`, `every`, `rate` and `delay`",
)
.more(include_str!("scenario/impairment.md"));

const PROBES: Key = Key::table(
    "probes",
    "the tagged packets by which promises of pairs are judged",
);

const CLUSTER: Key = Key::table(
    "cluster",
    "what is configured for all nodes, and how pods are connected",
);

const NODE: Key = Key::table(
    "node",
    "a node: a network namespace with an uplink to the fabric and an agent of the engine",
)
.more(include_str!("scenario/node.md"));

const POD: Key = Key::table(
    "pod",
    "details of a pod that a node lists in `pods`, or a pod that is on `node`",
);

const CLIENT: Key = Key::table(
    "client",
    "a host on the network, outside the cluster; what goes between it and nodes or pods is promised to be plaintext",
);

const PHANTOMS: Key = Key::table(
    "phantoms",
    "nodes `NAME-1`, `NAME-2`, ... that only the store knows of",
)
.more(
    "The engine has to configure them as any other node, and nothing is at their addresses: the last addresses of the\n\
     subnet that nobody else has, in a row.",
);

const STEP: Key = Key::table("step", "what happens, in order, before the probes")
    .more(include_str!("scenario/step.md"));

const DATAPLANE: Key = Key::table(
    "dataplane",
    "what a node's dataplane must have and lack: parts of lines of its snapshot, or parts of it by name",
)
.more(include_str!("scenario/dataplane.md"));

const PROMISE: Key = Key::table(
    "promise",
    "what must become of the packets between which endpoints, in place of what follows from their class",
)
.more(include_str!("scenario/promise.md"));

const FLOWS: Key = Key::table(
    "flows",
    "numbered packets between the endpoints that go on through every step",
)
.more(include_str!("scenario/flows.md"));

const LIMIT: Key = Key::table(
    "mtu",
    "the largest packet from one endpoint to another, in each family, and what becomes of larger ones",
)
.more(include_str!("scenario/mtu.md"));

const SPOOF: Key = Key::table("spoof", "spoofed packets, and what must become of them")
    .more(include_str!("scenario/spoof.md"));

const WARNING: Key = Key::table(
    "warning",
    "what the engine's log may have at the level of warnings and above, in one agent's log or in any",
)
.more(include_str!("scenario/warning.md"));

const DEADLINE: Key = Key::table(
    "deadline",
    "how long the lab waits, if a step says nothing else",
);

const OFF: Key = Key::or("off", "whether there are none", "false");

const EVERY: Key = Key::optional(
    "every",
    "the time between two packets of a flow",
    "longer, the more flows there are",
);

const COUNT: Key = Key::or(
    "count",
    "how many flows there are at most; one for each two nodes and class there is anyway",
    "48",
);

const PAYLOAD: Key = Key::or(
    "payload",
    "the least payload of a probe; some have up to 240 bytes more",
    "64",
);

const READY: Key = Key::or(
    "ready",
    "how long it waits for the engine: from the start, or from a step, until every agent is in sync",
    "\"20s\"",
);

const PROBE: Key = Key::or(
    "probe",
    "how long it waits for an answer to a probe",
    "\"3s\"",
);

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
    pub dataplane_checks: Vec<DataplaneCheck>,
    /// Each `[[promise]]`.
    pub promises: Vec<PairPromise>,
    /// `[flows]`.
    pub flows: Flows,
    /// Each `[[mtu]]`.
    pub limits: Vec<MtuTable>,
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

    /// Every table that a scenario may have, with its keys.
    pub fn grammar() -> Vec<TableGrammar> {
        document::record("what stands before the first table", scenario)
    }
}

fn scenario(table: &mut Table<'_, '_>) -> Scenario {
    Scenario {
        title: table
            .text(TITLE)
            .map(Spanned::into_inner)
            .unwrap_or_default(),
        engine: table.name(ENGINE, "an engine"),
        store: table.word(STORE, "store", STORES),
        store_on: table.name(STORE_ON, "a node"),
        broken_by: table
            .texts(BROKEN_BY)
            .map(Spanned::into_inner)
            .into_iter()
            .flatten()
            .map(Spanned::into_inner)
            .collect(),
        snapshots: table.names(SNAPSHOTS, "a node"),
        fabric: table
            .table(FABRIC, "the fabric", fabric::fabric)
            .unwrap_or_default(),
        impairments: table
            .tables(IMPAIRMENT, "an impairment", fabric::impairment)
            .into_iter()
            .flatten()
            .collect(),
        probes: table
            .table(PROBES, "the probes", probes)
            .unwrap_or_default(),
        cluster: table
            .table(CLUSTER, "the cluster", cluster::cluster)
            .unwrap_or_default(),
        nodes: table.named_tables(NODE, "a node", host::node),
        pods: table.named_tables(POD, "a pod", host::pod),
        clients: table.named_tables(CLIENT, "a client", host::client),
        phantoms: table.named_tables(PHANTOMS, "phantoms", host::phantoms),
        steps: table
            .tables(STEP, "a step", step::step)
            .into_iter()
            .flatten()
            .collect(),
        dataplane_checks: table
            .tables(DATAPLANE, "a dataplane", dataplane_check::read)
            .into_iter()
            .flatten()
            .collect(),
        promises: table
            .tables(PROMISE, "a promise", promise::promise)
            .into_iter()
            .flatten()
            .collect(),
        flows: table.table(FLOWS, "the flows", flows).unwrap_or_default(),
        limits: table
            .tables(LIMIT, "a promise about sizes", mtu::limit)
            .into_iter()
            .flatten()
            .collect(),
        spoofs: table
            .tables(SPOOF, "a spoof", spoof::spoof)
            .into_iter()
            .flatten()
            .collect(),
        warnings: table
            .tables(WARNING, "a warning", warning::warning)
            .into_iter()
            .flatten()
            .collect(),
        deadline: table
            .table(DEADLINE, "the deadline", deadline)
            .unwrap_or_default(),
    }
}

fn flows(table: &mut Table<'_, '_>) -> Flows {
    Flows {
        off: table.flag(OFF).unwrap_or_default(),
        every: table.number(EVERY, 1..=1000, "milliseconds"),
        count: table.number(COUNT, 1..=1000, "flows"),
    }
}

fn probes(table: &mut Table<'_, '_>) -> Probes {
    Probes {
        payload: table.number(PAYLOAD, PAYLOADS, "bytes"),
    }
}

fn deadline(table: &mut Table<'_, '_>) -> Deadline {
    let mut read = |key| {
        let time = table.parsed(key, DURATION, millis);
        time.map(Spanned::into_inner)
    };
    Deadline {
        ready: read(READY),
        probe: read(PROBE),
    }
}

fn read_mtu(table: &mut Table<'_, '_>, key: Key) -> Option<u16> {
    table.number(key, MTU_MIN..=u16::MAX, "bytes")
}

fn placed_mtu(table: &mut Table<'_, '_>, key: Key) -> Option<Spanned<u16>> {
    let mtu = read_mtu(table, key).zip(table.place_of(key));
    mtu.map(|(mtu, place)| Spanned::new(place, mtu))
}
