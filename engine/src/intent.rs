//! What the cluster asks for: resources, settings, and what a node publishes. Pure.

/// IPv4 and IPv6.
pub(crate) mod family;

/// Which addresses a node or a pod can have.
pub(crate) mod address;

/// Lists with commas between their words.
pub(crate) mod lists;

/// The word that was probably meant.
pub(crate) mod spelling;

/// Text of others on its way out.
pub(crate) mod text;

/// Public keys: base64 of 32 bytes that are not all zero.
pub(crate) mod key;

/// Durations as Go writes them.
pub(crate) mod duration;

/// Calico's selectors: expressions over labels.
pub(crate) mod selector;

/// Calico v3 resources, one at a time: what each file must hold.
pub(crate) mod resource;

/// FelixConfiguration: the settings that concern WireGuard, with their defaults.
pub(crate) mod settings;

/// All resources together: the cluster as one node's agent sees it.
pub(crate) mod cluster;

/// What a node says of itself in the store.
pub(crate) mod publication;
