//! The command line: reads scenarios, runs them in the lab, and judges what was observed.

/// Errors as the user meets them, and the exit status of each.
pub mod failure;

/// The output format of a command: text for people, or one JSON document.
pub mod format;

/// Files that the user names, and those that a folder holds.
pub mod input;

/// Engines under test: built in, or from a descriptor's file.
pub mod engines;

/// Names of run directories.
pub mod run_name;

/// One scenario from file to verdicts.
pub mod scenario;

/// A lane: this kernel, or a virtual machine with another, in which scenarios run.
pub mod lane;

/// The lanes that this machine has, what each lacks, and which one a scenario goes to.
pub mod lanes;

/// The capabilities of this machine, as a table.
pub mod doctor;

/// The strict reverse-path matrix on this kernel, as a table.
pub mod rpf;

/// The list of scenarios, each with its title and what it needs.
pub mod list;

/// Output: documents and tables on standard output, progress and errors on standard error.
mod output;

/// The same scenarios with several WireGuards on several kernels, side by side.
pub mod sweep;

/// `wireproof run`: many scenarios, each in its lane.
pub mod run;

/// Arguments, help, and what each command prints.
pub mod command;
