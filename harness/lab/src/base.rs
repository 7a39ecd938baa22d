//! The foundations of the lab: errors, waits, threads, programs and the run directory.

/// Errors of the machine or the engine: what, where, and what to try.
pub mod error;

/// Detection of a kernel that the harness has booted in a virtual machine.
pub(crate) mod machine;

/// Threads, and the error where the kernel gives none.
pub(crate) mod worker;

/// Waits with a name and a deadline.
pub(crate) mod wait;

/// Programs that the lab runs, and where they are looked for.
pub mod program;

/// The run directory: the files that a run leaves, and their names.
pub mod artifact;

/// Logs of a node's commands, truncated at a size limit.
pub(crate) mod log;
