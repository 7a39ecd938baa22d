//! Observers that are unfit to prove that something was not there.

use super::world::{World, mixed, parsed};
use crate::evidence::{Direction, Interface, InterfaceId, Place, Role, Round};
use crate::frame::{Frame, LinkType};
use crate::plan::Protocol;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

fn node(name: &str) -> Place {
    Place::Node(parsed(name))
}

/// Takes the beacons of a protocol away from an interface, in one round or in both.
fn deafen(world: &mut World, at: InterfaceId, protocol: Protocol, rounds: &[Round]) {
    let beacons = world.evidence.beacons.clone();
    world.remove(|s| match s.tag {
        Some(Tag::Beacon(id)) => {
            let beacon = &beacons[usize::from(id.0)];
            s.interface == at && beacon.protocol == protocol && rounds.contains(&beacon.round)
        }
        _ => false,
    });
}

#[test]
fn one_dropped_frame_leaves_the_place_in_doubt() {
    for (place, fact) in [
        (Place::Fabric, "the observer of fabric dropped frames"),
        (node("bob"), "the observer of bob dropped frames"),
        (
            Place::Pod(parsed("db")),
            "the observer of db dropped frames",
        ),
    ] {
        let mut world = mixed();
        for observer in &mut world.evidence.observers {
            if observer.place == place {
                observer.dropped = 1;
            }
        }
        world.check("web > db udp", Inconclusive, fact);
    }
}

#[test]
fn another_node_s_observer_may_drop() {
    let mut world = mixed();
    for observer in &mut world.evidence.observers {
        if observer.place == node("cal") {
            observer.dropped = 1;
        }
    }
    world.holds("web > db udp");
    world.check(
        "web > log udp",
        Inconclusive,
        "the observer of cal dropped frames",
    );
}

#[test]
fn a_place_without_observer_is_in_doubt() {
    for (place, fact) in [
        (Place::Fabric, "fabric has no observer"),
        (node("ada"), "ada has no observer"),
        (Place::Pod(parsed("web")), "web has no observer"),
    ] {
        let mut world = mixed();
        world
            .evidence
            .observers
            .retain(|observer| observer.place != place);
        world.check("web > db udp", Inconclusive, fact);
        world.check("web > app udp", Inconclusive, fact);
    }
}

#[test]
fn an_observer_that_misses_one_protocol_is_unfit_for_it_alone() {
    let whole = mixed();
    let interfaces = [
        whole.port(&parsed("ada")),
        whole.port(&parsed("bob")),
        whole.uplink(&parsed("ada")),
        whole.tunnel(&parsed("bob")),
        whole.pod_uplink(&parsed("web")),
    ];
    for interface in interfaces {
        let mut world = whole.clone();
        deafen(
            &mut world,
            interface,
            Protocol::Udp,
            &[Round::Opening, Round::Closing],
        );
        let verdict = world.verdict("web > db udp");
        assert_eq!(verdict.outcome, Inconclusive, "{verdict:#?}");
        world.holds("web > db tcp");
    }
    let mut world = whole;
    deafen(
        &mut world,
        interfaces[0],
        Protocol::Udp,
        &[Round::Opening, Round::Closing],
    );
    let fact = "the observer of fabric has not shown that it sees udp at ada (no opening beacon)";
    world.check("web > db udp", Inconclusive, fact);
    // That nothing went out needs the wire's observer as well.
    world.check("web > app udp", Inconclusive, fact);
}

#[test]
fn an_observer_must_see_before_and_after() {
    for (round, word) in [(Round::Opening, "opening"), (Round::Closing, "closing")] {
        let mut world = mixed();
        let tunnel = world.tunnel(&parsed("ada"));
        deafen(&mut world, tunnel, Protocol::Icmp, &[round]);
        let fact = format!(
            "the observer of ada has not shown that it sees icmp at wireguard.cali (no {word} beacon)"
        );
        world.check("web > db icmp", Inconclusive, &fact);
    }
}

#[test]
fn the_wire_s_observer_must_see_what_comes_in() {
    let mut world = mixed();
    let port = world.port(&parsed("ada"));
    world.remove(|s| {
        s.interface == port && s.direction == Direction::In && matches!(s.tag, Some(Tag::Beacon(_)))
    });
    assert_eq!(world.verdict("web > db udp").outcome, Inconclusive);
}

#[test]
fn a_beacon_counts_for_the_protocol_that_it_was_seen_as() {
    let mut world = mixed();
    let tunnel = world.tunnel(&parsed("ada"));
    let echo = world.request("web > db icmp").frame;
    for sighting in world.at_interface(tunnel, Direction::Out) {
        if matches!(sighting.tag, Some(Tag::Beacon(_))) {
            sighting.frame = echo.clone();
        }
    }
    world.holds("web > db icmp");
    let fact =
        "the observer of ada has not shown that it sees udp at wireguard.cali (no opening beacon)";
    world.check("web > db udp", Inconclusive, fact);
}

#[test]
fn a_leak_needs_no_beacon() {
    let mut world = mixed();
    world.evidence.observers.clear();
    let leaked = world.request("web > db udp");
    world.see(
        world.port(&parsed("ada")),
        Direction::In,
        &leaked.frame,
        leaked.tag,
    );
    world.check(
        "web > db udp",
        Broken,
        "its payload is readable on the wire",
    );
    world.check("web > db tcp", Inconclusive, "fabric has no observer");
}

#[test]
fn an_unreadable_frame_on_the_wire_leaves_it_in_doubt() {
    let mut world = mixed();
    let frame = Frame::Malformed {
        why: "IP version 5".into(),
    };
    world.see(world.port(&parsed("bob")), Direction::In, &frame, None);
    let fact = "a frame on the wire is unreadable (fabric.pcapng #0: IP version 5)";
    world.check("web > db udp", Inconclusive, fact);
    world.holds("web > log udp");
}

#[test]
fn an_interface_that_the_evidence_lacks_leaves_its_promises_open() {
    let mut world = mixed();
    let uplink = world.uplink(&parsed("bob"));
    world.evidence.interfaces[usize::from(uplink.0)].role = Role::Other;
    world.check(
        "web > db udp",
        Inconclusive,
        "the evidence has no eth0 of bob",
    );
    world.holds("web > log udp");
    let port = world.port(&parsed("cal"));
    world.evidence.interfaces[usize::from(port.0)].role = Role::Other;
    world.check(
        "web > log udp",
        Inconclusive,
        "the evidence has no port towards cal",
    );
}

#[test]
fn a_frame_of_an_unlisted_interface_leaves_everything_open() {
    let mut world = mixed();
    let frame = world.request("web > db udp").frame;
    world.see(InterfaceId(999), Direction::In, &frame, None);
    let fact = "the evidence does not list every interface that a frame was seen at";
    world.check("web > db udp", Inconclusive, fact);
    world.check("web > app udp", Inconclusive, fact);
}

#[test]
fn more_interfaces_than_planned_change_nothing() {
    let mut world = mixed();
    let id = InterfaceId(u16::try_from(world.evidence.interfaces.len()).unwrap());
    world.evidence.interfaces.push(Interface {
        id,
        place: node("ada"),
        name: parsed("cni0"),
        role: Role::Other,
        link: LinkType::Ethernet,
    });
    let frame = world.request("web > app udp").frame;
    world.see(id, Direction::In, &frame, None);
    world.holds("web > app udp");
}

#[test]
fn a_probe_that_the_evidence_lacks_leaves_its_promise_open() {
    let mut world = mixed();
    let id = world.promise("web > db udp").probe;
    world.evidence.probes.retain(|outcome| outcome.id != id);
    let fact = "the evidence does not say what became of its probe";
    world.check("web > db udp", Inconclusive, fact);
    world.holds("web > db tcp");
}

#[test]
fn a_promise_that_no_probe_tests_is_open() {
    let mut world = mixed();
    let promise = world.promise("web > db udp");
    world.plan.probes[usize::from(promise.probe.0)].protocol = Protocol::Tcp;
    world.check(
        "web > db udp",
        Inconclusive,
        "no probe of the plan tests it",
    );
}

#[test]
fn a_node_whose_devices_nobody_listed_may_have_a_tunnel() {
    let mut world = mixed();
    world.evidence.nodes.remove(&parsed("cal"));
    world.check(
        "web > log udp",
        Inconclusive,
        "the evidence is not whole: it does not say what node cal looks like",
    );
    world.holds("web > db udp");
}
