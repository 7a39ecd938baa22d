//! Outages of flows, and their steps.

use super::step_windows::{stepped, world};
use super::world::{World, parsed};
use crate::judge::duration;
use crate::judge::step_windows;
use crate::judge::step_windows::judge;
use crate::plan::{Action, FlowId, StepKind};
use crate::verdict::Outcome::{Broken, Held, Inconclusive};
use crate::verdict::Verdict;

/// The verdict about the step's interruptions.
fn verdict(world: &World) -> Verdict {
    judge(&world.plan, &world.evidence).remove(2)
}

/// The longest interruption before the step that begins at 100 ms, and the longest in it: of which
/// flow, of how many milliseconds, of how many packets.
fn longest(world: &World) -> Vec<Option<(FlowId, u64, usize)>> {
    let all = step_windows(&world.plan, &world.evidence);
    let outages = all.into_iter().map(|window| window.outage);
    outages
        .map(|outage| outage.map(|it| (it.flow, it.micros / 1_000, it.lost)))
        .collect()
}

const FIRST: FlowId = FlowId(0);
const SECOND: FlowId = FlowId(1);

#[test]
fn the_longest_outage_of_all_flows_is_reported() {
    let mut world = world();
    assert_eq!(longest(&world), [None, None]);
    assert_eq!(
        verdict(&world).fact,
        "no flow was interrupted for longer than 50 ms"
    );
    // Packet 12 is sent at 130 ms.
    world.lose(0, 12..18);
    assert_eq!(longest(&world), [None, Some((FIRST, 60, 6))]);
    let only = verdict(&world);
    assert_eq!(only.outcome, Broken);
    assert_eq!(only.fact, "a flow was interrupted for longer than 50 ms");
    assert_eq!(only.notes, ["web → db: 6 packets lost in 60 ms"]);
    world.lose(1, 15..23);
    assert_eq!(longest(&world), [None, Some((SECOND, 80, 8))]);
    assert_eq!(
        verdict(&world).notes,
        ["web → log: 8 packets lost in 80 ms"]
    );
    world.lose(1, 2..4);
    assert_eq!(longest(&world)[0], Some((SECOND, 20, 2)));
}

#[test]
fn one_that_does_not_end_lasts_until_the_last_packet() {
    let mut world = world();
    // 260 ms to 300 ms.
    world.lose(0, 25..30);
    assert_eq!(longest(&world), [None, Some((FIRST, 40, 5))]);
}

#[test]
fn one_ends_where_a_packet_need_not_arrive() {
    let mut world = stepped(Action::Partition {
        node: parsed("ada"),
    });
    world.lose(0, 4..20);
    // From 50 ms on, until the partition begins.
    assert_eq!(longest(&world), [Some((FIRST, 50, 5)), None]);
    let none = verdict(&world);
    let why = "no packet of a lasting flow was sent during it";
    assert_eq!((none.outcome, none.fact.as_str()), (Inconclusive, why));
    // While a step that ends the partition is under way nothing has to arrive yet.
    world.plan.steps.insert(0, world.plan.steps[0].clone());
    world.plan.steps[1].action = Action::Heal {
        node: parsed("ada"),
    };
    let mut heals = world.evidence.steps[0].clone();
    (heals.began.0, heals.settled.0) = (110_000_000, 160_000_000);
    world.evidence.steps[0].settled.0 = 105_000_000;
    world.evidence.steps.push(heals);
    let found = longest(&world);
    assert_eq!(found[..2], [Some((FIRST, 50, 5)), None]);
    // 170 ms to 210 ms.
    assert_eq!(found[2], Some((FIRST, 40, 4)));
}

#[test]
fn a_step_that_was_not_is_no_step() {
    let mut none = world();
    for step in [0, 7] {
        none.plan.flows.promises[2].step = step;
        assert_eq!(none.plan.flows.promises[2].kind, StepKind::Outage);
        let found = verdict(&none);
        let why = "the plan has no such step";
        assert_eq!((found.outcome, found.fact.as_str()), (Inconclusive, why));
    }
    let mut unrun = world();
    unrun.evidence.steps.clear();
    unrun.lose(0, 2..20);
    let found = verdict(&unrun);
    let why = "the step never ran";
    assert_eq!((found.outcome, found.fact.as_str()), (Inconclusive, why));
}

#[test]
fn packets_count_that_were_sent_in_the_step() {
    // Nothing is sent while it lasts; before it, something is.
    let mut quiet = world();
    for flow in &mut quiet.evidence.flows {
        flow.packets.truncate(9);
    }
    assert_eq!(verdict(&quiet).outcome, Inconclusive);
    // At 100 ms, when it begins.
    let mut one = world();
    for flow in &mut one.evidence.flows {
        flow.packets.truncate(10);
    }
    assert_eq!(verdict(&one).outcome, Held);
}

#[test]
fn times_are_printed_in_the_largest_unit_that_fits() {
    for (micros, expected) in [
        (0, "0 µs"),
        (999, "999 µs"),
        (1_000, "1 ms"),
        (50_400, "50 ms"),
        (999_999, "999 ms"),
        (1_000_000, "1 s"),
        (12_000_000, "12 s"),
        (1_500_000, "1.50 s"),
        (14_058_000, "14.05 s"),
    ] {
        assert_eq!(duration(micros), expected);
    }
}
