//! Builder of whole frames with any source: what a host on the wire, or a pod, could send past its own network
//! stack. Lengths and checksums are etherparse's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::err::packet::BuildVecWriteError;
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IcmpEchoHeader, Icmpv4Header, Icmpv4Type,
    Icmpv6Header, Icmpv6Type, IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep,
};
use wireproof_model::plan::Protocol;

use crate::kernel::netlink::Mac;

/// Hops that a packet may take; neighbour discovery takes only those with all of them left (RFC 4861).
const HOPS: u8 = 255;

const BROADCAST: Mac = [0xff; 6];

/// The ends of a link that a frame is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) from: Mac,
    pub(crate) to: Mac,
}

/// What a packet of one protocol is for. Both addresses must be of the protocol's family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressed {
    /// None of a packet without an Ethernet header.
    pub(crate) link: Option<Link>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hops: u8,
    /// Both ends' port, where the protocol has ports.
    pub(crate) port: u16,
}

/// A packet with a payload: an echo request, a datagram, or a segment of a TCP connection.
///
/// # Errors
/// The payload is too long for its protocol.
pub(crate) fn packet(to: Addressed, protocol: Protocol, payload: &[u8]) -> io::Result<Vec<u8>> {
    let Addressed { port, .. } = to;
    let start = begin(to.link, ip(to.source, to.destination, to.hops));
    let mut bytes = Vec::new();
    written(match protocol {
        Protocol::Icmp => {
            let echo = start.icmpv4_echo_request(0, 0);
            echo.write_to_vec(&mut bytes, payload)
        }
        Protocol::Icmp6 => {
            let echo = start.icmpv6_echo_request(0, 0);
            echo.write_to_vec(&mut bytes, payload)
        }
        Protocol::Udp | Protocol::Udp6 => start.udp(port, port).write_to_vec(&mut bytes, payload),
        Protocol::Tcp | Protocol::Tcp6 => {
            let segment = start.tcp(port, port, 0, 0).psh().ack(0);
            segment.write_to_vec(&mut bytes, payload)
        }
    })?;
    Ok(bytes)
}

/// A UDP datagram from and to any address, with all its checksums. Both must be of one family.
///
/// # Errors
/// The payload is too long.
pub(crate) fn udp(
    link: Link,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    payload: &[u8],
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let start = begin(Some(link), ip(from.0, to.0, HOPS));
    written(start.udp(from.1, to.1).write_to_vec(&mut bytes, payload))?;
    Ok(bytes)
}

/// An ARP request (RFC 826): who has `target`? tell `sender`.
///
/// # Errors
/// Never, as all addresses have the length of their kind.
pub(crate) fn arp_request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> io::Result<Vec<u8>> {
    let request = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &from,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    );
    let request = request.map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let frame = PacketBuilder::ethernet2(from, BROADCAST).arp(request);
    written(frame.write_to_vec(&mut bytes))?;
    Ok(bytes)
}

/// A neighbour solicitation (RFC 4861) with the link-layer address of `sender`.
///
/// # Errors
/// Never, as the message is short.
pub(crate) fn solicitation(from: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> io::Result<Vec<u8>> {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    );
    // The target, and the sender's link-layer address, in units of 8 bytes.
    let rest = [&target.octets()[..], &[1, 1], &from].concat();
    let link = Link {
        from,
        // RFC 2464: multicast to Ethernet.
        to: [0x33, 0x33, 0xff, a, b, c],
    };
    let start = begin(Some(link), ip(sender.into(), group.into(), HOPS));
    let message = start.icmpv6(Icmpv6Type::NeighborSolicitation);
    let mut bytes = Vec::new();
    written(message.write_to_vec(&mut bytes, &rest))?;
    Ok(bytes)
}

/// An ICMP echo request (RFC 792) alone, checksum included.
pub(crate) fn icmp_echo(id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let kind = Icmpv4Type::EchoRequest(IcmpEchoHeader { id, seq });
    let header = Icmpv4Header::with_checksum(kind, payload).to_bytes();
    [&header[..], payload].concat()
}

/// An ICMPv6 echo request (RFC 4443) alone. Sockets fill the checksum in themselves.
pub(crate) fn icmp6_echo(id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let kind = Icmpv6Type::EchoRequest(IcmpEchoHeader { id, seq });
    let header = Icmpv6Header::new(kind).to_bytes();
    [&header[..], payload].concat()
}

fn begin(link: Option<Link>, ip: IpHeaders) -> PacketBuilderStep<IpHeaders> {
    match link {
        Some(Link { from, to }) => PacketBuilder::ethernet2(from, to).ip(ip),
        None => PacketBuilder::ip(ip),
    }
}

/// Lengths, protocol and checksum are filled in when it is written.
fn ip(source: IpAddr, destination: IpAddr, hops: u8) -> IpHeaders {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Header {
                dont_fragment: false,
                time_to_live: hops,
                source: source.octets(),
                destination: destination.octets(),
                ..Default::default()
            };
            IpHeaders::Ipv4(header, Default::default())
        }
        (source, destination) => {
            let header = Ipv6Header {
                hop_limit: hops,
                source: octets6(source),
                destination: octets6(destination),
                ..Default::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
    }
}

fn octets6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn written(result: Result<(), BuildVecWriteError>) -> io::Result<()> {
    result.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use wireproof_model::frame::{LinkType, decode};
    use wireproof_model::plan::Family;

    use super::*;

    const LINK: Link = Link {
        from: [2, 0, 0, 0, 0, 1],
        to: [2, 0, 0, 0, 0, 2],
    };

    #[test]
    fn each_protocol_is_read_back_as_what_it_was_built_as() {
        for protocol in Protocol::IPV4.into_iter().chain(Protocol::IPV6) {
            let (source, destination): (IpAddr, IpAddr) = match protocol.family() {
                Family::Ipv4 => ([192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
                Family::Ipv6 => (
                    "2001:db8::1".parse().unwrap(),
                    "2001:db8::2".parse().unwrap(),
                ),
            };
            for (link, kind) in [(Some(LINK), LinkType::Ethernet), (None, LinkType::RawIp)] {
                let to = Addressed {
                    link,
                    source,
                    destination,
                    hops: 1,
                    port: 9,
                };
                let bytes = packet(to, protocol, b"payload").unwrap();
                let frame = decode(&bytes, kind);
                let read = frame.packet().unwrap();
                assert_eq!((read.source, read.destination), (source, destination));
                // No router fragments an IPv6 packet (RFC 8200 section 4.5).
                let may_be_fragmented = protocol.family() == Family::Ipv4;
                assert_eq!(read.dont_fragment, !may_be_fragmented, "{protocol:?}");
                assert!(read.fragment.is_none());
                let headers = bytes.len() - link.map_or(0, |_| 14);
                assert_eq!(usize::try_from(read.length).unwrap(), headers);
                assert!(bytes.ends_with(b"payload"));
            }
        }
    }

    /// The example of RFC 1071 section 3, as the payload of an echo request whose header has none but its type.
    #[test]
    fn an_echo_request_has_its_checksum_and_one_of_icmpv6_leaves_it_to_the_socket() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        let bytes = icmp_echo(0, 0, &example);
        let sum = !(0xddf2_u16 + 0x0800);
        assert_eq!(bytes[..2], [8, 0]);
        assert_eq!(bytes[2..4], sum.to_be_bytes());
        assert_eq!(bytes[8..], example);
        assert_eq!(icmp6_echo(1, 2, b"x"), [128, 0, 0, 0, 0, 1, 0, 2, b'x']);
    }
}
