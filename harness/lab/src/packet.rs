//! Frames to and from interfaces, past the network stack (packet(7)).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket,
};
use wireproof_model::evidence::{Direction, Nanos};

use crate::error::{Doing, LabError};
use crate::namespace::Namespace;
use crate::sys;

/// Room for frames that wait to be read, in bytes: enough for a burst of full-size
/// frames while the reader writes its files.
const RECEIVE_BUFFER: usize = 64 << 20;

/// `ARPHRD_NONE`: a device without a link header, as a TUN device is.
const HARDWARE_NONE: u16 = 0xfffe;

/// `PACKET_OUTGOING`.
const OUTGOING: u8 = 4;

/// A packet socket that sees every frame of every interface of its namespace.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
}

/// A received frame; its bytes are in the caller's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) at: Nanos,
    pub(crate) index: u32,
    pub(crate) direction: Direction,
    pub(crate) raw_ip: bool,
    /// Bytes in the buffer.
    pub(crate) length: usize,
}

impl Listener {
    /// Opens it inside `namespace`; it sees from this moment on.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, LabError> {
        namespace.enter(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )
            .doing("open a packet socket")?;
            // Only the host's root may exceed net.core.rmem_max; others get what there is,
            // and the count of dropped frames says whether it was enough.
            setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
                .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))
                .doing("enlarge the packet socket's buffer")?;
            setsockopt(&socket, ReceiveTimestampns, &true).doing("ask for packet timestamps")?;
            Ok(Self { socket })
        })
    }

    /// The next frame, or none if there is none yet.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<LinkAddr>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        ) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        });
        let (Some(stamp), Some(address)) = (stamp, message.address) else {
            return Err(io::Error::other(
                "a frame came without timestamp or interface",
            ));
        };
        let seconds = u64::try_from(stamp.tv_sec()).unwrap_or_default();
        let nanos = u64::try_from(stamp.tv_nsec()).unwrap_or_default();
        Ok(Some(Received {
            at: Nanos(seconds * 1_000_000_000 + nanos),
            index: u32::try_from(address.ifindex()).unwrap_or_default(),
            direction: if address.pkttype() == OUTGOING {
                Direction::Out
            } else {
                Direction::In
            },
            raw_ip: address.hatype() == HARDWARE_NONE,
            length: message.bytes,
        }))
    }

    /// Frames handed over and frames dropped since the last call.
    pub(crate) fn statistics(&self) -> io::Result<(u32, u32)> {
        sys::packet_statistics(self.socket.as_fd())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
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

    /// Puts a whole IPv4 frame, link header included, on the interface with that index.
    pub(crate) fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        sys::send_frame(self.socket.as_fd(), index, frame)
    }
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
