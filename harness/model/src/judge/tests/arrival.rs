//! Stops at which an encrypted probe, or its answer, can be lost.

use super::world::{World, mixed, parsed};
use crate::evidence::{Direction, Role, Sighting};
use crate::frame::{Frame, Payload};
use crate::name::NodeName;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

fn ada() -> NodeName {
    parsed("ada")
}

fn bob() -> NodeName {
    parsed("bob")
}

#[test]
fn a_packet_that_never_enters_the_tunnel_is_not_encrypted() {
    let mut world = mixed();
    let (tag, tunnel) = (world.request("web > db udp").tag, world.tunnel(&ada()));
    world.remove(|s| s.tag == tag && s.interface == tunnel);
    let fact = "arrived on ada from web, then never entered wireguard.cali on ada";
    world.check("web > db udp", Broken, fact);
    let (tag, tunnel) = (world.request("ada > bob udp").tag, world.tunnel(&ada()));
    world.remove(|s| s.tag == tag && s.interface == tunnel);
    world.check(
        "ada > bob udp",
        Broken,
        "never entered wireguard.cali on ada",
    );
}

#[test]
fn a_packet_that_never_leaves_the_tunnel_is_lost_there() {
    let mut world = mixed();
    let (tag, tunnel) = (world.request("ada > bob udp").tag, world.tunnel(&bob()));
    world.remove(|s| s.tag == tag && s.interface == tunnel);
    let fact = "reached bob as ciphertext, then never left wireguard.cali there";
    world.check("ada > bob udp", Broken, fact);
    // What the node counted is named, so that the cause is; the number is only noted.
    let drops = &mut world.evidence.nodes.get_mut(&bob()).unwrap().drops;
    drops.insert("TcpExt.IPReversePathFilter".into(), 0);
    world.check("ada > bob udp", Broken, fact);
    let drops = &mut world.evidence.nodes.get_mut(&bob()).unwrap().drops;
    drops.insert("TcpExt.IPReversePathFilter".into(), 12);
    let fact = format!("{fact}; bob drops packets by their source (TcpExt.IPReversePathFilter)");
    world.check("ada > bob udp", Broken, &fact);
    let notes = world.verdict("ada > bob udp").notes;
    assert!(
        notes.contains(&"bob counted TcpExt.IPReversePathFilter 12".to_owned()),
        "{notes:?}"
    );
}

#[test]
fn a_packet_that_does_not_arrive_is_broken() {
    let mut world = mixed();
    let pair = "web > db udp";
    let (tag, pod) = (world.request(pair).tag, world.pod_uplink(&parsed("db")));
    world.remove(|s| s.tag == tag && s.interface == pod);
    world.check(
        pair,
        Broken,
        "left bob towards db, then never arrived in db",
    );
}

#[test]
fn both_sockets_have_a_word() {
    let mut world = mixed();
    world.outcome("web > db udp").delivered = false;
    world.outcome("web > db tcp").answered = false;
    world.check(
        "web > db udp",
        Broken,
        "arrived at db, and its socket never got it",
    );
    world.check(
        "web > db tcp",
        Broken,
        "arrived at web, and its socket never got it",
    );
}

#[test]
fn an_answer_is_owed_and_has_to_be_encrypted_too() {
    let mut world = mixed();
    let id = world.promise("web > db udp").probe;
    let tunnel = world.tunnel(&bob());
    world.remove(|s| s.tag == Some(Tag::Answer(id)) && s.interface == tunnel);
    let fact = "its answer arrived on bob from db, then never entered wireguard.cali on bob";
    world.check("web > db udp", Broken, fact);
    world.remove(|s| s.tag == Some(Tag::Answer(id)));
    world.check(
        "web > db udp",
        Broken,
        "arrived at db, and no answer left it",
    );
}

#[test]
fn the_legs_of_an_echo_are_distinguished_by_their_addresses() {
    let mut world = mixed();
    let reply = world.address(&parsed("db"));
    let tag = world.request("web > db icmp").tag;
    world.remove(|s| {
        s.tag == tag
            && s.frame
                .packet()
                .is_some_and(|packet| packet.source == reply)
    });
    world.check(
        "web > db icmp",
        Broken,
        "arrived at db, and no answer left it",
    );
}

#[test]
fn a_connection_that_was_never_established_is_reported_with_its_last_stop() {
    let pair = "web > db tcp";
    let mut whole = mixed();
    // The other direction's connection is between the same two, so it is taken away.
    let other = port_of(&whole, "db > web tcp");
    whole.remove(|s| flags(s, other).is_some());
    let port = port_of(&whole, pair);

    let mut world = whole.clone();
    world.remove(|s| flags(s, port).is_some_and(|flags| flags != 0x02));
    let fact = "its handshake arrived at db, and no answer left it";
    world.check(pair, Broken, fact);

    let mut world = whole;
    world.remove(|s| flags(s, port).is_some_and(|flags| flags & 0x08 != 0));
    world.outcome(pair).error = Some("Connection refused".into());
    let fact = "its handshake came back to web: Connection refused";
    world.check(pair, Broken, fact);
}

/// The sender's port of a pair's connection.
fn port_of(world: &World, pair: &str) -> u16 {
    40_000 + world.promise(pair).probe.0
}

/// The flags of a segment from or to a port.
fn flags(sighting: &Sighting, port: u16) -> Option<u8> {
    let packet = sighting.frame.packet()?;
    let Payload::Tcp {
        source_port,
        destination_port,
        flags,
    } = packet.payload
    else {
        return None;
    };
    [source_port, destination_port]
        .contains(&port)
        .then_some(flags)
}

#[test]
fn a_probe_that_was_never_sent_is_broken_by_the_error_of_its_socket() {
    let mut world = mixed();
    let tag = world.request("web > db udp").tag;
    world.remove(|s| s.tag == tag);
    let fact = "no packet of the probe was seen, not even at web";
    world.check("web > db udp", Inconclusive, fact);
    world.outcome("web > db udp").error = Some("Required key not available".into());
    world.check(
        "web > db udp",
        Broken,
        "never left web: Required key not available",
    );
}

#[test]
fn a_node_without_the_device_cannot_have_encrypted() {
    let mut world = mixed();
    let tunnel = world.tunnel(&bob());
    world.remove(|s| s.interface == tunnel);
    world.evidence.interfaces[usize::from(tunnel.0)].role = Role::Other;
    world.check(
        "web > db udp",
        Inconclusive,
        "wireguard.cali on bob was not observed",
    );
    let links = &mut world
        .evidence
        .nodes
        .get_mut(&bob())
        .unwrap()
        .dataplane
        .links;
    links.retain(|link| link.name.as_str() != "wireguard.cali");
    world.check("web > db udp", Broken, "bob has no wireguard.cali");
}

#[test]
fn no_frame_of_a_proof_can_be_spared() {
    let world = mixed();
    for pair in [
        "web > db icmp",
        "web > db udp",
        "web > db tcp",
        "ada > bob udp",
        "ada > db tcp",
        "web > bob icmp",
    ] {
        let proof = world.verdict(pair).exhibits;
        assert!(proof.len() >= 8, "{pair}: {proof:#?}");
        for frame in proof {
            let mut less = world.clone();
            less.remove(|s| s.at == frame.at);
            let verdict = less.verdict(pair);
            assert_eq!(
                verdict.outcome, Broken,
                "{pair} without {frame:?}: {verdict:#?}"
            );
        }
    }
}

#[test]
fn a_payload_that_is_thrown_back_is_no_answer() {
    let mut world = mixed();
    let id = world.promise("web > db udp").probe;
    for sighting in &mut world.evidence.sightings {
        if sighting.tag == Some(Tag::Answer(id)) {
            sighting.tag = Some(Tag::Probe(id));
        }
    }
    let fact = "arrived at db, and no answer left it";
    world.check("web > db udp", Broken, fact);
}

#[test]
fn an_error_about_an_echo_is_not_the_echo() {
    let mut world = mixed();
    let tag = world.request("web > db icmp").tag;
    let pod = world.pod_uplink(&parsed("db"));
    for sighting in world.at_interface(pod, Direction::In) {
        if sighting.tag == tag
            && let Frame::Ip(packet) = &mut sighting.frame
            && let Payload::Icmp { kind, .. } = &mut packet.payload
        {
            *kind = 3;
        }
    }
    let fact = "left bob towards db, then never arrived in db";
    world.check("web > db icmp", Broken, fact);
}

/// A payload that TCP cuts in two: the larger segment leaves the sender again and again and ends in the
/// tunnel device, and the smaller one arrives.
#[test]
fn of_a_payload_in_segments_the_lost_one_is_reported() {
    let pair = "web > db tcp";
    let mut world = mixed();
    let request = world.request(pair).tag;
    let large = |world: &World| {
        let mut copies = world.evidence.sightings.clone();
        copies.retain(|seen| seen.tag == request && seen.direction == Direction::Out);
        copies.retain(|seen| {
            let interface = world.evidence.interface(seen.interface).unwrap();
            let of_web = interface.place.name() == "web";
            of_web || interface.place.name() == "ada" && interface.role == Role::Tunnel
        });
        copies
    };
    for mut copy in large(&world) {
        let Frame::Ip(packet) = &mut copy.frame else {
            panic!("a packet");
        };
        packet.length = 1440;
        world.evidence.sightings.push(copy);
    }
    // That it was sent besides is nothing: the socket got all of it, so that it was sent again.
    world.holds(pair);
    let tag = world.promise(pair).probe;
    world.remove(|seen| seen.tag == Some(Tag::Answer(tag)));
    let outcome = world.outcome(pair);
    (outcome.delivered, outcome.answered) = (false, false);
    let verdict = world.verdict(pair);
    assert_eq!(verdict.outcome, Broken);
    assert!(
        verdict.fact.starts_with("its segment of 1440 bytes "),
        "{verdict:#?}"
    );
}
