//! The points at which a test changes what an agent does. `wiremesh` has [`NoHooks`], which change nothing;
//! `wiremesh-test` leaves out what `--fault` names, and aborts at the write that `WIREMESH_CRASH` names.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::dataplane::model::Dataplane;
use wiremesh_plan::dataplane::tables::Tables;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::resource::{Identity, Node};

/// What a program does otherwise. Each method does nothing by default, or returns what is usual.
pub(crate) trait TestHooks: fmt::Debug + Send + Sync {
    /// An agent starts. `procfs` is where it writes sysctls.
    fn agent_starts(&self, _procfs: &Path) {}

    /// Whether an agent ends when SIGTERM asks it to.
    fn obeys_sigterm(&self) -> bool {
        true
    }

    /// An agent ends, since it was asked to.
    fn agent_ends(&self) {}

    /// Arguments of a new tunnel process, besides the device's name.
    fn tunnel_arguments(&self) -> &'static [&'static str] {
        &[]
    }

    /// A tunnel process starts.
    ///
    /// # Errors
    /// It cannot do what is asked of it.
    fn tunnel_starts(&self) -> io::Result<()> {
        Ok(())
    }

    /// A comparison with the kernel begins; in a resync all of it is asked.
    fn comparison_begins(&self, _resync: bool) {}

    /// Whether an agent wakes up when the kernel notifies it of a change.
    fn watches_kernel(&self) -> bool {
        true
    }

    /// Whether the kernel's notifications so far are applied.
    fn accepts_kernel_notifications(&self) -> bool {
        true
    }

    /// Whether the kernel's notifications are read while nothing can be done.
    fn drains_kernel(&self) -> bool {
        true
    }

    /// Whether a resync asks for sysctls.
    fn compares_sysctls(&self) -> bool {
        true
    }

    /// Whether a resync asks for links and devices.
    fn compares_devices(&self) -> bool {
        true
    }

    /// Whether all that is in this routing table, and whatever rule looks it up, is the engine's own.
    fn owns_table(&self, _table: u32) -> bool {
        false
    }

    /// What is known of the routing tables, before one is chosen.
    fn change_tables(&self, _tables: &mut Tables<'_>) {}

    /// Whose configuration an agent looks at: a node's name.
    fn configured_node<'a>(&self, node: &'a str) -> &'a str {
        node
    }

    /// Whether the changes that the store reports are applied; `known` is the cluster as it was last.
    fn takes_in(&self, _known: &Cluster) -> bool {
        true
    }

    /// The cluster, before anything is decided by it.
    fn change_cluster(&self, _cluster: &mut Cluster) {}

    /// Whether a Node that is deleted before its pods is remembered.
    fn remembers_nodes(&self) -> bool {
        true
    }

    /// Whether changed pods alone may be dealt with alone.
    fn allows_shortcut(&self) -> bool {
        true
    }

    /// Whether rules of others that come before the engine's are looked at.
    fn sees_rules_before(&self) -> bool {
        true
    }

    /// Whether peers that roam are followed.
    fn follows_peers(&self) -> bool {
        true
    }

    /// The dataplane as it is and as it should be, before they are compared.
    fn change_dataplanes(&self, _actual: &mut Dataplane, _desired: &mut Dataplane) {}

    /// What is written besides the difference.
    fn more_changes(&self, _actual: &Dataplane) -> Vec<Change> {
        Vec::new()
    }

    /// Before the agent's write of that number, counted from 1.
    fn before_write(&self, _number: u64) {}

    /// After the agent's write of that number.
    fn after_write(&self, _number: u64) {}

    /// Whether the rules that refuse plaintext are kept for the next boot.
    fn keeps_guard(&self) -> bool {
        true
    }

    /// Whether keys are published, and what is done is announced.
    fn publishes(&self) -> bool {
        true
    }

    /// Whether a key that is not the published one is published; `own` is this node as the store has it.
    fn publishes_again(&self, _own: &Node) -> bool {
        true
    }

    /// Whether requests for a new key are met.
    fn rotates(&self) -> bool {
        true
    }

    /// A document of the store was read.
    fn document_read(&self) {}

    /// Whether the changes that a store reports are applied.
    fn accepts_store_events(&self) -> bool {
        true
    }

    /// Whether a resource stays as it was when it cannot be read any more.
    fn keeps_last_good(&self) -> bool {
        true
    }

    /// Whether a resource goes when the store cannot be reached.
    fn goes_with_store(&self, _identity: &Identity) -> bool {
        false
    }

    /// Whether what changed while a store could not be reached is asked for.
    fn resumes_watch(&self) -> bool {
        true
    }

    /// Whether a silent store is asked whether it is there.
    fn asks_silent_store(&self) -> bool {
        true
    }

    /// What is edited: the value that has just been read at that key.
    fn edited(&self, _key: &str, value: Value) -> Value {
        value
    }
}

/// Changes nothing.
#[derive(Debug)]
struct NoHooks;

impl TestHooks for NoHooks {}

/// The hooks that a program was started with.
#[derive(Debug, Clone)]
pub(crate) struct Hooks(Arc<dyn TestHooks>);

impl Hooks {
    /// Wraps these hooks.
    pub(crate) fn new(hooks: impl TestHooks + 'static) -> Self {
        Self(Arc::new(hooks))
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self::new(NoHooks)
    }
}

impl Deref for Hooks {
    type Target = dyn TestHooks;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
