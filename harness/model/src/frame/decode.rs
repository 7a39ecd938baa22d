//! Ethernet, ARP, IP, and what IP carries. A packet may hold another one, so this is one module.

use std::net::IpAddr;

use pnet_packet::Packet as _;
use pnet_packet::arp::{ArpHardwareTypes, ArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ipv4::{Ipv4Flags, Ipv4Packet};
use pnet_packet::ipv6::{FragmentPacket, Ipv6Packet};
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;

use super::{Fragment, Frame, LinkType, Packet, Payload, icmp, wireguard};

/// Packets inside packets are followed this deep; no network nests them deeper on purpose.
const DEEPEST: u8 = 4;

/// IPv6 headers before the payload are followed this far (RFC 8200 names six).
const MOST_EXTENSIONS: usize = 8;

const IPV6_HEADER: usize = 40;
const EXTENSION_UNIT: usize = 8;

const ICMP: u8 = 1;
const IP_IN_IP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;

/// The port of RFC 7348, and the one that Linux used before it.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];

/// RFC 768.
const UDP_HEADER: usize = 8;

const VXLAN_HEADER: usize = 8;

/// Flags that mean "the network identifier is valid" and nothing else.
const VXLAN_FLAGS: u8 = 0x08;

/// Offsets of fragments are multiples of so many bytes.
const FRAGMENT_UNIT: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

pub(super) fn frame(bytes: &[u8], link: LinkType) -> Frame {
    let decoded = match link {
        LinkType::Ethernet => ethernet(bytes, DEEPEST),
        LinkType::RawIp => packet(bytes, DEEPEST).map(Frame::Ip),
    };
    decoded.unwrap_or_else(|why| Frame::Malformed { why })
}

fn ethernet(bytes: &[u8], depth: u8) -> Result<Frame, String> {
    let outer = EthernetPacket::new(bytes).ok_or("shorter than an Ethernet header")?;
    let (kind, rest) = (outer.get_ethertype(), outer.payload());
    if kind != EtherTypes::Vlan {
        return network(kind.0, rest, depth);
    }
    let tagged = VlanPacket::new(rest).ok_or("shorter than an 802.1Q tag")?;
    network(tagged.get_ethertype().0, tagged.payload(), depth)
}

fn network(ethertype: u16, bytes: &[u8], depth: u8) -> Result<Frame, String> {
    if ethertype == EtherTypes::Ipv4.0 || ethertype == EtherTypes::Ipv6.0 {
        packet(bytes, depth).map(Frame::Ip)
    } else if ethertype == EtherTypes::Arp.0 {
        arp(bytes)
    } else {
        Ok(Frame::Other { ethertype })
    }
}

fn arp(bytes: &[u8]) -> Result<Frame, String> {
    let arp = ArpPacket::new(bytes).ok_or("shorter than an ARP message")?;
    if arp.get_hardware_type() != ArpHardwareTypes::Ethernet
        || arp.get_protocol_type() != EtherTypes::Ipv4
        || (arp.get_hw_addr_len(), arp.get_proto_addr_len()) != (6, 4)
    {
        return Err("ARP for something else than IPv4 over Ethernet".into());
    }
    Ok(Frame::Arp {
        operation: arp.get_operation().0,
        sender: arp.get_sender_proto_addr(),
        target: arp.get_target_proto_addr(),
    })
}

/// An IP packet of either version.
fn packet(bytes: &[u8], depth: u8) -> Result<Packet, String> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes, depth),
        Some(6) => ipv6(bytes, depth),
        Some(version) => Err(format!("IP version {version}")),
        None => Err("an empty IP packet".into()),
    }
}

fn ipv4(bytes: &[u8], depth: u8) -> Result<Packet, String> {
    let header = Ipv4Packet::new(bytes).ok_or("shorter than an IPv4 header")?;
    let start = usize::from(header.get_header_length()) * 4;
    let end = usize::from(header.get_total_length());
    if start < Ipv4Packet::minimum_packet_size() || end < start {
        return Err(format!(
            "an IPv4 header of {start} in a packet of {end} bytes"
        ));
    }
    let carried = bytes
        .get(start..end)
        .ok_or_else(|| format!("{} of {end} bytes of an IPv4 packet", bytes.len()))?;
    let flags = header.get_flags();
    let offset = header.get_fragment_offset();
    let more = flags & Ipv4Flags::MoreFragments != 0;
    let fragment = (more || offset > 0).then(|| Fragment {
        id: u32::from(header.get_identification()),
        offset: u32::from(offset) * FRAGMENT_UNIT,
        more,
    });
    Ok(Packet {
        source: IpAddr::V4(header.get_source()),
        destination: IpAddr::V4(header.get_destination()),
        length: u32::from(header.get_total_length()),
        dont_fragment: flags & Ipv4Flags::DontFragment != 0,
        fragment,
        payload: payload(
            header.get_next_level_protocol().0,
            carried,
            Part::of(fragment),
            depth,
        ),
    })
}

fn ipv6(bytes: &[u8], depth: u8) -> Result<Packet, String> {
    let header = Ipv6Packet::new(bytes).ok_or("shorter than an IPv6 header")?;
    let end = IPV6_HEADER + usize::from(header.get_payload_length());
    let mut carried = bytes
        .get(IPV6_HEADER..end)
        .ok_or_else(|| format!("{} of {end} bytes of an IPv6 packet", bytes.len()))?;
    let mut next = header.get_next_header().0;
    let mut fragment = None;
    for _ in 0..MOST_EXTENSIONS {
        let length = match next {
            FRAGMENT => {
                let header =
                    FragmentPacket::new(carried).ok_or("shorter than a fragment header")?;
                // The field holds two reserved bits and "more fragments" below the offset.
                let offset = u32::from(header.get_fragment_offset()) & !(FRAGMENT_UNIT - 1);
                let more = !header.is_last_fragment();
                fragment = (more || offset > 0).then(|| Fragment {
                    id: header.get_id(),
                    offset,
                    more,
                });
                EXTENSION_UNIT
            }
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let units = carried
                    .get(1)
                    .ok_or("shorter than an IPv6 extension header")?;
                (usize::from(*units) + 1) * EXTENSION_UNIT
            }
            _ => break,
        };
        next = carried.first().copied().unwrap_or(next);
        carried = carried
            .get(length..)
            .ok_or("shorter than an IPv6 extension header says")?;
        if Part::of(fragment) == Part::Later {
            break;
        }
    }
    Ok(Packet {
        source: IpAddr::V6(header.get_source()),
        destination: IpAddr::V6(header.get_destination()),
        length: u32::try_from(end).unwrap_or(u32::MAX),
        // Only a sender may fragment an IPv6 packet.
        dont_fragment: true,
        fragment,
        payload: payload(next, carried, Part::of(fragment), depth),
    })
}

/// How much of a payload is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// Its start: the headers are there, the lengths in them are of the whole.
    First,
    Later,
}

impl Part {
    fn of(fragment: Option<Fragment>) -> Self {
        match fragment {
            None => Self::Whole,
            Some(Fragment { offset: 0, .. }) => Self::First,
            Some(_) => Self::Later,
        }
    }
}

/// `carried` is all that belongs to the packet by its IP header. A payload that is shorter than its own header
/// is [`Payload::Other`].
fn payload(protocol: u8, carried: &[u8], part: Part, depth: u8) -> Payload {
    let known = if part == Part::Later {
        None
    } else {
        match protocol {
            ICMP => icmp::version4(carried),
            ICMPV6 => icmp::version6(carried),
            TCP => tcp(carried),
            UDP => udp(carried, part, depth),
            IP_IN_IP | IPV6_IN_IP => inner(protocol, carried, depth),
            GRE => gre(carried, depth),
            _ => None,
        }
    };
    known.unwrap_or(Payload::Other { protocol })
}

fn tcp(carried: &[u8]) -> Option<Payload> {
    let segment = TcpPacket::new(carried)?;
    Some(Payload::Tcp {
        source_port: segment.get_source(),
        destination_port: segment.get_destination(),
        flags: segment.get_flags(),
    })
}

fn udp(carried: &[u8], part: Part, depth: u8) -> Option<Payload> {
    let header = UdpPacket::new(carried)?;
    let (source_port, destination_port) = (header.get_source(), header.get_destination());
    let udp_length = usize::from(header.get_length());
    let whole = part == Part::Whole && udp_length == carried.len();
    let start = part == Part::First && udp_length > carried.len();
    if (whole || start)
        && let Some(message) =
            wireguard::message(header.payload(), udp_length.saturating_sub(UDP_HEADER))
    {
        return Some(Payload::WireGuard {
            source_port,
            destination_port,
            message,
        });
    }
    if whole
        && VXLAN_PORTS.contains(&destination_port)
        && let Some(inner) = vxlan(header.payload(), depth)
    {
        return Some(inner);
    }
    Some(Payload::Udp {
        source_port,
        destination_port,
    })
}

fn vxlan(bytes: &[u8], depth: u8) -> Option<Payload> {
    if bytes.first() != Some(&VXLAN_FLAGS) {
        return None;
    }
    let depth = depth.checked_sub(1)?;
    match ethernet(bytes.get(VXLAN_HEADER..)?, depth).ok()? {
        Frame::Ip(inner) => tunnelled(UDP, inner),
        Frame::Arp { .. } | Frame::Other { .. } | Frame::Malformed { .. } => None,
    }
}

fn gre(bytes: &[u8], depth: u8) -> Option<Payload> {
    let &[flags, version, high, low, ..] = bytes else {
        return None;
    };
    // Bits: checksum, routing, key, sequence number. Routing went with RFC 1701.
    if flags & 0x40 != 0 || version & 0x07 != 0 {
        return None;
    }
    let optional = (flags & 0xb0).count_ones() as usize;
    let rest = bytes.get(4 + 4 * optional..)?;
    match u16::from_be_bytes([high, low]) {
        0x0800 | 0x86dd => inner(GRE, rest, depth),
        // Transparent Ethernet bridging.
        0x6558 => match ethernet(rest, depth.checked_sub(1)?).ok()? {
            Frame::Ip(inner) => tunnelled(GRE, inner),
            Frame::Arp { .. } | Frame::Other { .. } | Frame::Malformed { .. } => None,
        },
        _ => None,
    }
}

fn inner(protocol: u8, bytes: &[u8], depth: u8) -> Option<Payload> {
    tunnelled(protocol, packet(bytes, depth.checked_sub(1)?).ok()?)
}

fn tunnelled(protocol: u8, inner: Packet) -> Option<Payload> {
    Some(Payload::Tunnelled {
        protocol,
        inner: Box::new(inner),
    })
}
