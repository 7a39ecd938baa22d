//! Observation: frames at every interface, dataplanes, counters and drop reasons.

/// The kernel's own description of its types.
pub(crate) mod btf;

/// Dropped packets of every namespace, by the kernel's reasons.
pub(crate) mod drop_watch;

/// Roles of a namespace's interfaces, by their names and at any time of a run.
pub(crate) mod role;

/// One namespace's observer: its socket, its interfaces and its capture file.
pub(crate) mod observer;

/// Beacons that a capture lacks: its observer cannot prove that something was not there.
pub(crate) mod unseen;

/// Sizes of the observers' rings.
pub(crate) mod ring;

/// The capture: one observer per namespace, armed before the first agent is started.
pub(crate) mod capture;

/// Beacons: frames that prove that the observers receive what passes.
pub(crate) mod beacon;

/// Snapshots of a node's dataplane, read from the kernel.
pub(crate) mod snapshot;

/// Counters of a node's dropped and erroneous packets.
pub(crate) mod counter;

/// Route lookups on the nodes for the packets of every promised pair.
pub(crate) mod lookup;

/// Snapshots of nodes' dataplanes between the steps.
pub(crate) mod state;
