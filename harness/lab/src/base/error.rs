//! Errors of the machine or the engine. Scenario mistakes never get here: a plan is valid.

use std::fmt;
use std::io;

/// What the lab could not do.
#[derive(Debug, thiserror::Error)]
#[error("{operation}{}: {cause}", Where(.place.as_deref()))]
pub struct LabError {
    /// What was tried, as a verb phrase: `create the veth to pod web`.
    pub operation: String,
    /// The node, pod or `fabric` it was tried in.
    pub place: Option<String>,
    /// What came back.
    pub cause: String,
    /// What the reader can try.
    pub help: Option<String>,
    /// What is to blame.
    pub blame: Blame,
    /// Whether this is what was waited for and did not come, or what must not be and is: then an
    /// engine that is at fault was seen to be.
    pub refuted: bool,
}

/// What is to blame for a failed run; it decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The machine lacks something, or the run went wrong: status 3.
    Machine,
    /// The engine under test did not do its part: status 1.
    Engine,
    /// What was asked for does not exist, such as a kernel, or a fault of the engine: status 2.
    Request,
}

struct Where<'a>(Option<&'a str>);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl LabError {
    /// The machine failed at `operation`.
    pub fn machine(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            operation: operation.into(),
            place: None,
            cause: cause.to_string(),
            help: None,
            blame: Blame::Machine,
            refuted: false,
        }
    }

    /// What was asked for at `operation` does not exist.
    pub fn request(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            blame: Blame::Request,
            ..Self::machine(operation, cause)
        }
    }

    /// The engine under test was seen to do what it must not.
    pub(crate) fn refutation(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            refuted: true,
            ..Self::engine(operation, cause)
        }
    }

    /// The engine under test failed at `operation`.
    pub fn engine(operation: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            blame: Blame::Engine,
            ..Self::machine(operation, cause)
        }
    }

    /// In which node, pod or namespace.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// What to try.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What to do where the kernel has no memory left for this process.
const MORE_MEMORY: &str = "allow wireproof more memory (ulimit -v, a control group), or end what else \
                           runs on this machine";

/// Adds the operation to an error of the system.
pub trait Doing<T> {
    /// The error, as a failure of the machine at `operation`.
    fn doing(self, operation: impl Into<String>) -> Result<T, LabError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, operation: impl Into<String>) -> Result<T, LabError> {
        self.map_err(|error| {
            let helpless = LabError::machine(operation, &error);
            match error.kind() {
                io::ErrorKind::OutOfMemory => helpless.help(MORE_MEMORY),
                _ => helpless,
            }
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, operation: impl Into<String>) -> Result<T, LabError> {
        self.map_err(|errno| {
            let helpless = LabError::machine(operation, errno.desc());
            match errno {
                nix::errno::Errno::ENOMEM => helpless.help(MORE_MEMORY),
                _ => helpless,
            }
        })
    }
}
