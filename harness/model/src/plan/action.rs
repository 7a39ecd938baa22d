//! Actions of steps.
//!
//! What readers, planners, judges and the lab have to know of an action besides its own meaning follows from the
//! [`Change`] that it is: a new action does not compile until it has one, and a new change not until every question
//! about it has an answer.

/// The change that an action makes to a cluster, and all that follows from it.
mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::EnumDiscriminants;

use crate::name::{NodeName, PodName};

use super::{FabricAction, Own, Settles, StoreAction, Tamper};

pub use change::{
    AgentChange, Change, Comparisons, Drops, Excuse, NodeChange, OperatorCommand, PodChange,
};

/// Fields of a FelixConfiguration that are written, with Calico's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Of this node; none is the one for all.
    pub node: Option<NodeName>,
    /// Fields of its `spec`.
    pub set: BTreeMap<String, Value>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Fields or annotations that are removed.
    pub unset: BTreeSet<String>,
}

/// The kinds of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EnumDiscriminants)]
#[strum_discriminants(
    name(ActionKind),
    derive(strum::VariantArray),
    doc = "An action without what it is about."
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Encryption is switched on with the engine's own command.
    Enable,
    /// Encryption is switched off with the engine's own command.
    Disable,
    /// Fields of a FelixConfiguration are written, with Calico's own names.
    Configure(Configuration),
    /// Agents are asked to end (SIGTERM).
    StopEngine {
        /// On this node; none is every node.
        node: Option<NodeName>,
    },
    /// Agents are ended without warning (SIGKILL). What they made stays.
    KillEngine {
        /// On this node; none is every node.
        node: Option<NodeName>,
    },
    /// Agents are started again.
    StartEngine {
        /// On this node; none is every node.
        node: Option<NodeName>,
    },
    /// Agents are asked to end, and started again.
    RestartEngine {
        /// On this node; none is every node.
        node: Option<NodeName>,
    },
    /// The operator replaces a node's key with the engine's own command.
    RotateKey {
        /// The node that it is about.
        node: NodeName,
    },
    /// Somebody else overwrites the public key that a node has published.
    OverwriteKey {
        /// The node that it is about.
        node: NodeName,
        /// With this node's; none is a new one that nobody has the private key of.
        key: Option<NodeName>,
    },
    /// Somebody changes a node's dataplane behind the engine's back.
    Tamper {
        /// On which node.
        node: NodeName,
        /// What is done.
        what: Tamper,
        /// What comes of it.
        settles: Settles,
    },
    /// Something happens to the store.
    Store(StoreAction),
    /// Something happens to the fabric.
    Fabric(FabricAction),
    /// A pod appears on its node.
    AddPod {
        /// The pod.
        pod: PodName,
    },
    /// A pod is deleted.
    RemovePod {
        /// The pod.
        pod: PodName,
    },
    /// A pod goes to another node, and keeps its address.
    MovePod {
        /// The pod.
        pod: PodName,
        /// The node that it moves to.
        to: NodeName,
    },
    /// A node joins, with its pods.
    AddNode {
        /// The node.
        node: NodeName,
    },
    /// A node goes for good, with its pods.
    RemoveNode {
        /// The node.
        node: NodeName,
    },
    /// A node's uplink gets another address.
    ReaddressNode {
        /// The node.
        node: NodeName,
        /// Its address from here on.
        address: Ipv4Addr,
    },
    /// A node boots again: its network is new, and every process of it.
    RebootNode {
        /// The node.
        node: NodeName,
    },
    /// Every process of a node stands still for a time (SIGSTOP, SIGCONT).
    PauseNode {
        /// The node.
        node: NodeName,
        /// For so many milliseconds.
        millis: u32,
    },
    /// The fabric carries nothing to or from a node any more.
    Partition {
        /// The node.
        node: NodeName,
    },
    /// The fabric serves a node again.
    Heal {
        /// The node.
        node: NodeName,
    },
    /// A node's uplink gets another MTU.
    SetMtu {
        /// The node.
        node: NodeName,
        /// The new MTU, in bytes.
        mtu: u16,
    },
    /// The routes through a node's uplink get another metric: they lead where they led.
    SetMetric {
        /// The node.
        node: NodeName,
        /// Their priority, of which the least is best.
        metric: u32,
    },
    /// Waits until each agent has compared its dataplane with the kernel so many times more.
    WaitResyncs {
        /// The number of comparisons.
        count: u16,
    },
    /// An agent is made to die before and after each of its kernel writes, and has to recover.
    CrashEverywhere {
        /// The node that it is about.
        node: NodeName,
        /// What it has to write for: a tampering, or a configuration, which is undone each time.
        provoke: Box<Action>,
    },
}

impl Action {
    /// As written in scenarios.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Configure { .. } => "configure",
            Self::StopEngine { .. } => "stop-engine",
            Self::RestartEngine { .. } => "restart-engine",
            Self::RotateKey { .. } => "rotate-key",
            Self::OverwriteKey { .. } => "overwrite-key",
            Self::Tamper { .. } => "tamper",
            Self::Store(action) => action.as_str(),
            Self::Fabric(action) => action.as_str(),
            Self::AddPod { .. } => "add-pod",
            Self::RemovePod { .. } => "remove-pod",
            Self::MovePod { .. } => "move-pod",
            Self::AddNode { .. } => "add-node",
            Self::RemoveNode { .. } => "remove-node",
            Self::ReaddressNode { .. } => "readdress-node",
            Self::RebootNode { .. } => "reboot-node",
            Self::PauseNode { .. } => "pause-node",
            Self::Partition { .. } => "partition",
            Self::Heal { .. } => "heal",
            Self::SetMtu { .. } => "set-mtu",
            Self::SetMetric { .. } => "set-metric",
            Self::WaitResyncs { .. } => "wait-resyncs",
            Self::CrashEverywhere { .. } => "crash-everywhere",
            Self::KillEngine { .. } => "kill-engine",
            Self::StartEngine { .. } => "start-engine",
        }
    }

    /// What happens, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Enable => "enable encryption".into(),
            Self::Disable => "disable encryption".into(),
            Self::Configure(Configuration {
                node,
                set,
                annotations,
                unset,
            }) => {
                let of = match node {
                    Some(node) => format!("{node}'s "),
                    None => String::new(),
                };
                let set = set
                    .iter()
                    .map(|(field, value)| format!("{field} = {value}"));
                let noted = annotations
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"));
                let unset = unset.iter().map(|field| format!("no {field}"));
                let words: Vec<_> = set.chain(noted).chain(unset).collect();
                format!("configure {of}{}", words.join(", "))
            }
            Self::StopEngine { node } => format!("stop {}", agent_of(node.as_ref())),
            Self::RestartEngine { node } => format!("restart {}", agent_of(node.as_ref())),
            Self::RotateKey { node } => format!("rotate {node}'s key"),
            Self::OverwriteKey { node, key } => match key {
                Some(other) => format!("publish {other}'s key as {node}'s"),
                None => format!("publish a stranger's key as {node}'s"),
            },
            Self::Tamper { node, what, .. } => format!("tamper with {node}: {what}"),
            Self::Store(action) => action.describe(),
            Self::Fabric(action) => action.describe(),
            Self::AddPod { pod } => format!("{pod} appears"),
            Self::RemovePod { pod } => format!("{pod} is deleted"),
            Self::MovePod { pod, to } => format!("{pod} moves to {to}"),
            Self::AddNode { node } => format!("{node} joins"),
            Self::RemoveNode { node } => format!("{node} goes for good"),
            Self::ReaddressNode { node, address } => format!("{node} gets the address {address}"),
            Self::RebootNode { node } => format!("{node} boots again"),
            Self::PauseNode { node, millis } => {
                format!("every process of {node} stands still for {millis} ms")
            }
            Self::Partition { node } => format!("{node} is cut off"),
            Self::Heal { node } => format!("{node} is connected again"),
            Self::SetMtu { node, mtu } => format!("{node}'s uplink gets the MTU {mtu}"),
            Self::SetMetric { node, metric } => {
                format!("the routes of {node}'s uplink get the metric {metric}")
            }
            Self::WaitResyncs { count } => format!("{count} comparisons with the kernel"),
            Self::CrashEverywhere { node, provoke } => {
                format!("{node}'s agent dies at every write; {}", provoke.describe())
            }
            Self::KillEngine { node } => format!("kill {}", agent_of(node.as_ref())),
            Self::StartEngine { node } => format!("start {} again", agent_of(node.as_ref())),
        }
    }

    /// Nodes that must be there, each with the key of the step that names it.
    pub fn nodes(&self) -> Vec<(&'static str, &NodeName)> {
        match self {
            Self::Enable
            | Self::Disable
            | Self::WaitResyncs { .. }
            | Self::AddPod { .. }
            | Self::RemovePod { .. }
            | Self::AddNode { .. } => Vec::new(),
            Self::Configure(Configuration { node, .. })
            | Self::StopEngine { node }
            | Self::KillEngine { node }
            | Self::StartEngine { node }
            | Self::RestartEngine { node } => node.iter().map(|node| ("node", node)).collect(),
            Self::RotateKey { node }
            | Self::RemoveNode { node }
            | Self::ReaddressNode { node, .. }
            | Self::RebootNode { node }
            | Self::PauseNode { node, .. }
            | Self::Partition { node }
            | Self::Heal { node }
            | Self::SetMtu { node, .. }
            | Self::SetMetric { node, .. } => vec![("node", node)],
            Self::CrashEverywhere { node, provoke } => {
                let provoked = provoke.nodes().into_iter();
                let provoked = provoked.map(|(_, node)| ("provoke", node));
                [("node", node)].into_iter().chain(provoked).collect()
            }
            Self::OverwriteKey { node, key } => {
                let key = key.iter().map(|key| ("key", key));
                [("node", node)].into_iter().chain(key).collect()
            }
            Self::Tamper { node, what, .. } => {
                let peer = match what {
                    Tamper::Delete(Own::Peer(peer)) => Some(("delete", peer)),
                    Tamper::Delete(_) | Tamper::Sysctl(_) | Tamper::Add(_) => None,
                };
                [("node", node)].into_iter().chain(peer).collect()
            }
            Self::MovePod { to, .. } => vec![("to", to)],
            Self::Store(action) => action
                .node()
                .map(|node| ("node", node))
                .into_iter()
                .collect(),
            Self::Fabric(action) => action
                .node()
                .map(|node| ("node", node))
                .into_iter()
                .collect(),
        }
    }

    /// What of the cluster it changes.
    pub fn change(&self) -> Change<'_> {
        let agents = |node, change| Change::Agents { node, change };
        match self {
            Self::Enable => Change::Encryption(true),
            Self::Disable => Change::Encryption(false),
            Self::Configure(configuration) => Change::Configuration(configuration),
            Self::StopEngine { node } | Self::KillEngine { node } => {
                agents(node.as_ref(), AgentChange::End)
            }
            Self::StartEngine { node } => agents(node.as_ref(), AgentChange::Start),
            Self::RestartEngine { node } => agents(node.as_ref(), AgentChange::Restart),
            Self::RotateKey { .. } => Change::Rotation,
            Self::OverwriteKey { node, key } => Change::Key {
                node,
                key: key.as_ref(),
            },
            Self::Tamper {
                node,
                what,
                settles,
            } => Change::Dataplane {
                node,
                what,
                settles: *settles,
            },
            Self::Store(action) => Change::Store(action),
            Self::Fabric(action) => Change::Fabric(action),
            Self::AddPod { pod } => Change::Pod(pod, PodChange::Add),
            Self::RemovePod { pod } => Change::Pod(pod, PodChange::Remove),
            Self::MovePod { pod, to } => Change::Pod(pod, PodChange::Move(to)),
            Self::AddNode { node } => Change::Node(node, NodeChange::Add),
            Self::RemoveNode { node } => Change::Node(node, NodeChange::Remove),
            Self::ReaddressNode { node, address } => {
                Change::Node(node, NodeChange::Address(*address))
            }
            Self::RebootNode { node } => Change::Node(node, NodeChange::Reboot),
            Self::SetMtu { node, mtu } => Change::Node(node, NodeChange::Mtu(*mtu)),
            Self::SetMetric { node, .. } => Change::Node(node, NodeChange::Metric),
            // What a process does late, it does all the same.
            Self::PauseNode { .. } => Change::Nothing { comparisons: 0 },
            Self::Partition { node } => Change::Link {
                node,
                connected: false,
            },
            Self::Heal { node } => Change::Link {
                node,
                connected: true,
            },
            Self::WaitResyncs { count } => Change::Nothing {
                comparisons: (*count).into(),
            },
            Self::CrashEverywhere { provoke, .. } => Change::Provoked(provoke),
        }
    }
}

fn agent_of(node: Option<&NodeName>) -> String {
    match node {
        Some(node) => format!("{node}'s agent"),
        None => "every node's agent".into(),
    }
}

#[cfg(test)]
mod tests;
