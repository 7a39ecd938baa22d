//! Errors of a reconciliation.

use std::path::PathBuf;

use super::MAX_ROUNDS;
use crate::host::apply::ApplyError;
use crate::host::kernel::ObserveError;
use crate::host::netlink::NetlinkError;
use crate::store::StoreError;

/// Errors of a reconciliation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The store has no Node for this node.
    #[error("the store has no Node `{0}`: the agent waits for it")]
    NoNode(String),
    /// What can be read of the configuration asks for less than is in force.
    #[error(
        "the configuration has a mistake, and what is encrypted and dropped stays as it is until this is corrected: {0}"
    )]
    Unread(String),
    /// Another program undoes the changes of this agent.
    #[error("kernel state still differs after {MAX_ROUNDS} rounds of changes; last change: {0}")]
    NotKept(String),
    /// A peer's endpoint keeps reverting, because the peer still sends from its former address.
    #[error(
        "a peer sends from another endpoint than the store has; the last change that was tried: {0}"
    )]
    Elsewhere(String),
    /// A second agent on one node.
    #[error(
        "another agent{} keeps its state in {}: end it, or give this one a directory of its own with `--state`",
        .process.map_or_else(String::new, |process| format!(" (process {process})")),
        .state.display()
    )]
    Another {
        process: Option<u32>,
        state: PathBuf,
    },
    /// Signals cannot be caught.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}
