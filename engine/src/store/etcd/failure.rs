//! What can be wrong with an etcd, as its user is told.

use std::fmt;
use std::io;
use std::time::Duration;

/// How long a connection, and each piece of an answer, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// Why etcd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// A connection, and no answer.
    #[error("it has not answered for {} s", PATIENCE.as_secs())]
    Silent,
    /// An answer that is not etcd's.
    #[error("what answers there is no etcd: {0}")]
    Garbage(String),
    /// An answer that says no.
    #[error("it refuses: {0}")]
    Refused(String),
    /// TLS cannot be set up here.
    #[error("{0}")]
    Tls(String),
}

impl Failure {
    /// A connection that broke.
    pub(super) fn broken(cause: impl fmt::Display) -> Self {
        Self::Unreachable(io::Error::other(cause.to_string()))
    }
}
