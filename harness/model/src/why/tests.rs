//! Explanations of dataplanes from which one thing was taken.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::*;
use crate::dataplane::{
    Address, Dataplane, Link, LinkKind, Peer, Route, RouteKind, Rule, WireGuard,
};
use crate::evidence::NodeEvidence;
use crate::name::NodeName;
use crate::plan::Node;
use crate::resolve;

/// Explanations of packets that are meant to be in clear.
mod clear;

/// Explanations of packets that somebody else's rules or the fabric kept.
mod filtered;

/// Explanations of packets whose link was taken away.
mod links;

/// Explanations of spoofed packets that were taken.
mod spoofed;

const MARK: u32 = 0x10_0000;

const SCENARIO: &str = r#"
title = "two nodes"
[node.ada]
address = "10.240.0.4"
pods = ["web", "app"]
[node.bob]
address = "10.240.0.64"
pods = ["db"]
[pod]
web.address = "10.240.0.5"
app.address = "10.240.0.6"
db.address = "10.240.0.65"
"#;

const NFT: &str = "table inet wiremesh {
	chain incoming-mark {
		type filter hook prerouting priority raw; policy accept;
		meta mark set meta mark | 0x00100000
	}
}";

fn plan(family: Family) -> Plan {
    let engines = ["none", "wiremesh"].map(|name| name.parse().unwrap());
    let families = match family {
        Family::Ipv4 => "",
        Family::Ipv6 => "[cluster]\nfamilies = [\"ipv6\"]\n",
    };
    let text = format!("{SCENARIO}{families}");
    Plan {
        throws: true,
        ..resolve::plan("two.toml", &text, &engines).unwrap()
    }
}

fn rule(priority: u32, table: u32, marked: bool) -> Rule {
    Rule {
        priority,
        not: marked,
        fwmark: marked.then_some((MARK, MARK)),
        table: Some(table),
        other: vec![],
    }
}

fn route(table: u32, to: &str, kind: &str, interface: Option<&str>) -> Route {
    Route {
        table,
        destination: to.parse().unwrap(),
        kind: kind.parse().unwrap(),
        via: None,
        interface: interface.map(|name| name.parse().unwrap()),
        protocol: "static".into(),
        scope: "link".into(),
        source: None,
        metric: 0,
    }
}

/// A node as an engine leaves it that does its part.
fn right(plan: &Plan, node: &Node) -> NodeEvidence {
    let family = plan.cluster.families[0];
    let device = plan.cluster.tunnel(family);
    let one = |address| IpNet::from(family.address(address)).to_string();
    let subnet = match family {
        Family::Ipv4 => "10.240.0.0/16",
        Family::Ipv6 => "fd00::/64",
    };
    let mut routes = vec![
        route(254, subnet, "unicast", Some("eth0")),
        route(255, &one(node.address), "local", Some("eth0")),
    ];
    for pod in &node.pods {
        let to = one(pod.address);
        routes.push(route(254, &to, "unicast", Some(pod.interface.as_str())));
        routes.push(route(1, &to, "throw", None));
    }
    let mut peers = vec![];
    for other in plan.nodes.iter().filter(|other| other.name != node.name) {
        let pods = other.pods.iter().map(|pod| pod.address);
        let all: Vec<_> = [other.address].into_iter().chain(pods).collect();
        let far = |to: &std::net::Ipv4Addr| route(1, &one(*to), "unicast", Some(device.as_str()));
        routes.extend(all.iter().map(far));
        peers.push(Peer {
            public_key: format!("{}=", other.name),
            endpoint: Some(SocketAddr::new(
                family.address(other.address),
                plan.cluster.port(family),
            )),
            allowed_ips: all
                .into_iter()
                .map(|to| IpNet::from(family.address(to)))
                .collect(),
            keepalive: None,
        });
    }
    let link = |name: &str, mtu| Link {
        name: name.parse().unwrap(),
        kind: match name == device.as_str() {
            true => LinkKind::Tun,
            false => LinkKind::Veth,
        },
        mtu,
        up: true,
    };
    let sysctls = [
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.all.src_valid_mark", "1"),
        ("net.ipv4.conf.eth0.rp_filter", "1"),
        ("net.ipv4.ip_forward", "1"),
    ];
    let key = Some(format!("{}=", node.name));
    let mtu = plan.after(0).tunnel_mtu(node, family).into();
    let rules = vec![
        rule(0, 255, false),
        rule(99, 1, true),
        rule(32766, 254, false),
    ];
    NodeEvidence {
        dataplane: Dataplane {
            links: [("eth0", 1500), (device.as_str(), mtu)]
                .into_iter()
                .chain(node.pods.iter().map(|pod| (pod.interface.as_str(), 1500)))
                .map(|(name, mtu)| link(name, mtu))
                .collect(),
            addresses: vec![Address {
                interface: device.clone(),
                address: IpNet::from(family.address(node.address)),
                scope: "global".into(),
            }],
            rules: rules.clone(),
            rules6: rules,
            routes,
            wireguard: vec![WireGuard {
                interface: device,
                public_key: key.clone(),
                listen_port: Some(plan.cluster.port(family)),
                fwmark: MARK,
                peers,
            }],
            nftables: NFT.into(),
            sysctls: sysctls
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        },
        published_key: key.clone(),
        published_key6: key.clone(),
        key_history: key.into_iter().collect(),
        drops: Default::default(),
        moved: [("TcpExt.IPReversePathFilter".to_owned(), 2)].into(),
        lookups: vec![],
        rule_counts: Default::default(),
        root_hidden: false,
        before: None,
    }
}

/// Why `web > db` (or `web > app`, in clear) broke, once something was taken from one node.
fn explained(
    to: &str,
    at: &str,
    reached: Reached,
    spoil: impl Fn(&mut NodeEvidence),
) -> Explanation {
    let at: NodeName = at.parse().unwrap();
    explained_of(to, reached, |evidence, _| {
        spoil(evidence.nodes.get_mut(&at).unwrap());
    })
}

/// The same, once something was changed in what was seen, or in what was planned.
fn explained_of(
    to: &str,
    reached: Reached,
    spoil: impl Fn(&mut Evidence, &mut Plan),
) -> Explanation {
    explained_in(Family::Ipv4, to, reached, spoil)
}

/// The same, in a family.
fn explained_in(
    family: Family,
    to: &str,
    reached: Reached,
    spoil: impl Fn(&mut Evidence, &mut Plan),
) -> Explanation {
    explained_between(family, ["web", to], reached, spoil)
}

/// The same of any pair.
fn explained_between(
    family: Family,
    ends: [&str; 2],
    reached: Reached,
    spoil: impl Fn(&mut Evidence, &mut Plan),
) -> Explanation {
    let plan = plan(family);
    let [from, to] = ends.map(|name| plan.endpoint(&name.parse().unwrap()).unwrap());
    let protection = match from.node.name == to.node.name {
        true => Protection::Plaintext,
        false => Protection::Encrypted,
    };
    explained_as(protection, family, ends, reached, spoil)
}

/// The same of any pair, whatever must become of its packets.
fn explained_as(
    protection: Protection,
    family: Family,
    ends: [&str; 2],
    reached: Reached,
    spoil: impl Fn(&mut Evidence, &mut Plan),
) -> Explanation {
    let mut plan = plan(family);
    let mut evidence = Evidence::none();
    for node in &plan.nodes {
        evidence.nodes.insert(node.name.clone(), right(&plan, node));
    }
    spoil(&mut evidence, &mut plan);
    let [from, to] = ends.map(|name| plan.endpoint(&name.parse().unwrap()).unwrap());
    let question = BrokenPair {
        plan: &plan,
        evidence: &evidence,
        from: &from,
        to: &to,
        addresses: (family.address(from.address), family.address(to.address)),
        protection,
        stated: false,
        stopped: Some(Stopped {
            answer: false,
            reached,
        }),
        payload: Some(1400),
    };
    explain(question, "never arrived").unwrap()
}

fn device(node: &mut NodeEvidence) -> &mut WireGuard {
    &mut node.dataplane.wireguard[0]
}

#[test]
fn each_thing_that_is_missing_is_named() {
    type Spoil = fn(&mut NodeEvidence);
    let cases: &[(&str, Reached, Spoil, &str)] = &[
        (
            "ada",
            Reached::Elsewhere,
            |node| node.dataplane.rules.retain(|rule| rule.priority != 99),
            "no rule sends ada's packets to table 1",
        ),
        (
            "ada",
            Reached::Elsewhere,
            |node| node.dataplane.rules[1].priority = 32767,
            "the rule of ada to table 1 comes too late (priority 32767)",
        ),
        (
            "ada",
            Reached::Elsewhere,
            |node| {
                let gone: IpNet = "10.240.0.65/32".parse().unwrap();
                node.dataplane
                    .routes
                    .retain(|route| route.destination != gone);
            },
            "table 1 of ada has no route for 10.240.0.65 (expected: dev wireguard.cali)",
        ),
        (
            "ada",
            Reached::Elsewhere,
            |node| {
                let all = node.dataplane.routes.iter_mut();
                all.filter(|route| route.destination.to_string() == "10.240.0.65/32")
                    .for_each(|route| *route = self::route(1, "10.240.0.65/32", "throw", None));
            },
            "table 1 of ada throws 10.240.0.65 back (expected: dev wireguard.cali)",
        ),
        (
            "ada",
            Reached::Elsewhere,
            |node| drop(node.dataplane.links.remove(1)),
            "wireguard.cali is missing on ada",
        ),
        (
            "ada",
            Reached::Sender,
            |node| node.dataplane.links[1].up = false,
            "wireguard.cali of ada is down",
        ),
        (
            "ada",
            Reached::Device,
            |node| device(node).peers.clear(),
            "peer bob is missing on ada's wireguard.cali",
        ),
        (
            "bob",
            Reached::Device,
            |node| device(node).peers.clear(),
            "peer ada is missing on bob's wireguard.cali",
        ),
        (
            "ada",
            Reached::Device,
            |node| device(node).peers[0].public_key = "old=".into(),
            "bob's key on ada is not the one of its wireguard.cali",
        ),
        (
            "ada",
            Reached::Device,
            |node| device(node).peers[0].allowed_ips.truncate(1),
            "the allowed IPs of peer bob on ada lack 10.240.0.65",
        ),
        (
            "ada",
            Reached::Device,
            |node| {
                let peers = &mut device(node).peers;
                let mut old = peers[0].clone();
                old.public_key = "old=".into();
                peers[0].allowed_ips.truncate(1);
                peers.push(old);
            },
            "the allowed IPs of peer bob on ada lack 10.240.0.65: a peer with another key, at bob's endpoint, has 10.240.0.65/32",
        ),
        (
            "bob",
            Reached::Receiver,
            |node| {
                device(node).peers[0]
                    .allowed_ips
                    .retain(|net| net.to_string() != "10.240.0.5/32")
            },
            "the allowed IPs of peer ada on bob lack 10.240.0.5",
        ),
        (
            "ada",
            Reached::Device,
            |node| device(node).peers[0].endpoint = Some("10.240.0.64:9".parse().unwrap()),
            "the endpoint of peer bob on ada is 10.240.0.64:9, and bob listens at 10.240.0.64:51820",
        ),
        (
            "ada",
            Reached::Device,
            |node| device(node).fwmark = 0,
            "wireguard.cali's own packets have no mark (fwmark) on ada: they are routed into it again",
        ),
        (
            "bob",
            Reached::Device,
            |node| node.dataplane.nftables.clear(),
            "the incoming packets are not marked on bob (nft rule missing): its strict reverse-path filter drops what comes from ada",
        ),
        (
            "bob",
            Reached::Device,
            |node| {
                let name = "net.ipv4.conf.all.src_valid_mark".to_owned();
                node.dataplane.sysctls.insert(name, "0".into());
            },
            "src_valid_mark is 0 on bob: its strict reverse-path filter drops what comes from ada",
        ),
        (
            "bob",
            Reached::Device,
            |node| node.published_key = Some("other=".into()),
            "bob publishes a key that its wireguard.cali does not have",
        ),
        (
            "bob",
            Reached::Device,
            |node| device(node).listen_port = Some(9),
            "the endpoint of peer bob on ada is 10.240.0.64:51820, and bob listens at 10.240.0.64:9",
        ),
        (
            "ada",
            Reached::Wire,
            |node| node.dataplane.links[1].mtu = 1500,
            "the MTU of wireguard.cali on ada is 1500, not 1440 (uplink 1500)",
        ),
        (
            "bob",
            Reached::Inside,
            |node| {
                let name = "net.ipv4.ip_forward".to_owned();
                node.dataplane.sysctls.insert(name, "0".into());
            },
            "bob does not forward (net.ipv4.ip_forward is 0)",
        ),
    ];
    for (at, reached, spoil, cause) in cases {
        assert_eq!(explained("db", at, *reached, spoil).cause, *cause);
    }
}

#[test]
fn an_endpoint_at_another_address_of_the_node_is_reported() {
    for (family, other) in [
        (Family::Ipv4, "10.240.200.200"),
        (Family::Ipv6, "fd00::af0:c8c8"),
    ] {
        let why = explained_in(family, "db", Reached::Device, |evidence, _| {
            let other: IpAddr = other.parse().unwrap();
            let mut nodes = evidence.nodes.values_mut();
            let (ada, bob) = (nodes.next().unwrap(), nodes.next().unwrap());
            let end = device(ada).peers[0].endpoint.as_mut().unwrap();
            end.set_ip(other);
            bob.dataplane.addresses.push(Address {
                interface: "eth0".parse().unwrap(),
                address: IpNet::from(other),
                scope: "global".into(),
            });
        });
        let cause = format!("{other} is on eth0 of bob too, and the fabric has no route to it");
        assert!(why.cause.ends_with(&cause), "{}", why.cause);
    }
}

#[test]
fn a_defect_that_the_packet_has_passed_is_not_the_cause() {
    // The packet got into ada's device, so ada's routes are none of its business.
    let why = explained("db", "ada", Reached::Receiver, |node| {
        device(node).peers[0].endpoint = None;
        node.dataplane.rules.retain(|rule| rule.priority != 99);
    });
    assert!(why.cause.starts_with("unknown"), "{}", why.cause);
}

#[test]
fn two_causes_that_fit_the_evidence_are_both_reported() {
    let why = explained("db", "bob", Reached::Device, |node| {
        node.dataplane.nftables.clear();
        let name = "net.ipv4.conf.all.src_valid_mark".to_owned();
        node.dataplane.sysctls.insert(name, "0".into());
    });
    let both = "the incoming packets are not marked on bob (nft rule missing), and src_valid_mark is 0 on bob";
    assert!(why.cause.starts_with(both), "{}", why.cause);
}

#[test]
fn the_kernel_s_own_answer_goes_before_the_tables() {
    let why = explained("db", "ada", Reached::Elsewhere, |node| {
        node.dataplane.rules.retain(|rule| rule.priority != 99);
        node.lookups.push(Lookup {
            source: Some("10.240.0.5".parse().unwrap()),
            destination: "10.240.0.65".parse().unwrap(),
            input: Some("azvweb".parse().unwrap()),
            mark: 0,
            answer: Answer::Route(route(254, "10.240.0.0/16", "unicast", Some("eth0"))),
        });
    });
    let lookup = "on ada: to 10.240.0.65 from 10.240.0.5 in by azvweb without mark → 10.240.0.0/16 dev eth0 proto static scope link, table main";
    assert_eq!(why.lookup.as_deref(), Some(lookup));
    assert_eq!(why.moved[0], "ada: TcpExt.IPReversePathFilter +2");
}

#[test]
fn without_a_defect_the_cause_is_unknown() {
    let why = explained("db", "ada", Reached::Device, |_| {});
    let cause = "unknown: the dataplanes of ada and bob have what the pair needs";
    assert_eq!(why.cause, cause);
}
