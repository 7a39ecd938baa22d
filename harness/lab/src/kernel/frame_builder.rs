//! Whole frames with whatever source one likes: what a host on the wire, or a pod, could send
//! past its own network stack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::kernel::netlink::Mac;

/// EtherTypes (IEEE 802).
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// IANA protocol numbers.
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// Hops that a packet may take; neighbour discovery takes only those with all of them left (RFC 4861).
const HOPS: u8 = 255;

const EVERYBODY: Mac = [0xff; 6];

/// The ends of a link that a frame is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) from: Mac,
    pub(crate) to: Mac,
}

/// A UDP datagram from and to any address, with all its checksums. Both must be of one family.
pub(crate) fn udp(link: Link, from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut datagram = [
        &from.1.to_be_bytes()[..],
        &to.1.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat();
    let sum = match checksum(&[&pseudo(from.0, to.0, UDP, length), &datagram]) {
        // RFC 768: zero says that there is none.
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    packet(link, from.0, to.0, UDP, &datagram)
}

/// An ARP request (RFC 826): who has `target`? tell `sender`.
pub(crate) fn arp_request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    [
        &EVERYBODY[..],
        &from,
        &ETHERTYPE_ARP,
        // Ethernet, IPv4, their lengths, a request.
        &[0, 1, 8, 0, 6, 4, 0, 1],
        &from,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    ]
    .concat()
}

/// A neighbour solicitation (RFC 4861) that says where `sender` is.
pub(crate) fn solicitation(from: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
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
    let mut message = [
        // Type and code, checksum, reserved.
        &[135, 0, 0, 0, 0, 0, 0, 0][..],
        &target.octets(),
        // The sender's link-layer address, in units of 8 bytes.
        &[1, 1],
        &from,
    ]
    .concat();
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let sum = checksum(&[
        &pseudo(sender.into(), group.into(), ICMP6, length),
        &message,
    ]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let link = Link {
        from,
        // RFC 2464: multicast to Ethernet.
        to: [0x33, 0x33, 0xff, a, b, c],
    };
    packet(link, sender.into(), group.into(), ICMP6, &message)
}

fn packet(
    link: Link,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    segment: &[u8],
) -> Vec<u8> {
    let (ethertype, header) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(20 + segment.len()).unwrap_or(u16::MAX);
            let mut header = [
                &[0x45, 0][..],
                &length.to_be_bytes(),
                &[0, 0, 0, 0, HOPS, protocol, 0, 0],
                &source.octets(),
                &destination.octets(),
            ]
            .concat();
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            (ETHERTYPE_IPV4, header)
        }
        (source, destination) => {
            let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
            let header = [
                &[0x60, 0, 0, 0][..],
                &length.to_be_bytes(),
                &[protocol, HOPS],
                &octets6(source),
                &octets6(destination),
            ]
            .concat();
            (ETHERTYPE_IPV6, header)
        }
    };
    [&link.to[..], &link.from, &ethertype, &header, segment].concat()
}

/// The pseudo-header that checksums cover (RFC 768, RFC 8200 section 8.1).
fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => [
            &source.octets()[..],
            &destination.octets(),
            &[0, protocol, high, low],
        ]
        .concat(),
        (source, destination) => [
            &octets6(source)[..],
            &octets6(destination),
            &[0, 0, high, low, 0, 0, 0, protocol],
        ]
        .concat(),
    }
}

fn octets6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// RFC 1071. Every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| {
            u32::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_rfc_1071() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&example]), !0xddf2);
        assert_eq!(checksum(&[&example[..4], &example[4..]]), !0xddf2);
    }
}
