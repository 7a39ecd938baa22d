//! Effects of the fabric on packets, and those that were only asked for.

use super::step_windows::{MILLI, stepped};
use super::world::{World, mixed, parsed};
use crate::evidence::{ANSWERED, Nanos, OVERSIZED, SWALLOWED, StepEvidence, Tally};
use crate::judge::fabric_effects;
use crate::plan::{Action, FabricAction, Impairment, ImpairmentKind, WireDirection};

fn impairment(line: u32, node: Option<&str>, kind: ImpairmentKind) -> Impairment {
    Impairment {
        line,
        node: node.map(parsed),
        way: WireDirection::To,
        kind,
    }
}

fn delay(millis: u16, jitter: u16) -> ImpairmentKind {
    ImpairmentKind::Delay {
        millis,
        jitter,
        reorder: 0,
    }
}

fn tally(world: &mut World, name: &str, packets: u64) {
    world.evidence.wire.push(Tally {
        name: name.into(),
        packets,
        bytes: packets * 100,
    });
}

/// The effects of each impairment and of the fabric's router.
fn effects(world: &World) -> Vec<(Option<u32>, u64, bool, String)> {
    let all = fabric_effects(&world.plan, &world.evidence).into_iter();
    all.map(|one| {
        let why = one.idleness().to_owned();
        (one.line, one.packets, one.is_idle(), why)
    })
    .collect()
}

#[test]
fn an_impairment_that_hit_nothing_is_idle() {
    for packets in [0, 3] {
        let mut world = mixed();
        world.plan.fabric.impairments =
            vec![impairment(9, None, ImpairmentKind::EveryNth { nth: 7 })];
        let name = world.plan.fabric.impairments[0].counter();
        tally(&mut world, &name, packets);
        tally(&mut world, "line10", 99);
        let none = "there was none to hit".to_owned();
        assert_eq!(effects(&world), [(Some(9), packets, packets == 0, none)]);
    }
}

#[test]
fn an_impairment_of_a_step_is_reported_too() {
    let lossy = impairment(12, None, ImpairmentKind::Loss { percent: 5 });
    let mut world = stepped(Action::Fabric(FabricAction::Impair {
        node: None,
        way: WireDirection::To,
        kind: lossy.kind,
    }));
    world.plan.steps[0].line = 12;
    let lines: Vec<_> = effects(&world).into_iter().map(|one| one.0).collect();
    assert_eq!(lines, [Some(12)]);
}

#[test]
fn effects_of_the_router_are_reported_where_they_hit_packets() {
    let mut world = mixed();
    for (name, packets) in [(OVERSIZED, 4), (ANSWERED, 0), (SWALLOWED, 2)] {
        tally(&mut world, name, packets);
    }
    let all = fabric_effects(&world.plan, &world.evidence);
    let found: Vec<_> = all
        .iter()
        .map(|one| (one.what.as_str(), one.packets))
        .collect();
    assert_eq!(
        found,
        [
            ("packets larger than the fabric carries", 4),
            ("such answers that never left it", 2)
        ]
    );
    assert!(
        all.iter().all(|one| !one.is_idle()),
        "nobody asked for them"
    );
    world.evidence.skipped = Some("no lane".into());
    assert!(fabric_effects(&world.plan, &world.evidence).is_empty());
}

/// A delay of what goes to a node, from the beginning, and flows whose packets take so long.
fn slow(node: Option<&str>, kind: ImpairmentKind, micros: u64) -> World {
    let mut world = stepped(Action::KillEngine { node: None });
    world.plan.fabric.impairments = vec![impairment(9, node, kind)];
    let name = world.plan.fabric.impairments[0].counter();
    tally(&mut world, &name, 30);
    for flow in &mut world.evidence.flows {
        for packet in &mut flow.packets {
            packet.received = Some(packet.sent + micros);
        }
    }
    world
}

fn unlike(world: &World) -> Option<String> {
    fabric_effects(&world.plan, &world.evidence)[0]
        .unlike
        .clone()
}

#[test]
fn packets_are_late_from_the_delay_itself_on() {
    // Both flows leave ada: one to bob, one to cal.
    assert_eq!(unlike(&slow(None, delay(20, 0), 20_000)), None);
    assert_eq!(
        unlike(&slow(None, delay(20, 0), 19_999)).as_deref(),
        Some("60 of 60 packets came before 20 ms")
    );
    assert_eq!(
        unlike(&slow(Some("bob"), delay(20, 0), 19_999)).as_deref(),
        Some("30 of 30 packets came before 20 ms")
    );
    assert_eq!(
        unlike(&slow(Some("ada"), delay(20, 0), 20_000)).as_deref(),
        Some("no packet was there to be timed")
    );
    // What may be sooner by the jitter has to be, sometimes.
    assert_eq!(
        unlike(&slow(Some("bob"), delay(20, 5), 20_000)).as_deref(),
        Some("none of 30 packets came before 20 ms")
    );
    assert_eq!(unlike(&slow(Some("bob"), delay(20, 5), 15_000)), None);
    assert_eq!(
        unlike(&slow(Some("bob"), delay(20, 5), 14_999)).as_deref(),
        Some("30 of 30 packets came before 15 ms")
    );
}

#[test]
fn of_two_delays_of_a_node_the_last_counts() {
    let mut world = slow(Some("bob"), delay(20, 0), 20_000);
    world
        .plan
        .fabric
        .impairments
        .push(impairment(10, None, delay(20, 0)));
    tally(&mut world, "line10", 30);
    assert_eq!(
        unlike(&world).as_deref(),
        Some("no packet was there to be timed")
    );
    // Loss is no delay, and hides none.
    world.plan.fabric.impairments[1].kind = ImpairmentKind::Loss { percent: 1 };
    assert_eq!(unlike(&world), None);
}

#[test]
fn while_a_step_is_under_way_both_sides_of_it_count() {
    let kind = delay(20, 0);
    let action = Action::Fabric(FabricAction::Impair {
        node: Some(parsed("bob")),
        way: WireDirection::To,
        kind,
    });
    let mut world = stepped(action);
    world.plan.steps[0].line = 9;
    let name = impairment(9, Some("bob"), kind).counter();
    tally(&mut world, &name, 30);
    // Until the step has settled, at 200 ms, and also at that very moment, a packet may be early.
    let late = |world: &mut World, from: usize| {
        for packet in &mut world.evidence.flows[0].packets[from..] {
            packet.received = Some(packet.sent + 20_000);
        }
    };
    late(&mut world, 20);
    assert_eq!(world.evidence.flows[0].packets[19].sent, 190_000);
    assert_eq!(unlike(&world), None);
    world.evidence.flows[0].packets[20].received = Some(200_300);
    assert_eq!(
        unlike(&world).as_deref(),
        Some("1 of 10 packets came before 20 ms")
    );
    world.evidence.steps[0] = StepEvidence {
        settled: Nanos(210 * MILLI),
        ..world.evidence.steps[0].clone()
    };
    assert_eq!(unlike(&world), None, "it was under way when that was sent");
}

#[test]
fn without_flows_each_way_of_a_probe_that_is_slow_counts() {
    let mut world = slow(Some("bob"), delay(20, 0), 0);
    world.plan.flows.flows.clear();
    for (node, micros, held) in [
        (Some("bob"), 20_000, true),
        (Some("bob"), 19_999, false),
        (None, 40_000, true),
        (None, 39_999, false),
    ] {
        world.plan.fabric.impairments[0].node = node.map(parsed);
        for probe in &mut world.evidence.probes {
            probe.round_trip_us = Some(micros);
        }
        let fact = unlike(&world);
        assert_eq!(fact.is_none(), held, "{node:?} {micros}");
        // Two endpoints of bob, five of others, both ways, three protocols.
        if node == Some("bob") && !held {
            assert_eq!(fact.unwrap(), "60 of 60 packets came before 20 ms");
        }
    }
}

#[test]
fn traffic_to_a_client_is_not_delayed() {
    let mut world = slow(None, delay(20, 0), 0);
    world.plan.flows.flows.clear();
    let mut nodes = world.plan.nodes.iter();
    let bob = nodes.position(|node| node.name.as_str() == "bob").unwrap();
    let bob = world.plan.nodes.remove(bob);
    world.plan.clients.push(bob);
    let probes = world.plan.probes.iter().zip(&mut world.evidence.probes);
    for (probe, outcome) in probes {
        let between = probe.from.as_str() == "ada" && probe.to.as_str() == "bob";
        outcome.round_trip_us = between.then_some(20_000);
    }
    assert_eq!(unlike(&world), None, "the answer was delayed, and alone");
}
