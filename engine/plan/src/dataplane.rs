//! What a node is like and should be like, and the changes between the two. Pure.

/// What is really on this node, by the kernel's own routes.
pub mod local_routes;

/// Which node has which network.
pub mod networks;

/// What this engine wants of nftables.
pub mod firewall;

/// What settings protected before one had a mistake.
mod retained_settings;

/// Addresses of Nodes that are gone while their pods are not.
pub mod retained_protection;

/// What a node's dataplane can be like, for what is and for what should be.
pub mod model;

/// Which routing table is this engine's.
pub mod tables;

/// Rules of the routing policy database: which packets each is for.
pub mod policy;

/// Rules of others that come before this engine's.
pub mod bypass;

/// Cluster to dataplane: what this node should be like.
pub mod desired;

/// Peers that speak from elsewhere than the store says.
pub mod roaming;

/// The difference between two dataplanes as an ordered list of changes.
pub mod change;

/// What a pod's change does, at the cost of that pod.
pub mod increment;
