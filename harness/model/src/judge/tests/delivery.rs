//! Verdicts about delivery: arrived and answered, encrypted or not.

use super::world::{World, mixed, parsed};
use crate::evidence::{Direction, Place};
use crate::plan::Protection;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held, Inconclusive};

const PAIR: &str = "web > db udp";

/// A run in which one pair only has to arrive.
fn world(pair: &str) -> World {
    let mut world = mixed();
    let id = world.promise(pair).id;
    let mut promises = world.plan.promises.iter_mut();
    let promise = promises.find(|one| one.id == id).unwrap();
    promise.protection = Protection::Delivered;
    world
}

#[test]
fn ciphertext_and_plaintext_both_arrive() {
    for pair in [
        PAIR,
        "web > db tcp",
        "web > log icmp",
        "web > app udp",
        "ada > bob tcp",
    ] {
        world(pair).check(pair, Held, "arrived, and so did its answer");
    }
}

#[test]
fn it_may_be_readable() {
    let mut world = world(PAIR);
    let mut sighting = world.request(PAIR);
    sighting.interface = world.port(&parsed("ada"));
    sighting.direction = Direction::In;
    world.evidence.sightings.push(sighting);
    world.check(PAIR, Held, "arrived, and so did its answer");
}

#[test]
fn both_ways_have_to_be_seen_to_their_ends() {
    let id = world(PAIR).promise(PAIR).probe;
    for (pod, tag, fact) in [
        ("db", Tag::Probe(id), "it never arrived at db"),
        ("web", Tag::Answer(id), "its answer never arrived at web"),
    ] {
        let mut world = world(PAIR);
        let pod = world.pod_uplink(&parsed(pod));
        world.remove(|one| {
            one.tag == Some(tag) && one.interface == pod && one.direction == Direction::In
        });
        world.check(PAIR, Broken, fact);
        let shown = world.verdict(PAIR).exhibits.len();
        assert_eq!(shown, 1, "the last frame that was seen of it");
    }
}

#[test]
fn a_connection_that_was_never_established_shows_where_its_handshake_ended() {
    let pair = "web > db tcp";
    let mut world = world(pair);
    let id = world.promise(pair).probe;
    world.remove(|one| one.tag == Some(Tag::Probe(id)) || one.tag == Some(Tag::Answer(id)));
    let outcome = world.outcome(pair);
    (outcome.delivered, outcome.answered) = (false, false);
    let verdict = world.verdict(pair);
    assert_eq!(verdict.outcome, Broken);
    assert_eq!(
        verdict.fact,
        "it arrived at db, and the socket never got it"
    );
    assert!(!verdict.exhibits.is_empty());
}

#[test]
fn a_packet_that_no_socket_received_has_not_arrived() {
    let mut undelivered = world(PAIR);
    undelivered.outcome(PAIR).delivered = false;
    undelivered.check(
        PAIR,
        Broken,
        "it arrived at db, and the socket never got it",
    );
    let mut unanswered = world(PAIR);
    unanswered.outcome(PAIR).answered = false;
    unanswered.check(
        PAIR,
        Broken,
        "its answer arrived at web, and the socket never got it",
    );
}

#[test]
fn a_node_is_reached_at_any_of_its_interfaces_and_no_other_place() {
    let pair = "ada > bob udp";
    let mut world = world(pair);
    let tag = world.request(pair).tag;
    let interfaces = world.evidence.interfaces.clone();
    let on_bob = |one: &crate::evidence::Sighting| {
        let place = &interfaces[usize::from(one.interface.0)].place;
        *place == Place::Node(parsed("bob"))
    };
    world.remove(|one| one.tag == tag && on_bob(one));
    world.check(pair, Broken, "it never arrived at bob");
}

#[test]
fn an_observer_that_missed_frames_leaves_it_open() {
    let mut world = world(PAIR);
    for observer in &mut world.evidence.observers {
        observer.dropped = 1;
    }
    assert_eq!(world.verdict(PAIR).outcome, Inconclusive);
}

#[test]
fn a_handshake_that_arrived_is_no_payload_that_did() {
    let pair = "web > db tcp";
    let mut world = world(pair);
    let tag = Some(Tag::Probe(world.promise(pair).probe));
    let pod = world.pod_uplink(&parsed("db"));
    world.remove(|one| one.tag == tag && one.interface == pod);
    world.check(pair, Broken, "it never arrived at db");
}

#[test]
fn an_answer_that_nobody_saw_is_explained_by_the_answerer() {
    use crate::dataplane::Rule;
    let mut world = world(PAIR);
    for node in world.evidence.nodes.values_mut() {
        node.dataplane.rules.push(Rule {
            priority: 32_766,
            not: false,
            fwmark: None,
            table: Some(254),
            other: Vec::new(),
        });
    }
    let id = world.promise(PAIR).probe;
    world.remove(|one| one.tag == Some(Tag::Answer(id)));
    let why = world.verdict(PAIR).why.unwrap();
    assert!(why.cause.contains("bob has no table"), "{}", why.cause);
    assert!(!why.cause.contains("ada"), "{}", why.cause);
}
