//! Delays before a failed operation is tried again.

use std::time::Duration;

/// After a failure, this, and twice as long after each further one.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// But never longer than this.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The delay before the next attempt.
#[derive(Debug)]
pub(super) struct Retry {
    next: Duration,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { next: FIRST_DELAY }
    }

    /// An attempt succeeded: the next failure is the first one again.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// An attempt failed. Returns how long to wait.
    pub(super) fn failed(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(MAX_DELAY);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut retry = Retry::new();
        let delays: Vec<_> = (0..9).map(|_| retry.failed().as_millis()).collect();
        assert_eq!(
            delays,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        retry.succeeded();
        assert_eq!(retry.failed(), FIRST_DELAY);
    }
}
