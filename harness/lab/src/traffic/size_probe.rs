//! Size probes: packets of chosen sizes, and whether they arrive.
//!
//! Each is sent up to three times, and after each time a small packet on the same way. When the
//! small one has come, the large one would have: nothing is decided by waiting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wireproof_model::evidence::SizeOutcome;
use wireproof_model::plan::{Family, Plan, SizeProbe};
use wireproof_model::tag::{Magic, TAG_LENGTH, Tag};

use crate::base::error::{Doing, LabError};
use crate::base::wait::Deadline;
use crate::cluster::topology::Topology;
use crate::kernel::sys::{self, Discovery};

/// How often a packet that does not arrive is sent. An IPv6 sender fragments what was reported of once, so the
/// second time something else happens.
const ROUNDS: u8 = 3;

/// Bytes of a small packet's payload.
const CONTROL: usize = 4 * TAG_LENGTH;

/// A small packet that was lost is sent again after this.
const RESEND: Duration = Duration::from_millis(250);

/// The longest payload, in bytes.
const MAX_PAYLOAD: usize = u16::MAX as usize;

/// Sends every size probe of the plan and returns its outcome.
pub(crate) fn measure(
    plan: &Plan,
    topology: &Topology,
    magic: Magic,
) -> Result<Vec<SizeOutcome>, LabError> {
    let probes = &plan.limits.sizes;
    let mut gauges = probes
        .iter()
        .map(|probe| Gauge::open(probe, plan, topology, magic))
        .collect::<Result<Vec<_>, _>>()?;
    let deadline = Deadline::after(plan.deadlines.probe());
    for gauge in &mut gauges {
        gauge.send();
    }
    while !deadline.passed() && gauges.iter().any(|gauge| !gauge.done()) {
        let due = gauges.iter().filter_map(Gauge::due_in).min();
        let timeout = match due {
            Some(due) => deadline.sooner(due).poll_timeout(),
            None => deadline.poll_timeout(),
        };
        let stirred = stirred(&gauges, timeout)?;
        for (gauge, stirred) in gauges.iter_mut().zip(stirred) {
            if stirred {
                gauge.receive();
            }
            gauge.go_on();
        }
    }
    Ok(gauges.into_iter().map(|gauge| gauge.outcome).collect())
}

/// Which of them have received something.
fn stirred(gauges: &[Gauge], timeout: PollTimeout) -> Result<Vec<bool>, LabError> {
    let mut fds: Vec<_> = gauges
        .iter()
        .map(|gauge| PollFd::new(gauge.into.as_fd(), PollFlags::POLLIN))
        .collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno).doing("wait for packets whose size is tried"),
    }
    Ok(fds
        .iter()
        .map(|fd| fd.revents().is_some_and(|seen| !seen.is_empty()))
        .collect())
}

/// One size probe under way.
struct Gauge {
    probe: SizeProbe,
    magic: Magic,
    out: UdpSocket,
    into: UdpSocket,
    /// When the last small packet was sent.
    control_sent: Instant,
    outcome: SizeOutcome,
}

impl Gauge {
    fn open(
        probe: &SizeProbe,
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
    ) -> Result<Self, LabError> {
        let doing = "open a socket for a packet whose size is tried";
        let unknown = || LabError::machine(doing, "the plan names no such endpoint");
        let to = plan.endpoint(&probe.to).ok_or_else(unknown)?.address;
        let to = probe.family.address(to);
        let (any, ipv6) = match probe.family {
            Family::Ipv4 => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), false),
            Family::Ipv6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), true),
        };
        let bound = |port| -> Result<UdpSocket, LabError> {
            let socket = UdpSocket::bind(SocketAddr::new(any, port)).doing(doing)?;
            socket.set_nonblocking(true).doing(doing)?;
            Ok(socket)
        };
        let port = probe.id.port();
        let into = topology.endpoint(&probe.to)?.enter(|| bound(port))?;
        let out = topology.endpoint(&probe.from)?.enter(|| {
            let socket = bound(0)?;
            let how = match probe.dont_fragment {
                true => Discovery::Probe,
                false => Discovery::Fragment,
            };
            sys::discover_mtu(socket.as_fd(), ipv6, how).doing(doing)?;
            Ok::<_, LabError>(socket)
        })?;
        let mut gauge = Self {
            probe: probe.clone(),
            magic,
            out,
            into,
            control_sent: Instant::now(),
            outcome: SizeOutcome {
                id: probe.id,
                sent: 0,
                delivered: false,
                controls: 0,
                refused: None,
                error: None,
            },
        };
        // A node without a route there has no way to connect; that is for the verdict.
        if let Err(error) = gauge.out.connect(SocketAddr::new(to, port)) {
            gauge.outcome.error = Some(plain(&error));
        }
        Ok(gauge)
    }

    fn done(&self) -> bool {
        let outcome = &self.outcome;
        outcome.delivered
            || outcome.refused.is_some()
            || outcome.error.is_some()
            || outcome.controls > ROUNDS
    }

    fn due_in(&self) -> Option<Duration> {
        (!self.done()).then(|| RESEND.saturating_sub(self.control_sent.elapsed()))
    }

    /// The packet, and a small one after it.
    fn send(&mut self) {
        let tag = Tag::Size(self.probe.id);
        let payload = tag.fill(self.magic, self.probe.payload());
        match self.push(&payload) {
            Ok(()) => self.outcome.sent = self.outcome.sent.saturating_add(1),
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                let ipv6 = self.probe.family == Family::Ipv6;
                let known = sys::known_mtu(self.out.as_fd(), ipv6);
                self.outcome.refused = Some(known.unwrap_or_default());
            }
            Err(error) => self.outcome.error = Some(plain(&error)),
        }
        self.send_control();
    }

    fn send_control(&mut self) {
        self.control_sent = Instant::now();
        let tag = Tag::Control(self.probe.id);
        // One that is lost is sent again.
        let _ = self.push(&tag.fill(self.magic, CONTROL));
    }

    /// Sends; an error that waits is about what was sent before, and comes only once.
    fn push(&self, payload: &[u8]) -> io::Result<()> {
        match self.out.send(payload) {
            Ok(_) => Ok(()),
            Err(_) => self.out.send(payload).map(drop),
        }
    }

    /// Takes what has arrived.
    fn receive(&mut self) {
        let mut buffer = vec![0; MAX_PAYLOAD];
        while let Ok(length) = self.into.recv(&mut buffer) {
            let payload = buffer.get(..length).unwrap_or_default();
            match Tag::find(self.magic, payload) {
                Some(Tag::Size(id)) if id == self.probe.id && length == self.probe.payload() => {
                    self.outcome.delivered = true;
                }
                Some(Tag::Control(id)) if id == self.probe.id => {
                    self.outcome.controls = self.outcome.controls.saturating_add(1);
                    // One more small packet than large ones: the last gives what overtook it time.
                    match self.outcome.controls {
                        _ if self.done() => {}
                        received if received < ROUNDS => self.send(),
                        _ => self.send_control(),
                    }
                }
                _ => {}
            }
        }
    }

    fn go_on(&mut self) {
        if self.due_in() == Some(Duration::ZERO) {
            self.send_control();
        }
    }
}

/// The system's own words, without the number.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
