//! The actual and the desired dataplane of a node, and the changes from one to the other. Pure.

/// Local addresses: the node's own and its pods', read from the kernel's own routes.
pub mod local_routes;

/// The node of each pod, block and host network, and which node has one that two claim (Felix: `L3RouteResolver`).
pub mod networks;

/// The nftables table of this engine.
pub mod firewall;

/// The last good settings of encrypt or drop, kept while a FelixConfiguration has a field that cannot be read.
mod retained_settings;

/// Addresses that stay protected after their Node was deleted while its pods remain.
pub mod retained_protection;

/// The dataplane's types: devices, peers, routes and rules, for the actual and the desired one.
pub mod model;

/// The choice of this engine's routing table.
pub mod tables;

/// Rules of the routing policy database, and the packets that each matches.
pub mod policy;

/// Policy rules of other programs that come before this engine's, so that packets bypass the tunnel.
pub mod bypass;

/// The desired dataplane of a node: device, peers, routes into the tunnel, throw routes, rule and nftables.
pub mod desired;

/// Peers that send from another endpoint than the store has (roaming).
pub mod roaming;

/// The difference between two dataplanes as an ordered list of changes.
pub mod change;

/// The fast path: the changes for one pod that is added, removed or moved.
pub mod pod_change;
