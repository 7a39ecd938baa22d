//! Reassembly of fragments on the wire, and the verdicts about them.

use super::readable::{in_family, untagged};
use super::step_windows::{MILLI, stepped};
use super::world::*;
use crate::evidence::{Direction, Nanos};
use crate::frame::{Frame, Message, Packet, Payload};
use crate::judge::step_windows;
use crate::plan::{Action, Family};
use crate::verdict::Outcome::{self, Broken, Held};

const REST: Payload = Payload::Other { protocol: 17 };

fn message(port: u16) -> Payload {
    Payload::WireGuard {
        source_port: PORT,
        destination_port: port,
        message: Message::Data { length: 1452 },
    }
}

fn udp() -> Payload {
    Payload::Udp {
        source_port: PORT,
        destination_port: PORT,
    }
}

/// A piece: what it shows, its identification and where it starts.
type Piece = (Payload, u32, u32);

fn first(payload: Payload) -> Piece {
    (payload, 7, 0)
}

fn rest(id: u32) -> Piece {
    (REST, id, 1376)
}

/// Pieces that ada puts onto the wire, one after the other.
fn on_the_wire(world: &mut World, to: &str, pieces: &[Piece]) {
    for (payload, id, offset) in pieces {
        let mut packet = untagged(world, "ada", to, payload.clone());
        packet.fragment = piece(*id, *offset, *offset == 0);
        see(world, packet);
    }
}

fn see(world: &mut World, packet: Packet) {
    let port = world.port(&parsed("ada"));
    world.see(port, Direction::In, &Frame::Ip(packet), None);
}

fn outcome(to: &str, pieces: &[Piece]) -> Outcome {
    let mut world = mixed();
    on_the_wire(&mut world, to, pieces);
    world.verdict(&format!("ada > {to} udp")).outcome
}

#[test]
fn the_rest_of_a_message_is_known_by_its_first_fragment() {
    let ours = || first(message(PORT));
    for (pieces, expected) in [
        (vec![ours(), rest(7)], Held),
        // In any order, and as often as it likes.
        (vec![rest(7), ours()], Held),
        (vec![ours(), rest(7), rest(7), ours()], Held),
        // One that nobody has seen the beginning of may be a piece of anything.
        (vec![rest(7)], Broken),
        (vec![ours(), rest(8)], Broken),
        // What begins in clear is in clear.
        (vec![first(udp()), rest(7)], Broken),
        // Two packets of one identification: it may be a piece of either.
        (vec![ours(), first(udp()), rest(7)], Broken),
    ] {
        assert_eq!(outcome("bob", &pieces), expected, "{pieces:?}");
    }
    // No tunnel ends at a pod.
    assert_eq!(outcome("db", &[first(message(PORT)), rest(7)]), Broken);
}

#[test]
fn a_whole_packet_is_no_rest_of_a_fragmented_message() {
    let mut world = mixed();
    on_the_wire(&mut world, "bob", &[first(message(PORT))]);
    let whole = untagged(&world, "ada", "bob", REST);
    see(&mut world, whole);
    assert_eq!(world.verdict("ada > bob udp").outcome, Broken);
}

#[test]
fn an_identification_is_used_again_after_half_a_minute() {
    for (seconds, expected) in [(29, Held), (31, Broken)] {
        let mut world = mixed();
        on_the_wire(&mut world, "bob", &[first(message(PORT)), rest(7)]);
        let last = world.evidence.sightings.last_mut().unwrap();
        last.at.0 += seconds * 1_000 * MILLI;
        assert_eq!(
            world.verdict("ada > bob udp").outcome,
            expected,
            "{seconds}"
        );
    }
}

#[test]
fn a_tag_in_the_rest_of_a_message_is_a_leak() {
    let mut world = mixed();
    let tag = world.request("web > db udp").tag;
    on_the_wire(&mut world, "bob", &[first(message(PORT)), rest(7)]);
    world.evidence.sightings.last_mut().unwrap().tag = tag;
    let fact = "its payload is readable on the wire";
    world.check("web > db udp", Broken, fact);
}

#[test]
fn a_message_to_another_endpoint_is_reported_as_one() {
    let fact = "a WireGuard message between the two nodes does not go between their endpoints";
    for pieces in [
        vec![first(message(51_999))],
        vec![first(message(51_999)), rest(7)],
    ] {
        let mut world = mixed();
        on_the_wire(&mut world, "bob", &pieces);
        world.check("ada > bob udp", Broken, fact);
    }
    // What a probe says is readable, whatever it looks like.
    let mut world = mixed();
    let tag = world.request("ada > bob udp").tag;
    on_the_wire(&mut world, "bob", &[first(message(51_999))]);
    world.evidence.sightings.last_mut().unwrap().tag = tag;
    world.check(
        "ada > bob udp",
        Broken,
        "its payload is readable on the wire",
    );
    // A pod has no endpoint: what looks like a message is a packet in clear.
    let mut world = mixed();
    let packet = untagged(&world, "web", "db", message(PORT));
    see(&mut world, packet);
    world.check(
        "web > db udp",
        Broken,
        "a packet between the two is readable on the wire",
    );
}

/// Frames of flows that were readable in a run whose first flow goes from `from` to `to`, when ada puts
/// these pieces onto the wire.
fn readable(from: &str, to: &str, family: Family, pieces: &[Piece]) -> usize {
    let mut world = stepped(Action::KillEngine { node: None });
    let flow = &mut world.plan.flows.flows[0];
    (flow.from, flow.to, flow.family) = (parsed(from), parsed(to), family);
    if family == Family::Ipv6 {
        world.plan.cluster.families = vec![Family::Ipv4, Family::Ipv6];
    }
    let port = world.port(&parsed("ada"));
    for (payload, id, offset) in pieces {
        let packet = untagged(&world, from, to, payload.clone());
        let mut packet = in_family(packet, family);
        packet.fragment = piece(*id, *offset, *offset == 0);
        world.see(port, Direction::In, &Frame::Ip(packet), None);
        world.evidence.sightings.last_mut().unwrap().at = Nanos(150 * MILLI);
    }
    let all = step_windows(&world.plan, &world.evidence);
    all.iter().map(|one| one.leaked + one.excused).sum()
}

#[test]
fn fragments_are_joined_during_steps_too_and_in_both_families() {
    for family in Family::ALL {
        let found = |pieces: &[Piece]| readable("ada", "bob", family, pieces);
        // A message's ports change while its device is made anew.
        assert_eq!(found(&[first(message(51_999)), rest(7)]), 0, "{family:?}");
        assert_eq!(found(&[rest(7)]), 1, "{family:?}");
        assert_eq!(found(&[first(udp()), rest(7)]), 2, "{family:?}");
        let pods = readable("web", "db", family, &[first(message(PORT)), rest(7)]);
        assert_eq!(pods, 2, "{family:?}");
    }
}
