//! The cluster's intent: resources, settings, and what a node publishes. Pure.

/// IPv4 and IPv6.
pub mod family;

/// Addresses that a node or a pod of a cluster can have.
pub mod address;

/// Lists with commas between their words.
pub mod lists;

/// The known word nearest to a misspelt one.
pub mod spelling;

/// Escaping of untrusted text for a log, a terminal, a supervisor or a metric.
pub mod text;

/// Public keys: base64 of 32 bytes that are not all zero.
pub mod key;

/// Durations as Go writes them.
pub mod duration;

/// Calico's selectors: expressions over labels.
pub mod selector;

/// Parsers of Calico v3 resources, one at a time.
pub mod resource;

/// FelixConfiguration: the settings that concern WireGuard, with their defaults.
pub mod settings;

/// All resources together: the cluster as one node's agent sees it.
pub mod cluster;

/// What an agent writes into its Node: public keys, and that a key was replaced as asked.
pub mod publication;

/// What the operator's commands write into the store: fields and annotations of FelixConfiguration `default`.
pub mod statement;
