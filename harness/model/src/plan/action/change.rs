//! The change that an action makes to a cluster. Each question about a change is one match that names every change.

use std::net::Ipv4Addr;

use crate::name::{EndpointName, NodeName, PodName};

use super::super::{FabricAction, Foreign, Need, Own, Settles, StoreAction, Tamper};
use super::{Action, Configuration};

/// Comparisons with the kernel after which it is known what an engine leaves alone.
const UNCHANGED: u64 = 2;

/// What of a cluster is another one after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Nothing. Agents are waited for, until each has compared its dataplane with the kernel so many times.
    Nothing {
        /// How many times.
        comparisons: u64,
    },
    /// Whether the operator asks for encryption.
    Encryption(bool),
    /// Fields or annotations of a FelixConfiguration.
    Configuration(&'a Configuration),
    /// Which agents run.
    Agents {
        /// On this node; none is every node.
        node: Option<&'a NodeName>,
        /// What becomes of them.
        change: AgentChange,
    },
    /// The key of a node, which its engine replaces.
    Rotation,
    /// The published key of a node, which is not its own any more.
    Key {
        /// The node that it is about.
        node: &'a NodeName,
        /// The node whose key it is; none is nobody's.
        key: Option<&'a NodeName>,
    },
    /// A node's dataplane, behind the engine's back.
    Dataplane {
        /// The node whose dataplane it is.
        node: &'a NodeName,
        /// What is done to it.
        what: &'a Tamper,
        /// What comes of it.
        settles: Settles,
    },
    /// A change of the store.
    Store(&'a StoreAction),
    /// A change of the fabric.
    Fabric(&'a FabricAction),
    /// Whether the fabric serves a node.
    Link {
        /// The node.
        node: &'a NodeName,
        /// Whether it does from here on.
        connected: bool,
    },
    /// A change of a pod.
    Pod(&'a PodName, PodChange<'a>),
    /// A change of a node.
    Node(&'a NodeName, NodeChange),
    /// Nothing in the end: an agent dies at every write that this other action makes it do, and recovers.
    Provoked(&'a Action),
}

/// What becomes of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentChange {
    /// They run no more.
    End,
    /// They are started.
    Start,
    /// They end, and run again.
    Restart,
}

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodChange<'a> {
    /// It is on its node.
    Add,
    /// It is gone.
    Remove,
    /// It is on this node, with the address that it had.
    Move(&'a NodeName),
}

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// It is there, with its pods.
    Add,
    /// It is gone, with its pods.
    Remove,
    /// Its network is new, and so is every process.
    Reboot,
    /// Its uplink has this address.
    Address(Ipv4Addr),
    /// Its uplink has this MTU, in bytes.
    Mtu(u16),
    /// The routes of its uplink have another metric.
    Metric,
}

/// A command that an engine's descriptor may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorCommand {
    /// That which runs on each node.
    Agent,
    /// The same, for an agent that is asked to die.
    TestAgent,
    /// That which asks for encryption.
    Enable,
    /// That which asks for none.
    Disable,
    /// That which replaces a node's key.
    RotateKey,
}

/// Which readable frames of protected flows are not the engine's doing while a step is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excuse<'a> {
    /// No frame is excused.
    Nothing,
    /// What this node sends.
    SentBy {
        /// The node.
        node: &'a NodeName,
        /// Also where the engine has to drop what it cannot encrypt.
        strict: bool,
    },
    /// What is sent to an endpoint that has left its address.
    SentTo {
        /// The endpoint that has left its address.
        end: EndpointName,
        /// Also where the engine has to drop what it cannot encrypt.
        strict: bool,
    },
    /// Every frame is excused.
    Everything,
}

/// Where reverse-path filters may drop packets, since nodes disagree for a time about what is behind a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drops<'a> {
    /// On no node.
    Nowhere,
    /// On this node.
    At(&'a NodeName),
    /// On every node.
    Everywhere,
}

/// Comparisons of every agent with the kernel that a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparisons {
    /// The number of comparisons.
    pub count: u64,
    /// The key of the step that asks for them.
    pub key: &'static str,
}

impl<'a> Change<'a> {
    /// Who is added, and so was not there before, or was there already.
    pub fn presence(self) -> Option<(EndpointName, bool)> {
        match self {
            Self::Pod(pod, PodChange::Add) => Some((pod.into(), true)),
            Self::Pod(pod, PodChange::Remove | PodChange::Move(_)) => Some((pod.into(), false)),
            Self::Node(node, NodeChange::Add) => Some((node.into(), true)),
            Self::Node(node, NodeChange::Remove) => Some((node.into(), false)),
            Self::Node(
                _,
                NodeChange::Reboot
                | NodeChange::Address(_)
                | NodeChange::Mtu(_)
                | NodeChange::Metric,
            )
            | Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Dataplane { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Provoked(_) => None,
        }
    }

    /// The node whose address is not known to anybody before.
    pub fn new_address(self) -> Option<&'a NodeName> {
        match self {
            Self::Node(node, NodeChange::Add | NodeChange::Address(_)) => Some(node),
            Self::Node(
                _,
                NodeChange::Remove | NodeChange::Reboot | NodeChange::Mtu(_) | NodeChange::Metric,
            )
            | Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Dataplane { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Provoked(_) => None,
        }
    }

    /// The node whose processes end or begin, or have another address than before.
    pub fn new_host(self) -> Option<&'a NodeName> {
        match self {
            Self::Node(
                node,
                NodeChange::Add | NodeChange::Remove | NodeChange::Reboot | NodeChange::Address(_),
            ) => Some(node),
            Self::Node(_, NodeChange::Mtu(_) | NodeChange::Metric)
            | Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Dataplane { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Provoked(_) => None,
        }
    }

    /// Whether it may change what is to be encrypted.
    pub fn is_of_intent(self) -> bool {
        match self {
            Self::Encryption(_) | Self::Configuration(_) | Self::Provoked(_) => true,
            Self::Nothing { .. }
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Dataplane { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Node(..) => false,
        }
    }

    /// Whether somebody else than the engine changes the links, addresses, routes or rules of a host.
    pub fn is_of_hosts(self) -> bool {
        match self {
            Self::Dataplane { .. } | Self::Pod(..) | Self::Node(..) | Self::Provoked(_) => true,
            Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. } => false,
        }
    }

    /// Whether it is undone in the end, by the engine or by writing what was there: what an agent can be
    /// made to die of again and again.
    pub fn can_be_undone(self) -> bool {
        match self {
            Self::Configuration(_) => true,
            Self::Dataplane { settles, .. } => match settles {
                Settles::Repaired => true,
                Settles::Unchanged | Settles::Compared => false,
            },
            Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Node(..)
            | Self::Provoked(_) => false,
        }
    }

    /// The comparisons that it waits for.
    pub fn comparisons(self) -> Option<Comparisons> {
        let (count, key) = match self {
            Self::Nothing { comparisons: 0 } => return None,
            Self::Nothing { comparisons } => (comparisons, "count"),
            Self::Dataplane { settles, .. } => match settles {
                Settles::Unchanged | Settles::Compared => (UNCHANGED, "settles"),
                Settles::Repaired => return None,
            },
            Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Node(..)
            | Self::Provoked(_) => return None,
        };
        Some(Comparisons { count, key })
    }

    /// The command that it takes.
    pub fn command(self) -> Option<OperatorCommand> {
        match self {
            Self::Encryption(true) => Some(OperatorCommand::Enable),
            Self::Encryption(false) => Some(OperatorCommand::Disable),
            Self::Rotation => Some(OperatorCommand::RotateKey),
            Self::Agents { .. } => Some(OperatorCommand::Agent),
            Self::Provoked(_) => Some(OperatorCommand::TestAgent),
            Self::Nothing { .. }
            | Self::Configuration(_)
            | Self::Key { .. }
            | Self::Dataplane { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Node(..) => None,
        }
    }

    /// What it needs of a machine, besides what the fabric and the store need that it leads to.
    pub fn need(self) -> Option<Need> {
        match self {
            // Only a WireGuard that is a process can show these.
            Self::Dataplane {
                what:
                    Tamper::Delete(Own::TunnelProcess | Own::Peer(_))
                    | Tamper::Add(Foreign::Peer { .. }),
                ..
            } => Some(Need::Userspace),
            Self::Dataplane { .. }
            | Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Key { .. }
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(..)
            | Self::Node(..) => None,
            Self::Provoked(provoked) => provoked.change().need(),
        }
    }

    /// Where reverse-path filters may drop packets in the whole run.
    pub fn drops(self) -> Drops<'a> {
        match self {
            Self::Dataplane { node, .. } => Drops::At(node),
            Self::Key { .. }
            | Self::Pod(_, PodChange::Move(_))
            | Self::Node(_, NodeChange::Remove | NodeChange::Reboot | NodeChange::Address(_))
            | Self::Provoked(_) => Drops::Everywhere,
            Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(_, PodChange::Add | PodChange::Remove)
            | Self::Node(_, NodeChange::Add | NodeChange::Mtu(_) | NodeChange::Metric) => {
                Drops::Nowhere
            }
        }
    }

    /// Which readable frames it excuses.
    pub fn excuse(self) -> Excuse<'a> {
        match self {
            // Until the engine has put the sender's dataplane right, what that node sends is not the engine's
            // doing. Where it has to encrypt or drop, only the loss of what drops is an excuse.
            Self::Node(node, NodeChange::Reboot) => Excuse::SentBy {
                node,
                strict: false,
            },
            Self::Dataplane { node, what, .. } => Excuse::SentBy {
                node,
                strict: what.takes_firewall(),
            },
            // The address that the packet was sent to has left.
            Self::Node(node, NodeChange::Address(_)) => Excuse::SentTo {
                end: node.into(),
                strict: true,
            },
            Self::Pod(pod, PodChange::Remove | PodChange::Move(_)) => Excuse::SentTo {
                end: pod.into(),
                strict: false,
            },
            // Two nodes with one key have none until it is put right.
            Self::Key { .. } | Self::Provoked(_) => Excuse::Everything,
            Self::Nothing { .. }
            | Self::Encryption(_)
            | Self::Configuration(_)
            | Self::Agents { .. }
            | Self::Rotation
            | Self::Store(_)
            | Self::Fabric(_)
            | Self::Link { .. }
            | Self::Pod(_, PodChange::Add)
            | Self::Node(
                _,
                NodeChange::Add | NodeChange::Remove | NodeChange::Mtu(_) | NodeChange::Metric,
            ) => Excuse::Nothing,
        }
    }
}
