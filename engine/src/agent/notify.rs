//! Messages to the supervisor (sd_notify(3)).
//!
//! Besides what systemd reads, `X_WIREMESH_APPLIED` names the state of the store that
//! the dataplane follows, `X_WIREMESH_WRITES` counts the writes to the kernel and
//! `X_WIREMESH_RESYNCS` the comparisons that nothing but the clock had caused; systemd
//! passes over them.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use wiremesh_plan::intent::text::line;

/// How long an agent waits for a supervisor that does not read.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// The supervisor's socket, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    address: Option<OsString>,
    last: Option<String>,
    is_behind: bool,
}

/// What an agent has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Writes to the kernel.
    pub(crate) writes: u64,
    /// Comparisons that nothing but the clock had caused.
    pub(crate) resyncs: u64,
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names.
    pub(crate) fn from_environment() -> Self {
        Self {
            address: env::var_os("NOTIFY_SOCKET"),
            last: None,
            is_behind: false,
        }
    }

    /// Whether the last message could not be sent.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Reports that the dataplane follows the store as it was at `digest`. No message is sent twice in a row.
    pub(crate) fn in_sync(&mut self, status: &str, digest: &str, counts: Counts) -> io::Result<()> {
        let status = line(&status.replace('\n', " ")).into_owned();
        let Counts { writes, resyncs } = counts;
        self.send(format!(
            "READY=1\nSTATUS={status}\nX_WIREMESH_APPLIED={digest}\nX_WIREMESH_WRITES={writes}\nX_WIREMESH_RESYNCS={resyncs}\n"
        ))
    }

    /// Reports the problem that stands in the way.
    pub(crate) fn struggling(&mut self, status: &str) -> io::Result<()> {
        self.send(format!("STATUS={}\n", line(&status.replace('\n', " "))))
    }

    fn send(&mut self, message: String) -> io::Result<()> {
        let Some(address) = &self.address else {
            return Ok(());
        };
        if self.last.as_ref() == Some(&message) {
            return Ok(());
        }
        // Until it has been told.
        self.is_behind = true;
        let socket = UnixDatagram::unbound()?;
        // The kernel lets whoever sends wait while nobody reads (unix(7)).
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        match address.as_bytes() {
            [b'@', name @ ..] => {
                socket.send_to_addr(message.as_bytes(), &SocketAddr::from_abstract_name(name)?)?;
            }
            _ => {
                socket.send_to(message.as_bytes(), address)?;
            }
        }
        self.last = Some(message);
        self.is_behind = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_blocks_nothing_and_gets_the_next_message() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("notify");
        let reader = UnixDatagram::bind(&address).unwrap();
        let mut supervisor = Supervisor {
            address: Some(address.into()),
            last: None,
            is_behind: false,
        };
        let begun = Instant::now();
        // As many as fit the socket's queue (net.unix.max_dgram_qlen), and one more.
        let refused =
            (0..100_000).find(|number| supervisor.struggling(&number.to_string()).is_err());
        assert!(refused.is_some() && supervisor.is_behind());
        assert!(begun.elapsed() < SEND_TIMEOUT * 20, "{:?}", begun.elapsed());
        let mut buffer = [0; 64];
        reader.recv(&mut buffer).unwrap();
        supervisor.struggling("again").unwrap();
        assert!(!supervisor.is_behind());
    }
}
