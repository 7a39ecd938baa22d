//! Verdicts about budgets of steps: the time to settle, and the engine's kernel writes.

use std::collections::BTreeMap;

use super::run_promises::wrong;
use super::step_windows::{MILLI, stepped};
use super::world::{World, parsed};
use crate::evidence::Nanos;
use crate::plan::Action;
use crate::verdict::Outcome;

/// A step that has settled after exactly 100 ms.
fn world() -> World {
    let mut world = stepped(Action::KillEngine { node: None });
    let step = &mut world.evidence.steps[0];
    step.settled = Nanos(step.began.0 + 100 * MILLI);
    world
}

fn breaches(world: &World) -> Vec<String> {
    let all = wrong(&world.plan, &world.evidence);
    all.iter().map(|one| one.text()).collect()
}

#[test]
fn a_budget_of_time_is_kept_to_the_last_microsecond() {
    for (within, late) in [(None, false), (Some(100), false), (Some(99), true)] {
        let mut world = world();
        world.plan.steps[0].settles_within = within;
        let expected = "line 1, step 1 had not settled after 99 ms";
        let expected: &[&str] = if late { &[expected] } else { &[] };
        assert_eq!(breaches(&world), expected);
    }
    let mut world = world();
    world.plan.steps[0].settles_within = Some(100);
    world.evidence.steps[0].settled.0 += 1_000;
    let all = wrong(&world.plan, &world.evidence);
    assert_eq!(all[0].outcome, Outcome::Broken);
}

#[test]
fn writes_that_the_engine_announces_and_notifications_of_the_kernel_both_count() {
    let written = |most: Option<u32>, writes: u64, notes: u64| {
        let mut world = world();
        world.plan.steps[0].writes = most;
        let step = &mut world.evidence.steps[0];
        step.writes = BTreeMap::from([(parsed("ada"), writes), (parsed("bob"), 0)]);
        let kinds = BTreeMap::from([("routes".to_owned(), notes)]);
        step.notifications = BTreeMap::from([(parsed("ada"), kinds)]);
        world
    };
    for (most, writes, notes) in [(None, 9, 9), (Some(2), 2, 2), (Some(0), 0, 0)] {
        assert_eq!(
            breaches(&written(most, writes, notes)),
            Vec::<String>::new()
        );
    }
    assert_eq!(
        breaches(&written(Some(2), 3, 0)),
        ["line 1, step 1: 3 kernel writes, not at most 2"]
    );
    let observed = written(Some(2), 0, 3);
    assert_eq!(
        breaches(&observed),
        ["line 1, step 1: 3 notifications of the kernel (ada: 3 of routes), not at most 2"]
    );
    let note = |world: &World| wrong(&world.plan, &world.evidence)[0].notes.clone();
    assert_eq!(note(&observed), ["no agent has announced any"]);
    let announced = written(Some(2), 3, 0);
    assert_eq!(note(&announced), ["announced: ada 3"]);
}

#[test]
fn a_run_that_was_skipped_breaks_nothing() {
    let mut world = world();
    world.plan.steps[0].settles_within = Some(1);
    assert_eq!(breaches(&world).len(), 1);
    world.evidence.skipped = Some("there is no netem".into());
    assert_eq!(breaches(&world), Vec::<String>::new());
    let verdicts = world.verdicts();
    assert_eq!(verdicts.len(), world.plan.every_promise().len());
    for verdict in verdicts {
        assert_eq!(verdict.outcome, Outcome::Skipped);
        assert_eq!(verdict.fact, "there is no netem");
    }
}
