//! Abort at a chosen write, for tests of the recovery.

/// Where to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CrashPoint {
    /// No crash.
    #[default]
    Never,
    /// Before the write of that number, counted from 1.
    Before(u64),
    /// After the write of that number.
    After(u64),
}

impl CrashPoint {
    /// The values of `WIREMESH_CRASH`: `before:N` or `after:N`.
    pub(crate) fn from_environment() -> Self {
        let wish = std::env::var("WIREMESH_CRASH").unwrap_or_default();
        let Some((when, number)) = wish.split_once(':') else {
            return Self::Never;
        };
        match (when, number.parse()) {
            ("before", Ok(number)) => Self::Before(number),
            ("after", Ok(number)) => Self::After(number),
            _ => Self::Never,
        }
    }

    /// Before the write of that number.
    pub(crate) fn before(self, number: u64) {
        if self == Self::Before(number) {
            die();
        }
    }

    /// After the write of that number.
    pub(crate) fn after(self, number: u64) {
        if self == Self::After(number) {
            die();
        }
    }
}

/// As a crash would: without a word and without any cleaning up.
fn die() {
    // It cannot fail for oneself, and there is nobody to tell if it does.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
}
