//! The plan: a scenario with every name resolved and every address chosen. A [`Plan`] that exists is valid:
//! building the lab from it can fail only because of the machine.

/// IPv4 and IPv6.
mod family;

/// The source of pods' addresses: Calico IPAM, the fabric, or bridges.
mod ipam;

/// A NAT in front of a node.
mod nat;

/// The fabric between the nodes, and its impairments.
mod fabric;

/// Fields of FelixConfiguration, as an author writes them.
mod settings;

/// The cluster: its settings in the store, its nodes and pods, and both as endpoints.
mod cluster;

/// Blocks of Calico IPAM, and their nodes.
mod block;

/// Promises about one ordered pair and one protocol, and the probes that test them.
mod promise;

/// Tampering: changes to a node's dataplane behind the engine's back.
mod tamper;

/// Replacements of a Node in a directory's file.
mod replaced;

/// The store of the cluster's resources: a directory, or an etcd.
mod store;

/// Needs: requirements of a plan that not every machine meets.
mod need;

/// Actions of steps.
mod action;

/// Flows: packets that are sent throughout every step.
mod flow;

/// Promises about MTUs: the sizes that must arrive, and the ICMP errors for larger ones.
mod mtu;

/// Spoofed packets, and whether they must arrive.
mod spoof;

/// Promises that pairs are never plaintext on the wire in the whole run.
mod never_plaintext;

/// An engine's required conduct: its log, its memory and its end.
mod conduct;

/// Named parts of a node's dataplane.
mod dataplane_check;

/// The state of a cluster after some of its steps.
mod state;

/// The values that Calico's Felix gives to a node's dataplane.
mod calico_values;

/// Whether a pair of endpoints must be encrypted, plaintext or blocked, by the cluster's settings.
mod pair;

/// The ports of the lab's own packets.
mod lab_port;

/// Phantoms: nodes that exist only in the store, for clusters larger than the machine.
mod phantom;

/// Deadlines of the engines, a probe and a step (set in `resolve/step.rs`), and how they grow on a slow machine.
mod deadline;

/// All promises of a run, in one list.
mod promise_list;

/// Static neighbour entries (ARP, ND) for large clusters, which would fill the kernel's table.
mod neighbour;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::{EndpointName, EngineName, NodeName};

pub(crate) use action::ActionKind;
pub use action::{
    Action, AgentChange, Change, Comparisons, Configuration, Drops, Excuse, NodeChange,
    OperatorCommand, PodChange,
};
pub use block::{Block, blocks_of};
pub use calico_values::{CalicoPeer, CalicoValues};
pub use cluster::IPV6_MTU_MIN;
pub(crate) use cluster::POD_MTU;
pub use cluster::{Cluster, Endpoint, Node, Pod, RpFilter};
pub use conduct::{Conduct, LogForm, LogLine, Warning, WireGuardKind};
pub(crate) use dataplane_check::DataplaneItemKind;
pub use dataplane_check::{DataplaneCheck, DataplaneItem, SYSCTLS};
pub use deadline::{Deadlines, Patience, Timeout};
pub use fabric::{
    BeyondMtu, Fabric, FabricAction, FabricKind, Impairment, ImpairmentKind, WireDirection,
    gateway_of,
};
pub use family::Family;
pub(crate) use flow::OUTAGE;
pub use flow::{Flow, FlowId, Flows, StepKind, StepPromise};
pub use ipam::{Addressing, BRIDGE, RouteSource};
pub(crate) use ipam::{BLOCK_PREFIX, BLOCK_SIZE, BRIDGED, BRIDGED_PREFIX, POOL};
pub use lab_port::{FLOW_PORT, LAB_PORTS, PROBE_PORT};
pub(crate) use lab_port::{MOST_SIZES, MOST_SPOOFS, describe as lab_ports_described};
pub use mtu::{Bulk, Hop, MtuKind, MtuPlan, MtuPromise, SizeId, SizeProbe};
pub use nat::Nat;
pub use need::Need;
pub use never_plaintext::NeverPlaintext;
pub(crate) use pair::FlowCourse;
pub use phantom::Phantom;
pub use promise::{Class, Origin, PairPromise, Probe, ProbeId, PromiseId, Protection, Protocol};
pub use promise_list::{
    Budget, BudgetLimit, CalicoPart, DataplanePart, EnginePromise, HostPromise, KindOfPromise,
    Promise, PromiseKind,
};
pub use settings::Settings;
pub(crate) use settings::{LISTEN_PORT, LISTEN_PORT_V6};
pub use spoof::{DropBy, SPOOFED, Spoof, SpoofId};
pub use state::State;
pub use store::{STORE_HOST, Store, StoreAction};
pub use tamper::{Foreign, Own, Settles, Tamper};
pub(crate) use tamper::{ForeignKind, OwnKind};

/// One scenario, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What the scenario shows, in one line.
    pub title: String,
    /// The engine under test.
    pub engine: EngineName,
    /// Whether that engine claims to keep plaintext destinations out of its tunnel by throw
    /// routes, and is held to it. Whoever finds the engine's descriptor sets it.
    #[serde(default)]
    pub throws: bool,
    /// Whether that engine claims that its dataplanes have Calico's values, and is held to them. Whoever finds
    /// the engine's descriptor sets it.
    #[serde(default)]
    pub calico_values: bool,
    /// What that engine claims of its own conduct. Whoever finds its descriptor sets it.
    #[serde(default)]
    pub conduct: Conduct,
    /// Warnings of the engine that are expected.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Faults of the engine under which a promise must break.
    #[serde(default)]
    pub broken_by: Vec<String>,
    /// The nodes whose dataplanes reviewers read.
    #[serde(default)]
    pub snapshots: Vec<NodeName>,
    /// What connects the nodes.
    pub fabric: Fabric,
    /// The cluster's intent, as it is in the store before the engine starts.
    pub cluster: Cluster,
    /// Where its resources are.
    #[serde(default)]
    pub store: Store,
    /// Everyone who exists at some time, in the order of their names; pods are where they are at first.
    pub nodes: Vec<Node>,
    /// Hosts on the fabric that are outside the cluster: no engine knows of them.
    #[serde(default)]
    pub clients: Vec<Node>,
    /// Nodes that only the store knows of.
    #[serde(default)]
    pub phantoms: Vec<Phantom>,
    /// Those of the nodes and pods who only come with a step.
    #[serde(default)]
    pub later: BTreeSet<EndpointName>,
    /// What happens, in order, before the probes are sent.
    pub steps: Vec<Step>,
    /// What nodes' dataplanes must have and lack.
    #[serde(default)]
    pub facts: Vec<DataplaneCheck>,
    /// In the order in which they are sent; `probes[i].id == ProbeId(i)`.
    pub probes: Vec<Probe>,
    /// In the order of the report; `promises[i].id == PromiseId(i)`.
    pub promises: Vec<PairPromise>,
    /// What goes on through every step, and what is promised about it.
    #[serde(default)]
    pub flows: Flows,
    /// What is promised about the sizes of packets.
    #[serde(default)]
    pub limits: MtuPlan,
    /// Packets that are spoofed after the last step; `spoofs[i].id == SpoofId(i)`.
    #[serde(default)]
    pub spoofs: Vec<Spoof>,
    /// Pairs that nobody may read on the wire, whenever.
    #[serde(default)]
    pub never_plaintext: Vec<NeverPlaintext>,
    /// How long the lab waits for what it waits for.
    pub deadlines: Deadlines,
}

/// One step of the plan: an action, and what is promised while it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happens in the step.
    pub action: Action,
    /// How long everything may take to settle, in milliseconds.
    pub deadline: u32,
    /// For how long flows may be interrupted by it, in milliseconds.
    #[serde(default = "flow::outage")]
    pub outage: u32,
    /// How many frames of protected flows may be readable during it, with nothing excused; none is
    /// not one, but for what the step itself breaks.
    #[serde(default)]
    pub leaks: Option<u32>,
    /// In how many milliseconds everything has to settle; none is within the deadline.
    #[serde(default)]
    pub settles_within: Option<u32>,
    /// The scenario's line that states it, counted from 1.
    pub line: u32,
    /// The most kernel writes that the engine may do in it, announced or observed; none is any.
    #[serde(default)]
    pub writes: Option<u32>,
}

impl Plan {
    /// Every endpoint of the plan: for each node in order, the node and then its pods; then the
    /// clients.
    pub fn endpoints(&self) -> Vec<Endpoint<'_>> {
        cluster::endpoints_of(self.nodes.iter().chain(&self.clients))
    }

    /// The endpoint of that name; a plan's own promises and probes name existing ones.
    pub fn endpoint(&self, name: &EndpointName) -> Option<Endpoint<'_>> {
        cluster::endpoint_of(self.nodes.iter().chain(&self.clients), name)
    }
}
