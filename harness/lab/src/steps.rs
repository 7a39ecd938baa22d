//! The engine as processes, the steps that it is taken through, and how it behaves.

/// The engine under test, as processes.
pub(crate) mod engine;

/// How the engines behave besides their work, and how they end.
pub(crate) mod conduct;

/// Which keys the engines have published.
pub(crate) mod key_history;

/// Nodes' dataplanes as text, to compare two moments.
pub(crate) mod dataplane_texts;

/// Runs the steps one by one: does the action, then waits until the engines have settled.
pub(crate) mod runner;
