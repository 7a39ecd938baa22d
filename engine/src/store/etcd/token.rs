//! The token by which etcd knows its user. Each member gives its own; it expires, and it is void when
//! users and roles change.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::HeaderValue;

use super::failure::Failure;

/// etcd's error for a token that it does not know (any more), and of one that is older than the last change of
/// its users (etcd: `api/v3rpc/rpctypes/error.go`). Requests without one are refused in the third way.
const VOID: [&str; 3] = [
    "invalid auth token",
    "revision of auth store is old",
    "user name is empty",
];

/// Whether a refusal means that a new token is needed.
pub(super) fn is_void(refusal: &str) -> bool {
    VOID.iter().any(|void| refusal.contains(void))
}

/// Whether a refusal of a token means that etcd does not ask who its clients are.
pub(super) fn is_not_needed(refusal: &str) -> bool {
    refusal.contains("authentication is not enabled")
}

/// What etcd refuses to a client that has named no user, with the remedy.
pub(super) fn without_user(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(what) if is_void(&what) => Failure::Refused(format!(
            "{what}\n  help: set ETCD_USERNAME and ETCD_PASSWORD"
        )),
        failure => failure,
    }
}

/// The token of one member, shared by all connections to it.
#[derive(Clone, Default)]
pub(super) struct Token(Arc<Mutex<Option<HeaderValue>>>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    pub(super) fn get(&self) -> Option<HeaderValue> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        token.clone()
    }

    /// Takes a new token, if it can be one.
    pub(super) fn set(&self, text: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        let mut token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(token.insert(value).clone())
    }

    /// Forgets a token that is void, unless there is another one by now.
    pub(super) fn forget(&self, void: Option<&HeaderValue>) {
        let mut token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if token.as_ref() == void {
            *token = None;
        }
    }
}
