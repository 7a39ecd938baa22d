//! Verdicts about encrypted pairs: what proves that a packet was encrypted, and what does not.

use super::readable::in_family;
use super::world::{World, mixed, parsed, seed, wireguard};
use crate::evidence::{Direction, Round, Sighting};
use crate::frame::{Frame, Message, Packet, Payload};
use crate::name::NodeName;
use crate::plan::Family;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Held};

const HELD: &str = "only ciphertext on the wire, tag entered and left wireguard.cali";

fn ada() -> NodeName {
    parsed("ada")
}

fn bob() -> NodeName {
    parsed("bob")
}

/// The transport messages that carry the tagged packet of a pair, by its length.
fn is_message_of(world: &World, pair: &str) -> impl Fn(&Sighting) -> bool + use<> {
    let packet = world.request(pair).frame.packet().unwrap().clone();
    let message = Message::Data {
        length: packet.length.div_ceil(16) * 16 + 32,
    };
    let tag = Some(Tag::Probe(world.promise(pair).probe));
    let times = world
        .evidence
        .sightings
        .iter()
        .filter(|s| s.tag == tag)
        .map(|s| s.at);
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    move |sighting| {
        let carried = sighting.frame.packet().map(|packet| &packet.payload);
        (first..=last).contains(&sighting.at)
            && matches!(carried, Some(Payload::WireGuard { message: seen, .. }) if *seen == message)
    }
}

/// Changes every transport message of a pair's request.
fn change(world: &mut World, pair: &str, change: impl Fn(&mut Packet)) {
    let is_message = is_message_of(world, pair);
    let mut changed = 0;
    for sighting in &mut world.evidence.sightings {
        if is_message(sighting)
            && let Frame::Ip(packet) = &mut sighting.frame
        {
            change(packet);
            changed += 1;
        }
    }
    assert!(changed >= 4, "{changed}");
}

fn set_message(packet: &mut Packet, new: Message) {
    if let Payload::WireGuard { message, .. } = &mut packet.payload {
        *message = new;
    }
}

#[test]
fn everything_holds_in_the_seed_cluster() {
    let world = seed();
    assert_eq!(world.plan.promises.len(), 216);
    for verdict in world.verdicts() {
        assert_eq!(verdict.outcome, Held, "{verdict:#?}");
    }
    world.check("pod-5 > pod-65 udp", Held, HELD);
    world.check("node-4 > node-64 tcp", Held, HELD);
}

#[test]
fn a_tunnel_that_never_pads_is_judged_by_the_packets_own_lengths() {
    let world = World::run_padding(mixed().plan, 1);
    world.check("web > db udp", Held, HELD);
    assert!(world.verdicts().iter().all(|one| one.outcome == Held));
}

#[test]
fn one_length_that_padding_never_makes_is_no_ciphertext_of_a_packet() {
    let mut world = mixed();
    change(&mut world, "web > db udp", |packet| {
        let Payload::WireGuard { message, .. } = &packet.payload else {
            return;
        };
        let Message::Data { length } = *message else {
            return;
        };
        set_message(packet, Message::Data { length: length - 3 });
    });
    let fact = "left wireguard.cali on bob, but no transport message of its length had left ada";
    world.check("web > db udp", Broken, fact);
    world.holds("web > db tcp");
}

#[test]
fn ciphertext_to_another_port_proves_nothing() {
    let mut world = mixed();
    change(&mut world, "web > db udp", |packet| {
        if let Payload::WireGuard {
            destination_port, ..
        } = &mut packet.payload
        {
            *destination_port = 4500;
        }
    });
    let fact = "left wireguard.cali on bob, but no transport message of its length had left ada";
    world.check("web > db udp", Broken, fact);
    // It is no message of the tunnel that is promised between the nodes, whatever it says.
    let fact = "a WireGuard message between the two nodes does not go between their endpoints";
    world.check("ada > bob udp", Broken, fact);
    world.holds("ada > bob tcp");
}

/// The tunnels of the other family carry packets of their own, and some are as long.
#[test]
fn ciphertext_of_the_other_family_s_tunnel_proves_nothing() {
    let mut world = mixed();
    world.plan.cluster.families = Family::ALL.to_vec();
    let port = world.plan.cluster.port(Family::Ipv6);
    change(&mut world, "web > db udp", |packet| {
        *packet = in_family(packet.clone(), Family::Ipv6);
        if let Payload::WireGuard {
            source_port,
            destination_port,
            ..
        } = &mut packet.payload
        {
            (*source_port, *destination_port) = (port, port);
        }
    });
    let fact = "left wireguard.cali on bob, but no transport message of its length had left ada";
    world.check("web > db udp", Broken, fact);
}

#[test]
fn ciphertext_of_another_length_proves_nothing() {
    let mut world = mixed();
    change(&mut world, "web > db udp", |packet| {
        set_message(packet, Message::Data { length: 496 })
    });
    let verdict = world.verdict("web > db udp");
    assert_eq!(verdict.outcome, Broken);
    assert!(
        verdict.fact.contains("no transport message of its length"),
        "{verdict:#?}"
    );
    assert!(verdict.notes[0].starts_with("a packet of "), "{verdict:#?}");
}

#[test]
fn a_keepalive_proves_nothing() {
    let mut world = mixed();
    change(&mut world, "web > db icmp", |packet| {
        set_message(packet, Message::Keepalive)
    });
    assert_eq!(world.verdict("web > db icmp").outcome, Broken);
}

#[test]
fn ciphertext_the_other_way_proves_nothing() {
    let mut world = mixed();
    change(&mut world, "web > db tcp", |packet| {
        std::mem::swap(&mut packet.source, &mut packet.destination);
    });
    assert_eq!(world.verdict("web > db tcp").outcome, Broken);
}

#[test]
fn ciphertext_that_never_reaches_the_other_port_proves_nothing() {
    let mut world = mixed();
    let (is_message, port) = (is_message_of(&world, "web > db udp"), world.port(&bob()));
    world.remove(|s| is_message(s) && s.interface == port);
    let fact = "left wireguard.cali on bob, but no transport message of its length had left the wire towards it";
    world.check("web > db udp", Broken, fact);
}

#[test]
fn one_message_proves_one_packet() {
    let mut world = mixed();
    let pair = "web > db udp";
    // Another copy of the packet crosses at the same time, and the wire shows one message.
    let tag = world.request(pair).tag;
    let ports = [world.port(&ada()), world.port(&bob())];
    let copies: Vec<_> = world
        .evidence
        .sightings
        .iter()
        .filter(|s| s.tag == tag && !ports.contains(&s.interface))
        .cloned()
        .collect();
    world.evidence.sightings.extend(copies);
    let fact = "a packet between the two left wireguard.cali on bob, and no transport message had carried it";
    world.check(pair, Broken, fact);
}

#[test]
fn a_message_that_comes_too_late_proves_nothing() {
    let mut world = mixed();
    let is_message = is_message_of(&world, "web > db udp");
    for sighting in world
        .evidence
        .sightings
        .iter_mut()
        .filter(|s| is_message(s))
    {
        sighting.at.0 += 1_000_000_000;
    }
    assert_eq!(world.verdict("web > db udp").outcome, Broken);
}

#[test]
fn a_message_that_came_before_the_packet_proves_nothing() {
    let mut world = mixed();
    let is_message = is_message_of(&world, "web > db udp");
    for sighting in world
        .evidence
        .sightings
        .iter_mut()
        .filter(|s| is_message(s))
    {
        sighting.at.0 = 1;
    }
    assert_eq!(world.verdict("web > db udp").outcome, Broken);
}

#[test]
fn a_message_from_another_port_proves_nothing() {
    let mut world = mixed();
    let is_message = is_message_of(&world, "web > db udp");
    let (right, wrong) = (world.port(&ada()), world.port(&bob()));
    for sighting in world
        .evidence
        .sightings
        .iter_mut()
        .filter(|s| is_message(s))
    {
        if sighting.interface == right {
            sighting.interface = wrong;
        }
    }
    assert_eq!(world.verdict("web > db udp").outcome, Broken);
}

#[test]
fn a_packet_that_left_before_it_entered_did_not_cross() {
    let mut world = mixed();
    let (tag, tunnel) = (world.request("web > db udp").tag, world.tunnel(&bob()));
    for sighting in world.at_interface(tunnel, Direction::In) {
        if sighting.tag == tag {
            sighting.at.0 = 1;
        }
    }
    let fact = "reached bob as ciphertext, then never left wireguard.cali there";
    world.check("web > db udp", Broken, fact);
}

/// Sightings of a pair's request, ciphertext included, a quarter of a second later.
fn copies(world: &World, pair: &str) -> Vec<Sighting> {
    let (tag, is_message) = (world.request(pair).tag, is_message_of(world, pair));
    let ours = |s: &&Sighting| s.tag == tag || is_message(s);
    let mut copies: Vec<_> = world
        .evidence
        .sightings
        .iter()
        .filter(ours)
        .cloned()
        .collect();
    for sighting in &mut copies {
        sighting.at.0 += 250_000_000;
    }
    copies
}

/// A pair's request of which only these stops were seen, and another packet of it later, likewise.
fn two_copies(pair: &str, first: &[usize], second: &[usize]) -> World {
    let mut world = mixed();
    let (tag, is_message) = (world.request(pair).tag, is_message_of(&world, pair));
    let mut later = copies(&world, pair);
    for sighting in later.iter_mut().filter(|one| one.tag == tag) {
        let Frame::Ip(packet) = &mut sighting.frame else {
            panic!("a packet");
        };
        packet.dont_fragment = false;
    }
    let mut stops = 0..;
    world.evidence.sightings.retain(|s| {
        let ours = s.tag == tag || is_message(s);
        !ours || stops.next().is_some_and(|stop| first.contains(&stop))
    });
    let later = later.into_iter().enumerate();
    let later = later.filter(|(stop, _)| second.contains(stop));
    let later = later.map(|(_, sighting)| sighting);
    world.evidence.sightings.extend(later);
    world
}

#[test]
fn the_copy_that_came_furthest_decides_where_a_packet_ended() {
    // The stops of the first copy that were seen, those of the second, and the end of the story.
    let rows: [(&str, &[usize], &[usize], &str); 5] = [
        (
            "web > db udp",
            &[0, 1, 2, 3, 4, 5, 6],
            &[0, 1, 2],
            "reached bob as ciphertext, then never left wireguard.cali there",
        ),
        (
            "web > db udp",
            &[2],
            &[0, 1, 2],
            "entered wireguard.cali on ada, then no transport message of its length left ada",
        ),
        (
            "web > db udp",
            &[0, 1, 2, 3, 4, 5, 6],
            &[0, 1, 2, 3, 4, 5, 6, 7],
            "left wireguard.cali on bob, then never left bob towards db",
        ),
        (
            "ada > db udp",
            &[0, 1, 2, 3, 4],
            &[0, 1, 2, 3, 4, 5],
            "left wireguard.cali on bob, then never left bob towards db",
        ),
        // Of two that came as far the first tells.
        (
            "web > db udp",
            &[0, 1, 2, 3, 4],
            &[0, 1, 2, 7],
            "left ada as ciphertext, which never left the wire towards bob",
        ),
    ];
    for (pair, first, second, fact) in rows {
        two_copies(pair, first, second).check(pair, Broken, fact);
    }
}

#[test]
fn the_stops_of_one_copy_do_not_prove_another() {
    let mut world = mixed();
    let pair = "web > db udp";
    let lost: Vec<_> = copies(&world, pair).into_iter().take(3).collect();
    let (tag, pod) = (world.request(pair).tag, world.pod_uplink(&parsed("web")));
    world.remove(|s| s.tag == tag && s.interface == pod);
    world.evidence.sightings.extend(lost);
    assert_eq!(world.verdict(pair).outcome, Broken);
}

#[test]
fn a_packet_that_was_sent_twice_is_proven_twice() {
    let mut world = mixed();
    let pair = "web > db udp";
    let again = copies(&world, pair);
    world.evidence.sightings.extend(again.clone());
    world.holds(pair);
    // The second copy is lost after the first was answered: nothing was read, and nothing is owed.
    let mut lost = mixed();
    lost.evidence.sightings.extend(again.into_iter().take(3));
    lost.holds(pair);
}

#[test]
fn ciphertext_that_never_leaves_is_lost_at_the_source() {
    let mut world = mixed();
    let pair = "web > db udp";
    let is_message = is_message_of(&world, pair);
    let (tag, tunnel) = (world.request(pair).tag, world.tunnel(&bob()));
    world.remove(|s| is_message(s) || (s.tag == tag && s.interface == tunnel));
    let fact = "entered wireguard.cali on ada, then no transport message of its length left ada";
    world.check(pair, Broken, fact);
}

#[test]
fn ciphertext_that_the_fabric_drops_is_lost_on_the_wire() {
    let mut world = mixed();
    let pair = "web > db udp";
    let (is_message, sender) = (is_message_of(&world, pair), world.port(&ada()));
    let (tag, tunnel) = (world.request(pair).tag, world.tunnel(&bob()));
    world.remove(|s| {
        (is_message(s) && s.interface != sender) || (s.tag == tag && s.interface == tunnel)
    });
    world.check(
        pair,
        Broken,
        "left ada as ciphertext, which never left the wire towards bob",
    );
}

#[test]
fn a_message_is_padded_up_to_the_device_s_mtu_and_no_further() {
    let pair = "web > db udp";
    let mut world = mixed();
    world.holds(pair);
    let Frame::Ip(Packet { length, .. }) = world.request(pair).frame else {
        panic!("a packet");
    };
    assert_ne!(length % 16, 0, "it has padding");
    // Of a device with just that MTU it would have none, and there is no such message.
    let links = &mut world
        .evidence
        .nodes
        .get_mut(&ada())
        .unwrap()
        .dataplane
        .links;
    for link in links
        .iter_mut()
        .filter(|link| link.name.as_str() == "wireguard.cali")
    {
        link.mtu = length;
    }
    assert_eq!(world.verdict(pair).outcome, Broken);
}

#[test]
fn a_packet_out_of_a_tunnel_without_a_message_counts_until_the_closing_beacons() {
    let pair = "web > db udp";
    let whole = mixed();
    let closing = whole.evidence.beacons.iter();
    let closing: Vec<_> = closing
        .filter(|beacon| beacon.round == Round::Closing)
        .map(|beacon| Some(Tag::Beacon(beacon.id)))
        .collect();
    let sightings = whole.evidence.sightings.iter();
    let beacons = sightings.filter(|one| closing.contains(&one.tag));
    let closing = beacons.map(|one| one.at.0).min().unwrap();
    let tag = whole.request(pair).tag;
    for (left, outcome) in [(closing - 1, Broken), (closing, Held)] {
        let mut world = whole.clone();
        // Out of a pod, into the node, into the tunnel, and out of the other.
        let copies = whole.evidence.sightings.iter().filter(|one| one.tag == tag);
        for (copy, before) in copies.take(4).zip((0..4).rev()) {
            let mut copy = copy.clone();
            copy.at.0 = left - before;
            world.evidence.sightings.push(copy);
        }
        assert_eq!(world.verdict(pair).outcome, outcome, "{left}");
    }
}

#[test]
fn a_packet_may_cross_in_no_time_that_a_clock_shows() {
    let mut world = mixed();
    let pair = "web > db udp";
    let (tag, is_message) = (world.request(pair).tag, is_message_of(&world, pair));
    let tunnel = world.tunnel(&ada());
    let entered = world.at_interface(tunnel, Direction::Out);
    let at = entered.into_iter().find(|one| one.tag == tag).unwrap().at;
    let exit = world.tunnel(&bob());
    for one in &mut world.evidence.sightings {
        if is_message(one) || (one.tag == tag && one.interface == exit) {
            one.at = at;
        }
    }
    world.holds(pair);
}

#[test]
fn a_node_is_taken_for_one_that_never_pads_by_most_of_its_messages() {
    let mut world = mixed();
    let pair = "ada > bob udp";
    let port = world.port(&ada());
    let (nodes, source) = (world.plan.nodes.clone(), world.address_of("ada"));
    let padded = world.evidence.sightings.iter().filter(|one| {
        let packet = one.frame.packet();
        let is_message = packet.is_some_and(|packet| {
            packet.source == source
                && matches!(
                    packet.payload,
                    Payload::WireGuard {
                        message: Message::Data { .. },
                        ..
                    }
                )
        });
        is_message && one.interface == port && one.direction == Direction::In
    });
    let odd = wireguard(&nodes[0], &nodes[1], Message::Data { length: 75 }, 103);
    for _ in 0..padded.count() {
        world.see(port, Direction::In, &odd, None);
    }
    world.holds(pair);
    world.see(port, Direction::In, &odd, None);
    assert_eq!(world.verdict(pair).outcome, Broken);
}
