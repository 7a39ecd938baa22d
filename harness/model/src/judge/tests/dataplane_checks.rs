//! Checks of dataplanes, and the facts of those that fail.

use std::collections::BTreeMap;

use super::run_promises::wrong;
use super::world::{World, mixed, parsed};
use crate::dataplane::{Address, Dataplane, Peer, Route, Rule, WireGuard};
use crate::evidence::StateEvidence;
use crate::plan::{DataplaneCheck, DataplaneItem, Phantom};
use crate::verdict::Outcome;

/// ada's dataplane: bob is a peer with db, cal is thrown back, and there is a stranger.
fn world() -> World {
    let mut world = mixed();
    let ada = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    ada.dataplane = plane(ada.dataplane.clone());
    world
}

fn plane(bare: Dataplane) -> Dataplane {
    let route = |table, to: &str, kind: &str, device: Option<&str>| Route {
        table,
        destination: parsed(to),
        kind: kind.parse().unwrap(),
        via: None,
        interface: device.map(parsed),
        protocol: "static".into(),
        scope: "link".into(),
        source: None,
        metric: 0,
    };
    let rule = |priority| Rule {
        priority,
        not: false,
        fwmark: None,
        table: Some(254),
        other: Vec::new(),
    };
    let peer = |key: &str, networks: &[&str]| Peer {
        public_key: key.into(),
        endpoint: None,
        allowed_ips: networks.iter().map(|one| parsed(one)).collect(),
        keepalive: None,
    };
    Dataplane {
        addresses: vec![Address {
            interface: parsed("wireguard.cali"),
            address: parsed("10.240.0.4/32"),
            scope: "global".into(),
        }],
        rules: vec![rule(99)],
        rules6: vec![rule(77)],
        routes: vec![
            route(254, "10.240.0.0/16", "unicast", Some("eth0")),
            route(254, "10.240.0.0/20", "unicast", Some("eth0")),
            route(1, "10.240.0.65/32", "unicast", Some("wireguard.cali")),
            route(1, "10.240.0.33/32", "throw", None),
        ],
        wireguard: vec![WireGuard {
            interface: parsed("wireguard.cali"),
            public_key: None,
            listen_port: Some(51820),
            fwmark: 0,
            peers: vec![
                peer("bob=", &["10.240.0.64/32", "10.240.0.65/32"]),
                peer("nobody=", &["10.9.0.0/16"]),
            ],
        }],
        nftables: "table inet wiremesh {\n\tchain incoming-mark {\n\t}\n}\n".into(),
        sysctls: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]),
        ..bare
    }
}

fn fact() -> DataplaneCheck {
    DataplaneCheck {
        node: parsed("ada"),
        after: None,
        has: Vec::new(),
        lacks: Vec::new(),
        present: Vec::new(),
        absent: Vec::new(),
        line: 7,
    }
}

fn facts(world: &World, fact: DataplaneCheck) -> Vec<String> {
    let mut world = world.clone();
    world.plan.facts = vec![fact];
    let all = wrong(&world.plan, &world.evidence);
    all.iter().map(|one| one.fact.clone()).collect()
}

fn present(thing: DataplaneItem) -> DataplaneCheck {
    DataplaneCheck {
        present: vec![thing],
        ..fact()
    }
}

fn absent(thing: DataplaneItem) -> DataplaneCheck {
    DataplaneCheck {
        absent: vec![thing],
        ..fact()
    }
}

fn route(to: &str, device: Option<&str>, throw: bool) -> DataplaneItem {
    DataplaneItem::Route {
        to: parsed(to),
        device: device.map(parsed),
        throw,
    }
}

fn peer(node: &str) -> DataplaneItem {
    DataplaneItem::Peer { node: parsed(node) }
}

fn allowed(network: &str, node: &str) -> DataplaneItem {
    DataplaneItem::AllowedIp {
        network: parsed(network),
        node: parsed(node),
    }
}

fn nft(part: &str) -> DataplaneItem {
    DataplaneItem::Nft { part: part.into() }
}

fn sysctl(name: &str, value: &str) -> DataplaneItem {
    DataplaneItem::Sysctl {
        name: name.into(),
        value: value.into(),
    }
}

/// Items that are there, and their text where a check has them absent.
#[test]
fn an_item_that_must_be_absent_is_reported_with_what_it_is() {
    for (thing, as_what) in [
        (route("10.240.0.65/32", None, false), "of table 1"),
        (
            route("10.240.0.65/32", Some("wireguard.cali"), false),
            "of table 1",
        ),
        (route("10.240.0.33/32", None, true), "throw"),
        (DataplaneItem::Rule { priority: 99 }, "`99"),
        (DataplaneItem::Rule { priority: 77 }, "`77"),
        (
            peer("bob"),
            "wireguard.cali has it, with 10.240.0.64/32, 10.240.0.65/32",
        ),
        (allowed("10.240.0.65/32", "bob"), "of wireguard.cali"),
        (
            DataplaneItem::Address {
                address: parsed("10.240.0.4"),
            },
            "10.240.0.4/32 on wireguard.cali",
        ),
        (
            DataplaneItem::Device {
                name: parsed("eth0"),
            },
            "mtu 1500",
        ),
        (nft("incoming-mark"), "`chain incoming-mark {`"),
        (sysctl("net.ipv4.ip_forward", "1"), "it is 1"),
    ] {
        assert_eq!(
            facts(&world(), present(thing.clone())),
            Vec::<String>::new()
        );
        let found = facts(&world(), absent(thing.clone()));
        assert_eq!(found.len(), 1, "{thing}");
        let start = format!("dataplane of ada: `{thing}` is there: ");
        assert!(found[0].starts_with(&start), "{}", found[0]);
        assert!(found[0].contains(as_what), "{}", found[0]);
    }
}

/// Items that are not there, and what is reported to be there instead.
#[test]
fn a_missing_item_is_reported_with_what_is_there_instead() {
    for (thing, instead) in [
        (
            route("10.240.0.66/32", None, false),
            "`10.240.0.0/20 dev eth0",
        ),
        (
            route("10.240.0.66/32", None, false),
            "of table main covers it",
        ),
        (
            route("10.240.0.65/32", Some("eth0"), false),
            "there is `10.240.0.65 dev wireguard.cali",
        ),
        (route("10.240.0.65/32", None, true), "there is `10.240.0.65"),
        (route("192.0.2.0/24", None, false), "no route leads there"),
        (DataplaneItem::Rule { priority: 98 }, "its rules are 99, 77"),
        (peer("cal"), "its peers are bob, a stranger"),
        (allowed("10.240.0.65/32", "cal"), "bob has it"),
        (
            allowed("10.240.0.66/32", "bob"),
            "that peer has 10.240.0.64/32, 10.240.0.65/32",
        ),
        (allowed("10.240.0.66/32", "cal"), "cal is no peer"),
        (
            DataplaneItem::Address {
                address: parsed("10.240.0.5"),
            },
            "its addresses are 10.240.0.4/32",
        ),
        (
            DataplaneItem::Device {
                name: parsed("wg0"),
            },
            "its devices are lo, eth0, wireguard.cali",
        ),
        (nft("outgoing"), "its nftables have table inet wiremesh"),
        (sysctl("net.ipv4.ip_forward", "0"), "it is 1"),
        (sysctl("net.ipv4.other", "0"), "there is no such sysctl"),
    ] {
        assert_eq!(facts(&world(), absent(thing.clone())), Vec::<String>::new());
        let found = facts(&world(), present(thing.clone()));
        assert_eq!(found.len(), 1, "{thing}");
        let start = format!("dataplane of ada: `{thing}` is not there; ");
        assert!(found[0].starts_with(&start), "{}", found[0]);
        assert!(found[0].contains(instead), "{}", found[0]);
    }
}

#[test]
fn of_many_items_five_are_listed_and_the_rest_is_counted() {
    let mut world = world();
    let ada = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    let first = ada.dataplane.addresses[0].clone();
    ada.dataplane.addresses = vec![first; 7];
    let thing = DataplaneItem::Address {
        address: parsed("10.240.0.5"),
    };
    let found = facts(&world, present(thing.clone()));
    assert_eq!(found[0].matches("10.240.0.4/32").count(), 5);
    assert!(found[0].ends_with(" and 2 more"), "{}", found[0]);
    let ada = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    ada.dataplane.addresses.clear();
    let found = facts(&world, present(thing));
    assert!(found[0].ends_with("its addresses are none"), "{}", found[0]);
}

#[test]
fn lines_are_there_or_not() {
    let line = |has: &[&str], lacks: &[&str]| DataplaneCheck {
        has: has.iter().map(|one| (*one).to_owned()).collect(),
        lacks: lacks.iter().map(|one| (*one).to_owned()).collect(),
        ..fact()
    };
    assert_eq!(
        facts(&world(), line(&["wireguard.cali"], &["wg0"])),
        Vec::<String>::new()
    );
    assert_eq!(
        facts(&world(), line(&["wg0"], &["wireguard.cali"])),
        [
            "dataplane of ada: no line has `wg0`",
            "dataplane of ada: a line has `wireguard.cali`"
        ]
    );
}

#[test]
fn a_moment_is_what_was_seen_then() {
    let mut world = world();
    let there = world.evidence.nodes[&parsed("ada")].dataplane.clone();
    for (node, after, dataplane) in [
        ("bob", 1, there.clone()),
        ("ada", 0, Dataplane::default()),
        ("ada", 1, there),
    ] {
        world.evidence.states.push(StateEvidence {
            node: parsed(node),
            after,
            dataplane,
            keys: BTreeMap::from([("bob=".to_owned(), parsed("bob"))]),
        });
    }
    let at = |after| DataplaneCheck {
        after: Some(after),
        ..present(peer("bob"))
    };
    let none = facts(&world, at(0));
    assert_eq!(
        none,
        ["dataplane of ada at the start: `peer bob` is not there; its peers are none"]
    );
    assert_eq!(facts(&world, at(1)), Vec::<String>::new());
    assert_eq!(
        facts(&world, at(2)),
        ["dataplane of ada after step 2: nobody looked at it"]
    );
    world.plan.facts = vec![at(2)];
    let all = wrong(&world.plan, &world.evidence);
    assert_eq!(all[0].outcome, Outcome::Inconclusive);
    assert_eq!(all[0].line, Some(7));
}

#[test]
fn keys_are_of_nodes_in_both_families_and_of_phantoms() {
    let mut world = world();
    let six = "bob6=".to_owned();
    let bob = world.evidence.nodes.get_mut(&parsed("bob")).unwrap();
    (bob.published_key, bob.published_key6) = (None, Some(six.clone()));
    let phantom = Phantom {
        name: parsed("ghost-1"),
        address: parsed("10.240.9.9"),
        pods: 0,
    };
    let key = phantom.public_key(world.plan.cluster.families[0]);
    world.plan.phantoms = vec![phantom];
    assert_eq!(facts(&world, present(peer("bob"))).len(), 1);
    let ada = world.evidence.nodes.get_mut(&parsed("ada")).unwrap();
    let peers = &mut ada.dataplane.wireguard[0].peers;
    (peers[0].public_key, peers[1].public_key) = (six, key);
    for node in ["bob", "ghost-1"] {
        assert_eq!(facts(&world, present(peer(node))), Vec::<String>::new());
    }
}
