//! The sockets of flows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::sockopt::{Ipv6V6Only, RcvBuf, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket,
};
use wireproof_model::plan::{FLOW_PORT, Family};

use crate::base::error::{Doing, LabError};

/// Bytes that may wait at a receiver's socket: seconds of every flow to it.
const BUFFER: usize = 1 << 20;

/// What an endpoint sends from, and what it receives with.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) out: UdpSocket,
    pub(super) into: UdpSocket,
}

impl Sockets {
    /// Opens them in the namespace that the thread is in.
    pub(super) fn open(family: Family) -> Result<Self, LabError> {
        let (domain, any) = match family {
            Family::Ipv4 => (AddressFamily::Inet, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Family::Ipv6 => (AddressFamily::Inet6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let open = |port| {
            let socket = socket(domain, SockType::Datagram, flags, None)?;
            if family == Family::Ipv6 {
                // The same port is the IPv4 flows' too.
                setsockopt(&socket, Ipv6V6Only, &true)?;
            }
            let any = SockaddrStorage::from(SocketAddr::new(any, port));
            bind(socket.as_raw_fd(), &any)?;
            Ok::<_, io::Error>(UdpSocket::from(socket))
        };
        let into = open(FLOW_PORT).doing("open a flow's receiver")?;
        setsockopt(&into, ReceiveTimestampns, &true).doing("ask for packet timestamps")?;
        setsockopt(&into, RcvBuf, &BUFFER).doing("give a flow's receiver room")?;
        let out = open(0).doing("open a flow's sender")?;
        Ok(Self { out, into })
    }
}
