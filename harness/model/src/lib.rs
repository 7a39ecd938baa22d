//! The pure half of wireproof, in the order in which data meets it.
//!
//! ```text
//! scenario.toml -> Scenario -> Plan ... lab ... -> Evidence -> Verdicts -> Report
//!    text         as written  as meant  effects    observed     judged    reported
//! ```
//!
//! Nothing here reads a clock, a file or a socket, starts a process or draws a
//! random number; `clippy.toml` beside the manifest enforces it.

// A new variant of an own enum must be decided about everywhere; other crates' enums are the lab's business.
#![warn(clippy::wildcard_enum_match_arm)]

/// Names of nodes, pods, interfaces and engines, valid by construction.
pub mod name;

/// Counted nouns: a number with the noun in the singular or plural.
pub mod count;

/// Escaping of untrusted text for output.
pub mod text;

/// The plan: a scenario with every name resolved and every address chosen.
pub mod plan;

/// Tags: the bytes that fill a probe's payload, and how to find them again.
pub mod tag;

/// Problems of an input file: each names the thing, its place in the text and the fix.
pub mod problem;

/// TOML with the place of every value, read key by key.
pub mod document;

/// The TOML as written, with the place of every value.
pub mod scenario;

/// The plan as text: addresses, and the path that each packet must take.
pub mod plan_text;

/// Resolution of a scenario to a plan: checks everything, reports every problem at once.
pub mod resolve;

/// The strict reverse-path matrix, and what follows for each row from the kernel's source.
pub mod rpf;

/// The Calico v3 resources of a plan, in the shapes that `calicoctl get -o json` prints.
pub mod resource;

/// The descriptor of an engine under test, as written in `fixtures/engines/*.toml`.
pub mod engine;

/// Every table, key and word of scenarios and descriptors, as a page and as JSON.
pub mod reference;

/// A node's dataplane as data, and as the text that reviewers read.
pub mod dataplane;

/// Decoding of frames: ARP, IP, and the WireGuard messages inside UDP.
pub mod frame;

/// Everything a run observed; saved beside it and loadable again.
pub mod evidence;

/// Journeys: the interfaces that one probe passes, in order of time.
pub mod journey;

/// Verdicts about promises, with their facts and explanations.
pub mod verdict;

/// Explanations: what in the nodes' dataplanes is wrong for a pair whose promise was broken.
mod why;

/// Judgement: plan and evidence to verdicts.
pub mod judge;

/// Traits of a run, as values that can be compared with those of another run.
pub mod run_traits;

/// The report: verdicts as a table, as JSON and as the text of a failure.
pub mod report;

/// A saved run, judged by the promises of another scenario.
pub mod rejudge;
