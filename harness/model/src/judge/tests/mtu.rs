//! Verdicts about MTUs: each word of the evidence that a verdict rests on changes it when it is changed.

use super::run_promises::judge_packets;
use super::sizes::*;
use super::world::*;
use crate::dataplane::LinkKind;
use crate::evidence::*;
use crate::frame::{Frame, Packet, Payload};
use crate::plan::*;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

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
fn without_what_a_node_looks_like_no_promise_about_sizes_is_decided() {
    after(
        |world| drop(world.evidence.nodes.remove(&parsed("ada"))),
        &[0, 1, 2, 3, 4, 5].map(|promise| (promise, Inconclusive)),
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
fn a_probe_that_was_not_sent_is_inconclusive() {
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
fn the_largest_packet_must_have_gone_through_the_tunnel() {
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
fn the_icmp_error_must_come_from_the_right_node_with_the_right_mtu() {
    after(|world| forget(world, 2, is_error), &[(TOO_LARGE, Broken)]);
    for (from, mtu) in [("ada", 1440), ("bob", 1340)] {
        after(
            |world| {
                forget(world, 2, is_error);
                let error = too_big(world, from, mtu);
                see(world, "web", "eth0", Direction::In, SizeId(2), error);
            },
            &[(TOO_LARGE, Broken)],
        );
    }
    // What somebody else hears does not help the sender.
    after(
        |world| {
            forget(world, 2, is_error);
            let error = too_big(world, "ada", 1340);
            see(world, "db", "eth0", Direction::In, SizeId(2), error);
        },
        &[(TOO_LARGE, Broken)],
    );
}

#[test]
fn a_refusal_by_the_sender_is_no_icmp_error_of_a_node() {
    after(
        |world| world.evidence.sizes[2].refused = Some(1340),
        &[(TOO_LARGE, Broken)],
    );
}

fn set_reporter(world: &mut World, hop: Hop) {
    let MtuKind::TooLarge { reported_by, .. } = &mut world.plan.limits.promises[TOO_LARGE].kind
    else {
        panic!("the promises have an order");
    };
    *reported_by = hop;
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
                set_reporter(world, Hop::Sender);
                world.evidence.sizes[2].refused = refused;
            },
            &expected,
        );
    }
}

#[test]
fn a_silent_loss_has_no_icmp_error() {
    after(
        |world| set_reporter(world, Hop::Nobody),
        &[(TOO_LARGE, Broken)],
    );
    after(
        |world| {
            set_reporter(world, Hop::Nobody);
            forget(world, 2, is_error);
        },
        &[],
    );
    after(
        |world| {
            set_reporter(world, Hop::Nobody);
            forget(world, 2, is_error);
            world.evidence.sizes[2].controls = 0;
        },
        &[(LARGEST, Inconclusive), (TOO_LARGE, Inconclusive)],
    );
}

#[test]
fn a_packet_that_may_be_fragmented_must_arrive() {
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
        let MtuKind::Bulk { arrives, .. } = &mut world.plan.limits.promises[BULK].kind else {
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

#[test]
fn the_fabric_s_icmp_error_comes_from_a_gateway_of_the_nodes() {
    for (from_gateway, expected) in [(true, vec![]), (false, vec![(TOO_LARGE, Broken)])] {
        after(
            |world| {
                set_reporter(world, Hop::Fabric);
                forget(world, 2, is_error);
                let mut error = too_big(world, "ada", 1340);
                if from_gateway {
                    error.source = world.plan.fabric.gateway.into();
                }
                see(world, "web", "eth0", Direction::In, SizeId(2), error);
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
        .filter(|link| link.kind == LinkKind::Tun)
    {
        link.mtu = 1400;
    }
    world.evidence.sizes[1].delivered = false;
    let verdicts = judge_packets(&world.plan, &world.evidence);
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
#[test]
fn a_packet_counts_where_its_sender_let_it_go_and_nowhere_else() {
    for id in [0, 1] {
        after(
            |world| {
                let mut interfaces = world.evidence.interfaces.iter();
                let pod = interfaces.find(|known| known.place.name() == "web");
                let pod = pod.unwrap().id;
                forget(world, id, |sighting| sighting.interface == pod);
            },
            &[(LARGEST, Inconclusive)],
        );
    }
}

#[test]
fn of_a_packet_that_is_lost_or_arrives_too_large_the_last_frames_are_shown_first() {
    let shown = |id: usize, delivered: bool| {
        let mut world = limited();
        world.evidence.sizes[id].delivered = delivered;
        let of_size = verdict(&world, LARGEST);
        assert_eq!(of_size.outcome, Broken);
        let frames = of_size.exhibits.iter();
        frames.map(|one| one.capture.clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown(1, false), ["ada.pcapng #1", "web.pcapng #1"]);
    assert_eq!(shown(2, true), ["web.pcapng #1", "web.pcapng #1"]);
}

/// Changes the packets of a size probe, not what the sockets report of them.
fn change(world: &mut World, id: u16, change: impl Fn(&mut Packet)) {
    for sighting in &mut world.evidence.sightings {
        if sighting.tag == Some(Tag::Size(SizeId(id)))
            && let Frame::Ip(packet) = &mut sighting.frame
            && !matches!(packet.payload, Payload::Icmp { .. })
        {
            change(packet);
        }
    }
}

#[test]
fn a_packet_counts_that_has_its_size_or_is_a_fragment_where_it_may_be() {
    use Family::{Ipv4, Ipv6};
    for (id, promise, family, length, fragment, counts) in [
        (1, LARGEST, Ipv4, 1340, false, true),
        (1, LARGEST, Ipv4, 1339, false, false),
        (1, LARGEST, Ipv4, 1340, true, false),
        (3, FRAGMENTED, Ipv4, 1341, false, true),
        (3, FRAGMENTED, Ipv4, 1339, true, true),
        (3, FRAGMENTED, Ipv4, 1339, false, false),
        (3, FRAGMENTED, Ipv6, 1341, false, true),
        (3, FRAGMENTED, Ipv6, 1339, true, true),
        (3, FRAGMENTED, Ipv6, 1339, false, false),
    ] {
        let open = [(promise, Inconclusive)];
        after(
            |world| {
                world.plan.limits.sizes[usize::from(id)].family = family;
                change(world, id, |packet| {
                    packet.length = length;
                    packet.fragment = fragment.then(|| piece(1, 0, true)).flatten();
                    // No packet of IPv6 is fragmented on its way.
                    packet.dont_fragment |= family == Ipv6;
                });
            },
            if counts { &[] } else { &open },
        );
    }
}

#[test]
fn a_node_s_packet_counts_as_sent_at_its_own_links_only() {
    for (at, direction, counts) in [
        ("ada", Direction::Out, true),
        ("bob", Direction::Out, false),
        ("ada", Direction::In, false),
    ] {
        let open = [(FRAGMENTED, Inconclusive)];
        after(
            |world| {
                forget(world, 3, |_| true);
                let probe = &mut world.plan.limits.sizes[3];
                (probe.from, probe.to) = (parsed("ada"), parsed("bob"));
                let (probe, id) = (probe.clone(), probe.id);
                let packet = sized(world, &probe);
                see(world, at, "eth0", direction, id, packet);
            },
            if counts { &[] } else { &open },
        );
    }
}

#[test]
fn where_the_devices_are_right_the_link_that_is_too_narrow_is_named() {
    // The devices follow from uplinks of 1500 bytes, and are 1440: with 60 more they fill them.
    let cause = |narrow: fn(&mut Plan)| {
        let mut world = limited();
        for seen in world.evidence.nodes.values_mut() {
            for link in &mut seen.dataplane.links {
                if link.kind == LinkKind::Tun {
                    link.mtu = 1440;
                }
            }
        }
        world.plan.cluster.cluster_type = None;
        world.plan.fabric.mtu = 1500;
        narrow(&mut world.plan);
        world.evidence.sizes[1].delivered = false;
        let verdict = verdict(&world, LARGEST);
        assert_eq!(verdict.outcome, Broken);
        verdict.why.unwrap().cause
    };
    let fabric = cause(|plan| plan.fabric.mtu = 1400);
    let of = |node: &str, what: &str| {
        format!(
            "packets of 1500 bytes from {node} are too large for {what}, which takes 1400: wireguard.cali carries 1440 and adds 60, and one of 1340 fits"
        )
    };
    let both = [of("ada", "the fabric"), of("bob", "the fabric")];
    assert_eq!(fabric, both.join("; and "));
    assert!(cause(|_| {}).starts_with("unknown"));
}
