//! Explanations that the judge asks for: which leg is explained, and of what.

use super::world::{World, mixed, parsed};
use crate::dataplane::{Route, RouteKind, Rule};
use crate::evidence::{Direction, Role};
use crate::judge::Verdict;
use crate::plan::{FlowId, Origin, Protection};
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held, Inconclusive};

const PAIR: &str = "web > db udp";

fn cause(verdict: &Verdict) -> String {
    let why = verdict.why.as_ref();
    why.map(|why| why.cause.clone()).unwrap_or_default()
}

/// A run whose nodes' tables were looked at: they have what every host has.
fn looked_at() -> World {
    let mut world = mixed();
    for node in world.evidence.nodes.values_mut() {
        for (priority, table) in [(0, 255), (32_766, 254)] {
            node.dataplane.rules.push(Rule {
                priority,
                not: false,
                fwmark: None,
                table: Some(table),
                other: Vec::new(),
            });
        }
    }
    world
}

/// The pair's packets end where they enter the sender's tunnel.
fn stopped_on(leg: &str) -> World {
    let mut world = looked_at();
    let id = world.promise(PAIR).probe;
    let (tag, tunnel) = match leg {
        "request" => (Tag::Probe(id), world.tunnel(&parsed("ada"))),
        _ => (Tag::Answer(id), world.tunnel(&parsed("bob"))),
    };
    world.remove(|one| one.tag == Some(tag) && one.interface == tunnel);
    world
}

#[test]
fn only_what_is_broken_is_explained() {
    let verdict = mixed().verdict(PAIR);
    assert_eq!((verdict.outcome, verdict.why), (Held, None));
    let mut open = mixed();
    for observer in &mut open.evidence.observers {
        observer.dropped = 1;
    }
    let verdict = open.verdict(PAIR);
    assert_eq!((verdict.outcome, verdict.why), (Inconclusive, None));
    let verdict = stopped_on("request").verdict(PAIR);
    assert_eq!(verdict.outcome, Broken);
    assert!(verdict.why.is_some());
}

#[test]
fn the_leg_that_ended_is_the_one_that_is_explained() {
    for (leg, node, other) in [("request", "ada", "bob"), ("answer", "bob", "ada")] {
        let found = cause(&stopped_on(leg).verdict(PAIR));
        // The nodes of this run have no rule that leads into a tunnel.
        let lacks = format!("{node} has no table that leads into wireguard.cali");
        assert!(found.contains(&lacks), "{leg}: {found}");
        assert!(!found.contains(other), "{leg}: {found}");
    }
}

#[test]
fn a_flow_s_packet_is_not_explained_by_what_the_nodes_were_like_later() {
    let mut world = mixed();
    let mut leak = world.request(PAIR);
    (leak.interface, leak.direction) = (world.port(&parsed("ada")), Direction::In);
    let own = leak.clone();
    world.evidence.sightings.push(own);
    assert!(!cause(&world.verdict(PAIR)).contains("a flow's"));
    let mut late = mixed();
    leak.tag = Some(Tag::Flow(FlowId(0), 3));
    late.evidence.sightings.push(leak);
    late.holds(PAIR);
}

#[test]
fn a_device_that_is_missing_is_the_sender_s_or_the_receiver_s() {
    for (node, pair) in [("ada", PAIR), ("bob", PAIR), ("ada", "db > web udp")] {
        let mut world = looked_at();
        let tunnel = world.tunnel(&parsed(node));
        let plane = &mut world
            .evidence
            .nodes
            .get_mut(&parsed(node))
            .unwrap()
            .dataplane;
        plane
            .links
            .retain(|link| link.name.as_str() != "wireguard.cali");
        for interface in &mut world.evidence.interfaces {
            if interface.id == tunnel {
                interface.role = Role::Other;
            }
        }
        let verdict = world.verdict(pair);
        assert_eq!(verdict.fact, format!("{node} has no wireguard.cali"));
        let expected = format!("wireguard.cali is missing on {node}");
        assert_eq!(cause(&verdict), expected, "{pair}");
    }
}

/// What the author wants in clear goes into the tunnel, since both nodes encrypt.
fn wanted_in_clear(origin: Origin) -> World {
    let mut world = looked_at();
    let id = world.promise(PAIR).id;
    let mut promises = world.plan.promises.iter_mut();
    let promise = promises.find(|one| one.id == id).unwrap();
    (promise.protection, promise.origin) = (Protection::Plaintext, origin);
    let to = format!("{}/32", world.address_of("db"));
    let ada = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    ada.dataplane.rules.push(Rule {
        priority: 99,
        not: true,
        fwmark: Some((0x10_0000, 0x10_0000)),
        table: Some(1),
        other: Vec::new(),
    });
    ada.dataplane.routes.push(Route {
        table: 1,
        destination: parsed(&to),
        kind: RouteKind::Unicast,
        via: None,
        interface: Some(parsed("wireguard.cali")),
        protocol: "static".into(),
        scope: "link".into(),
        source: None,
        metric: 0,
    });
    world
}

#[test]
fn a_stated_promise_is_explained_as_the_author_s() {
    let cause_of = |origin| cause(&wanted_in_clear(origin).verdict(PAIR));
    let stated = cause_of(Origin::Stated { line: 3 });
    assert!(stated.contains("both nodes encrypt"), "{stated}");
    let derived = cause_of(Origin::Derived);
    assert!(derived.contains("throw route missing"), "{derived}");
}

#[test]
fn a_node_s_counters_are_reported_once_though_both_ends_are_on_it() {
    for (pair, expected) in [
        ("web > app udp", vec!["ada counted X 3"]),
        ("web > db udp", vec!["ada counted X 3", "bob counted X 3"]),
    ] {
        let mut world = mixed();
        for node in world.evidence.nodes.values_mut() {
            node.drops.insert("X".into(), 3);
        }
        world.outcome(pair).answered = false;
        let verdict = world.verdict(pair);
        assert_eq!(verdict.outcome, Broken, "{verdict:#?}");
        let counted = verdict.notes.iter().filter(|note| note.contains("counted"));
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }
}
