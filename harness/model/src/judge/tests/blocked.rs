//! Verdicts about blocked pairs: the probe has to have been sent, and nobody may have received it.

use super::world::{World, mixed};
use crate::plan::Protection;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held, Inconclusive};

const HELD: &str = "sent, never arrived, never on the wire";

/// A run in which a pair is blocked, and whose packets were seen only at their sender.
fn world(pair: &str) -> World {
    let mut world = mixed();
    let promise = world.promise(pair);
    let mut promises = world.plan.promises.iter_mut();
    promises
        .find(|one| one.id == promise.id)
        .unwrap()
        .protection = Protection::Blocked;
    let first = world.request(pair);
    let ends = [&promise.from, &promise.to].map(|name| world.address(name));
    world.evidence.sightings.retain(|one| {
        let of_it = [Tag::Probe(promise.probe), Tag::Answer(promise.probe)];
        let between = one.frame.packet().is_some_and(|packet| {
            ends.contains(&packet.source) && ends.contains(&packet.destination)
        });
        let tagged = one.tag.is_some_and(|tag| of_it.contains(&tag));
        // Neither its packets, nor those of its handshake.
        let gone = tagged || between && one.tag.is_none();
        !gone || one.at == first.at
    });
    let outcome = world.outcome(pair);
    (outcome.delivered, outcome.answered) = (false, false);
    world
}

/// The same, and not even the sender's interface has seen it.
fn unseen(pair: &str) -> World {
    let mut world = world(pair);
    let tag = world.request(pair).tag;
    world.remove(|one| one.tag == tag);
    world
}

#[test]
fn a_packet_that_was_sent_and_not_received_is_blocked() {
    for pair in ["web > db udp", "ada > bob icmp"] {
        world(pair).check(pair, Held, HELD);
    }
}

#[test]
fn either_socket_s_word_breaks_it() {
    let pair = "web > db udp";
    let mut received = world(pair);
    received.outcome(pair).delivered = true;
    received.check(pair, Broken, "arrived at db");
    let mut answered = world(pair);
    answered.outcome(pair).answered = true;
    answered.check(pair, Broken, "arrived at db");
}

#[test]
fn a_packet_refused_by_its_own_node_is_blocked_without_a_sighting() {
    unseen("ada > bob udp").check("ada > bob udp", Held, HELD);
    for pair in ["ada > bob udp", "web > db udp"] {
        let mut refused = unseen(pair);
        refused.outcome(pair).error = Some("Operation not permitted".into());
        refused.check(pair, Held, HELD);
    }
}

#[test]
fn a_probe_without_a_sighting_at_its_pod_is_inconclusive() {
    let pair = "web > db udp";
    unseen(pair).check(
        pair,
        Inconclusive,
        "no packet of the probe was seen, not even at web",
    );
}

#[test]
fn one_frame_on_the_wire_breaks_it() {
    use crate::evidence::Direction;
    use crate::judge::tests::world::parsed;
    let pair = "web > db udp";
    let mut world = world(pair);
    let mut leak = world.request(pair);
    (leak.interface, leak.direction) = (world.port(&parsed("ada")), Direction::In);
    world.evidence.sightings.push(leak);
    world.check(pair, Broken, "its payload is readable on the wire");
}

#[test]
fn an_arrived_packet_breaks_a_blocked_promise_whatever_the_machine_dropped() {
    let pair = "web > db udp";
    let mut world = world(pair);
    world.outcome(pair).delivered = true;
    world.evidence.neighbours_refused = 1;
    world.check(pair, Broken, "arrived at db");
}
