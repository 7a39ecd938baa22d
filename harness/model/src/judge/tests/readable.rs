//! Frames on the wire that show a protected flow, and the verdicts about them.

use std::net::IpAddr;

use super::step_windows::{MILLI, packet, stepped};
use super::world::{World, parsed, piece};
use crate::evidence::{Direction, InterfaceId, Nanos};
use crate::frame::{Frame, Message, Packet, Payload, Quote};
use crate::judge::step_windows;
use crate::plan::{Action, Family, Own, Settles, Store, Tamper};
use crate::verdict::Outcome::Broken;

/// A run with one step and a flow from ada to bob, whose nodes both encrypt.
fn between_nodes() -> World {
    let mut world = stepped(Action::KillEngine { node: None });
    let flow = &mut world.plan.flows.flows[0];
    (flow.from, flow.to) = (parsed("ada"), parsed("bob"));
    world
}

/// An untagged packet.
pub(super) fn untagged(world: &World, from: &str, to: &str, payload: Payload) -> Packet {
    Packet {
        source: world.address_of(from),
        destination: world.address_of(to),
        length: 92,
        dont_fragment: false,
        fragment: None,
        payload,
    }
}

/// The same between the addresses of that family.
pub(super) fn in_family(packet: Packet, family: Family) -> Packet {
    let address = |address| match address {
        IpAddr::V4(address) => family.address(address),
        IpAddr::V6(_) => panic!("the world speaks IPv4"),
    };
    Packet {
        source: address(packet.source),
        destination: address(packet.destination),
        ..packet
    }
}

pub(super) fn udp() -> Payload {
    Payload::Udp {
        source_port: 50_000,
        destination_port: 7008,
    }
}

/// How many frames of flows were readable, before the step and in it, excused or not.
fn leaked(world: &World) -> usize {
    let all = step_windows(&world.plan, &world.evidence);
    all.iter().map(|one| one.leaked + one.excused).sum()
}

/// As many if this packet is seen there at that millisecond.
fn with(
    world: &World,
    at: InterfaceId,
    direction: Direction,
    millis: u64,
    packet: &Packet,
) -> usize {
    let mut world = world.clone();
    world.see(at, direction, &Frame::Ip(packet.clone()), None);
    world.evidence.sightings.last_mut().unwrap().at = Nanos(millis * MILLI);
    leaked(&world)
}

#[test]
fn a_frame_counts_that_comes_out_of_a_node_between_the_start_and_the_probes() {
    let world = between_nodes();
    let plain = untagged(&world, "ada", "bob", udp());
    let [ada, cal] = ["ada", "cal"].map(|name| world.port(&parsed(name)));
    let uplink = world.uplink(&parsed("ada"));
    for (at, direction, millis, count) in [
        (ada, Direction::In, 150, 1),
        (cal, Direction::In, 150, 1),
        (ada, Direction::Out, 150, 0),
        (uplink, Direction::In, 150, 0),
        // The start has settled at 1 ms, and probing begins at 1 s.
        (ada, Direction::In, 0, 0),
        (ada, Direction::In, 1, 1),
        (ada, Direction::In, 999, 1),
        (ada, Direction::In, 1_000, 0),
    ] {
        let found = with(&world, at, direction, millis, &plain);
        assert_eq!(found, count, "{at:?} {direction:?} {millis}");
    }
}

#[test]
fn both_ways_of_a_protected_pair_count_and_no_other() {
    let world = between_nodes();
    let ada = world.port(&parsed("ada"));
    for (from, to, count) in [
        ("ada", "bob", 1),
        ("bob", "ada", 1),
        ("ada", "db", 0),
        ("web", "bob", 0),
        ("web", "log", 0),
    ] {
        let plain = untagged(&world, from, to, udp());
        let found = with(&world, ada, Direction::In, 150, &plain);
        assert_eq!(found, count, "{from} {to}");
    }
    // In a tunnel of another kind.
    let inner = Box::new(untagged(&world, "ada", "bob", udp()));
    let outer = Payload::Tunnelled { protocol: 4, inner };
    let packet = untagged(&world, "cal", "bob", outer);
    assert_eq!(with(&world, ada, Direction::In, 150, &packet), 1);
}

#[test]
fn tunnel_packets_and_icmp_errors_about_them_are_no_leak() {
    let world = between_nodes();
    let ada = world.port(&parsed("ada"));
    let icmp = |ports: Option<Option<(u16, u16)>>| Payload::Icmp {
        kind: 3,
        code: 4,
        mtu: Some(1340),
        quoted: ports.map(|ports| Quote {
            source: world.address_of("bob"),
            destination: world.address_of("ada"),
            protocol: 17,
            ports,
        }),
    };
    let message = Payload::WireGuard {
        source_port: 7,
        destination_port: 7,
        message: Message::Keepalive,
    };
    let other = Payload::Other { protocol: 17 };
    for (payload, fragment, count) in [
        (message, false, 0),
        (icmp(Some(Some((51_820, 7)))), false, 0),
        (icmp(Some(Some((7, 51_820)))), false, 0),
        // IPv6 has its own port, which is the next one.
        (icmp(Some(Some((7, 51_821)))), false, 0),
        (icmp(Some(Some((7, 7)))), false, 1),
        (icmp(Some(None)), false, 1),
        (icmp(None), false, 1),
        // A later fragment shows no ports, and no first one shows what it is a piece of.
        (other.clone(), true, 1),
        (other, false, 1),
        (udp(), true, 1),
    ] {
        let text = format!("{payload:?}");
        let mut packet = untagged(&world, "ada", "bob", payload);
        packet.fragment = fragment.then(|| piece(1, 1360, false)).flatten();
        let found = with(&world, ada, Direction::In, 150, &packet);
        assert_eq!(found, count, "{text}");
    }
}

#[test]
fn traffic_to_the_store_is_no_leak() {
    let mut world = between_nodes();
    let ada = world.port(&parsed("ada"));
    let tcp = |destination_port| Payload::Tcp {
        source_port: 50_000,
        destination_port,
        flags: 0x10,
    };
    let [to_store, to_other] = [2_379, 2_380].map(|port| untagged(&world, "ada", "bob", tcp(port)));
    assert_eq!(with(&world, ada, Direction::In, 150, &to_store), 1);
    world.plan.store = Store::Etcd {
        address: parsed(&world.address_of("bob").to_string()),
        on: Some(parsed("bob")),
    };
    assert_eq!(with(&world, ada, Direction::In, 150, &to_store), 0);
    assert_eq!(with(&world, ada, Direction::In, 150, &to_other), 1);
}

#[test]
fn neighbours_that_are_looked_for_are_no_leak() {
    let mut world = between_nodes();
    world.plan.cluster.families = Family::ALL.to_vec();
    world.plan.flows.flows[0].family = Family::Ipv6;
    let ada = world.port(&parsed("ada"));
    for (kind, count) in [(135, 0), (136, 0), (128, 1)] {
        let payload = Payload::Icmp {
            kind,
            code: 0,
            mtu: None,
            quoted: None,
        };
        let packet = untagged(&world, "ada", "bob", payload);
        let packet = in_family(packet, Family::Ipv6);
        let found = with(&world, ada, Direction::In, 150, &packet);
        assert_eq!(found, count, "{kind}");
    }
}

/// What is counted, and excused, before the step that begins at 100 ms and has settled at 200 ms,
/// and in it.
fn counted(world: &World) -> Vec<(usize, usize)> {
    let all = step_windows(&world.plan, &world.evidence);
    all.iter().map(|one| (one.leaked, one.excused)).collect()
}

#[test]
fn a_packet_sent_or_captured_in_an_excused_time_is_excused() {
    let tampered = stepped(Action::Tamper {
        node: parsed("ada"),
        what: Tamper::Delete(Own::Rule),
        settles: Settles::Repaired,
    });
    // Packet 8 was sent at 90 ms, packet 18 at 190 ms.
    for (millis, number, expected) in [
        (95, 8, [(1, 0), (0, 0)]),
        (150, 8, [(0, 0), (0, 1)]),
        (195, 18, [(0, 0), (0, 1)]),
        (205, 18, [(0, 0), (0, 1)]),
        (250, 24, [(0, 0), (1, 0)]),
    ] {
        let mut world = tampered.clone();
        world.leak(millis, "web", "db", packet(0, number));
        assert_eq!(counted(&world), expected, "{millis} {number}");
    }
}

#[test]
fn readable_packets_are_not_counted_while_encryption_is_switched() {
    for (action, wireguard) in [(Action::Disable, true), (Action::Enable, false)] {
        let mut world = stepped(action);
        world.plan.cluster.wireguard = wireguard;
        for (millis, number) in [(150, 8), (150, 14), (205, 18)] {
            let mut world = world.clone();
            world.leak(millis, "web", "db", packet(0, number));
            assert_eq!(counted(&world), [(0, 0); 2], "{millis} {number}");
        }
    }
}

#[test]
fn a_leak_is_reported_with_its_frames_times_and_flows() {
    let mut world = stepped(Action::KillEngine { node: None });
    for number in [14, 15, 16, 17] {
        let millis = 10 * u64::from(number) + 10;
        world.leak(millis, "web", "db", packet(0, number));
    }
    let verdicts = step_windows::judge(&world.plan, &world.evidence);
    assert_eq!(verdicts[1].outcome, Broken);
    assert_eq!(
        verdicts[1].notes,
        [
            "4 frames, the first 50 ms and the last 80 ms after the step began",
            "web → db: 4",
        ]
    );
    let shown = verdicts[1].exhibits.iter().map(|one| one.at.0 / MILLI);
    assert_eq!(shown.collect::<Vec<_>>(), [150, 160, 170]);
}
