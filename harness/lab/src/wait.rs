//! Waits with a name and a deadline. Nothing in the lab sleeps: each wait blocks on
//! the thing itself and, when time is up, says what was last seen.

use std::fs;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::LabError;

/// The moment until which a wait may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    allowed: Duration,
    /// How long somebody had waited for a processor when it began, where that counts.
    stalled: Option<Duration>,
}

/// What a deadline that takes no account of a busy machine is longer at most: so many times itself,
/// and so long.
const MOST_TIMES: u32 = 9;
const MOST: Duration = Duration::from_secs(10);

impl Deadline {
    /// `allowed` from this moment on.
    pub(crate) fn after(allowed: Duration) -> Self {
        Self {
            end: Instant::now() + allowed,
            allowed,
            stalled: None,
        }
    }

    /// `allowed` from this moment on, not counting the time in which somebody waits for a processor,
    /// within limits: what is promised of an engine is about a machine that lets it run.
    pub(crate) fn of_work(allowed: Duration) -> Self {
        Self {
            stalled: stalled(),
            ..Self::after(allowed)
        }
    }

    /// What is left; zero when it has passed.
    pub(crate) fn left(&self) -> Duration {
        let left = self.end.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => (self.end + self.lost()).saturating_duration_since(Instant::now()),
            false => left,
        }
    }

    /// The time since it began that does not count.
    fn lost(&self) -> Duration {
        let Some((then, now)) = self.stalled.zip(stalled()) else {
            return Duration::ZERO;
        };
        let most = MOST.min(self.allowed * MOST_TIMES);
        now.saturating_sub(then).min(most)
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
                "not within {} ms{}; last seen: {seen}",
                self.allowed.as_millis(),
                match self.lost().as_millis() {
                    0 => String::new(),
                    lost => format!(", and {lost} ms in which the processors were taken"),
                }
            ),
        );
        LabError {
            refuted: true,
            ..late
        }
    }
}

/// For how long somebody has waited for a processor since the machine started
/// (Linux: `Documentation/accounting/psi.rst`); none where the kernel does not count it.
fn stalled() -> Option<Duration> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some
        .split_whitespace()
        .find_map(|word| word.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_processor_does_not_count_within_limits() {
        let allowed = Duration::from_millis(100);
        let long_ago = Deadline {
            end: Instant::now(),
            allowed,
            stalled: stalled().map(|_| Duration::ZERO),
        };
        // This machine has been stalled for longer than any limit, or counts nothing.
        let most = allowed * MOST_TIMES;
        match stalled() {
            Some(stalled) if stalled >= most => assert_eq!(long_ago.lost(), most),
            _ => assert!(long_ago.lost() < most),
        }
        let strict = Deadline {
            stalled: None,
            ..long_ago
        };
        assert_eq!(strict.lost(), Duration::ZERO);
        assert!(strict.passed());
    }
}
