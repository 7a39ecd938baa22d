//! Frames are built with the other half of `pnet_packet`, so that what is decoded was not written by this crate.

use std::net::Ipv4Addr;

use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::MutableIpv4Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use pnet_packet::vlan::MutableVlanPacket;
use proptest::prelude::*;

use super::*;

const A: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 4);
const B: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 64);

fn ethernet(kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = MutableEthernetPacket::new(&mut bytes).unwrap();
    frame.set_ethertype(kind);
    frame.set_payload(payload);
    bytes
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20 + payload.len()];
    let total = u16::try_from(bytes.len()).unwrap();
    let mut packet = MutableIpv4Packet::new(&mut bytes).unwrap();
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_total_length(total);
    packet.set_next_level_protocol(IpNextHeaderProtocol::new(protocol));
    packet.set_source(A);
    packet.set_destination(B);
    packet.set_payload(payload);
    bytes
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + payload.len()];
    let length = u16::try_from(bytes.len()).unwrap();
    let mut datagram = MutableUdpPacket::new(&mut bytes).unwrap();
    datagram.set_source(ports.0);
    datagram.set_destination(ports.1);
    datagram.set_length(length);
    datagram.set_payload(payload);
    bytes
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    let mut segment = MutableTcpPacket::new(&mut bytes).unwrap();
    segment.set_source(40_000);
    segment.set_destination(7007);
    segment.set_data_offset(5);
    segment.set_flags(flags);
    bytes
}

fn wireguard(kind: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0xee; length];
    payload[..4].copy_from_slice(&[kind, 0, 0, 0]);
    payload
}

/// The payload of an IPv4 packet between `A` and `B`, in an Ethernet frame.
fn payload_of(packet: &[u8]) -> Payload {
    let frame = decode(&ethernet(EtherTypes::Ipv4, packet), LinkType::Ethernet);
    let Frame::Ip(packet) = frame else {
        panic!("{frame}");
    };
    packet.payload
}

fn message_of(payload: &[u8]) -> Option<Message> {
    let payload = payload_of(&ipv4(17, &udp((51820, 51820), payload)));
    let Payload::WireGuard { message, .. } = payload else {
        return None;
    };
    Some(message)
}

#[test]
fn each_wireguard_message_is_known_by_type_and_length() {
    assert_eq!(message_of(&wireguard(1, 148)), Some(Message::Initiation));
    assert_eq!(message_of(&wireguard(2, 92)), Some(Message::Response));
    assert_eq!(message_of(&wireguard(3, 64)), Some(Message::Cookie));
    assert_eq!(message_of(&wireguard(4, 32)), Some(Message::Keepalive));
    assert_eq!(
        message_of(&wireguard(4, 176)),
        Some(Message::Data { length: 176 })
    );
}

#[test]
fn a_message_of_the_wrong_length_or_with_reserved_bytes_is_plain_udp() {
    for (kind, length) in [
        (1, 147),
        (2, 93),
        (3, 63),
        (4, 31),
        (4, 16),
        (4, 51),
        (5, 148),
        (0, 64),
    ] {
        assert_eq!(
            message_of(&wireguard(kind, length)),
            None,
            "{kind} {length}"
        );
    }
    let mut reserved = wireguard(4, 176);
    reserved[2] = 1;
    assert_eq!(message_of(&reserved), None);
}

#[test]
fn a_packet_has_its_addresses_ports_and_length() {
    let bytes = ethernet(EtherTypes::Ipv4, &ipv4(6, &tcp(0x12)));
    let expected = Frame::Ip(Packet {
        source: A.into(),
        destination: B.into(),
        length: 40,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Tcp {
            source_port: 40_000,
            destination_port: 7007,
            flags: 0x12,
        },
    });
    assert_eq!(decode(&bytes, LinkType::Ethernet), expected);
    assert_eq!(decode(&bytes[14..], LinkType::RawIp), expected);
    assert_eq!(
        expected.to_string(),
        "10.240.0.4:40000 > 10.240.0.64:7007 tcp syn+ack, 40 bytes"
    );
}

#[test]
fn padding_after_the_packet_is_ignored() {
    let mut bytes = ethernet(
        EtherTypes::Ipv4,
        &ipv4(17, &udp((1, 51820), &wireguard(4, 32))),
    );
    let bare = decode(&bytes, LinkType::Ethernet);
    bytes.extend([0; 18]);
    assert_eq!(decode(&bytes, LinkType::Ethernet), bare);
}

#[test]
fn one_vlan_tag_is_looked_through() {
    let packet = ipv4(1, &[8, 0, 0, 0, 0, 0, 0, 0]);
    let mut tag = vec![0; 4 + packet.len()];
    let mut vlan = MutableVlanPacket::new(&mut tag).unwrap();
    vlan.set_vlan_identifier(7);
    vlan.set_ethertype(EtherTypes::Ipv4);
    vlan.set_payload(&packet);
    assert_eq!(
        decode(&ethernet(EtherTypes::Vlan, &tag), LinkType::Ethernet),
        decode(&packet, LinkType::RawIp)
    );
}

#[test]
fn arp_has_its_sender_and_its_target() {
    let mut bytes = vec![0; 28];
    let mut arp = MutableArpPacket::new(&mut bytes).unwrap();
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_proto_addr(A);
    arp.set_target_proto_addr(B);
    assert_eq!(
        decode(&ethernet(EtherTypes::Arp, &bytes), LinkType::Ethernet),
        Frame::Arp {
            operation: 1,
            sender: A,
            target: B
        }
    );
}

#[test]
fn fragments_are_marked_and_later_ones_have_no_ports() {
    let mut first = ipv4(17, &udp((7, 51820), &wireguard(4, 64)));
    let mut packet = MutableIpv4Packet::new(&mut first).unwrap();
    packet.set_flags(1);
    packet.set_identification(513);
    // Its UDP length is the whole datagram's; cut here it proves nothing about a message.
    assert!(matches!(
        payload_of(&first),
        Payload::Udp { source_port: 7, .. }
    ));
    MutableIpv4Packet::new(&mut first)
        .unwrap()
        .set_fragment_offset(9);
    assert_eq!(payload_of(&first), Payload::Other { protocol: 17 });
    let frame = decode(&first, LinkType::RawIp);
    let piece = Fragment {
        id: 513,
        offset: 72,
        more: true,
    };
    assert_eq!(frame.packet().unwrap().fragment, Some(piece));
}

#[test]
fn an_error_quotes_addresses_protocol_and_ports_of_a_cut_packet() {
    let about = ipv4(17, &udp((40_000, 7007), &[1; 500]));
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
    error.extend(&about[..28]);
    let quoted = Quote {
        source: A.into(),
        destination: B.into(),
        protocol: 17,
        ports: Some((40_000, 7007)),
    };
    assert_eq!(
        payload_of(&ipv4(1, &error)),
        Payload::Icmp {
            kind: 3,
            code: 3,
            mtu: None,
            quoted: Some(quoted)
        }
    );
    error[0] = 8;
    let Payload::Icmp { quoted, .. } = payload_of(&ipv4(1, &error)) else {
        panic!("an echo request is ICMP");
    };
    assert_eq!(quoted, None);
}

#[test]
fn packets_are_found_inside_ip_gre_and_vxlan() {
    let inside = ipv4(6, &tcp(0x02));
    let mut gre = vec![0x20, 0, 0x08, 0x00, 1, 2, 3, 4];
    gre.extend(&inside);
    let mut vxlan = vec![0x08, 0, 0, 0, 0, 0, 1, 0];
    vxlan.extend(ethernet(EtherTypes::Ipv4, &inside));
    for (protocol, payload) in [(4, inside.clone()), (47, gre), (17, udp((9, 4789), &vxlan))] {
        let frame = decode(&ipv4(protocol, &payload), LinkType::RawIp);
        let layers: Vec<_> = frame.packet().unwrap().layers().collect();
        assert_eq!(layers.len(), 2, "protocol {protocol}");
        assert!(layers[1].carries(Protocol::Tcp), "protocol {protocol}");
    }
}

#[test]
fn an_ipv6_fragment_is_seen_behind_its_header() {
    let mut bytes = vec![0; 40];
    bytes[0] = 0x60;
    bytes[6] = 44;
    // Next is UDP, offset 0, more follow; then eight bytes of it.
    bytes.extend([17, 0, 0, 1, 0, 0, 0, 9]);
    bytes.extend(udp((5, 6), &[]));
    bytes[5] = 16;
    let Frame::Ip(packet) = decode(&bytes, LinkType::RawIp) else {
        panic!("an IPv6 packet");
    };
    let piece = |offset, more| {
        Some(Fragment {
            id: 9,
            offset,
            more,
        })
    };
    assert!(packet.dont_fragment);
    assert_eq!(packet.fragment, piece(0, true));
    assert_eq!(packet.length, 56);
    assert!(matches!(
        packet.payload,
        Payload::Udp { source_port: 5, .. }
    ));
    // The last one, which starts 1376 bytes later; the two reserved bits say nothing.
    let last = 1376_u16 | 0b110;
    bytes[42..44].copy_from_slice(&last.to_be_bytes());
    let Frame::Ip(packet) = decode(&bytes, LinkType::RawIp) else {
        panic!("an IPv6 packet");
    };
    assert_eq!(packet.fragment, piece(1376, false));
    assert_eq!(packet.payload, Payload::Other { protocol: 17 });
}

#[test]
fn a_frame_shorter_than_its_length_field_is_malformed() {
    let whole = ethernet(EtherTypes::Ipv4, &ipv4(6, &tcp(2)));
    for length in 0..whole.len() {
        let frame = decode(&whole[..length], LinkType::Ethernet);
        assert!(
            matches!(frame, Frame::Malformed { .. }),
            "{length}: {frame}"
        );
    }
    assert!(matches!(
        decode(&[0x50; 40], LinkType::RawIp),
        Frame::Malformed { .. }
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, LinkType::Ethernet).to_string();
        let _ = decode(&bytes, LinkType::RawIp).to_string();
    }

    #[test]
    fn no_bytes_behind_a_header_make_it_panic(
        protocol in prop::sample::select(vec![1_u8, 4, 6, 17, 41, 47, 58]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        version in prop::sample::select(vec![0x45_u8, 0x46, 0x4f, 0x60]),
        place in 0_usize..120,
    ) {
        if let Some(byte) = bytes.get_mut(place) {
            *byte = version;
        }
        let _ = decode(&ipv4(protocol, &bytes), LinkType::RawIp).to_string();
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        let _ = decode(&bytes, LinkType::RawIp).to_string();
    }

    #[test]
    fn the_same_bytes_are_the_same_packet_however_they_arrived(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let packet = ipv4(17, &udp((1, 2), &payload));
        prop_assert_eq!(
            decode(&ethernet(EtherTypes::Ipv4, &packet), LinkType::Ethernet),
            decode(&packet, LinkType::RawIp)
        );
    }
}
