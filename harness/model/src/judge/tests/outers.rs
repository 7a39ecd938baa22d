//! Verdicts about the sizes of the tunnel's outer packets.

use super::sizes::*;
use super::world::*;
use crate::evidence::*;
use crate::frame::{Frame, Packet, Payload};
use crate::plan::*;
use crate::verdict::Outcome::Broken;

/// Changes the first of the tunnel's packets that a node sent, as seen in that direction.
fn change_one(world: &mut World, from: &str, at: Direction, change: impl Fn(&mut Packet)) {
    let from = world.address_of(from);
    let mut sightings = world.evidence.sightings.iter_mut();
    let packet = sightings.find_map(|sighting| {
        let here = sighting.direction == at;
        let Frame::Ip(packet) = &mut sighting.frame else {
            return None;
        };
        let ours = packet.source == from && matches!(packet.payload, Payload::WireGuard { .. });
        (here && ours).then_some(packet)
    });
    change(packet.expect("the world has some"));
}

/// One of those from ada to bob, where it comes out of ada.
fn change_outer(world: &mut World, change: impl Fn(&mut Packet)) {
    change_one(world, "ada", Direction::In, change);
}

#[test]
fn no_packet_of_the_tunnel_is_too_large_or_a_fragment() {
    after(
        |world| change_outer(world, |packet| packet.length = 1501),
        &[(OUTER, Broken)],
    );
    after(
        |world| change_outer(world, |packet| packet.length = 1500),
        &[],
    );
    after(
        |world| change_outer(world, |packet| packet.fragment = piece(1, 0, true)),
        &[(OUTER, Broken)],
    );
}

#[test]
fn where_fragments_are_promised_there_has_to_be_one() {
    let expect = |world: &mut World| {
        let MtuKind::Outer { fragments, .. } = &mut world.plan.limits.promises[OUTER].kind else {
            panic!("the promises have an order");
        };
        *fragments = true;
    };
    after(expect, &[(OUTER, Broken)]);
    after(
        |world| {
            expect(world);
            change_outer(world, |packet| packet.fragment = piece(1, 0, true));
        },
        &[],
    );
    let fact_of = |mtu: Option<u16>| {
        let mut world = limited();
        if mtu.is_some() {
            world.plan.cluster.mtu = mtu;
            expect(&mut world);
            change_outer(&mut world, |packet| packet.fragment = piece(1, 0, true));
        }
        verdict(&world, OUTER).fact
    };
    // The device's MTU says why: here IPv4's is larger than IPv6's minimum.
    let fact = "are fragmented, as its device's MTU makes them";
    assert!(fact_of(Some(1440)).contains(fact));
    let fact = "are fragmented, as IPv6's minimum asks";
    assert!(fact_of(Some(1280)).contains(fact));
    assert!(fact_of(None).contains("none is a fragment"));
}

#[test]
fn a_promise_about_outer_packets_needs_a_packet() {
    after(
        |world| {
            world.evidence.sightings.retain(|sighting| {
                let packet = sighting.frame.packet();
                !packet.is_some_and(|packet| matches!(packet.payload, Payload::WireGuard { .. }))
            });
        },
        &[(OUTER, Broken)],
    );
}

#[test]
fn outer_packets_of_the_other_direction_do_not_count() {
    for (from, at) in [("bob", Direction::In), ("ada", Direction::Out)] {
        after(
            |world| change_one(world, from, at, |packet| packet.length = 9_000),
            &[],
        );
    }
}
