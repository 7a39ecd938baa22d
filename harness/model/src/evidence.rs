//! Everything a run observed. The lab fills it in, [`crate::judge`] reads it,
//! and a saved one can be judged again anywhere.

/// Outcomes of size probes.
mod size;

/// Outcomes of spoofed packets.
mod spoof;

/// Route lookups of the kernel for packets.
mod lookup;

/// The engines' conduct, as observed: their log warnings, memory and ends.
mod conduct;

/// Snapshots of nodes' dataplanes after steps had settled.
mod state;

/// A node after the last probe.
mod node;

/// Packets that the kernel dropped, by its own reasons.
mod dropped;

/// Copies of private keys outside the devices that have them.
mod secret;

/// Evidence as a file, which notices what it has lost.
mod saved;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::{Frame, LinkType};
use crate::name::{IfName, NodeName, PodName};
use crate::plan::{FlowId, ProbeId, Protocol};
use crate::tag::{BeaconId, Magic, Tag};

pub use conduct::{ConductEvidence, End, LogWarning, Process};
pub use dropped::{DropEvidence, PlaceDrops};
pub use lookup::{Answer, Lookup};
pub use node::NodeEvidence;
pub use saved::{Digest, Entry, Inventory, Loss, ObserverEntry, Part, SavedEvidence, VERSION};
pub use secret::{OpenSocket, SecretCopy, SecretEvidence, SecretPlace};
pub use size::{BulkOutcome, SizeOutcome};
pub use spoof::SpoofOutcome;
pub use state::StateEvidence;

/// One run's observations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What this run's tags start with.
    pub magic: Magic,
    /// Every interface that was observed; `interfaces[i].id == InterfaceId(i)`.
    pub interfaces: Vec<Interface>,
    /// One observer per namespace.
    pub observers: Vec<Observer>,
    /// What each beacon was; `beacons[i].id == BeaconId(i)`.
    pub beacons: Vec<Beacon>,
    /// Every frame seen, in order of time (ties: in the order of the observers). Of flows, only
    /// what came out of a node onto the wire; the rest is in `flows`.
    pub sightings: Vec<Sighting>,
    /// When the first probe was sent, after the last step. What promises about probes state is about what was
    /// seen from here on.
    #[serde(default)]
    pub probing: Nanos,
    /// What became of the flows; `flows[i].id == FlowId(i)`.
    #[serde(default)]
    pub flows: Vec<FlowEvidence>,
    /// What the sockets reported of each probe; `probes[i].id == ProbeId(i)`.
    pub probes: Vec<ProbeOutcome>,
    /// What the sockets reported of each packet whose size was tried; `sizes[i].id == SizeId(i)`.
    #[serde(default)]
    pub sizes: Vec<SizeOutcome>,
    /// What became of each transfer.
    #[serde(default)]
    pub bulks: Vec<BulkOutcome>,
    /// What became of each spoof.
    #[serde(default)]
    pub spoofs: Vec<SpoofOutcome>,
    /// What each node looked like after the last probe.
    pub nodes: BTreeMap<NodeName, NodeEvidence>,
    /// What the kernel dropped in each namespace, and why.
    #[serde(default)]
    pub drops: DropEvidence,
    /// What nodes looked like between steps, where a fact is about that.
    #[serde(default)]
    pub states: Vec<StateEvidence>,
    /// The search for private keys outside of the devices; none if nobody searched.
    #[serde(default)]
    pub secrets: Option<SecretEvidence>,
    /// How each node's engine behaved besides its work; of those that have had one.
    #[serde(default)]
    pub conduct: BTreeMap<NodeName, ConductEvidence>,
    /// How often the fabric did each thing that it does to packets, in the order of the names.
    #[serde(default)]
    pub wire: Vec<Tally>,
    /// From the start of the agents until they were in sync.
    #[serde(default)]
    pub start: StepEvidence,
    /// What each step came to; `steps[i]` is that of the plan's `steps[i]`. One that is missing
    /// never ran.
    #[serde(default)]
    pub steps: Vec<StepEvidence>,
    /// How often the kernel refused to note a new neighbour (ARP, neighbour discovery) during the run
    /// since its table, one for all namespaces, was full (Linux: `table_fulls` in `net/core/neighbour.c`).
    /// Each time a packet was dropped, of this lab or of another.
    #[serde(default)]
    pub neighbours_refused: u64,
    /// Why nothing was tried, where nothing was.
    #[serde(default)]
    pub skipped: Option<String>,
    /// How long each phase took, in microseconds, in order.
    pub timings: Vec<Timing>,
    /// What it has lost since it was saved; nothing of a run that has just been.
    #[serde(skip)]
    pub lost: Vec<Loss>,
}

/// A namespace of the lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The fabric: the wire, outside all nodes.
    Fabric,
    /// A node.
    Node(NodeName),
    /// A pod.
    Pod(PodName),
}

impl Place {
    /// Its name: of a node or pod, or `fabric`. The capture file is named after it.
    pub fn name(&self) -> &str {
        match self {
            Self::Fabric => "fabric",
            Self::Node(name) => name.as_str(),
            Self::Pod(name) => name.as_str(),
        }
    }
}

/// Index of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterfaceId(pub u16);

/// An observed interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its index in [`Evidence::interfaces`].
    pub id: InterfaceId,
    /// The namespace it is in.
    pub place: Place,
    /// Its name there.
    pub name: IfName,
    /// What it connects.
    pub role: Role,
    /// How its frames start.
    pub link: LinkType,
}

/// What an interface connects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// In the fabric: the port towards a node. What is seen here is seen on the wire.
    Port(NodeName),
    /// In a node: `eth0`.
    Uplink,
    /// In a node: the veth to a pod.
    PodLink(PodName),
    /// In a node: the engine's tunnel device.
    Tunnel,
    /// In a pod: `eth0`.
    PodUplink,
    /// The loopback device of any namespace.
    Loopback,
    /// Anything else, such as a device that an engine made.
    Other,
}

/// The one capture of a namespace, of all its interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observer {
    /// The namespace in which it was observed.
    pub place: Place,
    /// Frames that the kernel handed to it (`PACKET_STATISTICS`, `tp_packets` less the drops).
    pub seen: u64,
    /// Frames from the first probe on that the kernel dropped for want of room (`tp_drops`), or
    /// that the capture file had no room for.
    pub dropped: u64,
    /// Those among the frames before the first probe, which `dropped` does not count.
    #[serde(default)]
    pub dropped_early: u64,
}

/// A frame that the lab itself put on an interface, past every route and filter,
/// so that the observers of both of its ends show that they see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// Its number in [`Evidence::beacons`].
    pub id: BeaconId,
    /// The interface it left through.
    pub interface: InterfaceId,
    /// What it is made of.
    pub protocol: Protocol,
    /// The round of beacons.
    pub round: Round,
    /// What kept its link from carrying it; none of one that was sent and could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_link: Option<NoLink>,
}

/// Why a link carries nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoLink {
    /// The interface is not there, or has another name.
    Missing,
    /// The interface is down (`IFF_UP` is not set).
    Down,
    /// The interface is up, and its other end is not (`IFF_LOWER_UP` is not set).
    NoCarrier,
}

impl NoLink {
    /// For a sentence: `eth0 of ada is down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Down => "is down",
            Self::NoCarrier => "has no carrier",
        }
    }
}

/// When a beacon was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Round {
    /// Before the first agent was started.
    Armed,
    /// Before the first probe.
    Opening,
    /// After the last probe.
    Closing,
}

/// Nanoseconds since 1970, from the kernel's packet timestamps; one clock for all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

/// The time that a step took, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepEvidence {
    /// 0 is the start; the plan's `steps[i]` has `i + 1`.
    pub index: usize,
    /// What happened, in words.
    pub action: String,
    /// When the lab began it.
    pub began: Nanos,
    /// When everything had settled: the agents were in sync with the store again.
    pub settled: Nanos,
    /// Kernel writes that each node's agent has announced since the step began, where it counts them.
    pub writes: BTreeMap<NodeName, u64>,
    /// The kernel's notifications about each node's network since the step began, by kind.
    #[serde(default)]
    pub notifications: BTreeMap<NodeName, BTreeMap<String, u64>>,
    /// How many points an agent was made to die at.
    #[serde(default)]
    pub crash_points: Option<u32>,
    /// What else there is to know.
    pub note: Option<String>,
}

impl StepEvidence {
    /// From its beginning until everything had settled, in microseconds.
    pub fn micros(&self) -> u64 {
        self.settled.0.saturating_sub(self.began.0) / 1_000
    }

    /// Kernel writes of all nodes; none if no agent counts them.
    pub fn all_writes(&self) -> Option<u64> {
        (!self.writes.is_empty()).then(|| self.writes.values().sum())
    }
}

/// Which way a frame went through an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Received by the namespace from that interface.
    In,
    /// Sent by the namespace through that interface.
    Out,
}

/// One frame at one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The time at which it was seen.
    pub at: Nanos,
    /// The interface at which it was seen.
    pub interface: InterfaceId,
    /// Whether it came in or went out there.
    pub direction: Direction,
    /// Its number in the namespace's capture file, counted from 1 as Wireshark does.
    pub number: u32,
    /// Bytes of the whole frame, link header included.
    pub length: u32,
    /// What it is.
    pub frame: Frame,
    /// The tag found anywhere in its bytes.
    pub tag: Option<Tag>,
}

/// What the sockets at both ends reported of a probe. The proof is in the sightings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// The number of the probe.
    pub id: ProbeId,
    /// Whether the receiver's socket got the payload (for ICMP: whether the echo came back).
    pub delivered: bool,
    /// Whether the sender got the answer.
    pub answered: bool,
    /// The error that a socket reported, such as `No route to host`.
    pub error: Option<String>,
    /// From the first packet to the answer, in microseconds.
    pub round_trip_us: Option<u64>,
}

/// What became of a flow's packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEvidence {
    /// The flow's index in the plan.
    pub id: FlowId,
    /// When its first packet was sent; the times of its packets count from here.
    pub since: Nanos,
    /// Every packet that was sent, in order: its number in tags is its index here.
    pub packets: Vec<FlowPacket>,
}

/// One packet of a flow; saved as a list of its three parts, for there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, Option<u64>, u8)", from = "(u64, Option<u64>, u8)")]
pub struct FlowPacket {
    /// When it was sent, in microseconds since the flow's first.
    pub sent: u64,
    /// When the receiver's socket got it; none if it never did.
    pub received: Option<u64>,
    /// Where the observers saw its tag.
    pub form: Form,
}

/// Where the tag of a flow's packet was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// At no tunnel device and not on the wire.
    #[default]
    Unseen,
    /// At a tunnel device, and not on the wire: if it crossed, then as ciphertext.
    Tunnelled,
    /// On the wire.
    Readable,
}

impl From<FlowPacket> for (u64, Option<u64>, u8) {
    fn from(packet: FlowPacket) -> Self {
        (packet.sent, packet.received, packet.form as u8)
    }
}

impl From<(u64, Option<u64>, u8)> for FlowPacket {
    fn from((sent, received, form): (u64, Option<u64>, u8)) -> Self {
        let form = match form {
            0 => Form::Unseen,
            1 => Form::Tunnelled,
            _ => Form::Readable,
        };
        Self {
            sent,
            received,
            form,
        }
    }
}

/// Counts packets whose source address would be answered through another interface (ip-sysctl, `rp_filter`).
pub const REVERSE_PATH: &str = "TcpExt.IPReversePathFilter";

/// A counter of packets larger than the fabric carries.
pub const OVERSIZED: &str = "oversized";

/// A counter of the fabric's answers that a packet is too big.
pub const ANSWERED: &str = "answered";

/// A counter of such answers that never left it.
pub const SWALLOWED: &str = "swallowed";

/// The tally of packets to a node behind a NAT that it had not asked for.
pub const STRANGERS: &str = "strangers";

/// How often the fabric did something to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// What: an impairment by its line of the scenario, or one of the names above.
    pub name: String,
    /// How many packets were counted.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// One phase of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// What: `setup`, `convergence`, `probing`, `teardown`.
    pub phase: String,
    /// How long, in microseconds.
    pub micros: u64,
}

impl Evidence {
    /// Of a run that never was.
    pub fn none() -> Self {
        Self {
            magic: Magic([0; 8]),
            interfaces: Vec::new(),
            observers: Vec::new(),
            beacons: Vec::new(),
            sightings: Vec::new(),
            probing: Nanos(0),
            flows: Vec::new(),
            probes: Vec::new(),
            sizes: Vec::new(),
            bulks: Vec::new(),
            spoofs: Vec::new(),
            nodes: BTreeMap::new(),
            drops: DropEvidence::default(),
            states: Vec::new(),
            conduct: BTreeMap::new(),
            secrets: None,
            wire: Vec::new(),
            start: StepEvidence::default(),
            steps: Vec::new(),
            neighbours_refused: 0,
            skipped: None,
            timings: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Of a run that was not tried, and why.
    pub fn skipped(why: String) -> Self {
        Self {
            skipped: Some(why),
            ..Self::none()
        }
    }

    /// The interface that a sighting was made at.
    pub fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))
    }
}
