//! The pure half of wireproof, in the order in which data meets it.
//!
//! ```text
//! scenario.toml -> Scenario -> Plan ... lab ... -> Evidence -> Verdicts -> Report
//!    text         as written  as meant  effects    observed     judged     told
//! ```
//!
//! Nothing here reads a clock, a file or a socket, starts a process or draws a
//! random number; `clippy.toml` beside the manifest enforces it.

// A new variant of an own enum must be decided about everywhere; other crates' enums are the lab's business.
#![warn(clippy::wildcard_enum_match_arm)]

/// Names of nodes, pods, interfaces and engines, valid by construction.
pub mod name;

/// Nouns with their numbers.
pub mod count;

/// Text of others on its way out.
pub mod text;

/// The TOML as meant: every name resolved, every address chosen.
pub mod plan;

/// Tags: the bytes that fill a probe's payload, and how to find them again.
pub mod tag;

/// What is wrong with an input file: each problem points at its place and says how to put it right.
pub mod problem;

/// TOML with the place of every value, read key by key.
pub mod document;

/// The TOML as written, with the place of every value.
pub mod scenario;

/// The plan told as text: addresses, and the way each packet must take.
pub mod plan_text;

/// Scenario to plan: checks everything, reports every problem at once.
pub mod resolve;

/// The strict reverse-path matrix, and what follows for each row from the kernel's source.
pub mod rpf;

/// The Calico v3 resources that tell an engine about the planned cluster.
pub mod resource;

/// How to run an engine under test, as written in `fixtures/engines/*.toml`.
pub mod engine;

/// Every table, key and word of scenarios and descriptors, as a page and as JSON.
pub mod reference;

/// A node's dataplane as data, and as the text that reviewers read.
pub mod dataplane;

/// Bytes to frames: ARP, IP, and the WireGuard messages inside UDP.
pub mod frame;

/// Everything a run observed; saved beside it and loadable again.
pub mod evidence;

/// The way of one probe through the interfaces, in order of time.
pub mod journey;

/// What is decided about a promise, and why.
pub mod verdict;

/// What in the nodes' dataplanes is wrong for a pair whose promise was broken.
mod why;

/// Plan and evidence to verdicts.
pub mod judge;

/// What a run looked like, for comparing it with others.
pub mod run_traits;

/// Verdicts told as a table, as JSON and as the text of a failure.
pub mod report;

/// The promises of another scenario, about a run that has been.
pub mod rejudge;
