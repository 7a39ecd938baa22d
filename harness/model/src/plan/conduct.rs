//! An engine's required conduct: what its log may have, how much memory it may use, and how it ends.

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// What an engine claims of its own conduct, and is held to in every scenario. What its descriptor does not
/// claim is not judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conduct {
    /// How a line of its log shows its level.
    pub log: Option<LogForm>,
    /// The most memory that each of its processes may have had at any time (`VmHWM`), in KiB.
    pub memory: Option<u64>,
    /// How long its agent may take to end after SIGTERM, with exit status 0, in milliseconds.
    pub ends_within: Option<u32>,
    /// Whether the tunnel device stays when the agent has ended.
    pub keeps_device: bool,
    /// Whether it keeps private keys in its state directory, in files that only their owner can read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keys_in_state: bool,
}

impl Conduct {
    /// Whether anything is promised.
    pub fn is_judged(&self) -> bool {
        *self
            != Self {
                keys_in_state: self.keys_in_state,
                ..Self::default()
            }
    }
}

/// Parts of lines that show their level.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogForm {
    /// Of lines that nobody has to care about: a log without any is not in this form.
    pub harmless: Vec<String>,
    /// Of warnings and errors.
    pub warning: Vec<String>,
}

/// A line of a log, as far as its form shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLine<'a> {
    /// Nobody has to care about it.
    Harmless,
    /// A warning or an error, from its level on.
    Warning(&'a str),
    /// Nothing shows its level: it goes on from the line before.
    Bare,
}

impl LogForm {
    /// What a line is.
    pub fn read<'a>(&self, line: &'a str) -> LogLine<'a> {
        let place = |marks: &[String]| {
            let places = marks.iter().filter_map(|mark| line.find(mark.as_str()));
            places.min()
        };
        // The level stands before the message, which may be about anything.
        match (place(&self.warning), place(&self.harmless)) {
            (Some(warning), harmless) if harmless.is_none_or(|harmless| warning < harmless) => {
                LogLine::Warning(line.get(warning..).unwrap_or(line).trim())
            }
            (_, Some(_)) => LogLine::Harmless,
            (_, None) => LogLine::Bare,
        }
    }
}

/// A warning or error that a scenario expects of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A part of the line.
    #[serde(rename = "says")]
    pub part: String,
    /// Whose log it is in; none is any node's.
    pub node: Option<NodeName>,
    /// Whether it depends on chance, so that it need not come.
    pub sometimes: bool,
    /// The WireGuard that it is of; with another it need not come. None is any.
    #[serde(default)]
    pub wireguard: Option<WireGuardKind>,
    /// The scenario's line that states it, counted from 1.
    pub line: u32,
}

/// What does the encrypting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireGuardKind {
    /// WireGuard in the kernel.
    Kernel,
    /// WireGuard as a process.
    Userspace,
}

impl Warning {
    /// Whether it is about a line of that node's log.
    pub fn covers(&self, node: &NodeName, line: &str) -> bool {
        self.node.as_ref().is_none_or(|own| own == node) && line.contains(&self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_s_level_is_what_stands_first() {
        let form = LogForm {
            harmless: vec![" INFO ".into()],
            warning: vec![" WARN ".into(), "panicked at".into()],
        };
        let line = "12:00  WARN engine: it said INFO to me";
        assert_eq!(
            form.read(line),
            LogLine::Warning("WARN engine: it said INFO to me")
        );
        assert_eq!(
            form.read("12:00  INFO engine: no longer: a WARN here"),
            LogLine::Harmless
        );
        assert_eq!(form.read("  help: look there"), LogLine::Bare);
        let panic = "thread 'main' panicked at main.rs:3";
        assert_eq!(form.read(panic), LogLine::Warning("panicked at main.rs:3"));
    }
}
