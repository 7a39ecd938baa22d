//! Verdicts about another scenario's promises in a run that held its own.

use super::*;
use crate::evidence::Nanos;
use crate::judge::tests::run_promises::is_of_packets;
use crate::judge::tests::world::{World, mixed};
use crate::plan::{
    DataplaneCheck, DropBy, Family, MtuKind, MtuPromise, Origin, Patience, ProbeId, Protection,
    SizeId, SizeProbe, SpoofId, StepKind, StepPromise,
};
use crate::report::Report;

fn expected(world: &World, change: impl FnOnce(&mut Plan)) -> Rejudged {
    let mut wanted = world.plan.clone();
    change(&mut wanted);
    Rejudged::new(&world.plan, wanted).unwrap()
}

fn refused(world: &World, change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut wanted = world.plan.clone();
    change(&mut wanted);
    Rejudged::new(&world.plan, wanted).unwrap_err()
}

/// The outcome of the last promise.
fn last(expected: &Rejudged, world: &World) -> Outcome {
    let verdicts = expected.judge(&world.evidence);
    let every = expected.plan.every_promise().into_iter().zip(verdicts);
    let mut of_packets = every.filter(|(promise, _)| is_of_packets(&promise.kind));
    of_packets
        .next_back()
        .map(|(_, verdict)| verdict.outcome)
        .unwrap()
}

fn next_id(plan: &Plan) -> PromiseId {
    PromiseId(u32::try_from(plan.promises.len()).unwrap())
}

#[test]
fn the_same_promises_come_to_the_same() {
    let world = mixed();
    let same = expected(&world, |_| {});
    assert_eq!(same.judge(&world.evidence), world.verdicts());
    assert_eq!(same.plan, world.plan);
}

#[test]
fn another_promise_about_a_pair_is_judged_by_what_the_run_saw() {
    let world = mixed();
    let pair = world.promise("web > db udp");
    let other = expected(&world, |plan| {
        let promise = plan.promises.iter_mut().find(|one| one.id == pair.id);
        promise.unwrap().protection = Protection::Plaintext;
    });
    let verdicts = other.judge(&world.evidence);
    let broken = verdicts.iter().filter(|one| one.outcome == Outcome::Broken);
    let broken: Vec<_> = broken.map(|one| one.promise).collect();
    assert_eq!(broken, [pair.id]);
}

#[test]
fn probes_are_known_by_what_they_are_and_not_by_their_numbers() {
    let world = mixed();
    let other = expected(&world, |plan| {
        plan.probes.reverse();
        let last = u16::try_from(plan.probes.len()).unwrap() - 1;
        plan.probes
            .iter_mut()
            .for_each(|one| one.id.0 = last - one.id.0);
        plan.promises
            .iter_mut()
            .for_each(|one| one.probe.0 = last - one.probe.0);
    });
    assert_eq!(other.judge(&world.evidence), world.verdicts());
}

#[test]
fn a_pair_that_no_probe_went_between_is_open() {
    let world = mixed();
    let mut seen = world.plan.clone();
    let gone = seen.probes.pop().unwrap();
    let expected = Rejudged::new(&seen, world.plan.clone()).unwrap();
    let verdicts = expected.judge(&world.evidence);
    let of = verdicts
        .iter()
        .find(|one| one.promise.0 == u32::from(gone.id.0));
    assert_eq!(of.unwrap().outcome, Outcome::Inconclusive);
    assert_eq!(
        expected.plan.promises.last().unwrap().probe,
        ProbeId(u16::MAX)
    );
}

#[test]
fn a_packet_that_was_not_sent_is_open_though_another_size_was() {
    let world = mixed();
    let size = |id, size| SizeProbe {
        id: SizeId(id),
        from: world.promise("web > db udp").from,
        to: world.promise("web > db udp").to,
        family: Family::Ipv4,
        size,
        dont_fragment: false,
    };
    let mut seen = world.plan.clone();
    seen.limits.sizes = vec![size(0, 1000)];
    let mut wanted = seen.clone();
    wanted.limits.sizes = vec![size(0, 1200)];
    wanted.limits.promises = vec![MtuPromise {
        id: next_id(&wanted),
        family: Family::Ipv4,
        kind: MtuKind::Fragmented {
            sizes: vec![SizeId(0)],
        },
        origin: Origin::Derived,
    }];
    let expected = Rejudged::new(&seen, wanted).unwrap();
    assert_eq!(last(&expected, &world), Outcome::Inconclusive);
    assert_eq!(expected.plan.limits.sizes, [size(0, 1000), size(1, 1200)]);
}

#[test]
fn the_tunnels_packets_are_open_where_no_sizes_were_tried() {
    let world = mixed();
    let expected = expected(&world, |plan| {
        plan.limits.promises = vec![MtuPromise {
            id: next_id(plan),
            family: Family::Ipv4,
            kind: MtuKind::Outer {
                from: plan.nodes[0].name.clone(),
                to: plan.nodes[1].name.clone(),
                mtu: 1500,
                fragments: false,
            },
            origin: Origin::Derived,
        }];
    });
    assert_eq!(last(&expected, &world), Outcome::Inconclusive);
}

#[test]
fn packets_that_nobody_spoofed_are_open_and_not_missed_by_a_filter() {
    let world = mixed();
    let expected = expected(&world, |plan| plan.spoofs = vec![spoof(plan)]);
    assert_eq!(last(&expected, &world), Outcome::Inconclusive);
    let verdicts = expected.judge(&world.evidence);
    let report = Report::new(&expected.plan, &world.evidence, &verdicts);
    assert_eq!(report.exit_status(), 3);
}

#[test]
fn packets_that_were_spoofed_must_be_known_of() {
    let mut world = mixed();
    world.plan.spoofs = vec![spoof(&world.plan)];
    assert_eq!(
        refused(&world, |plan| plan.spoofs.clear()),
        ["spoof: one as web to db through cal in the run, none in the file"]
    );
}

fn spoof(plan: &Plan) -> Spoof {
    let name = |name: &str| name.parse().unwrap();
    Spoof {
        id: SpoofId(0),
        promise: next_id(plan),
        through: name("cal"),
        source: name("web"),
        to: name("db"),
        family: Family::Ipv4,
        drop: DropBy::ReversePath,
        line: 1,
    }
}

#[test]
fn a_dataplane_that_nobody_looked_at_is_open() {
    let world = mixed();
    let expected = expected(&world, |plan| {
        plan.facts = vec![DataplaneCheck {
            node: plan.nodes[0].name.clone(),
            after: Some(0),
            has: vec![],
            lacks: vec!["anything".into()],
            present: vec![],
            absent: vec![],
            line: 7,
        }];
    });
    let verdicts = expected.judge(&world.evidence);
    let report = Report::new(&expected.plan, &world.evidence, &verdicts);
    assert_eq!(report.exit_status(), 3);
    assert_eq!(
        report.failure("runs/1").lines().next(),
        Some("INCONCLUSIVE line 7, dataplane of ada at the start: nobody looked at it")
    );
}

#[test]
fn a_step_that_no_flow_went_through_is_open() {
    let mut world = mixed();
    world.evidence.start.settled = Nanos(1);
    let expected = expected(&world, |plan| {
        plan.flows.promises = vec![StepPromise {
            id: next_id(plan),
            step: 0,
            kind: StepKind::Leak,
        }];
    });
    assert_eq!(last(&expected, &world), Outcome::Inconclusive);
}

#[test]
fn a_run_on_a_slow_machine_has_as_much_longer_budgets_in_every_file() {
    let step = Step {
        action: crate::plan::Action::Enable,
        deadline: 3_000,
        outage: 1_000,
        leaks: None,
        settles_within: Some(2_000),
        line: 9,
        writes: None,
    };
    let mut world = mixed();
    world.plan.steps = vec![step.clone()];
    world.plan.wait_longer(Patience::times(5));
    let other = expected(&world, |plan| plan.steps = vec![step.clone()]);
    let judged = &other.plan.steps[0];
    assert_eq!(
        (judged.outage, judged.settles_within),
        (5_000, Some(10_000))
    );
}

#[test]
fn another_cluster_is_refused_with_each_difference() {
    let world = mixed();
    let different = refused(&world, |plan| {
        plan.nodes[0].address = [10, 240, 0, 9].into();
        plan.nodes[1].pods.clear();
        plan.fabric.mtu = 1300;
    });
    assert_eq!(
        different,
        [
            "fabric.mtu: 1400 in the run, 1300 in the file",
            "node.ada.address: 10.240.0.4 in the run, 10.240.0.9 in the file",
            "node.bob.pods.db: one in the run, none in the file",
        ]
    );
}

#[test]
fn a_client_that_is_not_in_the_file_is_a_difference_and_so_is_one_that_is_only_there() {
    let mut world = mixed();
    world.plan.clients = vec![world.plan.nodes[2].clone()];
    assert_eq!(
        refused(&world, |plan| plan.clients.clear()),
        ["client.cal: one in the run, none in the file"]
    );
    let mut named = mixed().plan;
    named.clients = vec![named.nodes[2].clone()];
    assert_eq!(
        Rejudged::new(&mixed().plan, named).unwrap_err(),
        ["client.cal: none in the run, one in the file"]
    );
}
