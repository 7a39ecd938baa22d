//! Values that are not Calico's.

use serde_json::json;
use strum::VariantArray;

use super::world::{World, mixed};
use crate::dataplane::{Dataplane, Peer, Route, Rule, WireGuard};
use crate::plan::{CalicoPart, Family, PromiseKind};
use crate::verdict::Outcome::{self, Broken, Held};

/// What a node that encrypts has in both families, beside what the world has.
fn furnish(plane: &mut Dataplane, node: &str, peer: &str) {
    let rule = Rule {
        priority: 99,
        not: true,
        fwmark: Some((0x10_0000, 0x10_0000)),
        table: Some(1),
        other: Vec::new(),
    };
    plane.rules = vec![rule.clone()];
    plane.rules6 = vec![rule];
    let octets = |node: &str| match node {
        "ada" => ["10.240.0.4", "10.240.0.5", "10.240.0.6"].as_slice(),
        _ => ["10.240.0.64", "10.240.0.65"].as_slice(),
    };
    let mut own = plane
        .links
        .iter()
        .find(|link| link.name.as_str() == "wireguard.cali")
        .cloned();
    if let Some(own) = &mut own {
        own.name = "wg-v6.cali".parse().unwrap();
        own.mtu = 1320;
    }
    plane.links.extend(own);
    plane.wireguard = [Family::Ipv4, Family::Ipv6]
        .map(|family| {
            let addresses = octets(peer)
                .iter()
                .map(|text| family.address(text.parse().unwrap()));
            let allowed_ips = addresses.map(ipnet::IpNet::from).collect::<Vec<_>>();
            let (interface, port, suffix) = match family {
                Family::Ipv4 => ("wireguard.cali", 51820, "="),
                Family::Ipv6 => ("wg-v6.cali", 51821, "6="),
            };
            WireGuard {
                interface: interface.parse().unwrap(),
                public_key: Some(format!("{node}{suffix}")),
                listen_port: Some(port),
                fwmark: 0x10_0000,
                peers: vec![Peer {
                    public_key: format!("{peer}{suffix}"),
                    endpoint: Some((allowed_ips[0].addr(), port).into()),
                    allowed_ips,
                    keepalive: None,
                }],
            }
        })
        .into();
}

/// Two nodes with Calico's values in both families.
fn calico() -> World {
    let mut world = mixed();
    world.plan.calico_values = true;
    world.plan.cluster.families = Family::ALL.into();
    for (node, peer) in [("ada", "bob"), ("bob", "ada")] {
        let node_evidence = world
            .evidence
            .nodes
            .get_mut(&node.parse().unwrap())
            .unwrap();
        node_evidence.published_key6 = Some(format!("{node}6="));
        furnish(&mut node_evidence.dataplane, node, peer);
    }
    world
}

/// Every verdict about one node's values.
fn verdicts(world: &World, node: &str) -> Vec<(Family, CalicoPart, Outcome, String)> {
    let promises = world.plan.every_promise();
    let verdicts = world.verdicts();
    let of_calico = promises.iter().filter_map(|promise| {
        let PromiseKind::Calico(name, family, part) = &promise.kind else {
            return None;
        };
        let mut verdicts = verdicts.iter().filter(|_| name.as_str() == node);
        let verdict = verdicts.find(|verdict| verdict.promise == promise.id)?;
        Some((*family, *part, verdict.outcome, verdict.fact.clone()))
    });
    of_calico.collect()
}

/// What is broken of ada after a change of what one family has there; the rest holds.
fn broken(family: Family, change: impl FnOnce(&mut Dataplane, usize)) -> (CalicoPart, String) {
    let mut world = calico();
    let node = world
        .evidence
        .nodes
        .get_mut(&"ada".parse().unwrap())
        .unwrap();
    change(&mut node.dataplane, usize::from(family == Family::Ipv6));
    let all = verdicts(&world, "ada");
    let mut wrong: Vec<_> = all
        .into_iter()
        .filter(|(_, _, outcome, _)| *outcome != Held)
        .collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let (of, part, outcome, fact) = wrong.remove(0);
    assert_eq!((of, outcome), (family, Broken));
    (part, fact)
}

fn rule(plane: &mut Dataplane, family: usize) -> &mut Rule {
    match family {
        0 => &mut plane.rules[0],
        _ => &mut plane.rules6[0],
    }
}

#[test]
fn calico_s_values_hold_for_each_node_that_encrypts_and_for_no_other() {
    let world = calico();
    let all = CalicoPart::VARIANTS.len() * 2;
    for node in ["ada", "bob"] {
        let verdicts = verdicts(&world, node);
        assert_eq!(verdicts.len(), all);
        assert!(
            verdicts.iter().all(|verdict| verdict.2 == Held),
            "{verdicts:#?}"
        );
    }
    assert_eq!(verdicts(&world, "cal"), []);
    let mut silent = world;
    silent.plan.calico_values = false;
    assert_eq!(verdicts(&silent, "ada"), []);
}

#[test]
fn each_wrong_value_of_each_family_breaks_the_promise_about_its_part() {
    use CalicoPart::{Device, Peers, Rule as RulePart};
    for (family, name) in [
        (Family::Ipv4, "wireguard.cali"),
        (Family::Ipv6, "wg-v6.cali"),
    ] {
        let about = |rest: &str| format!("ada, {}: {rest}", family.name());
        let check = |part, fact: &str, change: &dyn Fn(&mut Dataplane, usize)| {
            let (found, text) = broken(family, |plane, index| change(plane, index));
            assert_eq!(found, part, "{text}");
            assert!(text.starts_with(&about(fact)), "{text}");
        };
        let device = |rest: &str| format!("{name}: {rest}");
        check(
            Device,
            &device("its UDP port is 1, and must be"),
            &|plane, index| {
                plane.wireguard[index].listen_port = Some(1);
            },
        );
        check(
            Device,
            &device("its mark is 0x1, and must be 0x100000"),
            &|plane, index| {
                plane.wireguard[index].fwmark = 1;
            },
        );
        check(Device, &device("its MTU is 1, and must be"), &|plane, _| {
            let mut links = plane.links.iter_mut();
            links.find(|link| link.name.as_str() == name).unwrap().mtu = 1;
        });
        check(
            Device,
            &device("its state is down, and must be up"),
            &|plane, _| {
                let mut links = plane.links.iter_mut();
                links.find(|link| link.name.as_str() == name).unwrap().up = false;
            },
        );
        for (change, fact) in [
            (
                (98, (0x10_0000, 0x10_0000), 1),
                "the priority is 98, and must be 99",
            ),
            (
                (99, (0x20_0000, 0x10_0000), 1),
                "the mark is 0x200000, and must be 0x100000",
            ),
            (
                (99, (0x10_0000, 0x30_0000), 1),
                "the mask is 0x300000, and must be 0x100000",
            ),
            (
                (99, (0x10_0000, 0x10_0000), 3),
                "the routing table is 3, and must be 1",
            ),
        ] {
            let (part, text) = broken(family, |plane, index| {
                let rule = rule(plane, index);
                (rule.priority, rule.table) = (change.0, Some(change.2));
                rule.fwmark = Some(change.1);
            });
            assert_eq!(part, RulePart);
            assert!(text.ends_with(fact), "{text}");
        }
        check(
            Peers,
            "its peer bob: its keepalive is 25 s, and must be off",
            &|plane, index| {
                plane.wireguard[index].peers[0].keepalive = Some(25);
            },
        );
        check(
            Peers,
            "its peer bob: its endpoint is unknown, and must be",
            &|plane, index| {
                plane.wireguard[index].peers[0].endpoint = None;
            },
        );
        check(
            Peers,
            "its peer bob: its allowed IPs lack ",
            &|plane, index| {
                plane.wireguard[index].peers[0].allowed_ips.pop();
            },
        );
        check(
            Peers,
            "its peer bob: its allowed IPs have ",
            &|plane, index| {
                let other = family.address("10.240.0.7".parse().unwrap());
                plane.wireguard[index].peers[0]
                    .allowed_ips
                    .push(other.into());
            },
        );
        check(Peers, "bob is no peer of ", &|plane, index| {
            plane.wireguard[index].peers.clear()
        });
        check(
            Peers,
            &format!("{name} has 1 more peers than"),
            &|plane, index| {
                let mut other = plane.wireguard[index].peers[0].clone();
                other.public_key = "cal=".into();
                plane.wireguard[index].peers.push(other);
            },
        );
    }
}

#[test]
fn what_the_author_sets_is_what_must_be() {
    let mut world = calico();
    world.plan.cluster.keepalive = 25;
    world.plan.cluster.settings.fields = [
        ("iptablesMarkMask".to_owned(), json!(0xffff_8000_u32)),
        ("wireguardRoutingRulePriority".to_owned(), json!(42)),
        (
            "routeTableRanges".to_owned(),
            json!([{ "min": 77, "max": 78 }]),
        ),
    ]
    .into();
    let broken = |world: &World| {
        let all = verdicts(world, "ada");
        all.iter().filter(|verdict| verdict.2 == Broken).count()
    };
    assert_eq!(broken(&world), 6);
    let node = world
        .evidence
        .nodes
        .get_mut(&"ada".parse().unwrap())
        .unwrap();
    for rule in node
        .dataplane
        .rules
        .iter_mut()
        .chain(&mut node.dataplane.rules6)
    {
        (rule.priority, rule.table) = (42, Some(77));
        rule.fwmark = Some((0x8_0000, 0x8_0000));
    }
    for device in &mut node.dataplane.wireguard {
        device.fwmark = 0x8_0000;
        device.peers[0].keepalive = Some(25);
    }
    assert_eq!(broken(&world), 0);
    // A table that somebody else looks up, or has a route in, is not free, in that family alone.
    let foreign = Rule {
        priority: 7,
        not: false,
        fwmark: None,
        table: Some(77),
        other: Vec::new(),
    };
    let route = Route {
        table: 77,
        destination: "10.1.0.0/16".parse().unwrap(),
        kind: "unicast".parse().unwrap(),
        via: None,
        interface: None,
        protocol: "static".into(),
        scope: "global".into(),
        source: None,
        metric: 0,
    };
    let before = |world: &mut World, change: &dyn Fn(&mut Dataplane)| {
        let node = world
            .evidence
            .nodes
            .get_mut(&"ada".parse().unwrap())
            .unwrap();
        let mut before = Dataplane::default();
        change(&mut before);
        node.before = Some(before);
    };
    before(&mut world, &|plane| plane.rules = vec![foreign.clone()]);
    assert_eq!(broken(&world), 1);
    before(&mut world, &|plane| plane.routes = vec![route.clone()]);
    assert_eq!(broken(&world), 1);
    before(&mut world, &|_| {});
    assert_eq!(broken(&world), 0);
}
