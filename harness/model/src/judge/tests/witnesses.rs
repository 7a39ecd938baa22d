//! Beacons that the wire's observer must have captured before silence about a flow proves anything.

use super::step_windows::stepped;
use super::world::{World, parsed};
use crate::evidence::{Beacon, Direction, Place, Round, Sighting};
use crate::judge::step_windows;
use crate::plan::{Action, Protocol};
use crate::tag::Tag;
use crate::verdict::Outcome::{self, Held, Inconclusive};

/// The run without what was seen, at cal's port, of the beacons that are like this.
fn without(world: &World, gone: impl Fn(&Beacon) -> bool) -> World {
    let mut world = world.clone();
    let port = world.port(&parsed("cal"));
    let gone = world.evidence.beacons.iter().filter(|one| gone(one));
    let gone: Vec<_> = gone.map(|one| one.id).collect();
    assert!(!gone.is_empty());
    let is_gone = |one: &Sighting| {
        one.interface == port && matches!(one.tag, Some(Tag::Beacon(id)) if gone.contains(&id))
    };
    world.evidence.sightings.retain(|one| !is_gone(one));
    world
}

/// The verdicts about secrecy before the step and in it, with their facts.
fn decided(world: &World) -> [(Outcome, String); 2] {
    let verdicts = step_windows::judge(&world.plan, &world.evidence);
    [0, 1].map(|step| (verdicts[step].outcome, verdicts[step].fact.clone()))
}

fn outcomes(world: &World) -> [Outcome; 2] {
    decided(world).map(|(outcome, _)| outcome)
}

#[test]
fn a_node_that_comes_or_goes_shows_what_it_can() {
    let killed = stepped(Action::KillEngine { node: None });
    let mut added = killed.clone();
    added.plan.steps[0].action = Action::AddNode {
        node: parsed("cal"),
    };
    added.plan.later = [parsed("cal"), parsed("log")].into();
    let mut removed = killed.clone();
    removed.plan.steps[0].action = Action::RemoveNode {
        node: parsed("cal"),
    };
    for (world, round, expected) in [
        (&killed, Round::Armed, [Inconclusive, Inconclusive]),
        (&killed, Round::Closing, [Inconclusive, Inconclusive]),
        // Before it comes nothing is asked of it, nor after it has gone.
        (&added, Round::Armed, [Held, Held]),
        (&added, Round::Closing, [Held, Inconclusive]),
        (&removed, Round::Armed, [Inconclusive, Held]),
        (&removed, Round::Closing, [Held, Held]),
    ] {
        let found = outcomes(&without(world, |beacon| beacon.round == round));
        let action = world.plan.steps[0].action.as_str();
        assert_eq!(found, expected, "{action} {round:?}");
    }
}

#[test]
fn the_protocols_of_flows_are_shown_and_no_others_are_asked_for() {
    let world = stepped(Action::KillEngine { node: None });
    for (protocol, expected) in [(Protocol::Udp, Inconclusive), (Protocol::Tcp, Held)] {
        let found = without(&world, |beacon| beacon.protocol == protocol);
        assert_eq!(outcomes(&found), [expected; 2], "{protocol:?}");
    }
    let lost = without(&world, |beacon| beacon.protocol == Protocol::Udp);
    let [_, (_, why)] = decided(&lost);
    let expected = "the observer of fabric has not shown that it sees udp at cal";
    assert_eq!(why, expected);
}

#[test]
fn beacons_towards_a_node_prove_nothing_about_frames_from_it() {
    let mut world = stepped(Action::KillEngine { node: None });
    let port = world.port(&parsed("cal"));
    for one in &mut world.evidence.sightings {
        if one.interface == port && matches!(one.tag, Some(Tag::Beacon(_))) {
            one.direction = Direction::Out;
        }
    }
    assert_eq!(outcomes(&world), [Inconclusive; 2]);
}

#[test]
fn without_an_observer_nothing_was_seen() {
    let mut world = stepped(Action::KillEngine { node: None });
    let observers = &mut world.evidence.observers;
    observers.retain(|observer| observer.place != Place::Fabric);
    let [_, (outcome, why)] = decided(&world);
    assert_eq!(
        (outcome, why.as_str()),
        (Inconclusive, "fabric has no observer")
    );
}

#[test]
fn protected_flows_are_counted_in_the_verdict() {
    let mut world = stepped(Action::Disable);
    let [before, during] = decided(&world);
    let expected = "not one frame of 1 protected flows was readable on the wire";
    assert_eq!(before, (Held, expected.into()));
    let expected = "no packet of a protected flow was sent during it";
    assert_eq!(during, (Inconclusive, expected.into()));
    world.plan.steps[0].action = Action::KillEngine { node: None };
    world.plan.flows.flows[1].to = parsed("db");
    world.plan.steps[0].leaks = Some(2);
    let [before, during] = decided(&world);
    let expected = "not one frame of 2 protected flows was readable on the wire";
    assert_eq!(before, (Held, expected.into()));
    let expected = "no more than 2 frames of 2 protected flows were readable on the wire";
    assert_eq!(during, (Held, expected.into()));
}
