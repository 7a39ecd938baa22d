//! Exhibits of frames, and the totals of the tunnel's packets.

use super::world::{World, mixed, parsed, piece};
use crate::evidence::{Direction, Role};
use crate::frame::{Frame, Payload};
use crate::judge::outer_packets;
use crate::plan::Family;

#[test]
fn a_frame_is_shown_with_its_place_and_its_direction() {
    let pair = "web > db udp";
    let mut world = mixed();
    let mut leak = world.request(pair);
    (leak.interface, leak.direction) = (world.port(&parsed("ada")), Direction::In);
    world.evidence.sightings.push(leak);
    let shown = &world.verdict(pair).exhibits[0];
    assert!(shown.capture.starts_with("fabric.pcapng #"), "{shown:?}");
    assert!(shown.frame.starts_with("port ada in: "), "{shown:?}");
    let mut ended = mixed();
    let (tag, tunnel) = (ended.request(pair).tag, ended.tunnel(&parsed("ada")));
    ended.remove(|one| one.tag == tag && one.interface == tunnel);
    let shown = &ended.verdict(pair).exhibits[0];
    assert!(shown.frame.starts_with("ada azv"), "{shown:?}");
}

/// The first message that came out of a node onto the wire.
fn first_message(world: &mut World) -> &mut crate::frame::Packet {
    let interfaces = world.evidence.interfaces.clone();
    let mut sightings = world.evidence.sightings.iter_mut();
    let found = sightings.find(|one| {
        let role = &interfaces[usize::from(one.interface.0)].role;
        let packet = one.frame.packet();
        one.direction == Direction::In
            && matches!(role, Role::Port(_))
            && packet.is_some_and(|it| matches!(it.payload, Payload::WireGuard { .. }))
    });
    let Frame::Ip(packet) = &mut found.unwrap().frame else {
        panic!("a packet");
    };
    packet
}

#[test]
fn the_tunnel_s_packets_are_counted_once_as_they_come_out_of_nodes() {
    let mut world = mixed();
    let of = |world: &World| outer_packets(&world.plan, &world.evidence);
    let before = of(&world)[&Family::Ipv4];
    assert!(before.packets > 0);
    assert_eq!(of(&world).len(), 1, "one family");
    let packet = first_message(&mut world);
    packet.length = 9_000;
    packet.fragment = piece(1, 0, true);
    packet.dont_fragment = !packet.dont_fragment;
    let set = packet.dont_fragment;
    let after = of(&world)[&Family::Ipv4];
    assert_eq!(
        (after.largest, after.fragmented),
        (9_000, before.fragmented + 1)
    );
    let df = match set {
        true => before.dont_fragment + 1,
        false => before.dont_fragment - 1,
    };
    assert_eq!((after.packets, after.dont_fragment), (before.packets, df));
    // To another port it is none of the tunnel's.
    if let Payload::WireGuard {
        destination_port, ..
    } = &mut first_message(&mut world).payload
    {
        *destination_port = 9;
    }
    assert_eq!(of(&world)[&Family::Ipv4].packets, before.packets - 1);
    // Inside a node nothing is on the wire.
    let uplinks: Vec<_> = ["ada", "bob", "cal"]
        .map(|node| world.uplink(&parsed(node)))
        .into();
    let ports: Vec<_> = ["ada", "bob", "cal"]
        .map(|node| world.port(&parsed(node)))
        .into();
    for sighting in &mut world.evidence.sightings {
        if let Some(place) = ports.iter().position(|port| *port == sighting.interface) {
            sighting.interface = uplinks[place];
        }
    }
    assert!(of(&world).is_empty());
}
