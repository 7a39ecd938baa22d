//! Frames to and from interfaces, past the network stack (packet(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};
use nix::unistd::Pid;
use wireproof_model::evidence::{Direction, Nanos};

use crate::base::error::{Doing, LabError};
use crate::kernel::namespace::Namespace;
use crate::kernel::sys::{self, Ring};

/// Frames that can always wait to be read, in each namespace, while the reader writes its files.
const SLOTS: usize = 4096;

/// The most that any has.
pub(crate) const MOST_SLOTS: usize = 8 * SLOTS;

/// Bytes that may be allocated for more of them.
const BUFFER_BYTES: usize = 64 << 20;

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
                None,
            )
            .doing("open a packet socket")?;
            // Makes the kernel note each frame's time where it passes, not where it is read.
            setsockopt(&socket, ReceiveTimestampns, &true).doing("ask for packet timestamps")?;
            // A frame that came before there is a ring would be lost, or counted as dropped: until it
            // is bound, the socket has no protocol, and gets none.
            let (slot, slots) = room(longest, frames);
            let ring =
                Ring::new(socket.as_fd(), slot, slots).doing("give the packet socket its ring")?;
            sys::bind_all_interfaces(socket.as_fd()).doing("listen to every interface")?;
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

/// Bytes of a slot for such a frame, and how many slots there are for so many of them.
pub(crate) fn room(longest: usize, frames: usize) -> (usize, usize) {
    let slot = (longest + SLOT_OVERHEAD).next_power_of_two();
    let most = (BUFFER_BYTES / slot).clamp(SLOTS, MOST_SLOTS);
    (slot, frames.clamp(SLOTS, most).next_power_of_two())
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

/// What a frame is, for the device that it goes to: a WireGuard device takes no packet that is marked to be of
/// the other family (Linux: `wg_check_packet_protocol`). A bare IP packet shows its version in its first four
/// bits, which no Ethernet address of the lab begins with.
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
            // Where there is no thread it is closed here and now.
            drop(thread::Builder::new().spawn_scoped(scope, move || drop(socket)));
        }
    });
}

/// The clock that the kernel stamps packets with.
pub(crate) fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Nanos(u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, poll};
    use wireproof_model::plan::Patience;

    use super::*;
    use crate::base::wait::Deadline;
    use crate::kernel::netlink::Netlink;

    #[test]
    fn there_is_room_for_what_comes_at_once_within_reason() {
        assert_eq!(room(1518, 0), (2048, 4096));
        assert_eq!(room(1518, 5000), (2048, 8192));
        assert_eq!(room(1518, usize::MAX), (2048, 32_768));
        assert_eq!(room(9018, usize::MAX), (16_384, 4096));
        assert_eq!(room(1792, 0), (2048, 4096));
        assert_eq!(room(1793, 0), (4096, 4096));
    }

    /// A listener that is opened amid traffic has every frame that it was handed.
    #[test]
    fn a_listener_receives_nothing_before_its_ring_is_set() {
        let namespace = match Namespace::create("A") {
            Ok(namespace) => namespace,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let index = Netlink::open(&namespace).unwrap().up("lo").unwrap();
        let injector = Injector::open(&namespace).unwrap();
        let (noise, mark) = ([0x0e; 60], [0x0f; 60]);
        for _ in 0..10 {
            let (stop, turn) = (AtomicBool::new(false), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    // In order, then: the mark is the last that is heard.
                    stay_on_one_processor().unwrap();
                    turn.wait();
                    while !stop.load(Ordering::Relaxed) {
                        injector.send(index, &noise).unwrap();
                    }
                    turn.wait();
                    turn.wait();
                    injector.send(index, &mark).unwrap();
                });
                turn.wait();
                let opened = Listener::open(&namespace, 60, 0);
                stop.store(true, Ordering::Relaxed);
                turn.wait();
                let mut listener = opened.unwrap();
                let (mut taken, mut marked) = (0, false);
                while listener.receive(|_, _| taken += 1).is_some() {}
                turn.wait();
                let deadline = Deadline::after(Patience::default().allows(Duration::from_secs(20)));
                while !marked {
                    let look = |received: Received, bytes: &[u8]| {
                        taken += 1;
                        marked |= received.direction == Direction::In && bytes == mark;
                    };
                    if listener.receive(look).is_none() {
                        assert!(!deadline.passed(), "the mark was never heard");
                        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                        poll(&mut fds, deadline.poll_timeout()).unwrap();
                    }
                }
                let (handed, dropped) = listener.statistics().unwrap();
                assert_eq!(handed, taken + dropped);
            });
        }
    }
}
