//! The output format of a command: text for people, or one JSON document.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// The version of every JSON document that is printed. Keys are added under it; one that goes or means something
/// else makes it another.
pub const VERSION: u32 = 1;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: one document and nothing else
    Json,
}

/// The arguments that choose it.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormatArguments {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl FormatArguments {
    /// Whether one JSON document is asked for.
    pub fn is_json(self) -> bool {
        self.json || self.format == Format::Json
    }
}

/// Whether arguments that could not be read as a whole ask for one JSON document.
pub(crate) fn asks_for_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut before = OsString::new();
    arguments.into_iter().any(|argument| {
        let is_value = before == "--format" && argument == "json";
        before = argument;
        is_value || before == "--json" || before == "--format=json"
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        format: FormatArguments,
    }

    #[test]
    fn json_is_asked_for_in_two_ways_and_not_in_both_at_once() {
        let is_json = |arguments: &[&str]| {
            let arguments = ["program"].iter().chain(arguments);
            Program::try_parse_from(arguments)
                .map(|program| program.format.is_json())
                .ok()
        };
        assert_eq!(is_json(&[]), Some(false));
        assert_eq!(is_json(&["--format", "text"]), Some(false));
        assert_eq!(is_json(&["--format", "json"]), Some(true));
        assert_eq!(is_json(&["--json"]), Some(true));
        assert_eq!(is_json(&["--json", "--format", "text"]), None);
        assert_eq!(is_json(&["--format", "xml"]), None);
    }

    #[test]
    fn wrong_arguments_are_json_where_json_is_asked_for() {
        let asks = |arguments: &[&str]| asks_for_json(arguments.iter().map(OsString::from));
        assert!(asks(&["check", "--frob", "--json"]));
        assert!(asks(&["check", "--format", "json", "--frob"]));
        assert!(asks(&["check", "--format=json"]));
        assert!(!asks(&["check", "--format", "text", "json"]));
        assert!(!asks(&["check", "--format"]));
    }
}
