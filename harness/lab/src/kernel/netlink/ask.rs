//! Route lookups for single packets (`ip route get`).

use std::net::IpAddr;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage};

use super::Netlink;

/// A packet that the kernel is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    /// Its source; none lets the kernel choose.
    pub(crate) source: Option<IpAddr>,
    pub(crate) destination: IpAddr,
    /// The kernel's index of the interface that it comes in by; none for the node's own.
    pub(crate) input: Option<u32>,
    pub(crate) mark: u32,
}

impl Netlink {
    /// The route in a table that a packet matches (`RTM_GETROUTE` with `RTM_F_FIB_MATCH`; the table is in the
    /// answer with `RTM_F_LOOKUP_TABLE`).
    ///
    /// # Errors
    /// Why the kernel sends it nowhere, in its words.
    pub(crate) fn lookup(&self, packet: Packet) -> Result<RouteMessage, String> {
        let (family, length) = match packet.destination {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.destination_prefix_length = length;
        message.header.flags = RouteFlags::FibMatch | RouteFlags::LookupTable;
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Destination(address(packet.destination)));
        if let Some(source) = packet.source {
            message.header.source_prefix_length = length;
            attributes.push(RouteAttribute::Source(address(source)));
        }
        if let Some(input) = packet.input {
            attributes.push(RouteAttribute::Iif(input));
        }
        attributes.push(RouteAttribute::Mark(packet.mark));
        let mut answers = self.handle.route().get(message).execute();
        match self.runtime.block_on(answers.try_next()) {
            Ok(Some(route)) => Ok(route),
            Ok(None) => Err("no answer".into()),
            Err(rtnetlink::Error::NetlinkError(error)) => {
                let error = Errno::from_raw(error.raw_code().abs());
                Err(error.desc().to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
