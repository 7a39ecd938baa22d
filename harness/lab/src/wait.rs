//! Waits with a name and a deadline. Nothing in the lab sleeps: each wait blocks on
//! the thing itself and, when time is up, says what was last seen.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::LabError;

/// The moment until which a wait may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    allowed: Duration,
}

impl Deadline {
    /// `allowed` from this moment on.
    pub(crate) fn after(allowed: Duration) -> Self {
        Self {
            end: Instant::now() + allowed,
            allowed,
        }
    }

    /// What is left; zero when it has passed.
    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// What is left, for `poll`: at least a millisecond until it has passed.
    pub(crate) fn poll_timeout(&self) -> nix::poll::PollTimeout {
        let left = self.left();
        let millis = left.as_millis() + u128::from(!left.subsec_nanos().is_multiple_of(1_000_000));
        nix::poll::PollTimeout::try_from(millis).unwrap_or(nix::poll::PollTimeout::MAX)
    }

    /// Whether it has passed.
    pub(crate) fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// The error of a wait for `what` that saw only `seen`.
    pub(crate) fn missed(&self, what: &str, seen: &str) -> LabError {
        let late = LabError::machine(
            format!("wait until {what}"),
            format!(
                "not within {} ms; last seen: {seen}",
                self.allowed.as_millis()
            ),
        );
        LabError {
            refuted: true,
            ..late
        }
    }
}

/// A value that threads share and wait on.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// The value, for reading. A panic elsewhere does not hide what was observed until then.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes who waits.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` returns something. When time is up, `seen` says what there was instead.
    pub(crate) fn wait_until<R>(
        &self,
        what: &str,
        deadline: Deadline,
        mut ready: impl FnMut(&mut T) -> Option<R>,
        seen: impl FnOnce(&T) -> String,
    ) -> Result<R, LabError> {
        let mut value = self.lock();
        loop {
            if let Some(result) = ready(&mut value) {
                return Ok(result);
            }
            if deadline.passed() {
                return Err(deadline.missed(what, &seen(&value)));
            }
            value = self
                .changed
                .wait_timeout(value, deadline.left())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
