//! Any evidence gets a verdict for every promise.

use proptest::prelude::*;

use super::world::{World, mixed, seed};
use crate::evidence::{Direction, InterfaceId, Nanos, Sighting};
use crate::plan::ProbeId;
use crate::tag::{BeaconId, Tag};
use crate::verdict::Outcome;

/// What a careless editor does to one sighting.
fn garble(sighting: &mut Sighting, how: u8, number: u16) {
    match how % 6 {
        0 => sighting.interface = InterfaceId(number % 40),
        1 => sighting.at = Nanos(u64::from(number) * 977),
        2 => sighting.tag = Some(Tag::Probe(ProbeId(number))),
        3 => sighting.tag = Some(Tag::Beacon(BeaconId(number))),
        4 => sighting.direction = Direction::In,
        _ => sighting.tag = None,
    }
}

fn is_complete(world: &World) -> bool {
    let verdicts = world.verdicts();
    let every = world.plan.every_promise();
    verdicts.len() == every.len()
        && verdicts.iter().zip(&every).all(|(verdict, promise)| {
            verdict.promise == promise.id
                && !verdict.fact.is_empty()
                && verdict.outcome != Outcome::Skipped
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn garbled_and_shortened_evidence_is_judged(
        garbled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u16>()), 0..60),
        kept in 0_usize..5000,
        interfaces in 0_usize..40,
        probes in 0_usize..200,
        observers in 0_usize..12,
        beacons in 0_usize..300,
        turn in any::<prop::sample::Index>(),
    ) {
        let mut world = mixed();
        for (place, how, number) in garbled {
            garble(place.get_mut(&mut world.evidence.sightings), how, number);
        }
        let length = world.evidence.sightings.len();
        world.evidence.sightings.rotate_left(turn.index(length));
        world.evidence.sightings.truncate(kept);
        world.evidence.interfaces.truncate(interfaces);
        world.evidence.probes.truncate(probes);
        world.evidence.observers.truncate(observers);
        world.evidence.beacons.truncate(beacons);
        prop_assert!(is_complete(&world));
    }

    #[test]
    fn evidence_that_was_shuffled_is_judged_as_it_was(turn in any::<prop::sample::Index>()) {
        let world = mixed();
        let mut shuffled = world.clone();
        let length = shuffled.evidence.sightings.len();
        shuffled.evidence.sightings.rotate_left(turn.index(length));
        prop_assert_eq!(shuffled.verdicts(), world.verdicts());
    }

    /// Frames that were not seen can open or break a promise; they never prove one.
    #[test]
    fn less_evidence_never_proves_more(gone in prop::collection::vec(any::<prop::sample::Index>(), 1..40)) {
        let whole = mixed();
        let mut less = whole.clone();
        let victim = whole.request("web > db udp");
        less.see(victim.interface, victim.direction, &victim.frame, None);
        for place in &gone {
            let at = place.index(less.evidence.sightings.len());
            less.evidence.sightings.remove(at);
        }
        for (before, after) in whole.verdicts().iter().zip(less.verdicts()) {
            prop_assert!(after.outcome != Outcome::Held || before.outcome == Outcome::Held);
        }
    }
}

#[test]
fn evidence_survives_being_saved() {
    let world = seed();
    let text = serde_json::to_string(&world.evidence).unwrap();
    let mut loaded = world.clone();
    loaded.evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded.evidence, world.evidence);
    assert_eq!(loaded.verdicts(), world.verdicts());
}
