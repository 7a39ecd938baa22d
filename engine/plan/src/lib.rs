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

/// What the cluster asks for: resources, settings, and what a node publishes.
pub mod intent;

/// What a node is like and should be like, and the changes between the two.
pub mod dataplane;
