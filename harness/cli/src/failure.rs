//! Errors as the user meets them, and the exit status of each.

use std::path::PathBuf;
use std::process::ExitCode;

use wireproof_lab::base::error::{Blame, LabError};
use wireproof_model::problem::Problems;
use wireproof_model::text::shown_path;

/// The exit status of `wireproof`; the numbers are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every promise held.
    Held = 0,
    /// A promise was broken, or the engine did not do its part.
    Broken = 1,
    /// The input is wrong.
    BadInput = 2,
    /// The machine or the run is at fault.
    Unfit = 3,
}

impl Status {
    /// The one of two that a whole run ends with: what is broken is so whatever else is open.
    pub fn or_worse(self, other: Self) -> Self {
        let weight = |status| match status {
            Self::Held => 0,
            Self::Unfit => 1,
            Self::Broken => 2,
            Self::BadInput => 3,
        };
        match weight(self) < weight(other) {
            true => other,
            false => self,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Reasons for which there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file's content is wrong.
    #[error("{}", .0.render())]
    Content(Problems),
    /// A file cannot be read, or is not there.
    #[error("cannot read {}: {cause}", shown_path(.path))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The cause, in words.
        cause: String,
    },
    /// An argument names nothing.
    #[error("{what}\n  help: {help}")]
    Unknown {
        /// What was asked for.
        what: String,
        /// What there is.
        help: String,
    },
    /// The kernel of a virtual machine logged what none should ever log.
    #[error("the kernel complained:\n{}\n  help: the run directory is {}", .complaints.join("\n"), shown_path(.directory))]
    Kernel {
        /// The lines of its log.
        complaints: Vec<String>,
        /// What was run meanwhile.
        directory: PathBuf,
    },
    /// The lab or the engine failed.
    #[error("{}", lab_text(.0))]
    Lab(LabError),
}

fn lab_text(error: &LabError) -> String {
    match &error.help {
        Some(help) => format!("{error}\n  help: {help}"),
        None => error.to_string(),
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        Self::Lab(error)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Content(problems)
    }
}

impl Failure {
    /// How the process ends because of it.
    pub fn status(&self) -> Status {
        match self {
            Self::Content(_) | Self::Unreadable { .. } | Self::Unknown { .. } => Status::BadInput,
            Self::Kernel { .. } => Status::Broken,
            Self::Lab(error) => match error.blame {
                Blame::Machine => Status::Unfit,
                Blame::Engine => Status::Broken,
                Blame::Request => Status::BadInput,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_outweighs_an_inconclusive_one() {
        assert_eq!(Status::Unfit.or_worse(Status::Broken), Status::Broken);
        assert_eq!(Status::Broken.or_worse(Status::Unfit), Status::Broken);
        assert_eq!(Status::Held.or_worse(Status::Unfit), Status::Unfit);
        assert_eq!(Status::Broken.or_worse(Status::Held), Status::Broken);
    }
}
