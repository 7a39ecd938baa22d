//! The operator's commands, and what they print.

/// Devices, times and sizes as text.
pub(crate) mod render;

/// The state of a node and its peers, as text and as JSON.
pub(crate) mod status;

/// What the operator's commands write into the store.
pub(crate) mod operate;

/// Arguments, help, and what each command does.
pub(crate) mod command;
