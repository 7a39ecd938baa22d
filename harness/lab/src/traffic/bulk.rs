//! Bulk transfers over TCP that fill packets: a path on which pings work and these do not is broken.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket,
};
use wireproof_model::evidence::BulkOutcome;
use wireproof_model::plan::{Bulk, Family, Plan};
use wireproof_model::tag::{Magic, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::cluster::topology::Topology;

/// The ports that transfers go to begin here.
const PORT: u16 = 6000;

/// How much longer than a probe a transfer may take, so that TCP sends again what was lost on a machine under load:
/// the first time after a second (RFC 6298, section 2).
const RETRANSMISSION: Duration = Duration::from_secs(2);

/// Does every transfer of the plan and returns its outcome.
pub(crate) fn transfer(
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
) -> Result<Vec<BulkOutcome>, LabError> {
    let mut all = (PORT..)
        .zip(&plan.limits.bulks)
        .map(|(port, bulk)| Transfer::open(bulk, port, plan, topology, magic))
        .collect::<Result<Vec<_>, _>>()?;
    let deadline = Deadline::after(plan.deadlines.probe().and(RETRANSMISSION));
    while !deadline.passed() && all.iter().any(|transfer| !transfer.done()) {
        wait(&all, deadline.poll_timeout())?;
        for transfer in all.iter_mut().filter(|transfer| !transfer.done()) {
            if let Err(error) = transfer.go_on() {
                transfer.outcome.error = Some(error.to_string());
            }
        }
    }
    Ok(all.into_iter().map(|transfer| transfer.outcome).collect())
}

fn wait(all: &[Transfer], timeout: PollTimeout) -> Result<(), LabError> {
    let under_way = all.iter().filter(|transfer| !transfer.done());
    let mut fds: Vec<_> = under_way.flat_map(Transfer::interests).collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).doing("wait for transfers"),
    }
}

/// One of them.
struct Transfer {
    listener: TcpListener,
    /// The receiver's end, once the connection stands.
    into: Option<TcpStream>,
    out: OwnedFd,
    connected: bool,
    /// What is still to be sent.
    rest: Vec<u8>,
    bytes: u32,
    outcome: BulkOutcome,
}

impl Transfer {
    fn open(
        bulk: &Bulk,
        port: u16,
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
    ) -> Result<Self, LabError> {
        let doing = "open a transfer";
        let unknown = || LabError::machine(doing, "the plan names no such endpoint");
        let to = plan.endpoint(&bulk.to).ok_or_else(unknown)?.address;
        let to = bulk.family.address(to);
        let (any, family) = match bulk.family {
            Family::Ipv4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), AddressFamily::Inet),
            Family::Ipv6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), AddressFamily::Inet6),
        };
        let listener = topology.endpoint(&bulk.to)?.enter(|| {
            let listener = TcpListener::bind((any, port)).doing(doing)?;
            listener.set_nonblocking(true).doing(doing)?;
            Ok::<_, LabError>(listener)
        })?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let out = topology
            .endpoint(&bulk.from)?
            .enter(|| socket(family, SockType::Stream, flags, None).doing(doing))?;
        let mut outcome = BulkOutcome {
            id: bulk.id,
            connected: false,
            received: 0,
            error: None,
        };
        let target = SockaddrStorage::from(SocketAddr::new(to, port));
        match connect(out.as_raw_fd(), &target) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => outcome.error = Some(errno.desc().to_owned()),
        }
        let bytes = usize::try_from(bulk.bytes).unwrap_or(usize::MAX);
        Ok(Self {
            listener,
            into: None,
            out,
            connected: false,
            rest: Tag::Size(bulk.id).fill(magic, bytes),
            bytes: bulk.bytes,
            outcome,
        })
    }

    fn done(&self) -> bool {
        self.outcome.error.is_some() || self.outcome.received >= self.bytes
    }

    fn interests(&self) -> impl Iterator<Item = PollFd<'_>> {
        let into: BorrowedFd<'_> = match &self.into {
            Some(stream) => stream.as_fd(),
            None => self.listener.as_fd(),
        };
        let writes = !self.connected || !self.rest.is_empty();
        let out = writes.then(|| PollFd::new(self.out.as_fd(), PollFlags::POLLOUT));
        std::iter::once(PollFd::new(into, PollFlags::POLLIN)).chain(out)
    }

    fn go_on(&mut self) -> io::Result<()> {
        if !self.connected {
            match getsockopt(&self.out, SocketError)? {
                0 => {}
                code => return Err(io::Error::from_raw_os_error(code)),
            }
        }
        self.write()?;
        if self.into.is_none() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    self.into = Some(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.read()
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let mut stream = TcpStream::from(self.out.try_clone()?);
            match stream.write(&self.rest) {
                Ok(length) => {
                    self.connected = true;
                    self.outcome.connected = true;
                    self.rest.drain(..length);
                }
                // Not connected yet, or no room.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.into else {
            return Ok(());
        };
        let mut buffer = [0; 1 << 16];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    self.outcome.received = self.outcome.received.saturating_add(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
