//! How a command prints what it found.

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
}
