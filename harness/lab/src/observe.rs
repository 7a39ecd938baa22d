//! What is seen: frames at every interface, dataplanes, counters and drop reasons.

/// The kernel's own description of its types.
pub(crate) mod btf;

/// Dropped packets of every namespace, by the kernel's reasons.
pub(crate) mod drop_watch;

/// What the interfaces of a namespace are, by their names and at any time of a run.
pub(crate) mod role;

/// One namespace's observer: its socket, its interfaces and its capture file.
pub(crate) mod observer;

/// Beacons that were not seen where they must be.
pub(crate) mod unseen;

/// How large the observers' rings are.
pub(crate) mod ring;

/// All observers, armed before the first agent is started.
pub(crate) mod capture;

/// Frames that show that the observers see.
pub(crate) mod beacon;

/// A node's dataplane as the kernel tells it.
pub(crate) mod snapshot;

/// Counters of a node's packets that went wrong.
pub(crate) mod counter;

/// Where a node's kernel sends the packets of the pairs that something is promised about.
pub(crate) mod lookup;

/// What nodes look like between the steps.
pub(crate) mod state;
