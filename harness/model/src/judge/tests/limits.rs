//! What is promised about the sizes of packets: each word of the evidence that a verdict rests on
//! changes it when it is changed.

use super::world::*;
use crate::evidence::*;
use crate::frame::{Frame, Packet, Payload};
use crate::judge::judge;
use crate::name::IfName;
use crate::plan::*;
use crate::tag::Tag;
use crate::verdict::Outcome;

/// The pods of two encrypting nodes, `web` on ada and `db` on bob, with all that is promised of a
/// largest packet of 1340 bytes, and evidence in which it holds.
fn limited() -> World {
    let mut world = mixed();
    let first = world.plan.promises.len();
    let size = |id: u16, size: u32, dont_fragment: bool| SizeProbe {
        id: SizeId(id),
        from: parsed("web"),
        to: parsed("db"),
        family: Family::Ipv4,
        size,
        dont_fragment,
    };
    let [below, at, above, whole] = [0, 1, 2, 3].map(SizeId);
    world.plan.limits.sizes = vec![
        size(0, 1339, true),
        size(1, 1340, true),
        size(2, 1341, true),
        size(3, 1341, false),
    ];
    world.plan.limits.bulks = vec![Bulk {
        id: SizeId(4),
        from: parsed("web"),
        to: parsed("db"),
        family: Family::Ipv4,
        bytes: 1000,
    }];
    let kinds = [
        LimitKind::Device {
            node: parsed("ada"),
            mtu: 1340,
        },
        LimitKind::Largest {
            below,
            at,
            above,
            encrypted: true,
        },
        LimitKind::TooLarge {
            above,
            mtu: 1340,
            told_by: Hop::Node(parsed("ada")),
        },
        LimitKind::Fragmented { sizes: vec![whole] },
        LimitKind::Bulk {
            bulk: SizeId(4),
            arrives: true,
        },
        LimitKind::Outer {
            from: parsed("ada"),
            to: parsed("bob"),
            mtu: 1500,
            fragments: false,
        },
    ];
    world.plan.limits.promises = (first..)
        .zip(kinds)
        .map(|(id, kind)| LimitPromise {
            id: PromiseId(u32::try_from(id).unwrap()),
            family: Family::Ipv4,
            kind,
            origin: Origin::Derived,
        })
        .collect();
    world.evidence.sizes = [true, true, false, true]
        .into_iter()
        .zip(0..)
        .map(|(delivered, id)| SizeOutcome {
            id: SizeId(id),
            sent: 1,
            delivered,
            controls: 1,
            refused: None,
            error: None,
        })
        .collect();
    world.evidence.bulks = vec![BulkOutcome {
        id: SizeId(4),
        connected: true,
        received: 1000,
        error: None,
    }];
    for probe in world.plan.limits.sizes.clone() {
        let packet = sized(&world, &probe);
        see(
            &mut world,
            "web",
            "eth0",
            Direction::Out,
            probe.id,
            packet.clone(),
        );
        if probe.size <= 1340 {
            see(
                &mut world,
                "ada",
                "wireguard.cali",
                Direction::Out,
                probe.id,
                packet,
            );
        }
    }
    let told = too_big(&world, "ada", 1340);
    see(&mut world, "web", "eth0", Direction::In, above, told);
    world
}

/// A packet of a size probe.
fn sized(world: &World, probe: &SizeProbe) -> Packet {
    let address = |name| world.plan.endpoint(name).unwrap().address.into();
    Packet {
        source: address(&probe.from),
        destination: address(&probe.to),
        length: probe.size,
        dont_fragment: probe.dont_fragment,
        fragment: false,
        payload: Payload::Udp {
            source_port: 40_000,
            destination_port: 7009,
        },
    }
}

/// "Fragmentation needed", from a node to `web`.
fn too_big(world: &World, from: &str, mtu: u32) -> Packet {
    let address = |name: &str| world.plan.endpoint(&parsed(name)).unwrap().address.into();
    Packet {
        source: address(from),
        destination: address("web"),
        length: 576,
        dont_fragment: false,
        fragment: false,
        payload: Payload::Icmp {
            kind: 3,
            code: 4,
            mtu: Some(mtu),
            quoted: None,
        },
    }
}

fn see(
    world: &mut World,
    place: &str,
    interface: &str,
    direction: Direction,
    id: SizeId,
    packet: Packet,
) {
    let name: IfName = parsed(interface);
    let mut interfaces = world.evidence.interfaces.iter();
    let found = interfaces.find(|known| known.place.name() == place && known.name == name);
    let interface = found.expect("the world observes it").id;
    let last = world.evidence.sightings.last().map_or(0, |last| last.at.0);
    world.evidence.sightings.push(Sighting {
        at: Nanos(last + 1),
        interface,
        direction,
        number: 1,
        length: packet.length + 14,
        frame: Frame::Ip(packet),
        tag: Some(Tag::Size(id)),
    });
}

/// How each promise about sizes was decided.
fn outcomes(world: &World) -> Vec<Outcome> {
    let verdicts = judge(&world.plan, &world.evidence);
    let first = world.plan.limits.promises[0].id;
    let sizes = verdicts.iter().filter(|verdict| verdict.promise >= first);
    sizes.map(|verdict| verdict.outcome).collect()
}

/// The promises, in the order of the plan.
const DEVICE: usize = 0;
const LARGEST: usize = 1;
const TOO_LARGE: usize = 2;
const FRAGMENTED: usize = 3;
const BULK: usize = 4;
const OUTER: usize = 5;

/// After `change` these promises come to that, and all others hold.
fn after(change: impl FnOnce(&mut World), expected: &[(usize, Outcome)]) {
    let mut world = limited();
    change(&mut world);
    let mut all = vec![Outcome::Held; 6];
    for (promise, outcome) in expected {
        all[*promise] = *outcome;
    }
    assert_eq!(outcomes(&world), all);
}

/// The sightings of a size probe that `keep` is true of are dropped.
fn forget(world: &mut World, id: u16, forget: impl Fn(&Sighting) -> bool) {
    let tag = Some(Tag::Size(SizeId(id)));
    let sightings = &mut world.evidence.sightings;
    sightings.retain(|sighting| sighting.tag != tag || !forget(sighting));
}

fn is_error(sighting: &Sighting) -> bool {
    let packet = sighting.frame.packet();
    packet.is_some_and(|packet| matches!(packet.payload, Payload::Icmp { .. }))
}

use Outcome::{Broken, Inconclusive};

#[test]
fn all_of_it_holds() {
    after(|_| {}, &[]);
}

#[test]
fn a_device_has_its_mtu() {
    after(
        |world| {
            let plane = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
            let mut links = plane.dataplane.links.iter_mut();
            let device = links.find(|link| link.name.as_str() == "wireguard.cali");
            device.unwrap().mtu += 20;
        },
        &[(DEVICE, Broken)],
    );
}

#[test]
fn a_device_that_is_missing_has_none() {
    after(
        |world| {
            let plane = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
            let links = &mut plane.dataplane.links;
            links.retain(|link| link.name.as_str() != "wireguard.cali");
        },
        &[(DEVICE, Broken)],
    );
}

#[test]
fn a_node_that_nobody_looked_at_may_have_any() {
    after(
        |world| drop(world.evidence.nodes.remove(&parsed("ada"))),
        &[(DEVICE, Inconclusive)],
    );
}

#[test]
fn the_largest_must_arrive_and_so_must_less() {
    for id in [0, 1] {
        after(
            |world| world.evidence.sizes[id].delivered = false,
            &[(LARGEST, Broken)],
        );
    }
}

#[test]
fn one_more_byte_must_not_arrive() {
    after(
        |world| world.evidence.sizes[2].delivered = true,
        &[(LARGEST, Broken), (TOO_LARGE, Broken)],
    );
}

#[test]
fn that_it_does_not_arrive_needs_a_small_one_that_does() {
    after(
        |world| world.evidence.sizes[2].controls = 0,
        &[(LARGEST, Inconclusive)],
    );
}

#[test]
fn what_was_not_tried_is_open() {
    after(
        |world| drop(world.evidence.sizes.remove(1)),
        &[(LARGEST, Inconclusive)],
    );
    after(
        |world| drop(world.evidence.sizes.remove(2)),
        &[(LARGEST, Inconclusive), (TOO_LARGE, Inconclusive)],
    );
    after(
        |world| drop(world.evidence.sizes.remove(3)),
        &[(FRAGMENTED, Inconclusive)],
    );
    after(
        |world| world.evidence.bulks.clear(),
        &[(BULK, Inconclusive)],
    );
}

#[test]
fn a_packet_that_nobody_saw_as_it_was_meant_proves_nothing() {
    for (id, promise) in [(0, LARGEST), (1, LARGEST), (2, LARGEST), (3, FRAGMENTED)] {
        after(
            |world| forget(world, id, |sighting| sighting.direction == Direction::Out),
            &[(promise, Inconclusive)],
        );
    }
    // Of the right size and with the wrong DF bit.
    for (id, promise) in [(1, LARGEST), (3, FRAGMENTED)] {
        after(
            |world| {
                for sighting in &mut world.evidence.sightings {
                    if sighting.tag == Some(Tag::Size(SizeId(id)))
                        && let Frame::Ip(packet) = &mut sighting.frame
                    {
                        packet.dont_fragment = !packet.dont_fragment;
                    }
                }
            },
            &[(promise, Inconclusive)],
        );
    }
}

#[test]
fn what_arrives_must_have_gone_through_the_tunnel() {
    after(
        |world| {
            let tunnel = |known: &&Interface| known.role == Role::Tunnel;
            let mut interfaces = world.evidence.interfaces.iter();
            let ids: Vec<_> = interfaces
                .by_ref()
                .filter(tunnel)
                .map(|known| known.id)
                .collect();
            forget(world, 1, |sighting| ids.contains(&sighting.interface));
        },
        &[(LARGEST, Broken)],
    );
}

#[test]
fn the_sender_must_be_told_by_the_right_node_of_the_right_mtu() {
    after(|world| forget(world, 2, is_error), &[(TOO_LARGE, Broken)]);
    for (from, mtu) in [("ada", 1440), ("bob", 1340)] {
        after(
            |world| {
                forget(world, 2, is_error);
                let told = too_big(world, from, mtu);
                see(world, "web", "eth0", Direction::In, SizeId(2), told);
            },
            &[(TOO_LARGE, Broken)],
        );
    }
    // What somebody else hears does not help the sender.
    after(
        |world| {
            forget(world, 2, is_error);
            let told = too_big(world, "ada", 1340);
            see(world, "db", "eth0", Direction::In, SizeId(2), told);
        },
        &[(TOO_LARGE, Broken)],
    );
}

#[test]
fn a_sender_that_refuses_is_no_node_that_tells() {
    after(
        |world| world.evidence.sizes[2].refused = Some(1340),
        &[(TOO_LARGE, Broken)],
    );
}

fn told_by(world: &mut World, hop: Hop) {
    let LimitKind::TooLarge { told_by, .. } = &mut world.plan.limits.promises[TOO_LARGE].kind
    else {
        panic!("the promises have an order");
    };
    *told_by = hop;
}

#[test]
fn a_sender_s_kernel_refuses_with_the_right_mtu() {
    for (refused, expected) in [
        (Some(1340), vec![]),
        (Some(1440), vec![(TOO_LARGE, Broken)]),
        (None, vec![(TOO_LARGE, Broken)]),
    ] {
        after(
            |world| {
                told_by(world, Hop::Sender);
                world.evidence.sizes[2].refused = refused;
            },
            &expected,
        );
    }
}

#[test]
fn what_is_lost_without_a_word_is_told_by_nobody() {
    after(|world| told_by(world, Hop::Nobody), &[(TOO_LARGE, Broken)]);
    after(
        |world| {
            told_by(world, Hop::Nobody);
            forget(world, 2, is_error);
        },
        &[],
    );
    after(
        |world| {
            told_by(world, Hop::Nobody);
            forget(world, 2, is_error);
            world.evidence.sizes[2].controls = 0;
        },
        &[(LARGEST, Inconclusive), (TOO_LARGE, Inconclusive)],
    );
}

#[test]
fn what_may_be_fragmented_must_arrive() {
    after(
        |world| world.evidence.sizes[3].delivered = false,
        &[(FRAGMENTED, Broken)],
    );
}

#[test]
fn a_transfer_arrives_whole() {
    after(
        |world| world.evidence.bulks[0].received = 999,
        &[(BULK, Broken)],
    );
}

#[test]
fn a_transfer_that_must_die_has_to_have_stood() {
    let dies = |world: &mut World| {
        let LimitKind::Bulk { arrives, .. } = &mut world.plan.limits.promises[BULK].kind else {
            panic!("the promises have an order");
        };
        *arrives = false;
    };
    after(dies, &[(BULK, Broken)]);
    for (connected, expected) in [(true, vec![]), (false, vec![(BULK, Broken)])] {
        after(
            |world| {
                dies(world);
                world.evidence.bulks[0].received = 0;
                world.evidence.bulks[0].connected = connected;
            },
            &expected,
        );
    }
}

/// Changes one of the tunnel's packets from ada to bob where it comes out of ada.
fn change_outer(world: &mut World, change: impl Fn(&mut Packet)) {
    let from = world.plan.endpoint(&parsed("ada")).unwrap().address;
    let mut sightings = world.evidence.sightings.iter_mut();
    let packet = sightings.find_map(|sighting| {
        let here = sighting.direction == Direction::In;
        let Frame::Ip(packet) = &mut sighting.frame else {
            return None;
        };
        let ours = packet.source == std::net::IpAddr::from(from)
            && matches!(packet.payload, Payload::WireGuard { .. });
        (here && ours).then_some(packet)
    });
    change(packet.expect("the world has some"));
}

#[test]
fn no_packet_of_the_tunnel_is_too_large_or_a_fragment() {
    after(
        |world| change_outer(world, |packet| packet.length = 1501),
        &[(OUTER, Broken)],
    );
    after(
        |world| change_outer(world, |packet| packet.fragment = true),
        &[(OUTER, Broken)],
    );
}

#[test]
fn where_fragments_are_what_has_to_be_there_is_one() {
    let expect = |world: &mut World| {
        let LimitKind::Outer { fragments, .. } = &mut world.plan.limits.promises[OUTER].kind else {
            panic!("the promises have an order");
        };
        *fragments = true;
    };
    after(expect, &[(OUTER, Broken)]);
    after(
        |world| {
            expect(world);
            change_outer(world, |packet| packet.fragment = true);
        },
        &[],
    );
}

#[test]
fn where_there_was_no_packet_of_the_tunnel_none_was_small_enough() {
    after(
        |world| {
            world.evidence.sightings.retain(|sighting| {
                let packet = sighting.frame.packet();
                !packet.is_some_and(|packet| matches!(packet.payload, Payload::WireGuard { .. }))
            });
        },
        &[(OUTER, Broken)],
    );
}

#[test]
fn what_goes_the_other_way_or_into_a_node_is_not_this_way_s() {
    after(
        |world| {
            let bob = world.address_of("bob");
            let other = world.evidence.sightings.iter_mut().find_map(|sighting| {
                let back = sighting.direction == Direction::In;
                let Frame::Ip(packet) = &mut sighting.frame else {
                    return None;
                };
                let ours =
                    packet.source == bob && matches!(packet.payload, Payload::WireGuard { .. });
                (back && ours).then_some(packet)
            });
            other.unwrap().length = 9_000;
        },
        &[],
    );
    after(
        |world| {
            let ada = world.address_of("ada");
            let into = world.evidence.sightings.iter_mut().find_map(|sighting| {
                let out = sighting.direction == Direction::Out;
                let Frame::Ip(packet) = &mut sighting.frame else {
                    return None;
                };
                let ours =
                    packet.source == ada && matches!(packet.payload, Payload::WireGuard { .. });
                (out && ours).then_some(packet)
            });
            into.unwrap().length = 9_000;
        },
        &[],
    );
}

#[test]
fn the_fabric_tells_from_a_gateway_of_the_nodes() {
    for (from_gateway, expected) in [(true, vec![]), (false, vec![(TOO_LARGE, Broken)])] {
        after(
            |world| {
                told_by(world, Hop::Fabric);
                forget(world, 2, is_error);
                let mut told = too_big(world, "ada", 1340);
                if from_gateway {
                    told.source = world.plan.fabric.gateway.into();
                }
                see(world, "web", "eth0", Direction::In, SizeId(2), told);
            },
            &expected,
        );
    }
}

#[test]
fn only_a_broken_promise_is_explained_and_by_its_own_nodes() {
    let mut world = limited();
    let bob = world.evidence.nodes.get_mut(&parsed("bob")).unwrap();
    for link in bob
        .dataplane
        .links
        .iter_mut()
        .filter(|link| link.kind == "tun")
    {
        link.mtu = 1400;
    }
    world.evidence.sizes[1].delivered = false;
    let verdicts = judge(&world.plan, &world.evidence);
    let first = world.plan.promises.len();
    for (kind, verdict) in verdicts[first..].iter().enumerate() {
        let broken = verdict.outcome == Broken;
        assert_eq!(verdict.why.is_some(), broken, "{kind}");
        // It is about web on ada and db on bob: bob's device is not what it must be.
        let cause = verdict.why.as_ref().map(|why| why.cause.as_str());
        assert!(cause.is_none_or(|cause| cause.contains("bob")), "{cause:?}");
    }
    assert_eq!(verdicts[first + LARGEST].outcome, Broken);
}
