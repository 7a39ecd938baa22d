//! A node behind a NAT: its messages come from other ports, and are its messages all the same.

use super::world::{World, parsed, seed};
use crate::evidence::{Direction, Role, Tally};
use crate::frame::{Frame, Payload};
use crate::judge::fabric_effects;
use crate::plan::Nat;
use crate::verdict::Outcome;

/// The seed cluster with `node-4` behind a NAT, whose packets others see come from this port.
fn behind(port: u16) -> World {
    let mut world = seed();
    let address = world.plan.nodes[1].address;
    world.plan.fabric.nat = Some(Nat {
        node: parsed("node-4"),
        address,
        lines: vec![7],
    });
    world.evidence.wire = vec![Tally {
        name: "nat7".into(),
        packets: 2,
        bytes: 352,
    }];
    let inside = world.port(&parsed("node-4"));
    for sighting in &mut world.evidence.sightings {
        let role = &world.evidence.interfaces[usize::from(sighting.interface.0)].role;
        if !matches!(role, Role::Port(_)) || sighting.interface == inside {
            continue;
        }
        let Frame::Ip(packet) = &mut sighting.frame else {
            continue;
        };
        if let Payload::WireGuard {
            source_port,
            destination_port,
            ..
        } = &mut packet.payload
        {
            if packet.source == address {
                *source_port = port;
            }
            if packet.destination == address {
                *destination_port = port;
            }
        }
    }
    world
}

#[test]
fn messages_from_the_ports_of_a_nat_carry_what_is_behind_it() {
    let world = behind(40_007);
    for pair in [
        "pod-5 > pod-65 udp",
        "pod-65 > pod-5 tcp",
        "node-4 > node-33 icmp",
    ] {
        world.holds(pair);
    }
    let mut without = world.clone();
    without.plan.fabric.nat = None;
    assert_eq!(
        without.verdict("pod-5 > pod-65 udp").outcome,
        Outcome::Broken
    );
}

#[test]
fn another_port_than_the_nats_is_nobodys() {
    let world = behind(39_999);
    assert_eq!(world.verdict("pod-5 > pod-65 udp").outcome, Outcome::Broken);
}

#[test]
fn a_nat_that_nobody_was_seen_behind_proves_nothing() {
    let world = behind(40_007);
    let idle = |world: &World| {
        let all = fabric_effects(&world.plan, &world.evidence);
        all.iter().map(|one| one.is_idle()).collect::<Vec<_>>()
    };
    assert_eq!(idle(&world), [false]);

    let mut uncounted = world.clone();
    uncounted.evidence.wire.clear();
    assert_eq!(idle(&uncounted), [true]);

    // Nobody has answered it.
    let mut unseen = world.clone();
    let inside = unseen.port(&parsed("node-4"));
    let fabric = unseen.evidence.interfaces.clone();
    unseen.remove(|sighting| {
        let role = &fabric[usize::from(sighting.interface.0)].role;
        let at_others = matches!(role, Role::Port(_)) && sighting.interface != inside;
        at_others && sighting.direction == Direction::In
    });
    assert_eq!(idle(&unseen), [true]);

    // What goes to another node was not sent to it there, and what it sends itself is no answer.
    let [node, other] = ["node-4", "node-33"].map(|name| unseen.port(&parsed(name)));
    let to_it = world
        .evidence
        .sightings
        .iter()
        .map(|one| &one.frame)
        .find(|frame| {
            let payload = frame.packet().map(|packet| packet.payload.clone());
            matches!(
                payload,
                Some(Payload::WireGuard {
                    destination_port: 40_007,
                    ..
                })
            )
        });
    let message = to_it.unwrap();
    for (at, direction, is_idle) in [
        (other, Direction::Out, true),
        (node, Direction::In, true),
        (other, Direction::In, false),
    ] {
        let mut seen = unseen.clone();
        seen.see(at, direction, message, None);
        assert_eq!(idle(&seen), [is_idle], "{direction:?}");
    }

    // It forgot, and nobody spoke afterwards.
    let mut silent = world.clone();
    silent.plan.fabric.nat.as_mut().unwrap().lines.push(30);
    assert_eq!(idle(&silent), [false, true]);
    let effects = fabric_effects(&silent.plan, &silent.evidence);
    assert_eq!(effects[1].idleness(), "there was none to hit");
    silent.evidence.wire.push(Tally {
        name: "nat30".into(),
        packets: 1,
        bytes: 176,
    });
    let effects = fabric_effects(&silent.plan, &silent.evidence);
    assert_eq!(
        effects[1].idleness(),
        "no message to node-4 was sent to a port of 41000 to 41999"
    );
}
