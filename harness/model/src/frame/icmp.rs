//! ICMP messages, and the packets that errors quote.

use std::net::IpAddr;

use pnet_packet::icmp::IcmpPacket;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

use super::{Payload, Quote};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
const ICMP_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];

/// Unreachable, too big, time exceeded, parameter problem (RFC 4443).
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];

/// Type, code, checksum, and four bytes whose meaning depends on the type.
const ICMP_HEADER: usize = 8;

/// ICMP in IPv4.
pub(super) fn version4(carried: &[u8]) -> Option<Payload> {
    message(carried, &ICMP_ERRORS, |kind, code, rest| {
        match (kind, code, rest) {
            // Unreachable, fragmentation needed: two unused bytes, then the next hop's MTU.
            (3, 4, [_, _, a, b]) => Some(u16::from_be_bytes([*a, *b]).into()),
            _ => None,
        }
    })
}

/// ICMP in IPv6.
pub(super) fn version6(carried: &[u8]) -> Option<Payload> {
    message(carried, &ICMPV6_ERRORS, |kind, _, rest| {
        (kind == 2).then_some(u32::from_be_bytes(*rest))
    })
}

fn message(
    carried: &[u8],
    errors: &[u8],
    mtu: impl Fn(u8, u8, &[u8; 4]) -> Option<u32>,
) -> Option<Payload> {
    let message = IcmpPacket::new(carried)?;
    let kind = message.get_icmp_type().0;
    let quoted = errors
        .contains(&kind)
        .then(|| carried.get(ICMP_HEADER..).and_then(quote))
        .flatten();
    let code = message.get_icmp_code().0;
    let rest = carried.get(ICMP_HEADER - 4..ICMP_HEADER)?;
    Some(Payload::Icmp {
        kind,
        code,
        mtu: rest.try_into().ok().and_then(|rest| mtu(kind, code, rest)),
        quoted,
    })
}

/// An error quotes an IP header and at least 8 bytes after it, so neither its total
/// length nor a transport header's can be held against it.
fn quote(bytes: &[u8]) -> Option<Quote> {
    let (source, destination, protocol, rest) = match bytes.first()? >> 4 {
        4 => {
            let header = Ipv4Packet::new(bytes)?;
            let rest = bytes.get(usize::from(header.get_header_length()) * 4..);
            (
                IpAddr::V4(header.get_source()),
                IpAddr::V4(header.get_destination()),
                header.get_next_level_protocol().0,
                rest.filter(|_| header.get_fragment_offset() == 0),
            )
        }
        6 => {
            let header = Ipv6Packet::new(bytes)?;
            (
                IpAddr::V6(header.get_source()),
                IpAddr::V6(header.get_destination()),
                header.get_next_header().0,
                bytes.get(Ipv6Packet::minimum_packet_size()..),
            )
        }
        _ => return None,
    };
    let ports = match (protocol, rest) {
        (TCP | UDP, Some(&[a, b, c, d, ..])) => {
            Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
        }
        _ => None,
    };
    Some(Quote {
        source,
        destination,
        protocol,
        ports,
    })
}
