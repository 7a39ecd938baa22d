//! Reasons for which a request to etcd fails.

use std::fmt;
use std::io;
use std::time::Duration;

/// How long a connection, and each piece of an answer, may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection, or it broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// A connection without a response.
    #[error("no response within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// A response that is not etcd's.
    #[error("not an etcd endpoint: {0}")]
    Protocol(String),
    /// etcd refuses the request.
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
