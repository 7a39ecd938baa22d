//! The emulated cluster: nodes, pods, the fabric between them, and the store.

/// Mount namespaces of nodes: the files that a node's processes see and can write.
pub(crate) mod containment;

/// A node's first process: starts what the lab asks for, reaps what is left over.
pub mod init;

/// The lab's end of a node's first process: orders go in, messages come out.
pub(crate) mod node;

/// Processes of nodes, found in `/proc`.
pub(crate) mod process;

/// The namespaces, links and addresses of a plan.
pub(crate) mod topology;

/// The store of the cluster's resources: a directory, or an etcd on the fabric.
pub(crate) mod store;

/// Changes to a node's dataplane behind the engine's back.
pub(crate) mod tamper;
