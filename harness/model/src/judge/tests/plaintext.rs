//! Verdicts about plaintext pairs: what breaks such a promise.

use super::world::{World, mixed, parsed};
use crate::dataplane::{Route, RouteKind, Rule};
use crate::evidence::Direction;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held};

const SAME_HOST: &str =
    "plaintext on the veths between them, never on a tunnel device, eth0 or the wire";
const ACROSS: &str = "plaintext on the wire, never on a tunnel device";

#[test]
fn every_class_holds_in_a_mixed_cluster() {
    let world = mixed();
    for verdict in world.verdicts() {
        assert_eq!(verdict.outcome, Held, "{verdict:#?}");
    }
    world.check("web > app tcp", Held, SAME_HOST);
    world.check("ada > web icmp", Held, SAME_HOST);
    world.check("web > ada udp", Held, SAME_HOST);
    world.check("web > log udp", Held, ACROSS);
    world.check("cal > ada tcp", Held, ACROSS);
}

#[test]
fn a_neighbour_is_not_reached_through_the_tunnel() {
    let mut world = mixed();
    let seen = world.request("web > app udp");
    world.see(
        world.tunnel(&parsed("ada")),
        Direction::Out,
        &seen.frame,
        seen.tag,
    );
    world.check(
        "web > app udp",
        Broken,
        "its payload was at wireguard.cali of ada",
    );
    world.holds("web > app tcp");
}

#[test]
fn a_neighbour_is_not_reached_through_the_wire() {
    let mut world = mixed();
    let frame = world.request("web > app tcp").frame;
    world.see(world.uplink(&parsed("ada")), Direction::Out, &frame, None);
    world.check(
        "web > app tcp",
        Broken,
        "a packet between the two was at eth0 of ada",
    );
    world.see(
        world.port(&parsed("ada")),
        Direction::In,
        &frame,
        world.request("web > app tcp").tag,
    );
    world.check("web > app tcp", Broken, "its payload was on the wire");
}

#[test]
fn a_node_without_encryption_is_not_reached_through_the_tunnel() {
    let mut world = mixed();
    let seen = world.request("web > log icmp");
    world.see(
        world.tunnel(&parsed("ada")),
        Direction::Out,
        &seen.frame,
        None,
    );
    world.check(
        "web > log icmp",
        Broken,
        "a packet between the two was at wireguard.cali of ada",
    );
    world.holds("web > log udp");
}

#[test]
fn a_node_without_encryption_is_reached_in_clear() {
    let mut world = mixed();
    let (tag, port) = (
        world.request("web > log udp").tag,
        world.port(&parsed("cal")),
    );
    world.remove(|s| s.tag == tag && s.interface == port);
    world.check(
        "web > log udp",
        Broken,
        "reached the wire from ada, then never left the wire towards cal",
    );
}

#[test]
fn plaintext_has_to_arrive_and_be_answered() {
    let mut world = mixed();
    let id = world.promise("web > app udp").probe;
    let pod = world.pod_uplink(&parsed("app"));
    world.remove(|s| s.tag == Some(Tag::Probe(id)) && s.interface == pod);
    world.check(
        "web > app udp",
        Broken,
        "left ada towards app, then never arrived in app",
    );

    let mut world = mixed();
    world.remove(|s| s.tag == Some(Tag::Answer(id)));
    world.check(
        "web > app udp",
        Broken,
        "arrived at app, and no answer left it",
    );

    let mut world = mixed();
    world.outcome("web > app udp").answered = false;
    world.check(
        "web > app udp",
        Broken,
        "arrived at web, and its socket never got it",
    );
}

#[test]
fn a_journey_goes_forward_in_time() {
    let mut world = mixed();
    let tag = world.request("web > app udp").tag;
    let pod = world.pod_uplink(&parsed("web"));
    for sighting in world.at_interface(pod, Direction::Out) {
        if sighting.tag == tag {
            sighting.at.0 += 1_000_000_000;
        }
    }
    world.check(
        "web > app udp",
        Broken,
        "left web, then never arrived on ada from web",
    );
}

#[test]
fn no_frame_of_a_proof_can_be_spared() {
    let world = mixed();
    for pair in [
        "web > app icmp",
        "web > ada udp",
        "ada > web tcp",
        "web > log udp",
        "cal > bob icmp",
        "log > ada tcp",
    ] {
        let proof = world.verdict(pair).exhibits;
        assert!(proof.len() >= 4, "{pair}: {proof:#?}");
        for frame in proof {
            let mut less = world.clone();
            less.remove(|s| s.at == frame.at);
            let verdict = less.verdict(pair);
            assert_eq!(
                verdict.outcome, Broken,
                "{pair} without {frame:?}: {verdict:#?}"
            );
        }
    }
}

/// A cluster whose nodes' tables lead into the tunnel and list nobody else.
fn without_throws() -> World {
    let mut world = mixed();
    for node in world.evidence.nodes.values_mut() {
        node.dataplane.rules.push(Rule {
            priority: 99,
            not: true,
            fwmark: Some((0x10_0000, 0x10_0000)),
            table: Some(1),
            other: Vec::new(),
        });
        node.dataplane.routes.push(Route {
            table: 1,
            destination: parsed("192.0.2.0/24"),
            kind: RouteKind::Unicast,
            via: None,
            interface: Some(parsed("wireguard.cali")),
            protocol: "boot".into(),
            scope: "link".into(),
            source: None,
            metric: 0,
        });
    }
    world
}

#[test]
fn an_engine_that_claims_throws_is_held_to_them() {
    let mut world = without_throws();
    world.plan.throws = true;
    world.check(
        "web > app udp",
        Broken,
        "arrived in clear, but not by a throw: table 1 of ada, which leads into wireguard.cali, does not list app",
    );
}

#[test]
fn throws_are_for_pods_and_for_other_nodes_of_the_cluster() {
    let throws = |world: &World, pair: &str| {
        let fact = world.verdict(pair).fact;
        fact.contains("not by a throw")
    };
    let mut world = without_throws();
    world.plan.throws = true;
    assert!(throws(&world, "ada > web udp"), "a pod of its own");
    assert!(throws(&world, "ada > log udp"), "a pod in clear");
    assert!(throws(&world, "ada > cal udp"), "a node in clear");
    assert!(!throws(&world, "web > ada udp"), "its own address is local");
    world.plan.cluster.host_encryption = false;
    assert!(!throws(&world, "ada > cal udp"), "without host encryption");
    assert!(throws(&world, "ada > log udp"), "pods are encrypted anyway");
    for node in ["ada", "cal"] {
        let mut outside = world.clone();
        let mut nodes = outside.plan.nodes.iter_mut();
        nodes
            .find(|one| one.name.as_str() == node)
            .unwrap()
            .external = true;
        assert!(!throws(&outside, "ada > log udp"), "{node} is outside");
    }
}

#[test]
fn a_promise_of_ciphertext_asks_for_no_throw() {
    let mut world = without_throws();
    world.plan.throws = true;
    world.holds("web > db udp");
}

#[test]
fn of_an_engine_that_claims_no_throws_only_packets_count() {
    let world = without_throws();
    world.holds("web > app udp");
}

#[test]
fn only_a_rule_for_what_has_no_mark_leads_everybody_into_the_tunnel() {
    for (not, fwmark, broken) in [
        (true, Some((0x10_0000, 0x10_0000)), true),
        (false, Some((0x10_0000, 0x10_0000)), false),
        (true, None, false),
    ] {
        let mut world = without_throws();
        world.plan.throws = true;
        for node in world.evidence.nodes.values_mut() {
            for rule in &mut node.dataplane.rules {
                (rule.not, rule.fwmark) = (not, fwmark);
            }
        }
        let found = world.verdict("web > app udp").outcome;
        assert_eq!(found == Broken, broken, "{not} {fwmark:?}");
    }
}
