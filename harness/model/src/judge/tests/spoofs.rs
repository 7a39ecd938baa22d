//! Verdicts about spoofed packets: each word of the evidence that a verdict rests on changes it when it is
//! changed.

use std::collections::BTreeMap;

use super::run_promises::judge_packets;
use super::world::*;
use crate::dataplane::Rule;
use crate::evidence::*;
use crate::frame::{Frame, LinkType, Packet, Payload};
use crate::plan::*;
use crate::tag::Tag;
use crate::verdict::Outcome;

const SPOOFED_TAG: Tag = Tag::Spoofed(SpoofId(0));
const TWIN_TAG: Tag = Tag::Genuine(SpoofId(0));

/// Packets in the name of `app` come in from the wire at ada, where both pods are, and end there.
fn from_the_wire(drop: DropBy) -> World {
    let mut world = spoofing("ada", "app", "web", drop);
    let (port, uplink) = (world.port(&parsed("ada")), world.uplink(&parsed("ada")));
    let ends = [port, uplink];
    put(&mut world, SPOOFED_TAG, "app", "web", &ends);
    put(&mut world, TWIN_TAG, "cal", "web", &ends);
    arrive(&mut world, TWIN_TAG);
    world
}

/// `web` sends with the source address of `log`, which goes into ada's tunnel and not out of bob's.
fn from_a_pod(drop: DropBy) -> World {
    let mut world = spoofing("web", "log", "db", drop);
    let link = world.at(&Place::Node(parsed("ada")), &Role::PodLink(parsed("web")));
    let ends = [world.pod_uplink(&parsed("web")), link];
    put(&mut world, SPOOFED_TAG, "log", "db", &ends);
    let tunnel = world.tunnel(&parsed("ada"));
    for _ in 0..SPOOFED {
        let frame = packet(&world, "log", "db");
        world.see(tunnel, Direction::Out, &frame, Some(SPOOFED_TAG));
    }
    put(&mut world, TWIN_TAG, "web", "db", &ends);
    arrive(&mut world, TWIN_TAG);
    world
}

fn spoofing(through: &str, source: &str, to: &str, drop: DropBy) -> World {
    let mut world = mixed();
    let promise = PromiseId(u32::try_from(world.plan.promises.len()).unwrap());
    world.plan.spoofs = vec![Spoof {
        id: SpoofId(0),
        promise,
        through: parsed(through),
        source: parsed(source),
        to: parsed(to),
        family: Family::Ipv4,
        drop,
        line: 1,
    }];
    let (counted, reason) = match drop {
        DropBy::ReversePath => (SPOOFED, Some("IP_RPFILTER")),
        DropBy::Rule => (0, Some("NETFILTER_DROP")),
        DropBy::Tunnel | DropBy::Nothing => (0, None),
    };
    world.evidence.spoofs = vec![SpoofOutcome {
        id: SpoofId(0),
        received: if drop == DropBy::Nothing { SPOOFED } else { 0 },
        genuine: SPOOFED,
        counted,
        reasons: Ok(reason
            .map(|name| (name.to_owned(), SPOOFED))
            .into_iter()
            .collect()),
    }];
    world
}

fn packet(world: &World, from: &str, to: &str) -> Frame {
    Frame::Ip(Packet {
        source: world.address_of(from),
        destination: world.address_of(to),
        length: 76,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Udp {
            source_port: 7006,
            destination_port: 7006,
        },
    })
}

/// Out of the one end of a link, and in at the other.
fn put(world: &mut World, tag: Tag, from: &str, to: &str, [near, far]: &[InterfaceId; 2]) {
    let frame = packet(world, from, to);
    for _ in 0..SPOOFED {
        world.see(*near, Direction::Out, &frame, Some(tag));
        world.see(*far, Direction::In, &frame, Some(tag));
    }
}

fn arrive(world: &mut World, tag: Tag) {
    let to = world.plan.spoofs[0].to.clone();
    let frame = packet(world, "cal", to.as_str());
    let uplink = world.pod_uplink(&parsed(to.as_str()));
    world.see(uplink, Direction::In, &frame, Some(tag));
}

fn check(world: &mut World, outcome: Outcome, fact: &str) {
    world.number();
    let verdicts = judge_packets(&world.plan, &world.evidence);
    let promise = world.plan.spoofs[0].promise;
    let verdict = verdicts.iter().find(|verdict| verdict.promise == promise);
    let verdict = verdict.unwrap();
    assert_eq!((verdict.outcome, verdict.fact.as_str()), (outcome, fact));
    // What the lab spoofs itself breaks no promise about a pair.
    let pairs = verdicts.iter().filter(|verdict| verdict.promise != promise);
    for verdict in pairs {
        assert_eq!(verdict.outcome, Outcome::Held, "{verdict:#?}");
    }
}

fn outcome(world: &mut World) -> &mut SpoofOutcome {
    &mut world.evidence.spoofs[0]
}

#[test]
fn each_end_is_shown() {
    let held = [
        (
            from_the_wire(DropBy::ReversePath),
            "dropped by ada's reverse-path filter, which counted each",
        ),
        (from_the_wire(DropBy::Rule), "dropped by a rule of ada"),
        (
            from_the_wire(DropBy::Nothing),
            "arrive at web as if they were genuine",
        ),
        (
            from_a_pod(DropBy::Tunnel),
            "went into ada's tunnel; bob takes no such source from there",
        ),
    ];
    for (mut world, fact) in held {
        check(&mut world, Outcome::Held, fact);
    }
}

#[test]
fn a_spoof_that_the_socket_received_was_not_dropped() {
    for drop in [DropBy::ReversePath, DropBy::Rule] {
        let mut world = from_the_wire(drop);
        outcome(&mut world).received = 1;
        check(&mut world, Outcome::Broken, "arrived at the socket of web");
    }
}

#[test]
fn a_spoof_captured_past_the_link_was_not_dropped() {
    for drop in [DropBy::ReversePath, DropBy::Rule] {
        let mut world = from_the_wire(drop);
        arrive(&mut world, SPOOFED_TAG);
        check(&mut world, Outcome::Broken, "got as far as eth0 of web");
    }
    // The tunnel is past the link too, but for who expects them to go into it.
    let fact = "got as far as wireguard.cali of ada";
    check(&mut from_a_pod(DropBy::ReversePath), Outcome::Broken, fact);
    let mut world = from_a_pod(DropBy::Tunnel);
    arrive(&mut world, SPOOFED_TAG);
    check(&mut world, Outcome::Broken, "got as far as eth0 of db");
}

#[test]
fn a_spoof_that_never_came_in_was_not_dropped() {
    let mut world = from_the_wire(DropBy::ReversePath);
    let uplink = world.uplink(&parsed("ada"));
    world.remove(|sighting| sighting.interface == uplink && sighting.tag == Some(SPOOFED_TAG));
    let fact = "0 of 3 spoofed packets were seen to come in at ada";
    check(&mut world, Outcome::Inconclusive, fact);
    // One that was not seen may have been anything.
    let mut world = from_the_wire(DropBy::ReversePath);
    let mut seen = world.evidence.sightings.iter();
    let at = |one: &Sighting| one.interface == uplink && one.tag == Some(SPOOFED_TAG);
    let first = seen.position(at).unwrap();
    world.evidence.sightings.remove(first);
    let fact = "2 of 3 spoofed packets were seen to come in at ada";
    check(&mut world, Outcome::Inconclusive, fact);
}

#[test]
fn without_its_twin_a_drop_is_none() {
    for drop in [DropBy::ReversePath, DropBy::Rule, DropBy::Nothing] {
        let mut world = from_the_wire(drop);
        outcome(&mut world).genuine = 2;
        let fact = "the same packets with a genuine source did not arrive either";
        check(&mut world, Outcome::Inconclusive, fact);
    }
    let mut world = from_the_wire(DropBy::Rule);
    let uplink = world.pod_uplink(&parsed("web"));
    world.remove(|sighting| sighting.interface == uplink && sighting.tag == Some(TWIN_TAG));
    let fact = "no genuine packet was seen at web";
    check(&mut world, Outcome::Inconclusive, fact);
}

#[test]
fn an_observer_that_dropped_frames_may_have_missed_them() {
    for place in [Place::Node(parsed("ada")), Place::Pod(parsed("web"))] {
        let mut world = from_the_wire(DropBy::ReversePath);
        let mut observers = world.evidence.observers.iter_mut();
        let observer = observers.find(|observer| observer.place == place).unwrap();
        observer.dropped = 1;
        let verdicts = judge_packets(&world.plan, &world.evidence);
        let last = verdicts.last().unwrap();
        let fact = format!("the observer of {} dropped frames", place.name());
        assert_eq!((last.outcome, &last.fact), (Outcome::Inconclusive, &fact));
    }
}

#[test]
fn the_receiver_s_node_may_have_missed_them_too() {
    for place in [Place::Node(parsed("bob")), Place::Pod(parsed("db"))] {
        let mut world = from_a_pod(DropBy::Tunnel);
        let mut observers = world.evidence.observers.iter_mut();
        let observer = observers.find(|observer| observer.place == place).unwrap();
        observer.dropped = 1;
        let verdicts = judge_packets(&world.plan, &world.evidence);
        let last = verdicts.last().unwrap();
        let fact = format!("the observer of {} dropped frames", place.name());
        assert_eq!((last.outcome, &last.fact), (Outcome::Inconclusive, &fact));
    }
}

#[test]
fn only_accepted_spoofs_are_explained() {
    let why = |world: &World| {
        let verdicts = judge_packets(&world.plan, &world.evidence);
        let last = verdicts.last().unwrap();
        assert_eq!(last.outcome, Outcome::Broken);
        last.why.is_some()
    };
    let looked_at = || {
        let mut world = from_the_wire(DropBy::ReversePath);
        for node in world.evidence.nodes.values_mut() {
            node.dataplane.rules.push(Rule {
                priority: 0,
                not: false,
                fwmark: None,
                table: Some(255),
                other: Vec::new(),
            });
        }
        world
    };
    let mut taken = looked_at();
    outcome(&mut taken).received = 1;
    assert!(why(&taken));
    let mut dropped = looked_at();
    outcome(&mut dropped).counted = 0;
    assert!(!why(&dropped));
}

#[test]
fn the_counter_must_equal_the_spoofed_packets() {
    for count in [0, SPOOFED - 1, SPOOFED + 1] {
        let mut world = from_the_wire(DropBy::ReversePath);
        outcome(&mut world).counted = count;
        let fact = format!(
            "did not arrive, but ada's reverse-path filter counted {count} instead of {SPOOFED}"
        );
        check(&mut world, Outcome::Broken, &fact);
    }
    let mut world = from_the_wire(DropBy::Rule);
    outcome(&mut world).counted = 1;
    let fact = "did not arrive, but by ada's reverse-path filter, not by a rule";
    check(&mut world, Outcome::Broken, fact);
    let mut world = from_a_pod(DropBy::Tunnel);
    outcome(&mut world).counted = 1;
    let fact = "did not arrive, but by ada's reverse-path filter, not by the tunnel";
    check(&mut world, Outcome::Broken, fact);
}

#[test]
fn the_kernel_names_who_dropped_them_where_it_can_be_asked() {
    let mut world = from_the_wire(DropBy::ReversePath);
    outcome(&mut world).reasons = Err("not the host's root".into());
    let fact = "dropped by ada's reverse-path filter, which counted each";
    check(&mut world, Outcome::Held, fact);
    outcome(&mut world).reasons = Ok(BTreeMap::from([("NETFILTER_DROP".to_owned(), SPOOFED)]));
    let fact = "did not arrive, but the kernel names NETFILTER_DROP, not IP_RPFILTER";
    check(&mut world, Outcome::Broken, fact);
    outcome(&mut world).reasons = Ok(BTreeMap::from([("IP_RPFILTER".to_owned(), SPOOFED - 1)]));
    let fact = "did not arrive, but the kernel names IP_RPFILTER for 2 of 3 only";
    check(&mut world, Outcome::Broken, fact);
    let mut world = from_the_wire(DropBy::Rule);
    outcome(&mut world).reasons = Ok(BTreeMap::new());
    let fact = "did not arrive, but the kernel names no reason, not NETFILTER_DROP";
    check(&mut world, Outcome::Broken, fact);
}

#[test]
fn a_spoof_that_must_arrive_and_does_not_is_broken() {
    let mut world = from_the_wire(DropBy::Nothing);
    outcome(&mut world).received = 2;
    let fact = "did not arrive at web; with a genuine source they do";
    check(&mut world, Outcome::Broken, fact);
}

#[test]
fn a_spoof_that_never_entered_the_tunnel_was_not_dropped_by_it() {
    let mut world = from_a_pod(DropBy::Tunnel);
    let tunnel = world.tunnel(&parsed("ada"));
    world.remove(|sighting| sighting.interface == tunnel && sighting.tag == Some(SPOOFED_TAG));
    let fact = "did not arrive, and never went into ada's tunnel";
    check(&mut world, Outcome::Broken, fact);
    // Those that went another way were dropped by something else.
    let mut world = from_a_pod(DropBy::Tunnel);
    let entered = |one: &Sighting| one.interface == tunnel && one.tag == Some(SPOOFED_TAG);
    let first = world.evidence.sightings.iter().position(entered).unwrap();
    world.evidence.sightings.remove(first);
    check(&mut world, Outcome::Broken, fact);
}

#[test]
fn a_probe_that_was_not_sent_is_inconclusive() {
    let mut world = from_the_wire(DropBy::ReversePath);
    world.evidence.spoofs.clear();
    check(&mut world, Outcome::Inconclusive, "nothing was spoofed");
}

/// Somebody else's frame of the spoofed ones, there.
fn also(world: &mut World, at: InterfaceId, direction: Direction) {
    let frame = packet(world, "app", "web");
    world.see(at, direction, &frame, Some(SPOOFED_TAG));
}

#[test]
fn a_link_is_the_one_they_came_in_by_and_no_other() {
    let ada = |name: &str| Place::Node(parsed(name));
    for (at, role, direction, seen) in [
        // What goes out of a port goes to the node, and what comes in there comes from it.
        (
            Place::Fabric,
            Role::Port(parsed("ada")),
            Direction::In,
            "ada of fabric",
        ),
        (
            Place::Fabric,
            Role::Port(parsed("bob")),
            Direction::Out,
            "bob of fabric",
        ),
        (ada("ada"), Role::Uplink, Direction::Out, "eth0 of ada"),
        (ada("bob"), Role::Uplink, Direction::In, "eth0 of bob"),
        (
            ada("ada"),
            Role::Tunnel,
            Direction::In,
            "wireguard.cali of ada",
        ),
        (
            ada("ada"),
            Role::PodLink(parsed("web")),
            Direction::In,
            "azvweb of ada",
        ),
    ] {
        let mut world = from_the_wire(DropBy::ReversePath);
        let at = world.at(&at, &role);
        also(&mut world, at, direction);
        let fact = format!("got as far as {seen}");
        check(&mut world, Outcome::Broken, &fact);
    }
}

#[test]
fn a_tunnel_is_entered_where_they_came_in() {
    for (node, direction, place) in [
        ("bob", Direction::Out, "bob"),
        ("bob", Direction::In, "bob"),
        ("ada", Direction::In, "ada"),
    ] {
        let mut world = from_a_pod(DropBy::Tunnel);
        let tunnel = world.tunnel(&parsed(node));
        also(&mut world, tunnel, direction);
        let fact = format!("got as far as wireguard.cali of {place}");
        check(&mut world, Outcome::Broken, &fact);
    }
    let mut world = from_a_pod(DropBy::Tunnel);
    let uplink = world.uplink(&parsed("ada"));
    also(&mut world, uplink, Direction::Out);
    check(&mut world, Outcome::Broken, "got as far as eth0 of ada");
}

/// What becomes of `world` where ada has a bridge, if any, and a spoofed packet is seen at one of `of`.
fn bridged(mut world: World, of: &str, direction: Direction, bridge: bool) -> (Outcome, String) {
    let mut nodes = world.plan.nodes.iter_mut();
    let ada = nodes.find(|node| node.name.as_str() == "ada").unwrap();
    ada.bridge = bridge.then(|| parsed("10.244.1.0/24"));
    let id = InterfaceId(u16::try_from(world.evidence.interfaces.len()).unwrap());
    world.evidence.interfaces.push(Interface {
        id,
        place: Place::Node(parsed(of)),
        name: parsed("cni0"),
        link: LinkType::Ethernet,
        role: Role::Other,
    });
    also(&mut world, id, direction);
    let verdicts = judge_packets(&world.plan, &world.evidence);
    let last = verdicts.last().unwrap();
    (last.outcome, last.fact.clone())
}

#[test]
fn a_bridge_is_as_far_as_the_link_to_the_pod() {
    let pod = || from_a_pod(DropBy::Tunnel);
    let (outcome, _) = bridged(pod(), "ada", Direction::In, true);
    assert_eq!(outcome, Outcome::Held);
    for (world, of, direction, bridge) in [
        (pod(), "ada", Direction::Out, true),
        (pod(), "bob", Direction::In, true),
        // What is called so on a node without a bridge is something else.
        (pod(), "ada", Direction::In, false),
        // What comes in by the uplink has no business at the bridge.
        (from_the_wire(DropBy::Rule), "ada", Direction::In, true),
    ] {
        let (outcome, fact) = bridged(world, of, direction, bridge);
        let expected = format!("got as far as cni0 of {of}");
        assert_eq!((outcome, fact), (Outcome::Broken, expected));
    }
}

#[test]
fn the_kernel_s_drop_reasons_are_notes_of_the_verdict() {
    let notes = |world: &World| {
        let verdicts = judge_packets(&world.plan, &world.evidence);
        verdicts.last().unwrap().notes.clone()
    };
    let mut world = from_the_wire(DropBy::ReversePath);
    assert_eq!(notes(&world), ["the kernel dropped 3 as IP_RPFILTER"]);
    outcome(&mut world).reasons = Err("not the host's root".into());
    let expected = "the kernel's drop reasons are not available: not the host's root";
    assert_eq!(notes(&world), [expected]);
    world.evidence.spoofs.clear();
    assert_eq!(notes(&world), Vec::<String>::new());
}
