//! What the cluster asks for: resources, settings, and what a node publishes. Pure.

/// IPv4 and IPv6.
pub mod family;

/// Which addresses a node or a pod can have.
pub mod address;

/// Lists with commas between their words.
pub mod lists;

/// The word that was probably meant.
pub mod spelling;

/// Text of others on its way out.
pub mod text;

/// Public keys: base64 of 32 bytes that are not all zero.
pub mod key;

/// Durations as Go writes them.
pub mod duration;

/// Calico's selectors: expressions over labels.
pub mod selector;

/// Calico v3 resources, one at a time: what each file must hold.
pub mod resource;

/// FelixConfiguration: the settings that concern WireGuard, with their defaults.
pub mod settings;

/// All resources together: the cluster as one node's agent sees it.
pub mod cluster;

/// What a node says of itself in the store.
pub mod publication;

/// What the operator states of the whole cluster.
pub mod statement;
