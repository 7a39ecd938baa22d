//! The case of a promise: its family, its protocol, and its endpoints.

use super::super::case::PairIndex;
use super::super::leak::finds_neighbours;
use super::world::{World, mixed, parsed};
use crate::frame::{Packet, Payload};
use crate::journey::Leg;
use crate::plan::{Family, Protocol};
use crate::verdict::Outcome::Broken;

/// A run in which the pair's UDP promise has that protocol.
fn with_protocol(protocol: Protocol) -> World {
    let mut world = mixed();
    let promise = world.promise("web > db udp");
    let mut promises = world.plan.promises.iter_mut();
    promises.find(|one| one.id == promise.id).unwrap().protocol = protocol;
    world.plan.probes[usize::from(promise.probe.0)].protocol = protocol;
    world
}

#[test]
fn a_case_has_the_family_and_the_ends_of_its_protocol() {
    for (protocol, family, connects) in [
        (Protocol::Icmp, Family::Ipv4, false),
        (Protocol::Udp, Family::Ipv4, false),
        (Protocol::Tcp, Family::Ipv4, true),
        (Protocol::Icmp6, Family::Ipv6, false),
        (Protocol::Udp6, Family::Ipv6, false),
        (Protocol::Tcp6, Family::Ipv6, true),
    ] {
        let world = with_protocol(protocol);
        let id = mixed().promise("web > db udp").id;
        let mut promises = world.plan.promises.iter();
        let promise = promises.find(|one| one.id == id).unwrap();
        let register = PairIndex::new(&world.plan, &world.evidence);
        let case = register.case(promise).unwrap();
        assert_eq!((case.protocol(), case.family()), (protocol, family));
        assert_eq!(case.is_connection(), connects, "{protocol:?}");
        assert!(!case.same_host());
        let (source, destination) = case.addresses(Leg::Request);
        assert_eq!(case.addresses(Leg::Answer), (destination, source));
        assert_eq!(Family::of(source), family);
        assert_eq!(Family::of(destination), family);
    }
}

#[test]
fn a_promise_that_no_probe_tests_is_no_case() {
    let world = mixed();
    let promise = world.promise("web > db udp");
    let why = |change: fn(&mut World, usize)| {
        let mut world = world.clone();
        change(&mut world, usize::from(promise.probe.0));
        let register = PairIndex::new(&world.plan, &world.evidence);
        register.case(&promise).err()
    };
    let untested = Some("no probe of the plan tests it".to_owned());
    assert_eq!(why(|_, _| {}), None);
    assert_eq!(
        why(|world, at| world.plan.probes[at].from = parsed("app")),
        untested
    );
    assert_eq!(
        why(|world, at| world.plan.probes[at].to = parsed("log")),
        untested
    );
    assert_eq!(
        why(|world, at| world.plan.probes[at].protocol = Protocol::Tcp),
        untested
    );
    assert_eq!(
        why(|world, at| world.plan.probes[at].wanted = Some(1300)),
        untested
    );
    assert_eq!(why(|world, at| world.plan.probes[at].id.0 += 1), untested);
    assert_eq!(why(|world, _| world.plan.probes.clear()), untested);
    let unknown = why(|world, at| drop(world.evidence.probes.remove(at)));
    assert!(unknown.unwrap().contains("what became of its probe"));
    let nobody = why(|world, _| world.plan.nodes.retain(|node| node.name.as_str() != "bob"));
    assert_eq!(nobody.as_deref(), Some("the plan has no endpoint db"));
}

#[test]
fn neighbour_discovery_is_icmpv6_of_five_kinds() {
    let packet = |source: &str, kind| Packet {
        source: parsed(source),
        destination: parsed("fd00::2"),
        length: 72,
        dont_fragment: false,
        fragment: None,
        payload: Payload::Icmp {
            kind,
            code: 0,
            mtu: None,
            quoted: None,
        },
    };
    for (kind, finds) in [
        (132, false),
        (133, true),
        (135, true),
        (137, true),
        (138, false),
    ] {
        assert_eq!(finds_neighbours(&packet("fd00::1", kind)), finds, "{kind}");
        assert!(
            !finds_neighbours(&packet("10.0.0.1", kind)),
            "{kind} in IPv4"
        );
    }
}

#[test]
fn the_last_frame_that_was_seen_is_shown_first() {
    let mut world = mixed();
    let pair = "web > db udp";
    let (tag, tunnel) = (world.request(pair).tag, world.tunnel(&parsed("ada")));
    world.remove(|one| one.tag == tag && one.interface == tunnel);
    let verdict = world.verdict(pair);
    assert_eq!(verdict.outcome, Broken);
    let shown: Vec<_> = verdict
        .exhibits
        .iter()
        .map(|one| one.capture.as_str())
        .collect();
    assert_eq!(shown.len(), 2, "out of the pod and onto its node");
    assert!(shown[0].starts_with("ada.pcapng"), "{shown:?}");
    assert!(shown[1].starts_with("web.pcapng"), "{shown:?}");
}
