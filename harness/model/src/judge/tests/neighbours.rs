//! Losses while the kernel's table of neighbours was full.

use super::step_windows;
use super::world::{mixed, parsed};
use crate::evidence::Direction;
use crate::judge::step_windows::judge;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

const PAIR: &str = "web > db udp";
const FULL: &str = "the machine's neighbour table was full, which drops packets: 3 new neighbours were refused \
     (run fewer labs at once, or raise net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3)";

#[test]
fn a_lost_packet_proves_nothing_then() {
    let mut world = mixed();
    let id = world.promise(PAIR).probe;
    let db = world.pod_uplink(&parsed("db"));
    world.remove(|one| one.tag == Some(Tag::Probe(id)) && one.interface == db);
    let lost = world.verdict(PAIR);
    assert_eq!(lost.outcome, Broken, "{}", lost.fact);
    world.evidence.neighbours_refused = 3;
    world.check(PAIR, Inconclusive, &format!("{}; {FULL}", lost.fact));
    assert_eq!(world.verdict(PAIR).why, None);
}

#[test]
fn a_readable_packet_was_readable_all_the_same() {
    let mut world = mixed();
    let mut sighting = world.request(PAIR);
    sighting.interface = world.port(&parsed("ada"));
    sighting.direction = Direction::In;
    world.evidence.sightings.push(sighting);
    world.evidence.neighbours_refused = 3;
    assert_eq!(world.verdict(PAIR).outcome, Broken);
}

#[test]
fn a_full_neighbour_table_does_not_change_held_promises() {
    let mut world = mixed();
    let before = world.verdict(PAIR);
    world.evidence.neighbours_refused = 3;
    assert_eq!(world.verdict(PAIR), before);
}

#[test]
fn an_interruption_proves_nothing_then() {
    let mut world = step_windows::world();
    world.lose(0, 12..18);
    let outage = |world: &super::world::World| judge(&world.plan, &world.evidence).remove(2);
    assert_eq!(outage(&world).outcome, Broken);
    world.evidence.neighbours_refused = 3;
    let open = outage(&world);
    assert_eq!(open.outcome, Inconclusive);
    assert!(open.fact.ends_with(FULL), "{}", open.fact);
}
