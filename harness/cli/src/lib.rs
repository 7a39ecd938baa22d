//! The one place where reading, lab and judging meet.

/// Errors as the user meets them, and the exit status of each.
pub mod failure;

/// How a command prints what it found.
pub mod format;

/// Files that the user names, and those that a folder holds.
pub mod input;

/// Engines under test: built in, or from a descriptor's file.
pub mod engines;

/// What run directories are called.
pub mod run_name;

/// One scenario from file to verdicts.
pub mod scenario;

/// Where scenarios run: on this kernel, or in a virtual machine with another.
pub mod lane;

/// The lanes that this machine has, what each lacks, and which one a scenario goes to.
pub mod lanes;

/// What this machine can do, as a table.
pub mod doctor;

/// The strict reverse-path matrix on this kernel, as a table.
pub mod rpf;

/// Scenarios in a list: each with its fact and what it needs.
pub mod list;

/// What is printed: documents, tables, and what goes on.
mod output;

/// The same scenarios with several WireGuards on several kernels, side by side.
pub mod sweep;

/// `wireproof run`: many scenarios, each in its lane.
pub mod run;

/// Arguments, help, and what each command prints.
pub mod command;
