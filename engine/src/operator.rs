//! The operator's commands, and what they print.

/// Devices, times and sizes as text.
pub(crate) mod render;

/// How a node and its peers stand, for people and for programs.
pub(crate) mod status;

/// What the operator's commands write into the store.
pub(crate) mod operate;

/// Arguments, help, and what each command does.
pub(crate) mod command;
