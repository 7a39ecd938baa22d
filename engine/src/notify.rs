//! Telling a supervisor how things stand (sd_notify(3)).
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

use crate::text::line;

/// The supervisor's socket, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    address: Option<OsString>,
    last: Option<String>,
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
        }
    }

    /// Says that the dataplane follows the store as it was at `digest`. Says nothing twice.
    pub(crate) fn in_sync(&mut self, status: &str, digest: &str, counts: Counts) -> io::Result<()> {
        let status = line(&status.replace('\n', " ")).into_owned();
        let Counts { writes, resyncs } = counts;
        self.tell(format!(
            "READY=1\nSTATUS={status}\nX_WIREMESH_APPLIED={digest}\nX_WIREMESH_WRITES={writes}\nX_WIREMESH_RESYNCS={resyncs}\n"
        ))
    }

    /// Says what stands in the way.
    pub(crate) fn struggling(&mut self, status: &str) -> io::Result<()> {
        self.tell(format!("STATUS={}\n", line(&status.replace('\n', " "))))
    }

    fn tell(&mut self, message: String) -> io::Result<()> {
        let Some(address) = &self.address else {
            return Ok(());
        };
        if self.last.as_ref() == Some(&message) {
            return Ok(());
        }
        let socket = UnixDatagram::unbound()?;
        match address.as_bytes() {
            [b'@', name @ ..] => {
                socket.send_to_addr(message.as_bytes(), &SocketAddr::from_abstract_name(name)?)?;
            }
            _ => {
                socket.send_to(message.as_bytes(), address)?;
            }
        }
        self.last = Some(message);
        Ok(())
    }
}
