//! The operator's commands, and what they print.

/// Devices, times and sizes as text.
pub(crate) mod render;

/// The state of a node and its peers, as text and as JSON.
pub(crate) mod status;

/// The operator's commands that write to the store: enable, disable, rotate-key.
pub(crate) mod operate;

/// Arguments, help, and what each command does.
pub(crate) mod command;
