//! The scenario as meant. A [`Plan`] that exists is valid: building the lab from
//! it can fail only because of the machine.

/// IPv4 and IPv6.
mod family;

/// Calico IPAM: blocks of a pool, and who has which.
mod ipam;

/// What hides a node from strangers.
mod nat;

/// What connects the nodes.
mod fabric;

/// Fields of FelixConfiguration, as an author writes them.
mod settings;

/// What somebody else does to a node's dataplane, behind the engine's back.
mod tamper;

/// What takes the place of a Node in a directory's file.
mod replaced;

/// Where the cluster's resources are.
mod store;

/// What a plan needs of a machine that not every machine has.
mod need;

/// What happens in a step.
mod action;

/// Packets that go through every step.
mod flow;

/// What is promised about the sizes of packets.
mod limit;

/// Forged packets, and what has to become of them.
mod intrusion;

/// What nobody may read on the wire in the whole run.
mod secret;

/// How an engine has to behave besides its work.
mod conduct;

/// Named parts of a node's dataplane.
mod thing;

/// What a cluster has become after some of its steps.
mod state;

/// What the cluster's intent says about two endpoints.
mod pair;

/// Nodes that only the store knows of.
mod phantom;

/// How many times as long everything may take.
mod patience;

/// Ethernet addresses that nodes are given, where asking for them would fill the kernel's table.
mod neighbour;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::name::{EndpointName, EngineName, IfName, NodeName, PodName};

pub(crate) use action::ActionKind;
pub use action::{
    Action, AgentChange, Change, Comparisons, Configuration, Drops, Excuse, NodeChange,
    OperatorCommand, PodChange,
};
pub use conduct::{Conduct, LogForm, LogLine, Warning, WireGuardKind};
pub use fabric::{BeyondMtu, Fabric, FabricAction, FabricKind, Harm, Way, WireFault, gateway_of};
pub use family::Family;
pub(crate) use flow::OUTAGE;
pub use flow::{Flow, FlowId, Flows, StepKind, StepPromise};
pub use intrusion::{DropBy, FORGED, Intrusion, IntrusionId};
pub use ipam::{Addressing, Block, RouteSource, blocks_of};
pub(crate) use ipam::{BLOCK_PREFIX, BLOCK_SIZE, BRIDGED, BRIDGED_PREFIX, POOL};
pub(crate) use limit::POD_MTU;
pub use limit::{Bulk, Hop, IPV6_MTU_MIN, LimitKind, LimitPromise, Limits, SizeId, SizeProbe};
pub use nat::Nat;
pub use need::Need;
pub(crate) use pair::FlowCourse;
pub use patience::{Allowed, Patience};
pub use phantom::Phantom;
pub use secret::Secret;
pub use settings::Settings;
pub(crate) use settings::{LISTEN_PORT, LISTEN_PORT_V6};
pub use state::State;
pub use store::{STORE_HOST, Store, StoreAction};
pub use tamper::{Foreign, Own, Settles, Tamper};
pub use thing::{Fact, SYSCTLS, Thing};

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
    /// The cluster's intent, as told to the engine before it starts.
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
    pub facts: Vec<Fact>,
    /// In the order in which they are sent; `probes[i].id == ProbeId(i)`.
    pub probes: Vec<Probe>,
    /// In the order of the report; `promises[i].id == PromiseId(i)`.
    pub promises: Vec<Promise>,
    /// What goes on through every step, and what is promised about it.
    #[serde(default)]
    pub flows: Flows,
    /// What is promised about the sizes of packets.
    #[serde(default)]
    pub limits: Limits,
    /// Packets that are forged after the last step; `intrusions[i].id == IntrusionId(i)`.
    #[serde(default)]
    pub intrusions: Vec<Intrusion>,
    /// Pairs that nobody may read on the wire, whenever.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// How long the lab waits for what it waits for.
    pub deadlines: Deadlines,
}

/// What the engine is told: FelixConfiguration `default` and ClusterInformation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// ClusterInformation's type; `aks` and host encryption make the device's MTU 160 smaller than the uplink's.
    pub cluster_type: Option<String>,
    /// Whether encryption is on before the first step.
    pub wireguard: bool,
    /// Whether traffic of the nodes themselves is encrypted too.
    pub host_encryption: bool,
    /// Where the pods' addresses come from.
    #[serde(default)]
    pub route_source: RouteSource,
    /// How nodes connect their pods.
    #[serde(default)]
    pub addressing: Addressing,
    /// The families that the cluster speaks, in the order of reports.
    #[serde(default = "ipv4_only")]
    pub families: Vec<Family>,
    /// The tunnel device's name.
    pub interface: IfName,
    /// UDP port of every tunnel device.
    pub listen_port: u16,
    /// The tunnel device's MTU where the author set one, in bytes.
    pub mtu: Option<u16>,
    /// Seconds between keepalives; 0 is off.
    pub keepalive: u16,
    /// Further fields and annotations of FelixConfiguration `default`.
    #[serde(default)]
    pub settings: Settings,
}

/// What clusters of old plans speak.
fn ipv4_only() -> Vec<Family> {
    vec![Family::Ipv4]
}

impl Cluster {
    /// The tunnel device of a family.
    pub fn tunnel(&self, family: Family) -> IfName {
        match family {
            Family::Ipv4 => self.interface.clone(),
            Family::Ipv6 => self
                .settings
                .name("wireguardInterfaceNameV6")
                .unwrap_or_else(IfName::of_calico_tunnel_v6),
        }
    }

    /// The UDP port of a family's tunnels (Felix: `WireguardListeningPortV6`).
    pub fn port(&self, family: Family) -> u16 {
        match family {
            Family::Ipv4 => self.listen_port,
            Family::Ipv6 => {
                let set = self.settings.number("wireguardListeningPortV6");
                // Each family's device has a port of its own: IPv4's is refused for IPv6.
                let ports = [set.unwrap_or(LISTEN_PORT_V6), LISTEN_PORT_V6, LISTEN_PORT];
                let mut free = ports.into_iter().filter(|port| *port != self.listen_port);
                free.next().unwrap_or(LISTEN_PORT_V6)
            }
        }
    }

    /// Whether it speaks that family.
    pub fn speaks(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

/// A host of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name; also the fabric's port towards it.
    pub name: NodeName,
    /// Its address on `eth0`.
    pub address: Ipv4Addr,
    /// MTU of `eth0`, in bytes.
    pub mtu: u16,
    /// The reverse-path filter of `eth0`.
    pub rp_filter: RpFilter,
    /// Whether this node takes part in encryption (a FelixConfiguration `node.<name>` says if not).
    pub wireguard: bool,
    /// Fields and annotations of FelixConfiguration `node.<name>`.
    #[serde(default)]
    pub settings: Settings,
    /// Its blocks of Calico's pool.
    #[serde(default)]
    pub blocks: Vec<Ipv4Net>,
    /// The subnet of its bridge, whose first address the bridge has.
    #[serde(default)]
    pub bridge: Option<Ipv4Net>,
    /// Its tunnel device's own address, where hosts are not encrypted.
    #[serde(default)]
    pub tunnel_address: Option<Ipv4Addr>,
    /// Whether it is outside the cluster, on the fabric all the same.
    #[serde(default)]
    pub external: bool,
    /// In the order of their names.
    pub pods: Vec<Pod>,
}

/// A workload on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its address on its own `eth0`.
    pub address: Ipv4Addr,
    /// The node's end of the veth to it.
    pub interface: IfName,
    /// MTU of that veth, in bytes.
    #[serde(default = "limit::pod_mtu")]
    pub mtu: u16,
    /// The reverse-path filter of the node's end; Azure CNI sets none.
    #[serde(default)]
    pub rp_filter: RpFilter,
}

/// `net.ipv4.conf.<interface>.rp_filter` (RFC 3704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpFilter {
    /// 0: no check.
    #[default]
    Off,
    /// 1: the best route back must use the same interface.
    Strict,
    /// 2: some route back must exist.
    Loose,
}

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happens.
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
    /// The scenario's line that says so, counted from 1.
    pub line: u32,
    /// The most kernel writes that the engine may do in it, announced or observed; none is any.
    #[serde(default)]
    pub writes: Option<u32>,
}

/// Tagged packets from one endpoint to another, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its index in [`Plan::probes`].
    pub id: ProbeId,
    /// Who sends first.
    pub from: EndpointName,
    /// Who answers.
    pub to: EndpointName,
    /// With what.
    pub protocol: Protocol,
    /// Bytes of payload, all of them tags.
    pub payload: u16,
    /// The least payload that the author has asked for by a promise; none of the usual probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u16>,
}

/// Index of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeId(pub u16);

/// What a probe speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// ICMP echo; the kernel of the other side answers.
    Icmp,
    /// A datagram, and one back.
    Udp,
    /// A connection; its payload comes back.
    Tcp,
    /// ICMP echo over IPv6.
    Icmp6,
    /// A datagram over IPv6, and one back.
    Udp6,
    /// A connection over IPv6.
    Tcp6,
}

impl Protocol {
    /// All of IPv4, in the order of the report.
    pub const IPV4: [Self; 3] = [Self::Icmp, Self::Udp, Self::Tcp];

    /// All of IPv6, in the order of the report.
    pub const IPV6: [Self; 3] = [Self::Icmp6, Self::Udp6, Self::Tcp6];

    /// All of a family.
    pub fn of(family: Family) -> [Self; 3] {
        match family {
            Family::Ipv4 => Self::IPV4,
            Family::Ipv6 => Self::IPV6,
        }
    }

    /// What flows send in a family.
    pub(crate) fn of_flows(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Udp,
            Family::Ipv6 => Self::Udp6,
        }
    }

    /// What its packets are.
    pub fn family(self) -> Family {
        match self {
            Self::Icmp | Self::Udp | Self::Tcp => Family::Ipv4,
            Self::Icmp6 | Self::Udp6 | Self::Tcp6 => Family::Ipv6,
        }
    }

    /// As written in scenarios and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Icmp6 => "icmp6",
            Self::Udp6 => "udp6",
            Self::Tcp6 => "tcp6",
        }
    }

    /// The IP header's protocol number (IANA).
    pub fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp | Self::Tcp6 => 6,
            Self::Udp | Self::Udp6 => 17,
            Self::Icmp6 => 58,
        }
    }
}

/// An expectation about one ordered pair and one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Its index in [`Plan::promises`].
    pub id: PromiseId,
    /// The probe that tests it.
    pub probe: ProbeId,
    /// Who sends.
    pub from: EndpointName,
    /// Who receives.
    pub to: EndpointName,
    /// With what.
    pub protocol: Protocol,
    /// The least payload of the probe in bytes, where the author asked for one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<u16>,
    /// Which of the traffic classes the pair is in.
    pub class: Class,
    /// How its packets must look outside the nodes.
    pub protection: Protection,
    /// Where the promise comes from.
    pub origin: Origin,
}

/// Index of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromiseId(pub u32);

/// The traffic classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Both on one node.
    SameHost,
    /// Two nodes, at least one of the two a pod.
    CrossHost,
    /// Node to node.
    HostToHost,
    /// Two nodes, at least one without WireGuard.
    Mixed,
    /// One of the two is outside the cluster.
    External,
}

impl Class {
    /// As written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameHost => "same host",
            Self::CrossHost => "cross host",
            Self::HostToHost => "host to host",
            Self::Mixed => "mixed",
            Self::External => "external",
        }
    }
}

/// How a pair's packets must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Delivered, never through a tunnel device; between nodes, seen on the wire as sent.
    Plaintext,
    /// Delivered, and only ciphertext on the wire.
    Encrypted,
    /// Not delivered, and nothing of it on the wire: encrypt or drop.
    Blocked,
    /// Delivered and answered, whatever it looks like.
    Delivered,
}

impl Protection {
    /// As written in scenarios and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Encrypted => "encrypted",
            Self::Blocked => "blocked",
            Self::Delivered => "delivered",
        }
    }
}

/// Who made a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The model, from the pair's class and the cluster's intent.
    Derived,
    /// The author, in the scenario; `line` counts from 1.
    Stated {
        /// Line of the scenario.
        line: u32,
    },
}

/// Upper bounds of the lab's waits, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From the engines' start, or a step, until every node is in sync.
    pub ready: u32,
    /// From a probe's first packet until its answer.
    pub probe: u32,
    /// What is in these, and multiplies the lab's own deadlines.
    #[serde(default, skip_serializing_if = "Patience::is_usual")]
    pub patience: Patience,
}

/// A pod, or a node as a host-networked endpoint, with all that a prober needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The name that promises use.
    pub name: EndpointName,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node it is, or is on.
    pub node: &'a Node,
    /// The pod it is, if it is one.
    pub pod: Option<&'a Pod>,
}

impl Plan {
    /// Every endpoint of the plan: for each node in order, the node and then its pods; then the
    /// clients.
    pub fn endpoints(&self) -> Vec<Endpoint<'_>> {
        endpoints_of(self.nodes.iter().chain(&self.clients))
    }

    /// The endpoint of that name; a plan's own promises and probes name existing ones.
    pub fn endpoint(&self, name: &EndpointName) -> Option<Endpoint<'_>> {
        endpoint_of(self.nodes.iter().chain(&self.clients), name)
    }
}

/// The endpoint of that name, without naming all others.
fn endpoint_of<'a>(
    mut nodes: impl Iterator<Item = &'a Node>,
    name: &EndpointName,
) -> Option<Endpoint<'a>> {
    nodes.find_map(|node| {
        let is_node = node.name.as_str() == name.as_str();
        let mut pods = node.pods.iter();
        let pod = pods.find(|pod| !is_node && pod.name.as_str() == name.as_str());
        (is_node || pod.is_some()).then(|| Endpoint {
            name: name.clone(),
            address: pod.map_or(node.address, |pod| pod.address),
            node,
            pod,
        })
    })
}

fn endpoints_of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<Endpoint<'a>> {
    nodes
        .flat_map(|node| {
            let host = Endpoint {
                name: EndpointName::from(&node.name),
                address: node.address,
                node,
                pod: None,
            };
            std::iter::once(host).chain(node.pods.iter().map(move |pod| Endpoint {
                name: EndpointName::from(&pod.name),
                address: pod.address,
                node,
                pod: Some(pod),
            }))
        })
        .collect()
}
