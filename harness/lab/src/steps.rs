//! The engine as processes, the steps that it is taken through, and how it behaves.

/// The engine under test, as processes.
pub(crate) mod engine;

/// The search for private keys outside of the devices.
pub(crate) mod secret;

/// The engines' conduct: warnings in their logs, the memory they have had, and how they end.
pub(crate) mod conduct;

/// Keys that the engines have published in the course of a run.
pub(crate) mod key_history;

/// Nodes' dataplanes as text, to compare two moments.
pub(crate) mod dataplane_texts;

/// Runs the steps one by one: does the action, then waits until the engines have settled.
pub(crate) mod runner;
