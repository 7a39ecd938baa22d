//! The emulated cluster: nodes, pods, the fabric between them, and the store.

/// What a node's processes see and can write: files of their own.
pub(crate) mod containment;

/// A node's first process: starts what the lab asks for, reaps what is left over.
pub mod init;

/// A node's first process, as the lab sees it.
pub(crate) mod node;

/// Plan to namespaces, links and addresses.
pub(crate) mod topology;

/// Where the cluster's resources are: a directory, or an etcd on the fabric.
pub(crate) mod store;

/// Changes to a node's dataplane behind the engine's back.
pub(crate) mod tamper;
