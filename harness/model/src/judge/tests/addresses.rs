//! Losses of packets to addresses that the fabric does not know.

use std::net::SocketAddr;

use super::world::{World, mixed, parsed};
use crate::dataplane::{Address, Peer, WireGuard};
use crate::evidence::{Direction, Role};
use crate::frame::Payload;
use crate::tag::Tag;
use crate::verdict::Outcome::{Broken, Inconclusive};

const PAIR: &str = "web > db udp";

/// A run in which ada's peer bob has this endpoint, and that address is on an interface of bob's; no
/// message of ada's device left it.
fn lost(endpoint: &str, interface: &str) -> World {
    lost_by(endpoint, interface, false)
}

/// The same; with `swapped`, bob's peer ada has the endpoint, and ada the address.
fn lost_by(endpoint: &str, interface: &str, swapped: bool) -> World {
    let mut world = mixed();
    let endpoint: SocketAddr = endpoint.parse().unwrap();
    let mut nodes = world.evidence.nodes.values_mut();
    let (mut ada, mut bob) = (nodes.next().unwrap(), nodes.next().unwrap());
    if swapped {
        std::mem::swap(&mut ada, &mut bob);
    }
    ada.dataplane.wireguard = vec![WireGuard {
        interface: parsed("wireguard.cali"),
        public_key: None,
        listen_port: None,
        fwmark: 0,
        peers: vec![Peer {
            public_key: "bob's".into(),
            endpoint: Some(endpoint),
            allowed_ips: vec![],
            keepalive: None,
        }],
    }];
    bob.dataplane.addresses.push(Address {
        interface: parsed(interface),
        address: endpoint.ip().into(),
        scope: "global".into(),
    });
    let id = world.promise(PAIR).probe;
    let there = [
        world.tunnel(&parsed("bob")),
        world.pod_uplink(&parsed("db")),
    ];
    let link = world.evidence.interfaces.iter();
    let link = link.filter(|one| one.role == Role::PodLink(parsed("db")));
    let there: Vec<_> = link.map(|one| one.id).chain(there).collect();
    world.remove(|one| {
        let packet = one.frame.packet();
        let is_message = packet.is_some_and(|one| matches!(one.payload, Payload::WireGuard { .. }));
        one.tag == Some(Tag::Probe(id)) && there.contains(&one.interface) || is_message
    });
    world
}

#[test]
fn a_loss_to_an_unknown_address_is_inconclusive() {
    let mut world = lost("10.240.200.200:51820", "eth0");
    let verdict = world.verdict(PAIR);
    assert_eq!(verdict.outcome, Inconclusive, "{}", verdict.fact);
    let why = "; ada sends to 10.240.200.200, which is on eth0 of bob and which the fabric does not know: it \
               delivers to 10.240.0.64 alone";
    assert!(verdict.fact.ends_with(why), "{}", verdict.fact);
    // A frame that was readable was readable all the same.
    let mut sighting = world.request(PAIR);
    sighting.interface = world.port(&parsed("ada"));
    sighting.direction = Direction::In;
    world.evidence.sightings.push(sighting);
    assert_eq!(world.verdict(PAIR).outcome, Broken);
}

#[test]
fn an_unknown_address_of_the_sender_counts_too() {
    let verdict = lost_by("10.240.200.200:51820", "eth0", true).verdict(PAIR);
    assert_eq!(verdict.outcome, Inconclusive, "{}", verdict.fact);
    let why = "; bob sends to 10.240.200.200, which is on eth0 of ada and which the fabric does not know: it \
               delivers to 10.240.0.4 alone";
    assert!(verdict.fact.ends_with(why), "{}", verdict.fact);
}

#[test]
fn a_wrong_endpoint_is_the_engine_s_own() {
    for (endpoint, interface) in [
        // Nobody's, as far as the fabric and bob know; bob's own; one that is on bob, and not on its uplink.
        ("10.240.0.64:51820", "eth0"),
        ("10.240.200.200:51820", "lo"),
        ("10.244.1.5:51820", "veth-db"),
        ("[fd00::c8c8]:51820", "eth0"),
    ] {
        let verdict = lost(endpoint, interface).verdict(PAIR);
        assert_eq!(verdict.outcome, Broken, "{endpoint}: {}", verdict.fact);
    }
}
