//! What happens in a step.

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// The kinds of step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Encryption is switched on with the engine's own command.
    Enable,
    /// Encryption is switched off with the engine's own command.
    Disable,
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
            Self::KillEngine { .. } => "kill-engine",
            Self::StartEngine { .. } => "start-engine",
        }
    }

    /// What happens, in words.
    pub fn told(&self) -> String {
        match self {
            Self::Enable => "enable encryption".into(),
            Self::Disable => "disable encryption".into(),
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
