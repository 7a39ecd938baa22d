//! Traits of made-up runs.

use super::*;
use crate::judge::tests::world::{World, mixed};

fn value(world: &World, what: &str) -> String {
    let all = observations(&world.plan, &world.evidence);
    let one = all.iter().find(|one| one.what == what);
    one.unwrap().value.clone()
}

#[test]
fn the_traits_of_a_run_are_those_that_were_observed() {
    let world = mixed();
    assert_eq!(value(&world, "outer packets' padding"), "to 16 bytes");
    assert_eq!(value(&world, "outer packets in fragments"), "none");
    assert_ne!(value(&world, "largest outer packet"), "no packet");
    assert_eq!(value(&world, "handshake answered after"), "never");
    let unpadded = World::run_padding(mixed().plan, 1);
    assert_eq!(value(&unpadded, "outer packets' padding"), "none");
}

#[test]
fn the_df_bit_of_outer_packets_shows() {
    let mut world = mixed();
    let before = value(&world, "outer packets' DF bit");
    for sighting in &mut world.evidence.sightings {
        if let crate::frame::Frame::Ip(packet) = &mut sighting.frame {
            packet.dont_fragment = !packet.dont_fragment;
        }
    }
    let after = value(&world, "outer packets' DF bit");
    assert_eq!([before.as_str(), after.as_str()], ["not set", "set"]);
}

#[test]
fn an_empty_run_has_traits_too() {
    let mut world = mixed();
    world.evidence = Evidence::none();
    assert_eq!(value(&world, "tunnel device"), "none");
    assert_eq!(value(&world, "outer packets' DF bit"), "no packet");
    assert!(dataplanes(&world.evidence).is_empty());
}
