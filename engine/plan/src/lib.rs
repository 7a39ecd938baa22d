//! What wiremesh decides: resources of the cluster to the dataplane that a node should have, and from there to
//! the changes that lead to it.
//!
//! ```text
//! resources -> Cluster -> Desired --diff--> changes
//!                            ^
//!                 Actual ----+  as the kernel has it
//! ```
//!
//! Nothing here reads a clock, a file or a socket, starts a process or draws a random number; `clippy.toml`
//! beside the manifest enforces it. What has effects is in the crate `wiremesh`, which reads resources and
//! kernel, calls this crate, and carries out the changes.

/// The cluster's intent: resources, settings, and what a node publishes.
pub mod intent;

/// The actual and the desired dataplane of a node, and the changes from one to the other.
pub mod dataplane;
