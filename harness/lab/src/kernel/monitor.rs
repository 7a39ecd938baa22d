//! Counts of the kernel's notifications about one namespace's network, by kind.
//!
//! An engine that rests makes no changes; this shows it from outside, whatever it announces.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::base::error::{Doing, LabError};
use crate::kernel::namespace::Namespace;

/// `RTMGRP_*` of links, addresses, routes and rules, of both families.
const ROUTE_GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;

/// `NFNLGRP_NFTABLES`, as a bit.
const NFTABLES_GROUP: u32 = 1 << 6;

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of a message's type.
const NFTABLES: u16 = 10;

/// Bytes of a netlink message's header.
const HEADER: usize = 16;

/// Listens in one namespace from its making on.
#[derive(Debug)]
pub(crate) struct Monitor {
    sockets: [OwnedFd; 2],
}

impl Monitor {
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, LabError> {
        namespace.enter(|| {
            Ok(Self {
                sockets: [
                    listen(SockProtocol::NetlinkRoute, ROUTE_GROUPS)?,
                    listen(SockProtocol::NetlinkNetFilter, NFTABLES_GROUP)?,
                ],
            })
        })
    }

    /// The notifications since the last call.
    pub(crate) fn count(&self) -> Result<BTreeMap<String, u64>, LabError> {
        let mut counts = BTreeMap::new();
        let mut buffer = vec![0; 1 << 16];
        for socket in &self.sockets {
            loop {
                match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    Ok(length) => note(&buffer[..length], &mut counts),
                    Err(Errno::EAGAIN) => break,
                    // There was more than the socket holds.
                    Err(Errno::ENOBUFS) => {
                        *counts.entry("too many to count".into()).or_default() += 1
                    }
                    Err(errno) => {
                        return Err(io::Error::from(errno)).doing("listen to the kernel");
                    }
                }
            }
        }
        Ok(counts)
    }
}

fn listen(protocol: SockProtocol, groups: u32) -> Result<OwnedFd, LabError> {
    let doing = || "listen to the kernel's notifications";
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
        .map_err(io::Error::from)
        .doing(doing())?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
        .map_err(io::Error::from)
        .doing(doing())?;
    Ok(socket)
}

fn note(mut bytes: &[u8], counts: &mut BTreeMap<String, u64>) {
    while let Some((header, _)) = bytes.split_first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        if let Some(kind) = kind_of(kind) {
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        let length = usize::try_from(length).unwrap_or(HEADER).max(HEADER);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// `RTM_NEW*` and `RTM_DEL*`, and every notification of nftables.
fn kind_of(kind: u16) -> Option<&'static str> {
    match kind {
        16 | 17 => Some("link"),
        20 | 21 => Some("address"),
        24 | 25 => Some("route"),
        32 | 33 => Some("rule"),
        other if other >> 8 == NFTABLES => Some("nftables"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_kind() {
        let message = |kind: u16| {
            let mut bytes = vec![0; 20];
            bytes[0] = 20;
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes
        };
        let bytes: Vec<u8> = [24, 25, 32, 28, 10 << 8 | 6]
            .into_iter()
            .flat_map(message)
            .collect();
        let mut counts = BTreeMap::new();
        note(&bytes, &mut counts);
        let expected = [("nftables", 1), ("route", 2), ("rule", 1)];
        assert!(
            counts
                .iter()
                .map(|(kind, count)| (kind.as_str(), *count))
                .eq(expected)
        );
    }
}
