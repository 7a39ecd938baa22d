//! Frames that show that the observers see.
//!
//! A beacon is put on an interface past every route and filter, so no engine can
//! stop it. Its Ethernet destination is nobody's, so no host takes it; the
//! observers at both ends of the link see it all the same.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use pnet_packet::Packet as _;
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpTypes};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::{self, MutableTcpPacket};
use pnet_packet::udp::{self, MutableUdpPacket};
use wireproof_model::evidence::{Beacon, Direction, Interface, InterfaceId, Place, Role, Round};
use wireproof_model::frame::LinkType;
use wireproof_model::plan::{Family, Plan, Protocol};
use wireproof_model::tag::{BeaconId, Magic, Tag};

use crate::capture::Capture;
use crate::error::{Doing, LabError};
use crate::packet::{Injector, close_together};
use crate::topology::{HARNESS_MAC, Topology};
use crate::wait::Deadline;

/// Bytes of payload: several whole tags.
const PAYLOAD: usize = 60;

/// Documentation addresses (RFC 5737): no route, rule or allowed IP of any cluster holds them.
const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The discard port (RFC 863).
const PORT: u16 = 9;

const IPV4_HEADER: usize = 20;

/// A locally administered address that no interface of the lab has.
const NOBODY: [u8; 6] = [0x02, 0xbe, 0xac, 0, 0, 1];

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// The same for IPv6 (RFC 3849).
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DESTINATION6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// `ICMP6_ECHO_REQUEST` (RFC 4443).
const ECHO_REQUEST6: u8 = 128;

/// Sends the beacons of a run, one round after the other.
#[derive(Debug)]
pub(crate) struct Lamp {
    magic: Magic,
    /// Every interface that gets a beacon, with its kernel index and the far end of its link.
    targets: Vec<Target>,
    /// One per namespace, in the order of the topology's places.
    injectors: Vec<Injector>,
    sent: Vec<Beacon>,
    /// What probes are sent with.
    protocols: Vec<Protocol>,
}

#[derive(Debug)]
struct Target {
    injector: usize,
    interface: Interface,
    index: u32,
    far: Option<InterfaceId>,
}

impl Lamp {
    /// Prepares for every interface that `capture` observes now and that connects something;
    /// `sent` are the beacons of the rounds before.
    pub(crate) fn new(
        plan: &Plan,
        topology: &Topology,
        capture: &Capture,
        magic: Magic,
        sent: Vec<Beacon>,
    ) -> Result<Self, LabError> {
        let interfaces = capture.interfaces()?;
        let (mut targets, mut injectors) = (Vec::new(), Vec::new());
        for (place, namespace) in topology.places() {
            for (interface, index) in &interfaces {
                let idle = matches!(interface.role, Role::Loopback | Role::Other);
                if interface.place == place && !idle {
                    targets.push(Target {
                        injector: injectors.len(),
                        interface: interface.clone(),
                        index: *index,
                        far: far_end(plan, interface, &interfaces),
                    });
                }
            }
            injectors.push(Injector::open(namespace)?);
        }
        Ok(Self {
            magic,
            targets,
            injectors,
            sent,
            protocols: plan
                .cluster
                .families
                .iter()
                .flat_map(|family| Protocol::of(*family))
                .collect(),
        })
    }

    /// Sends a beacon of every protocol out of every interface, and waits until each
    /// was seen at both ends of its link.
    pub(crate) fn light(
        &mut self,
        round: Round,
        capture: &Capture,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let mut expected = BTreeSet::new();
        for target in &self.targets {
            for protocol in &self.protocols {
                let protocol = *protocol;
                let number = u16::try_from(self.sent.len())
                    .map_err(|_| LabError::machine("number the beacons", "more than 65535"))?;
                let id = BeaconId(number);
                let payload = Tag::Beacon(id).fill(self.magic, PAYLOAD);
                self.injectors[target.injector]
                    .send(
                        target.index,
                        &frame(target.interface.link, protocol, &payload),
                    )
                    .doing(format!("send a beacon through {}", target.interface.name))?;
                expected.insert((id, target.interface.id, Direction::Out));
                expected.extend(target.far.map(|far| (id, far, Direction::In)));
                self.sent.push(Beacon {
                    id,
                    interface: target.interface.id,
                    protocol,
                    round,
                });
            }
        }
        let what = match round {
            Round::Armed => "every observer has seen its first beacons",
            Round::Opening => "every observer has seen its opening beacons",
            Round::Closing => "every observer has seen its closing beacons",
        };
        capture.wait_for_beacons(what, &expected, deadline)
    }

    /// Ends with the list of what was sent.
    pub(crate) fn put_out(self) -> Vec<Beacon> {
        close_together(self.injectors);
        self.sent
    }
}

/// The other end of a veth.
fn far_end(plan: &Plan, near: &Interface, interfaces: &[(Interface, u32)]) -> Option<InterfaceId> {
    let is_far = |far: &Interface| match (&near.place, &near.role) {
        (Place::Fabric, Role::Port(node)) => {
            far.place == Place::Node(node.clone()) && far.role == Role::Uplink
        }
        (Place::Node(node), Role::Uplink) => far.role == Role::Port(node.clone()),
        (Place::Node(_), Role::PodLink(pod)) => {
            far.place == Place::Pod(pod.clone()) && far.role == Role::PodUplink
        }
        (Place::Pod(pod), Role::PodUplink) => {
            let on_its_node = |place: &Place| {
                plan.nodes.iter().any(|node| {
                    *place == Place::Node(node.name.clone())
                        && node.pods.iter().any(|planned| &planned.name == pod)
                })
            };
            far.role == Role::PodLink(pod.clone()) && on_its_node(&far.place)
        }
        _ => false,
    };
    interfaces
        .iter()
        .map(|(interface, _)| interface)
        .find(|interface| is_far(interface))
        .map(|interface| interface.id)
}

fn frame(link: LinkType, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let (number, segment) = match protocol {
        Protocol::Icmp => (IpNextHeaderProtocols::Icmp, icmp_echo(0, 0, payload)),
        Protocol::Icmp6 => (IpNextHeaderProtocols::Icmpv6, icmp6_echo(0, 0, payload)),
        Protocol::Udp | Protocol::Udp6 => (IpNextHeaderProtocols::Udp, udp_datagram(payload)),
        Protocol::Tcp | Protocol::Tcp6 => (IpNextHeaderProtocols::Tcp, tcp_segment(payload)),
    };
    let (packet, ethertype) = match protocol.family() {
        Family::Ipv4 => (ipv4_packet(number, &segment), ETHERTYPE_IPV4),
        Family::Ipv6 => (ipv6_packet(number, &segment), ETHERTYPE_IPV6),
    };
    match link {
        LinkType::RawIp => packet,
        LinkType::Ethernet => ethernet_frame(ethertype, &packet),
    }
}

/// An ICMP echo request (RFC 792), checksum included.
pub(crate) fn icmp_echo(identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; MutableEchoRequestPacket::minimum_packet_size() + payload.len()];
    if let Some(mut echo) = MutableEchoRequestPacket::new(&mut bytes) {
        echo.set_icmp_type(IcmpTypes::EchoRequest);
        echo.set_identifier(identifier);
        echo.set_sequence_number(sequence);
        echo.set_payload(payload);
        let checksum =
            IcmpPacket::new(echo.packet()).map_or(0, |icmp| pnet_packet::icmp::checksum(&icmp));
        echo.set_checksum(checksum);
    }
    bytes
}

fn udp_datagram(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; MutableUdpPacket::minimum_packet_size() + payload.len()];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    if let Some(mut datagram) = MutableUdpPacket::new(&mut bytes) {
        datagram.set_source(PORT);
        datagram.set_destination(PORT);
        datagram.set_length(length);
        datagram.set_payload(payload);
        let checksum = udp::ipv4_checksum(&datagram.to_immutable(), &SOURCE, &DESTINATION);
        datagram.set_checksum(checksum);
    }
    bytes
}

fn tcp_segment(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; MutableTcpPacket::minimum_packet_size() + payload.len()];
    if let Some(mut segment) = MutableTcpPacket::new(&mut bytes) {
        segment.set_source(PORT);
        segment.set_destination(PORT);
        segment.set_data_offset(5);
        segment.set_flags(tcp::TcpFlags::ACK | tcp::TcpFlags::PSH);
        segment.set_payload(payload);
        let checksum = tcp::ipv4_checksum(&segment.to_immutable(), &SOURCE, &DESTINATION);
        segment.set_checksum(checksum);
    }
    bytes
}

fn ipv4_packet(protocol: IpNextHeaderProtocol, segment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; IPV4_HEADER + segment.len()];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    if let Some(mut packet) = MutableIpv4Packet::new(&mut bytes) {
        packet.set_version(4);
        packet.set_header_length(5);
        packet.set_total_length(length);
        packet.set_ttl(1);
        packet.set_next_level_protocol(protocol);
        packet.set_source(SOURCE);
        packet.set_destination(DESTINATION);
        packet.set_payload(segment);
        let checksum = ipv4::checksum(&packet.to_immutable());
        packet.set_checksum(checksum);
    }
    bytes
}

/// Its checksums are none: nobody but the observers reads a beacon.
fn ipv6_packet(protocol: IpNextHeaderProtocol, segment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; MutableIpv6Packet::minimum_packet_size() + segment.len()];
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    if let Some(mut packet) = MutableIpv6Packet::new(&mut bytes) {
        packet.set_version(6);
        packet.set_payload_length(length);
        packet.set_next_header(protocol);
        packet.set_hop_limit(1);
        packet.set_source(SOURCE6);
        packet.set_destination(DESTINATION6);
        packet.set_payload(segment);
    }
    bytes
}

fn ethernet_frame(ethertype: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&NOBODY[..], &HARNESS_MAC, &ethertype, packet].concat()
}

/// An ICMPv6 echo request (RFC 4443). Sockets fill the checksum in themselves.
pub(crate) fn icmp6_echo(identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = icmp_echo(identifier, sequence, payload);
    if let Some(kind) = bytes.first_mut() {
        *kind = ECHO_REQUEST6;
    }
    bytes
}
