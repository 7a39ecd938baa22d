//! The configuration that an agent is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::hooks::Hooks;
use crate::host::apply::Preference;
use crate::store::Store;

/// The configuration that an agent is started with.
#[derive(Debug, Clone)]
pub(crate) struct AgentConfig {
    pub(crate) node: String,
    pub(crate) store: Store,
    pub(crate) preference: Preference,
    /// Where sysctls are written.
    pub(crate) procfs: PathBuf,
    /// Where the guard's rules are kept.
    pub(crate) state: PathBuf,
    /// The address at which metrics are served, whatever FelixConfiguration has.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) hooks: Hooks,
}
