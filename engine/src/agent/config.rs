//! What an agent is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::hooks::Hooks;
use crate::host::apply::Preference;
use crate::store::Store;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub(crate) struct AgentConfig {
    pub(crate) node: String,
    pub(crate) store: Store,
    pub(crate) preference: Preference,
    /// Where sysctls are written.
    pub(crate) procfs: PathBuf,
    /// Where the guard's rules are kept.
    pub(crate) state: PathBuf,
    /// Where metrics are served, whatever the store says.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) hooks: Hooks,
}
