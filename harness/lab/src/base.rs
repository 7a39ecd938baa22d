//! What all of the lab stands on: errors, waits, threads, programs and the run directory.

/// The world failed: what, where, and what to try.
pub mod error;

/// Whether the kernel is a virtual machine's of the harness.
pub(crate) mod machine;

/// Threads, and what to do where the kernel gives none.
pub(crate) mod worker;

/// Waits with a name and a deadline.
pub(crate) mod wait;

/// Programs that the lab runs, and where they are looked for.
pub mod program;

/// The run directory: what a run leaves behind, and where.
pub mod artifact;

/// What a node's commands print, up to a size.
pub(crate) mod log;
