//! Waits with a name and a deadline. Nothing in the lab sleeps: each wait blocks on the thing itself and, when
//! time is up, the error names who waited for what, and what was last seen.
//!
//! A deadline is made of a [`Timeout`], which has the machine's patience in it; what else blocks for a time is
//! banned by `clippy.toml`.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;
use wireproof_model::plan::Timeout;

use crate::base::error::LabError;

/// Who waits, for what, and where else to look if it does not come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    /// As in `nodes`, `etcd`: what stands in brackets behind the operation.
    pub(crate) who: &'a str,
    /// As in `every node is set up`.
    pub(crate) until: &'a str,
    /// As in `etcd.log says how far it came`.
    pub(crate) look: &'a str,
}

/// The moment until which a wait may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    allowed: Timeout,
    /// How long somebody had waited for a processor when it began, where that counts.
    stalled: Option<Duration>,
}

/// What a deadline that takes no account of a busy machine is longer at most: so many times itself,
/// and so long.
const MOST_TIMES: u32 = 9;
const MAX_EXTRA: Duration = Duration::from_secs(10);

/// The shortest timeout that a socket accepts.
const MIN_SOCKET_TIMEOUT: Duration = Duration::from_millis(1);

impl Deadline {
    /// `allowed` from this moment on.
    pub(crate) fn after(allowed: Timeout) -> Self {
        Self {
            end: Instant::now() + allowed.time(),
            allowed,
            stalled: None,
        }
    }

    /// `allowed` from this moment on, not counting the time in which somebody waits for a processor,
    /// within limits: what is promised of an engine is about a machine that lets it run.
    pub(crate) fn of_work(allowed: Timeout) -> Self {
        Self {
            stalled: stalled(),
            ..Self::after(allowed)
        }
    }

    /// Not later than `time` from this moment on, for another look before it has passed.
    pub(crate) fn sooner(self, time: Duration) -> Self {
        Self {
            end: Instant::now() + time.min(self.left()),
            stalled: None,
            ..self
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
        let longest = self.allowed.patience().watches(MAX_EXTRA).time();
        let most = longest.min(self.allowed.time() * MOST_TIMES);
        now.saturating_sub(then).min(most)
    }

    /// What is left, for `poll`: at least a millisecond until it has passed.
    pub(crate) fn poll_timeout(&self) -> PollTimeout {
        poll_timeout(self.left())
    }

    /// Whether it has passed.
    pub(crate) fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// Receives a datagram; none if none has come in time. The socket blocks.
    pub(crate) fn receive(
        &self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, SocketAddr)>> {
        #[expect(clippy::disallowed_methods, reason = "it is what the deadline allows")]
        socket.set_read_timeout(Some(self.left().max(MIN_SOCKET_TIMEOUT)))?;
        match socket.recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if is_late(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Connects to a server.
    pub(crate) fn connect(&self, to: &SocketAddr) -> io::Result<TcpStream> {
        #[expect(clippy::disallowed_methods, reason = "it is what the deadline allows")]
        TcpStream::connect_timeout(to, self.left().max(MIN_SOCKET_TIMEOUT))
    }

    /// Lets the next reading and writing of a stream take what is left.
    pub(crate) fn bound(&self, stream: &TcpStream) -> io::Result<()> {
        let left = Some(self.left().max(MIN_SOCKET_TIMEOUT));
        #[expect(clippy::disallowed_methods, reason = "it is what the deadline allows")]
        stream.set_read_timeout(left)?;
        #[expect(clippy::disallowed_methods, reason = "it is what the deadline allows")]
        stream.set_write_timeout(left)
    }

    /// The error of a wait that saw only `seen`.
    pub(crate) fn missed(&self, wait: Wait<'_>, seen: &str) -> LabError {
        let (allowed, lost) = (DisplayDuration(self.allowed.time()), self.lost());
        let taken = match lost.as_millis() {
            0 => String::new(),
            lost => format!(", not counting {lost} ms in which other programs had the processors"),
        };
        let late = LabError::machine(
            format!("wait until {}", wait.until),
            format!("not within {allowed}{taken}; last seen: {seen}"),
        );
        LabError {
            refuted: true,
            ..late
        }
        .at(wait.who)
        .help(self.advice(wait.look))
    }

    /// Where to look, and how to have more time.
    pub(crate) fn advice(&self, look: &str) -> String {
        match self.allowed.patience().more() {
            Some(more) => format!("{look}; on a machine that is slow or busy, `--patience {more}`"),
            None => format!("{look}; run fewer things beside it"),
        }
    }
}

/// Whether that is the error of a socket whose timeout has passed (socket(7), `SO_RCVTIMEO`; connect(2)).
pub(crate) fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::WriteZero
    )
}

/// Names that a message has at most.
const MAX_NAMED: usize = 5;

/// The first of these names, and how many more there are.
pub(crate) fn some_of<T: fmt::Display>(names: &[T]) -> String {
    let first: Vec<_> = names.iter().take(MAX_NAMED).map(T::to_string).collect();
    match names.len().saturating_sub(MAX_NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A time as messages print it.
struct DisplayDuration(Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis.is_multiple_of(1_000) && millis > 0 {
            true => write!(f, "{} s", millis / 1_000),
            false => write!(f, "{millis} ms"),
        }
    }
}

/// For `poll`: at least a millisecond until it is over. Not a deadline, but until something is to be done.
pub(crate) fn poll_timeout(time: Duration) -> PollTimeout {
    let millis = time.as_millis() + u128::from(!time.subsec_nanos().is_multiple_of(1_000_000));
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
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

    /// Waits until `ready` returns something, or time is up.
    pub(crate) fn wait_for<R>(
        &self,
        deadline: Deadline,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        self.wait(deadline, &mut ready).ok()
    }

    /// Waits until `ready` returns something. When time is up, `seen` describes what there was instead.
    pub(crate) fn wait_until<R>(
        &self,
        wait: Wait<'_>,
        deadline: Deadline,
        mut ready: impl FnMut(&mut T) -> Option<R>,
        seen: impl FnOnce(&T) -> String,
    ) -> Result<R, LabError> {
        self.wait(deadline, &mut ready)
            .map_err(|value| deadline.missed(wait, &seen(&value)))
    }

    /// The error is the value when time was up.
    fn wait<R>(
        &self,
        deadline: Deadline,
        ready: &mut impl FnMut(&mut T) -> Option<R>,
    ) -> Result<R, MutexGuard<'_, T>> {
        let mut value = self.lock();
        loop {
            if let Some(result) = ready(&mut value) {
                return Ok(result);
            }
            if deadline.passed() {
                return Err(value);
            }
            #[expect(clippy::disallowed_methods, reason = "it is what the deadline allows")]
            let (next, _) = self
                .changed
                .wait_timeout(value, deadline.left())
                .unwrap_or_else(PoisonError::into_inner);
            value = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use wireproof_model::plan::Patience;

    use super::*;

    #[test]
    fn time_without_a_processor_does_not_count_within_limits() {
        let allowed = Patience::default().allows(Duration::from_millis(100));
        let long_ago = Deadline {
            end: Instant::now(),
            allowed,
            stalled: stalled().map(|_| Duration::ZERO),
        };
        // This machine has been stalled for longer than any limit, or counts nothing.
        let most = allowed.time() * MOST_TIMES;
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

    const WAIT: Wait<'_> = Wait {
        who: "nodes",
        until: "every node is set up",
        look: "run fewer labs at once",
    };

    #[test]
    fn a_missed_deadline_names_who_waited_for_what_and_how_to_wait_longer() {
        let missed = |patience: Patience| {
            let allowed = patience.allows(Duration::from_millis(1_500));
            let error = Deadline::after(allowed).missed(WAIT, "2 of 3 nodes");
            (error.to_string(), error.help.unwrap_or_default())
        };
        let (text, help) = missed(Patience::default());
        assert_eq!(
            text,
            "wait until every node is set up (nodes): not within 1500 ms; last seen: 2 of 3 nodes"
        );
        assert_eq!(
            help,
            "run fewer labs at once; on a machine that is slow or busy, `--patience 2`"
        );
        let (text, help) = missed(Patience::times(Patience::MOST));
        assert!(text.contains("not within 150 s;"), "{text}");
        assert_eq!(help, "run fewer labs at once; run fewer things beside it");
    }

    #[test]
    fn without_patience_what_is_so_is_still_seen() {
        let watched = Watched::<u8>::default();
        let deadline = Deadline::after(Patience::NONE.allows(MAX_EXTRA));
        let look = |wanted: u8| {
            let ready = |value: &mut u8| (*value == wanted).then_some(());
            watched.wait_until(WAIT, deadline, ready, u8::to_string)
        };
        assert!(look(0).is_ok());
        assert!(look(1).unwrap_err().refuted);
    }

    #[test]
    fn a_look_is_never_after_the_deadline() {
        let deadline = Deadline::after(Patience::default().allows(Duration::from_millis(5)));
        assert!(deadline.sooner(MAX_EXTRA).left() <= Duration::from_millis(5));
        assert!(deadline.sooner(Duration::ZERO).passed());
    }

    #[test]
    fn without_patience_what_has_not_come_is_late_and_no_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let deadline = Deadline::after(Patience::NONE.allows(MAX_EXTRA));
        assert!(deadline.receive(&socket, &mut [0]).unwrap().is_none());
    }
}
