//! Responders to the probes: a UDP and a TCP socket at every endpoint.
//!
//! Each answer is as long as the payload that it answers, and filled with the
//! probe's answer tag. ICMP echoes are answered by the kernels themselves.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wireproof_model::plan::{PROBE_PORT, Plan, ProbeId};
use wireproof_model::tag::{Magic, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Watched;
use crate::base::worker::begin;
use crate::cluster::topology::Topology;

/// The longest payload, in bytes.
const MAX_PAYLOAD: usize = u16::MAX as usize;

/// The running responders. Dropping them stops them.
#[derive(Debug)]
pub(crate) struct Responders {
    delivered: Arc<Watched<BTreeSet<ProbeId>>>,
    stop: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Responders {
    /// Opens both sockets at every endpoint; they answer from here on.
    pub(crate) fn open(plan: &Plan, topology: &Topology, magic: Magic) -> Result<Self, LabError> {
        let mut servers = Servers {
            lengths: plan
                .probes
                .iter()
                .map(|probe| probe.payload.into())
                .collect(),
            magic,
            datagrams: Vec::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            delivered: Arc::default(),
        };
        for endpoint in plan.endpoints() {
            let namespace = topology.endpoint(&endpoint.name)?;
            // A node may have several addresses, and answers a datagram from the one it was sent to.
            for family in plan.fabric.families() {
                let address = family.address(endpoint.address);
                let named = namespace
                    .enter(|| Ok::<_, LabError>(UdpSocket::bind((address, PROBE_PORT))))?;
                // One that has lost its address hears nothing there; that is for the verdict.
                if let Ok(named) = named {
                    named
                        .set_nonblocking(true)
                        .doing("set up the UDP responder")?;
                    servers.datagrams.push(named);
                }
            }
            let listener = namespace.enter(|| {
                // An IPv6 socket of Linux hears IPv4 as well (ipv6(7), `IPV6_V6ONLY`).
                let any = match plan.fabric.ipv6 {
                    true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                    false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                };
                let any = (any, PROBE_PORT);
                let listener = TcpListener::bind(any).doing("open the TCP responder")?;
                listener
                    .set_nonblocking(true)
                    .doing("set up the TCP responder")?;
                Ok::<_, LabError>(listener)
            })?;
            servers.listeners.push(listener);
        }
        let delivered = Arc::clone(&servers.delivered);
        let (until, stop) = io::pipe().doing("create the responders' stop signal")?;
        let thread = begin("responders", move || servers.serve(&until))?;
        Ok(Self {
            delivered,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The probes whose payload has arrived so far.
    pub(crate) fn delivered(&self) -> BTreeSet<ProbeId> {
        self.delivered.lock().clone()
    }
}

impl Drop for Responders {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Servers {
    /// Payload lengths by probe.
    lengths: Vec<usize>,
    magic: Magic,
    datagrams: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    streams: Vec<Conversation>,
    delivered: Arc<Watched<BTreeSet<ProbeId>>>,
}

/// A TCP connection on which a payload is arriving.
struct Conversation {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Servers {
    fn serve(mut self, until: &io::PipeReader) {
        loop {
            let mut fds: Vec<_> = self
                .datagrams
                .iter()
                .map(AsFd::as_fd)
                .chain(self.listeners.iter().map(AsFd::as_fd))
                .chain(
                    self.streams
                        .iter()
                        .map(|conversation| conversation.stream.as_fd()),
                )
                .chain([until.as_fd()])
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            if poll(&mut fds, PollTimeout::NONE).is_err() {
                return;
            }
            let ended = fds
                .last()
                .and_then(PollFd::revents)
                .is_some_and(|seen| !seen.is_empty());
            if ended {
                return;
            }
            self.answer_datagrams();
            self.accept();
            self.converse();
        }
    }

    fn answer_datagrams(&self) {
        let mut buffer = vec![0; MAX_PAYLOAD];
        for socket in &self.datagrams {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = self.answer_to(&buffer[..length]) {
                    // A lost answer shows as a probe without one.
                    let _ = socket.send_to(&answer, from);
                }
            }
        }
    }

    fn accept(&mut self) {
        for listener in &self.listeners {
            while let Ok((stream, _)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    self.streams.push(Conversation {
                        stream,
                        received: Vec::new(),
                    });
                }
            }
        }
    }

    fn converse(&mut self) {
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|conversation| {
            let mut buffer = [0; 4096];
            loop {
                match conversation.stream.read(&mut buffer) {
                    // The sender closes once it has its answer.
                    Ok(0) => return false,
                    Ok(length) => {
                        conversation.received.extend_from_slice(&buffer[..length]);
                        if let Some(answer) = self.answer_to(&conversation.received)
                            && conversation.stream.write_all(&answer).is_err()
                        {
                            return false;
                        }
                    }
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                }
            }
        });
        self.streams = streams;
    }

    /// The answer to a payload that has arrived as a whole.
    fn answer_to(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let Some(Tag::Probe(id)) = Tag::find(self.magic, payload) else {
            return None;
        };
        if self.lengths.get(usize::from(id.0)) != Some(&payload.len()) {
            return None;
        }
        self.delivered.change(|delivered| delivered.insert(id));
        Some(Tag::Answer(id).fill(self.magic, payload.len()))
    }
}
