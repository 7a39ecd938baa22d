//! The engines' conduct, as observed: their log warnings, memory and ends.

use serde::{Deserialize, Serialize};

/// What is known of the engine on a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConductEvidence {
    /// How many lines of its log show a level.
    pub lines: u64,
    /// The warnings and errors among them, from their level on, each once.
    pub warnings: Vec<LogWarning>,
    /// Its processes at the end of the run, before the agent was asked to end.
    pub processes: Vec<Process>,
    /// How its agents ended that were asked to, or ended by themselves.
    pub ends: Vec<End>,
    /// Whether the tunnel device was there before the agent was asked to end, and after it had.
    pub device: Option<(bool, bool)>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogWarning {
    /// From its level on.
    pub text: String,
    /// How often it was logged.
    pub times: u64,
}

/// A process of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The program, and the verb behind it: `wiremesh agent`.
    pub command: String,
    /// The most memory that it has had (`VmHWM` of proc_pid_status(5)), in KiB.
    pub peak: u64,
}

/// The end of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// `exit status 0`, `signal 9`; none if it did not end while it was waited for.
    pub how: Option<String>,
    /// Whether it was exit status 0.
    pub clean: bool,
    /// Whether it was asked to end.
    pub asked: bool,
    /// How long it took after that, in microseconds.
    pub micros: u64,
}
