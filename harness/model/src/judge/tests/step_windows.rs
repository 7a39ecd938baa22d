//! Verdicts about the flows in each step.

use std::net::IpAddr;

use super::world::{World, mixed, parsed};
use crate::evidence::{
    Direction, FlowEvidence, FlowPacket, Form, Nanos, Place, Role, Sighting, StepEvidence, Tally,
};
use crate::frame::{Frame, Packet, Payload};
use crate::judge::{fabric_effects, judge, step_windows};
use crate::plan::{
    Action, Family, Flow, FlowId, Flows, Impairment, ImpairmentKind, PromiseId, Step, StepKind,
    StepPromise, WireDirection,
};
use crate::tag::Tag;
use crate::verdict::Outcome::{self, Broken, Held, Inconclusive};

pub(super) const MILLI: u64 = 1_000_000;

/// The kill begins at 100 ms and has settled at 200 ms; the first probe is sent at 1 s.
pub(super) fn world() -> World {
    stepped(Action::KillEngine { node: None })
}

/// A run with one step, and a flow that is protected and one that is not, 10 ms between packets.
pub(super) fn stepped(action: Action) -> World {
    let mut world = mixed();
    for sighting in &mut world.evidence.sightings {
        sighting.at.0 += 1_000 * MILLI;
    }
    world.arm();
    let flow = |id, from: &str, to: &str| Flow {
        id: FlowId(id),
        from: parsed(from),
        to: parsed(to),
        family: Family::Ipv4,
    };
    let first = u32::try_from(world.plan.promises.len()).unwrap();
    let kinds = [
        (0, StepKind::Leak),
        (1, StepKind::Leak),
        (1, StepKind::Outage),
    ];
    let promises = (first..).zip(kinds).map(|(id, (step, kind))| StepPromise {
        id: PromiseId(id),
        step,
        kind,
    });
    world.plan.flows = Flows {
        every: 10_000,
        flows: vec![flow(0, "web", "db"), flow(1, "web", "log")],
        promises: promises.collect(),
    };
    world.plan.steps = vec![Step {
        action,
        deadline: 1_000,
        outage: 50,
        leaks: None,
        writes: None,
        settles_within: None,
        line: 1,
    }];
    world.evidence.start.settled = Nanos(MILLI);
    world.evidence.steps = vec![StepEvidence {
        index: 1,
        began: Nanos(100 * MILLI),
        settled: Nanos(200 * MILLI),
        ..StepEvidence::default()
    }];
    world.evidence.probing = Nanos(1_000 * MILLI);
    world.evidence.flows = vec![sent(0), sent(1)];
    world
}

/// Packets each 10 ms from 10 ms to 300 ms, all of which arrive.
fn sent(id: u16) -> FlowEvidence {
    let packet = |number: u64| FlowPacket {
        sent: number * 10_000,
        received: Some(number * 10_000 + 300),
        form: Form::Tunnelled,
    };
    FlowEvidence {
        id: FlowId(id),
        since: Nanos(10 * MILLI),
        packets: (0..30).map(packet).collect(),
    }
}

impl World {
    /// A frame from ada comes onto the wire at that millisecond.
    pub(super) fn leak(&mut self, millis: u64, from: &str, to: &str, tag: Option<Tag>) {
        let frame = plain_udp(self.address_of(from), self.address_of(to));
        let sighting = Sighting {
            at: Nanos(millis * MILLI),
            interface: self.port(&parsed("ada")),
            direction: Direction::In,
            number: 1,
            length: 92,
            frame,
            tag,
        };
        self.evidence.sightings.push(sighting);
    }

    pub(super) fn lose(&mut self, flow: usize, numbers: std::ops::Range<usize>) {
        for packet in &mut self.evidence.flows[flow].packets[numbers] {
            packet.received = None;
        }
    }

    pub(super) fn verdict_of(&self, step: usize, kind: StepKind) -> (Outcome, String) {
        let verdicts = judge(&self.plan, &self.evidence);
        let promises = &self.plan.flows.promises;
        let promise = promises
            .iter()
            .find(|one| (one.step, one.kind) == (step, kind));
        let id = promise.unwrap().id;
        let verdict = verdicts
            .iter()
            .find(|verdict| verdict.promise == id)
            .unwrap();
        (verdict.outcome, verdict.fact.clone())
    }

    pub(super) fn secrecy(&self, step: usize) -> Outcome {
        self.verdict_of(step, StepKind::Leak).0
    }

    pub(super) fn service(&self) -> Outcome {
        self.verdict_of(1, StepKind::Outage).0
    }
}

pub(super) fn packet(flow: u16, number: u32) -> Option<Tag> {
    Some(Tag::Flow(FlowId(flow), number))
}

#[test]
fn flows_that_are_hidden_and_arrive_keep_every_promise() {
    let world = world();
    assert_eq!(
        [world.secrecy(0), world.secrecy(1), world.service()],
        [Held; 3]
    );
}

#[test]
fn a_readable_packet_breaks_the_promise_of_its_step_and_of_no_other() {
    for (millis, number, broken) in [(50, 4, 0), (150, 14, 1), (250, 24, 1)] {
        let mut world = world();
        world.leak(millis, "web", "db", packet(0, number));
        assert_eq!(world.secrecy(broken), Broken, "{millis}");
        assert_eq!(world.secrecy(1 - broken), Held, "{millis}");
    }
}

#[test]
fn a_window_is_measured_from_the_step_s_beginning() {
    let mut world = world();
    world.leak(150, "web", "db", packet(0, 14));
    world.leak(170, "web", "db", packet(0, 16));
    let window = step_windows(&world.plan, &world.evidence).remove(1);
    assert_eq!((window.leaked, window.leak), (2, Some((50_000, 70_000))));
}

#[test]
fn an_untagged_packet_of_a_protected_pair_is_a_leak_too() {
    let mut world = world();
    world.leak(150, "db", "web", None);
    assert_eq!(world.secrecy(1), Broken);
}

#[test]
fn unprotected_traffic_may_be_readable() {
    let mut world = world();
    world.leak(150, "web", "log", packet(1, 14));
    world.leak(150, "web", "log", None);
    assert_eq!(world.secrecy(1), Held);
}

#[test]
fn while_encryption_is_switched_off_or_on_packets_may_be_read() {
    for (action, wireguard, after) in [
        (Action::Disable, true, Held),
        (Action::Enable, false, Broken),
    ] {
        let mut world = stepped(action);
        world.plan.cluster.wireguard = wireguard;
        let at = |millis, number| {
            let mut world = world.clone();
            world.leak(millis, "web", "db", packet(0, number));
            let leaks = step_windows(&world.plan, &world.evidence);
            leaks.iter().map(|window| window.leaked).sum::<usize>()
        };
        assert_eq!(at(150, 14), 0, "under way");
        assert_eq!(at(205, 18), 0, "sent while it was under way");
        assert_eq!(at(250, 24), usize::from(after == Broken), "settled");
        assert_eq!(at(50, 4), usize::from(wireguard), "before");
    }
}

#[test]
fn a_sabotaged_node_is_excused_until_the_engine_has_seen_to_it() {
    use crate::plan::{Own, Settles, Tamper};
    let tamper = |node: &str| Action::Tamper {
        node: parsed(node),
        what: Tamper::Delete(Own::Rule),
        settles: Settles::Repaired,
    };
    for (node, millis, number, outcome) in [
        ("ada", 150, 14, Held),
        ("ada", 250, 24, Broken),
        ("bob", 150, 14, Broken),
    ] {
        let mut world = stepped(tamper(node));
        world.leak(millis, "web", "db", packet(0, number));
        assert_eq!(world.secrecy(1), outcome, "{node} {millis}");
    }
}

#[test]
fn a_budget_of_frames_is_kept_to_the_last_one_and_excuses_nothing() {
    use crate::plan::{Own, Settles, Tamper};
    let mut world = stepped(Action::Tamper {
        node: parsed("ada"),
        what: Tamper::Delete(Own::Rule),
        settles: Settles::Repaired,
    });
    world.leak(150, "web", "db", packet(0, 14));
    world.leak(160, "web", "db", packet(0, 15));
    for (budget, outcome) in [
        (None, Held),
        (Some(0), Broken),
        (Some(1), Broken),
        (Some(2), Held),
    ] {
        world.plan.steps[0].leaks = budget;
        assert_eq!(world.secrecy(1), outcome, "{budget:?}");
        let window = step_windows(&world.plan, &world.evidence).remove(1);
        let counted = if budget.is_some() { (2, 0) } else { (0, 2) };
        assert_eq!((window.leaked, window.excused), counted, "{budget:?}");
    }
    // Within the budget the rest must have been seen, too.
    let mut observers = world.evidence.observers.iter_mut();
    let fabric = observers.find(|observer| observer.place == Place::Fabric);
    fabric.unwrap().dropped_early = 1;
    assert_eq!(world.secrecy(1), Inconclusive);
}

#[test]
fn an_observer_that_dropped_frames_at_any_time_proves_nothing() {
    let mut world = world();
    let mut observers = world.evidence.observers.iter_mut();
    let fabric = observers.find(|observer| observer.place == Place::Fabric);
    fabric.unwrap().dropped_early = 1;
    assert_eq!(world.secrecy(1), Inconclusive);
    world.leak(150, "web", "db", packet(0, 14));
    assert_eq!(world.secrecy(1), Broken);
}

#[test]
fn a_port_that_has_shown_no_beacon_proves_nothing() {
    use crate::evidence::Round;
    for round in [Round::Armed, Round::Closing] {
        let mut world = world();
        let beacons: Vec<_> = world
            .evidence
            .beacons
            .iter()
            .filter(|one| one.round == round)
            .map(|one| one.id)
            .collect();
        let port = world.port(&parsed("ada"));
        let gone = |one: &Sighting| {
            one.interface == port
                && matches!(one.tag, Some(Tag::Beacon(id)) if beacons.contains(&id))
        };
        world.evidence.sightings.retain(|one| !gone(one));
        assert_eq!(world.secrecy(1), Inconclusive, "{round:?}");
    }
    assert!(
        world()
            .evidence
            .interfaces
            .iter()
            .any(|one| matches!(one.role, Role::Port(_)))
    );
}

#[test]
fn a_step_without_packets_or_that_never_ran_proves_nothing() {
    let mut quiet = world();
    for flow in &mut quiet.evidence.flows {
        flow.packets.truncate(5);
    }
    let mut unrun = world();
    unrun.evidence.steps.clear();
    for world in [quiet, unrun] {
        assert_eq!([world.secrecy(1), world.service()], [Inconclusive; 2]);
    }
}

#[test]
fn an_interruption_lasts_until_the_next_packet_that_arrives() {
    // Four lost packets make 40 ms, five the whole budget of 50 ms, six more than that.
    for (lost, outcome) in [(4, Held), (5, Held), (6, Broken)] {
        let mut world = world();
        world.lose(0, 12..12 + lost);
        assert_eq!(world.service(), outcome, "{lost}");
        let window = step_windows(&world.plan, &world.evidence).remove(1);
        let outage = window.outage.unwrap();
        assert_eq!((outage.micros, outage.lost), (lost as u64 * 10_000, lost));
    }
}

#[test]
fn an_interruption_belongs_to_the_step_in_which_it_began() {
    let mut world = world();
    world.lose(0, 2..12);
    assert_eq!(world.service(), Held);
}

#[test]
fn a_flow_of_a_node_that_is_cut_off_need_not_arrive() {
    let mut world = stepped(Action::Partition {
        node: parsed("cal"),
    });
    world.lose(1, 10..30);
    assert_eq!(world.service(), Held);
    world.lose(0, 10..30);
    assert_eq!(world.service(), Broken);
}

/// A datagram of a flow.
pub(super) fn plain_udp(source: IpAddr, destination: IpAddr) -> Frame {
    Frame::Ip(Packet {
        source,
        destination,
        length: 92,
        dont_fragment: true,
        fragment: None,
        payload: Payload::Udp {
            source_port: 50_000,
            destination_port: 7008,
        },
    })
}

#[test]
fn a_delay_is_one_only_if_packets_come_late() {
    let delay = |millis| ImpairmentKind::Delay {
        millis,
        jitter: 0,
        reorder: 0,
    };
    let mut world = world();
    world.plan.fabric.impairments = vec![Impairment {
        line: 9,
        node: Some(parsed("bob")),
        way: WireDirection::To,
        kind: delay(20),
    }];
    world.evidence.wire = vec![Tally {
        name: "line9".into(),
        packets: 30,
        bytes: 3_000,
    }];
    let unlike = |world: &World| {
        fabric_effects(&world.plan, &world.evidence)[0]
            .unlike
            .clone()
    };
    assert_eq!(
        unlike(&world).as_deref(),
        Some("30 of 30 packets came before 20 ms")
    );
    for packet in &mut world.evidence.flows[0].packets {
        packet.received = Some(packet.sent + 20_500);
    }
    assert_eq!(unlike(&world), None);
    // One that a later delay of the same node hides is never seen.
    let mut other = world.plan.fabric.impairments[0].clone();
    (other.line, other.kind) = (10, delay(2));
    world.plan.fabric.impairments.push(other);
    assert_eq!(
        unlike(&world).as_deref(),
        Some("no packet was there to be timed")
    );
    // Without flows the probes' round trips tell.
    world.plan.fabric.impairments.pop();
    world.plan.flows.flows.clear();
    assert!(unlike(&world).is_some());
    for probe in &mut world.evidence.probes {
        probe.round_trip_us = Some(20_000);
    }
    assert_eq!(unlike(&world), None);
}
