//! Verdicts about pairs that are never plaintext on the wire.

use super::readable;
use super::step_windows::{MILLI, packet, stepped};
use super::world::{World, mixed, parsed};
use crate::evidence::{Direction, Nanos, Place, Round, Sighting};
use crate::frame::{Frame, Message, Packet, Payload, Quote};
use crate::judge::judge;
use crate::plan::{
    Action, Family, NeverPlaintext, Own, PromiseId, Settles, SizeId, SpoofId, Store, Tamper,
};
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held, Inconclusive};
use crate::verdict::Verdict;

/// With a promise that traffic between web and db is never plaintext.
fn promised(mut world: World) -> World {
    let number = world.plan.promises.len() + world.plan.flows.promises.len();
    world.plan.never_plaintext = vec![NeverPlaintext {
        id: PromiseId(u32::try_from(number).unwrap()),
        pairs: vec![(parsed("web"), parsed("db"))],
        families: vec![Family::Ipv4],
        line: 9,
    }];
    world
}

fn tampered() -> World {
    promised(stepped(Action::Tamper {
        node: parsed("ada"),
        what: Tamper::Delete(Own::Rule),
        settles: Settles::Repaired,
    }))
}

fn verdict(world: &World) -> Verdict {
    let id = world.plan.never_plaintext[0].id;
    let verdicts = judge(&world.plan, &world.evidence);
    verdicts.into_iter().find(|one| one.promise == id).unwrap()
}

#[test]
fn a_pair_that_was_always_ciphertext_is_held() {
    let fact = verdict(&tampered()).fact;
    assert_eq!(
        fact,
        "not one frame of 1 pair was readable on the wire: 1 flow and 6 probes"
    );
    let mut armed = mixed();
    armed.arm();
    assert_eq!(verdict(&promised(armed)).outcome, Held);
}

#[test]
fn no_step_is_an_excuse_and_no_intent() {
    for action in [
        Action::Disable,
        Action::OverwriteKey {
            node: parsed("ada"),
            key: None,
        },
        Action::RebootNode {
            node: parsed("ada"),
        },
    ] {
        let mut world = promised(stepped(action));
        world.leak(150, "web", "db", packet(0, 14));
        assert_eq!(verdict(&world).outcome, Broken);
    }
}

#[test]
fn a_readable_packet_whose_size_was_tried_breaks_it_too() {
    for tag in [Tag::Size(SizeId(0)), Tag::Control(SizeId(0))] {
        let mut world = tampered();
        world.leak(150, "web", "db", Some(tag));
        assert_eq!(verdict(&world).outcome, Broken, "{tag:?}");
    }
}

#[test]
fn a_leak_before_during_or_after_a_step_breaks_with_its_time() {
    for (millis, when) in [
        (50, "the first 49 ms after the start"),
        (150, "the first 50 ms after step 1 began"),
        (250, "the first 150 ms after step 1 began"),
    ] {
        let mut world = tampered();
        world.leak(millis, "web", "db", packet(0, 4));
        let verdict = verdict(&world);
        assert_eq!(verdict.outcome, Broken);
        assert!(verdict.notes[0].contains(when), "{:?}", verdict.notes);
        assert_eq!(verdict.exhibits.len(), 1);
    }
}

#[test]
fn probes_count_and_whoever_answers() {
    let tags = [Tag::Probe, Tag::Answer];
    for (pair, broken) in [
        ("web > db tcp", true),
        ("db > web icmp", true),
        ("web > app udp", false),
        ("ada > bob udp", false),
    ] {
        for tag in tags {
            let mut world = tampered();
            let tag = tag(world.promise(pair).probe);
            // Whatever addresses it has.
            world.leak(1_500, "web", "log", Some(tag));
            let outcome = if broken { Broken } else { Held };
            assert_eq!(verdict(&world).outcome, outcome, "{pair}");
        }
    }
}

#[test]
fn a_packet_between_the_two_counts_without_a_tag() {
    for (from, to, broken) in [
        ("web", "db", true),
        ("db", "web", true),
        ("web", "log", false),
        ("ada", "bob", false),
    ] {
        let mut world = tampered();
        world.leak(150, from, to, None);
        let outcome = if broken { Broken } else { Held };
        assert_eq!(verdict(&world).outcome, outcome, "{from} {to}");
    }
}

#[test]
fn a_quote_of_such_a_packet_counts() {
    let mut world = tampered();
    let (web, db) = (world.address_of("web"), world.address_of("db"));
    let frame = Frame::Ip(Packet {
        source: world.address_of("bob"),
        destination: web,
        length: 84,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Icmp {
            kind: 3,
            code: 4,
            quoted: Some(Quote {
                source: web,
                destination: db,
                protocol: 17,
                ports: Some((7008, 7008)),
            }),
            mtu: None,
        },
    });
    world.evidence.sightings.push(Sighting {
        at: Nanos(150 * MILLI),
        interface: world.port(&parsed("bob")),
        direction: Direction::In,
        number: 1,
        length: 98,
        frame,
        tag: None,
    });
    assert_eq!(verdict(&world).outcome, Broken);
}

#[test]
fn spoofs_of_the_lab_are_no_leak() {
    for tag in [Tag::Spoofed(SpoofId(0)), Tag::Genuine(SpoofId(0))] {
        let mut world = tampered();
        world.leak(150, "web", "db", Some(tag));
        assert_eq!(verdict(&world).outcome, Held);
    }
}

#[test]
fn only_what_comes_out_of_a_node_onto_the_wire_was_there() {
    let mut inside = tampered();
    inside.leak(150, "web", "db", packet(0, 14));
    let tunnel = inside.tunnel(&parsed("ada"));
    inside.evidence.sightings.last_mut().unwrap().interface = tunnel;
    let mut again = tampered();
    again.leak(150, "web", "db", packet(0, 14));
    again.evidence.sightings.last_mut().unwrap().direction = Direction::Out;
    for world in [inside, again] {
        assert_eq!(verdict(&world).outcome, Held);
    }
}

#[test]
fn an_observer_that_missed_frames_proves_nothing() {
    let mut world = tampered();
    let mut observers = world.evidence.observers.iter_mut();
    let fabric = observers.find(|observer| observer.place == Place::Fabric);
    fabric.unwrap().dropped_early = 1;
    assert_eq!(verdict(&world).outcome, Inconclusive);
}

#[test]
fn each_protocol_needs_its_beacons() {
    use crate::plan::Protocol;
    for protocol in Protocol::IPV4 {
        let mut world = tampered();
        let beacons = world.evidence.beacons.iter();
        let beacons: Vec<_> = beacons
            .filter(|one| one.round == Round::Closing && one.protocol == protocol)
            .map(|one| one.id)
            .collect();
        world.remove(|one| matches!(one.tag, Some(Tag::Beacon(id)) if beacons.contains(&id)));
        assert_eq!(verdict(&world).outcome, Inconclusive, "{protocol:?}");
    }
}

#[test]
fn a_flow_has_to_send_through_every_step() {
    for (packets, why) in [
        (0..9, "web → db sent nothing during step 0"),
        (9..30, "web → db sent nothing during step 1"),
    ] {
        let mut world = tampered();
        world.evidence.flows[0].packets.drain(packets.clone());
        if packets.start == 0 {
            for packet in &mut world.evidence.flows[0].packets {
                packet.sent += 10_000;
            }
        }
        let verdict = verdict(&world);
        assert_eq!(
            (verdict.outcome, verdict.fact.as_str()),
            (Inconclusive, why)
        );
    }
    let mut none = tampered();
    none.plan.flows.flows.remove(0);
    assert_eq!(
        verdict(&none).fact,
        "no flow went between them through the steps"
    );
}

#[test]
fn a_probe_without_an_outcome_leaves_it_open() {
    let mut world = tampered();
    let id = world.promise("db > web tcp").probe;
    world.evidence.probes.retain(|probe| probe.id != id);
    assert_eq!(verdict(&world).outcome, Inconclusive);
}

#[test]
fn public_traffic_between_nodes_is_no_leak() {
    let mut world = tampered();
    world.plan.never_plaintext[0].pairs = vec![(parsed("ada"), parsed("bob"))];
    world.plan.never_plaintext[0].families = Family::ALL.to_vec();
    let store = Payload::Tcp {
        source_port: 50_000,
        destination_port: 2_379,
        flags: 0x10,
    };
    let message = Payload::WireGuard {
        source_port: 51_820,
        destination_port: 51_820,
        message: Message::Keepalive,
    };
    let neighbour = |kind| Payload::Icmp {
        kind,
        code: 0,
        mtu: None,
        quoted: None,
    };
    // Of IPv6 no beacon was shown: what is not readable leaves it open.
    for (payload, family, at_bob, outcome) in [
        (readable::udp(), Family::Ipv4, false, Broken),
        (store.clone(), Family::Ipv4, false, Broken),
        (store, Family::Ipv4, true, Inconclusive),
        (message, Family::Ipv4, false, Inconclusive),
        (neighbour(135), Family::Ipv6, false, Inconclusive),
        (neighbour(128), Family::Ipv6, false, Broken),
    ] {
        let mut world = world.clone();
        if at_bob {
            world.plan.store = Store::Etcd {
                address: parsed(&world.address_of("bob").to_string()),
                on: Some(parsed("bob")),
            };
        }
        let packet = readable::untagged(&world, "ada", "bob", payload);
        let packet = readable::in_family(packet, family);
        let text = format!("{packet:?}");
        let port = world.port(&parsed("ada"));
        world.see(port, Direction::In, &Frame::Ip(packet), None);
        world.evidence.sightings.last_mut().unwrap().at = Nanos(150 * MILLI);
        assert_eq!(verdict(&world).outcome, outcome, "{text}");
    }
}

#[test]
fn a_flow_need_not_send_while_an_end_is_added() {
    let mut world = promised(stepped(Action::AddPod { pod: parsed("db") }));
    world.plan.later = [parsed("db")].into();
    for packets in [vec![], world.evidence.flows[0].packets.split_off(9)] {
        world.evidence.flows[0].packets = packets;
        assert_eq!(verdict(&world).outcome, Held);
    }
}

#[test]
fn the_last_step_is_doubted_like_those_before() {
    let joined = || {
        let mut world = promised(stepped(Action::AddNode {
            node: parsed("cal"),
        }));
        world.plan.later = [parsed("cal"), parsed("log")].into();
        world
    };
    assert_eq!(verdict(&joined()).outcome, Held);
    // Only the state after the step has the node.
    let mut world = joined();
    let port = world.port(&parsed("cal"));
    world.remove(|one| one.interface == port && matches!(one.tag, Some(Tag::Beacon(_))));
    let verdict = verdict(&world);
    assert_eq!(verdict.outcome, Inconclusive);
    let fact = "the observer of fabric has not shown that it sees icmp at cal";
    assert_eq!(verdict.fact, fact);
}

#[test]
fn the_first_and_the_last_readable_frame_are_reported() {
    let mut world = tampered();
    world.leak(250, "web", "db", packet(0, 24));
    world.leak(150, "web", "db", packet(0, 14));
    assert_eq!(
        verdict(&world).notes,
        ["2 frames, the first 50 ms after step 1 began and the last 150 ms after step 1 began"]
    );
}
