//! Probes: tagged packets from endpoint to endpoint.
//!
//! Sockets are opened inside the senders' namespaces and driven from one thread.
//! What they report is only half of the story: whether a probe was encrypted is
//! for the captures to show.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    getsockopt, recv, send, socket,
};
use wireproof_model::evidence::ProbeOutcome;
use wireproof_model::plan::{
    Family, PROBE_PORT, PairPromise, Plan, Probe, ProbeId, Protection, Protocol,
};
use wireproof_model::tag::{Magic, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::cluster::topology::Topology;
use crate::kernel::frame_builder::{icmp_echo, icmp6_echo};
use crate::observe::capture::Capture;
use crate::observe::ring::BATCH;
use crate::traffic::responder::Responders;

/// An unanswered datagram or echo is sent again after this; TCP does so itself.
const RESEND: Duration = Duration::from_millis(250);

/// So many times as long as every answer that must come has taken together, those are waited for that
/// need not come. Each is sent once more in that time at least.
const ABSENCE_FACTOR: u32 = 4;

/// `ICMP_ECHOREPLY` (RFC 792).
const ECHO_REPLY: u8 = 0;

/// `ICMP6_ECHO_REPLY` (RFC 4443).
const ECHO_REPLY6: u8 = 129;

/// Sends every probe of the plan and collects the answers.
///
/// Between two endpoints the first packets go one way only, and the other way
/// later: two WireGuard handshakes that cross each other cost seconds.
pub(crate) fn send_all(
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
    responders: &Responders,
    capture: &Capture,
) -> Result<Vec<ProbeOutcome>, LabError> {
    let order: BTreeMap<_, _> = plan
        .endpoints()
        .into_iter()
        .enumerate()
        .map(|(position, endpoint)| (endpoint.name, position))
        .collect();
    let (there, back): (Vec<_>, Vec<_>) = plan
        .probes
        .iter()
        .partition(|probe| order.get(&probe.from) < order.get(&probe.to));
    let answered = |promise: &PairPromise| match promise.protection {
        Protection::Encrypted | Protection::Plaintext | Protection::Delivered => true,
        Protection::Blocked => false,
    };
    let promises = plan.promises.iter().filter(|promise| answered(promise));
    let expected: BTreeSet<_> = promises.map(|promise| promise.probe).collect();
    let mut outcomes = Vec::with_capacity(plan.probes.len());
    for batch in there.chunks(BATCH).chain(back.chunks(BATCH)) {
        outcomes.extend(send_batch(batch, plan, topology, magic, &expected)?);
        // The observers have room for one batch.
        capture.catch_up()?;
    }
    let delivered = responders.delivered();
    for outcome in &mut outcomes {
        outcome.delivered = outcome.answered || delivered.contains(&outcome.id);
    }
    outcomes.sort_by_key(|outcome| outcome.id);
    Ok(outcomes)
}

fn send_batch(
    batch: &[&Probe],
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
    expected: &BTreeSet<ProbeId>,
) -> Result<Vec<ProbeOutcome>, LabError> {
    let mut flights = batch
        .iter()
        .map(|probe| ProbeInFlight::prepare(probe, plan, topology, magic))
        .collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let mut deadline = Deadline::after(plan.deadlines.probe());
    // By those that must be answered the others are timed.
    let is_timed = batch.iter().any(|probe| expected.contains(&probe.id));
    let mut all_came = false;
    for flight in &mut flights {
        flight.send();
    }
    loop {
        let mut waiting: Vec<_> = flights.iter_mut().filter(|flight| !flight.done).collect();
        if waiting.is_empty() || deadline.passed() {
            break;
        }
        // What was to be answered was: whatever else is answered would be by now, or soon.
        let is_expected = |flight: &&mut ProbeInFlight| expected.contains(&flight.probe.id);
        if !all_came && is_timed && !waiting.iter().any(is_expected) {
            all_came = true;
            let more = (begun.elapsed() * ABSENCE_FACTOR).max(RESEND * 2);
            deadline = deadline.sooner(more);
        }
        let next_resend = waiting.iter().filter_map(|flight| flight.resend_in()).min();
        let timeout = match next_resend {
            Some(resend) => deadline.sooner(resend).poll_timeout(),
            None => deadline.poll_timeout(),
        };
        let stirred = stirred(&waiting, timeout)?;
        for (flight, stirred) in waiting.iter_mut().zip(stirred) {
            if stirred {
                flight.on_ready();
            } else if flight.resend_in() == Some(Duration::ZERO) {
                flight.send();
            }
        }
    }
    Ok(flights.into_iter().map(ProbeInFlight::finish).collect())
}

/// Which of these flights have something to read, or are ready to be written to.
fn stirred(flights: &[&mut ProbeInFlight], timeout: PollTimeout) -> Result<Vec<bool>, LabError> {
    let mut fds: Vec<_> = flights
        .iter()
        .map(|flight| PollFd::new(flight.socket.as_fd(), flight.socket.interest()))
        .collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno).doing("wait for the probes' answers"),
    }
    Ok(fds
        .iter()
        .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()))
        .collect())
}

/// A probe under way.
struct ProbeInFlight {
    probe: Probe,
    magic: Magic,
    socket: ProbeSocket,
    first_sent: Option<Instant>,
    last_sent: Option<Instant>,
    sequence: u16,
    done: bool,
    outcome: ProbeOutcome,
}

/// A probe's socket.
enum ProbeSocket {
    Icmp(OwnedFd),
    Udp(UdpSocket),
    /// Not connected yet.
    TcpBefore(OwnedFd, SockaddrStorage),
    /// Connected: what has come back so far.
    Tcp(TcpStream, Vec<u8>),
}

impl ProbeSocket {
    fn open(protocol: Protocol, to: IpAddr) -> Result<Self, LabError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let doing = "open a probe's socket";
        let (family, icmp) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        match protocol {
            Protocol::Icmp | Protocol::Icmp6 => {
                let echo = socket(family, SockType::Raw, flags, icmp).doing(doing)?;
                Ok(Self::Icmp(echo))
            }
            Protocol::Udp | Protocol::Udp6 => {
                let datagrams = socket(family, SockType::Datagram, flags, None).doing(doing)?;
                Ok(Self::Udp(datagrams.into()))
            }
            Protocol::Tcp | Protocol::Tcp6 => {
                let stream = socket(family, SockType::Stream, flags, None).doing(doing)?;
                let target = SockaddrStorage::from(SocketAddr::new(to, PROBE_PORT));
                Ok(Self::TcpBefore(stream, target))
            }
        }
    }

    /// Sends from that address; where it is missing the verdict will show it.
    fn bind_source(&self, address: IpAddr) {
        let address = SockaddrStorage::from(SocketAddr::new(address, 0));
        let _ = bind(self.as_fd().as_raw_fd(), &address);
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Icmp(fd) | Self::TcpBefore(fd, _) => fd.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
            Self::Tcp(stream, _) => stream.as_fd(),
        }
    }

    fn interest(&self) -> PollFlags {
        match self {
            Self::TcpBefore(..) => PollFlags::POLLOUT,
            Self::Icmp(_) | Self::Udp(_) | Self::Tcp(..) => PollFlags::POLLIN,
        }
    }
}

impl ProbeInFlight {
    fn prepare(
        probe: &Probe,
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
    ) -> Result<Self, LabError> {
        let unknown = || LabError::machine("prepare a probe", "the plan names no such endpoint");
        let to = plan.endpoint(&probe.to).ok_or_else(unknown)?.address;
        let family = probe.protocol.family();
        let to = family.address(to);
        let from = plan.endpoint(&probe.from).ok_or_else(unknown)?;
        let namespace = topology.endpoint(&probe.from)?;
        let socket = namespace.enter(|| ProbeSocket::open(probe.protocol, to))?;
        // Of several IPv6 addresses a sender takes the one most like the destination (RFC 6724),
        // which may be its tunnel's. The probe is from the node's own.
        if from.node.tunnel_address.is_some() && family == Family::Ipv6 {
            socket.bind_source(family.address(from.address));
        }
        let outcome = ProbeOutcome {
            id: probe.id,
            delivered: false,
            answered: false,
            error: None,
            round_trip_us: None,
        };
        let flight = Self {
            probe: probe.clone(),
            magic,
            socket,
            first_sent: None,
            last_sent: None,
            sequence: 0,
            done: false,
            outcome,
        };
        flight.connect(to).map(|()| flight)
    }

    /// A datagram socket that is connected to its destination receives ICMP errors from there.
    fn connect(&self, to: IpAddr) -> Result<(), LabError> {
        let target = SocketAddr::new(to, PROBE_PORT);
        let result = match &self.socket {
            ProbeSocket::Icmp(fd) => {
                // A raw socket has no port.
                let target = SockaddrStorage::from(SocketAddr::new(to, 0));
                connect(fd.as_raw_fd(), &target).map_err(io::Error::from)
            }
            ProbeSocket::Udp(socket) => socket.connect(target),
            ProbeSocket::TcpBefore(..) | ProbeSocket::Tcp(..) => Ok(()),
        };
        // A node without a route to its peer has no way to connect; that is for the verdict.
        match result {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                Err(error).doing("connect a probe")
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn payload(&self) -> Vec<u8> {
        Tag::Probe(self.probe.id).fill(self.magic, self.probe.payload.into())
    }

    /// When to send again what may have been lost; none for TCP, which does so itself.
    fn resend_in(&self) -> Option<Duration> {
        match self.socket {
            ProbeSocket::Icmp(_) | ProbeSocket::Udp(_) => {
                let since = self.last_sent.map_or(RESEND, |last| last.elapsed());
                Some(RESEND.saturating_sub(since))
            }
            ProbeSocket::TcpBefore(..) | ProbeSocket::Tcp(..) => None,
        }
    }

    fn send(&mut self) {
        let now = Instant::now();
        self.first_sent.get_or_insert(now);
        self.last_sent = Some(now);
        let payload = self.payload();
        let result = match &self.socket {
            ProbeSocket::Icmp(fd) => {
                self.sequence += 1;
                let echo = match self.probe.protocol.family() {
                    Family::Ipv4 => icmp_echo(self.probe.id.0, self.sequence, &payload),
                    Family::Ipv6 => icmp6_echo(self.probe.id.0, self.sequence, &payload),
                };
                send(fd.as_raw_fd(), &echo, MsgFlags::empty())
                    .map(drop)
                    .map_err(io::Error::from)
            }
            ProbeSocket::Udp(socket) => socket.send(&payload).map(drop),
            ProbeSocket::TcpBefore(fd, to) => match connect(fd.as_raw_fd(), to) {
                Ok(()) | Err(Errno::EINPROGRESS) => Ok(()),
                Err(errno) => {
                    self.done = true;
                    Err(errno.into())
                }
            },
            ProbeSocket::Tcp(..) => Ok(()),
        };
        self.note(result);
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.outcome.error = Some(plain(&error));
        }
    }

    /// Something arrived, or the connection stands.
    fn on_ready(&mut self) {
        if let ProbeSocket::TcpBefore(fd, _) = &self.socket {
            let connected = match getsockopt(fd, SocketError) {
                Ok(0) => fd.try_clone().map(TcpStream::from),
                Ok(code) => Err(io::Error::from_raw_os_error(code)),
                Err(errno) => Err(errno.into()),
            };
            let written = connected.and_then(|mut stream| {
                stream.write_all(&self.payload())?;
                Ok(stream)
            });
            match written {
                Ok(stream) => self.socket = ProbeSocket::Tcp(stream, Vec::new()),
                Err(error) => {
                    self.done = true;
                    self.note(Err(error));
                }
            }
            return;
        }
        let mut buffer = [0; 1 << 16];
        loop {
            let received = match &mut self.socket {
                ProbeSocket::Icmp(fd) => {
                    recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).map_err(io::Error::from)
                }
                ProbeSocket::Udp(socket) => socket.recv(&mut buffer),
                ProbeSocket::Tcp(stream, _) => stream.read(&mut buffer),
                ProbeSocket::TcpBefore(..) => return,
            };
            match received {
                Ok(0) if matches!(self.socket, ProbeSocket::Tcp(..)) => {
                    self.done = true;
                    return;
                }
                Ok(length) => self.take(&buffer[..length]),
                Err(error) => {
                    self.done |= matches!(self.socket, ProbeSocket::Tcp(..))
                        && error.kind() != io::ErrorKind::WouldBlock;
                    self.note(Err(error));
                    return;
                }
            }
            if self.done {
                return;
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let id = self.probe.id;
        let answered = match &mut self.socket {
            // A raw socket hears every ICMP message of its node, in IPv4 with the IP header.
            ProbeSocket::Icmp(_) => {
                let (header, reply) = match self.probe.protocol.family() {
                    Family::Ipv4 => {
                        let first = bytes.first();
                        let header = first.map_or(0, |first| usize::from(first & 0x0f) * 4);
                        (header, ECHO_REPLY)
                    }
                    Family::Ipv6 => (0, ECHO_REPLY6),
                };
                bytes.get(header) == Some(&reply)
                    && Tag::find(self.magic, bytes) == Some(Tag::Probe(id))
            }
            ProbeSocket::Udp(_) => Tag::find(self.magic, bytes) == Some(Tag::Answer(id)),
            ProbeSocket::Tcp(_, received) => {
                received.extend_from_slice(bytes);
                received.len() >= usize::from(self.probe.payload)
                    && Tag::find(self.magic, received) == Some(Tag::Answer(id))
            }
            ProbeSocket::TcpBefore(..) => false,
        };
        if answered {
            self.done = true;
            self.outcome.answered = true;
            self.outcome.error = None;
            self.outcome.round_trip_us = self
                .first_sent
                .and_then(|sent| u64::try_from(sent.elapsed().as_micros()).ok());
        }
    }

    fn finish(self) -> ProbeOutcome {
        self.outcome
    }
}

/// The system's own words, without the number.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
