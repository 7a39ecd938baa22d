//! What happens in a step.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::NodeName;

use super::{Settles, StoreAction, Tamper};

/// The kinds of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Encryption is switched on with the engine's own command.
    Enable,
    /// Encryption is switched off with the engine's own command.
    Disable,
    /// Fields of a FelixConfiguration are written, with Calico's own names.
    Configure {
        /// Of this node; none is the one for all.
        node: Option<NodeName>,
        /// Fields of its `spec`.
        set: BTreeMap<String, Value>,
        /// Its annotations.
        annotations: BTreeMap<String, String>,
        /// Fields or annotations that are removed.
        unset: BTreeSet<String>,
    },
    /// Agents are asked to end (SIGTERM).
    StopEngine {
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
        /// Whose.
        node: NodeName,
    },
    /// Somebody else overwrites the public key that a node has published.
    OverwriteKey {
        /// Whose.
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
            Self::KillEngine { .. } => "kill-engine",
            Self::StartEngine { .. } => "start-engine",
        }
    }

    /// What happens, in words.
    pub fn told(&self) -> String {
        match self {
            Self::Enable => "enable encryption".into(),
            Self::Disable => "disable encryption".into(),
            Self::Configure {
                node,
                set,
                annotations,
                unset,
            } => {
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
            Self::Store(action) => action.told(),
            Self::KillEngine { node } => format!("kill {}", agent_of(node.as_ref())),
            Self::StartEngine { node } => format!("start {} again", agent_of(node.as_ref())),
        }
    }
}

fn agent_of(node: Option<&NodeName>) -> String {
    match node {
        Some(node) => format!("{node}'s agent"),
        None => "every node's agent".into(),
    }
}
