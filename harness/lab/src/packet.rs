//! Frames to and from interfaces, past the network stack (packet(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket};
use nix::unistd::Pid;
use wireproof_model::evidence::{Direction, Nanos};

use crate::error::{Doing, LabError};
use crate::namespace::Namespace;
use crate::sys::{self, Ring};

/// Frames that can always wait to be read, in each namespace, while the reader writes its files.
const SLOTS: usize = 4096;

/// Bytes that may be taken for more of them.
const ROOM: usize = 64 << 20;

/// What the kernel writes before each frame in a slot, at most, in bytes.
const SLOT_OVERHEAD: usize = 256;

/// `ARPHRD_NONE`: a device without a link header, as a TUN device is.
const HARDWARE_NONE: u16 = 0xfffe;

/// `PACKET_OUTGOING`.
const OUTGOING: u8 = 4;

/// A packet socket that sees every frame of every interface of its namespace.
#[derive(Debug)]
pub(crate) struct Listener {
    // Unmapped before the socket closes.
    ring: Ring,
    socket: OwnedFd,
}

/// A received frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) at: Nanos,
    /// The kernel's index of the interface.
    pub(crate) index: u32,
    pub(crate) direction: Direction,
    /// Whether it starts with the IP header.
    pub(crate) raw_ip: bool,
    /// Bytes of the whole frame, of which only the first may have been kept.
    pub(crate) length: u32,
}

impl Listener {
    /// Opens it inside `namespace`; it sees from this moment on. Of frames longer than
    /// `longest` bytes the rest is cut off. It has room for `frames` that come at once, within what is
    /// reasonable, and for some thousands at least.
    pub(crate) fn open(
        namespace: &Namespace,
        longest: usize,
        frames: usize,
    ) -> Result<Self, LabError> {
        namespace.enter(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )
            .doing("open a packet socket")?;
            // Makes the kernel note each frame's time where it passes, not where it is read.
            setsockopt(&socket, ReceiveTimestampns, &true).doing("ask for packet timestamps")?;
            let slot = (longest + SLOT_OVERHEAD).next_power_of_two();
            let most = (ROOM / slot).clamp(SLOTS, 8 * SLOTS);
            let slots = frames.clamp(SLOTS, most).next_power_of_two();
            let ring =
                Ring::new(socket.as_fd(), slot, slots).doing("give the packet socket its ring")?;
            Ok(Self { ring, socket })
        })
    }

    /// Lets `look` see the next frame; none if there is none yet.
    pub(crate) fn receive<R>(&mut self, look: impl FnOnce(Received, &[u8]) -> R) -> Option<R> {
        self.ring.take(|frame| {
            let at = u64::from(frame.seconds) * 1_000_000_000 + u64::from(frame.nanos);
            let received = Received {
                at: Nanos(at),
                index: u32::try_from(frame.index).unwrap_or_default(),
                direction: if frame.kind == OUTGOING {
                    Direction::Out
                } else {
                    Direction::In
                },
                raw_ip: frame.hardware == HARDWARE_NONE,
                length: frame.length,
            };
            look(received, frame.bytes)
        })
    }

    /// Frames handed over and frames dropped since the last call.
    pub(crate) fn statistics(&self) -> io::Result<(u32, u32)> {
        sys::packet_statistics(self.socket.as_fd())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A packet socket that only sends.
#[derive(Debug)]
pub(crate) struct Injector {
    socket: OwnedFd,
}

impl Injector {
    /// Opens it inside `namespace`.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, LabError> {
        namespace.enter(|| {
            socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .map(|socket| Self { socket })
            .doing("open a packet socket")
        })
    }

    /// Puts a whole IP packet, link header included, on the interface with that index. That a
    /// WireGuard device has no peer for it is no error: the observers have seen it by then
    /// (Linux: `dev_queue_xmit_nit` comes before `wg_xmit`, which gives `ENOKEY`).
    pub(crate) fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        match sys::send_frame(self.socket.as_fd(), index, ethertype(frame), frame) {
            Err(error) if error.raw_os_error() == Some(libc::ENOKEY) => Ok(()),
            other => other,
        }
    }
}

/// What a frame is, for the device that it goes to: a WireGuard device takes no packet that is said
/// to be of the other family (Linux: `wg_check_packet_protocol`). A bare IP packet shows its version
/// in its first four bits, which no Ethernet address of the lab begins with.
fn ethertype(frame: &[u8]) -> u16 {
    let version = frame.first().map_or(0, |byte| byte >> 4);
    let written = frame.get(12..14).and_then(|two| two.try_into().ok());
    match version {
        4 => libc::ETH_P_IP as u16,
        6 => libc::ETH_P_IPV6 as u16,
        _ => u16::from_be_bytes(written.unwrap_or_default()),
    }
}

/// Keeps the calling thread on one processor. What it puts on a veth of one queue is then taken
/// up at the other end in the order in which it was sent.
pub(crate) fn stay_on_one_processor() -> Result<(), LabError> {
    let doing = "keep a thread on one processor";
    let mut one = CpuSet::new();
    one.set(sched_getcpu().doing(doing)?).doing(doing)?;
    sched_setaffinity(Pid::from_raw(0), &one).doing(doing)
}

/// Closes packet sockets, each on a thread of its own: every close waits some 10 ms for
/// the kernel's readers, and they can wait together.
pub(crate) fn close_together<T: Send>(sockets: Vec<T>) {
    thread::scope(|scope| {
        for socket in sockets {
            scope.spawn(move || drop(socket));
        }
    });
}

/// The clock that the kernel stamps packets with.
pub(crate) fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Nanos(u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX))
}
