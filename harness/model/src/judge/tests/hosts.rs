//! Verdicts about every host, and what excuses it.

use super::run_promises::wrong;
use super::world::*;
use crate::dataplane::{Address, Dataplane, Link, LinkKind, Route, RouteKind, Rule};
use crate::evidence::{NodeEvidence, Place, PlaceDrops, REVERSE_PATH, SpoofOutcome};
use crate::name::NodeName;
use crate::plan::*;
use crate::verdict::Outcome;

const DROPPED: &str = "ada: its reverse-path filter dropped packets that it must not";

fn node(world: &mut World) -> &mut NodeEvidence {
    let ada: NodeName = parsed("ada");
    world.evidence.nodes.get_mut(&ada).unwrap()
}

fn breaches(world: &World) -> Vec<String> {
    let all = wrong(&world.plan, &world.evidence);
    // Steps that were only planned are missed.
    let all = all.iter().filter(|one| !one.of_evidence);
    all.map(|breach| breach.text()).collect()
}

fn step(action: Action) -> Step {
    Step {
        action,
        deadline: 1_000,
        outage: 1_000,
        leaks: None,
        line: 1,
        writes: None,
        settles_within: None,
    }
}

/// ada has dropped so many packets by their source.
fn dropping(count: u64) -> World {
    let mut world = mixed();
    node(&mut world).drops.insert(REVERSE_PATH.into(), count);
    world
}

#[test]
fn a_reverse_path_drop_is_a_breach() {
    assert_eq!(breaches(&mixed()), Vec::<String>::new());
    assert_eq!(breaches(&dropping(1)), [DROPPED]);
}

/// What was not looked at before the engine is not held to be as it was.
#[test]
fn a_host_that_was_not_looked_at_before_the_engine_is_open() {
    let mut world = mixed();
    node(&mut world).before = None;
    let verdicts = world.verdicts();
    let every = world.plan.every_promise().into_iter().zip(verdicts);
    let of_ada = every.filter_map(|(promise, verdict)| {
        let PromiseKind::Host(name, HostPromise::Links | HostPromise::Unchanged) = promise.kind
        else {
            return None;
        };
        (name == parsed("ada")).then_some(verdict)
    });
    let facts: Vec<_> = of_ada
        .map(|verdict| (verdict.outcome, verdict.fact))
        .collect();
    let open = "ada: nobody looked at it before the engine".to_owned();
    assert_eq!(facts, vec![(Outcome::Inconclusive, open); 2]);
}

#[test]
fn the_kernel_s_own_reason_is_a_second_witness() {
    let named = |reasons: &[(&str, u64)]| {
        let mut world = mixed();
        let reasons = reasons.iter();
        world.evidence.drops.places = vec![PlaceDrops {
            place: Place::Node(parsed("ada")),
            reasons: reasons
                .map(|(name, count)| ((*name).into(), *count))
                .collect(),
        }];
        world
    };
    assert_eq!(breaches(&named(&[("OTHERHOST", 9)])), Vec::<String>::new());
    let world = named(&[("IP_RPFILTER", 2), ("OTHERHOST", 9)]);
    assert_eq!(breaches(&world), [DROPPED]);
    let notes = |world: &World| {
        let all = wrong(&world.plan, &world.evidence).into_iter();
        all.map(|breach| breach.notes.concat()).collect::<Vec<_>>()
    };
    let note =
        "TcpExt.IPReversePathFilter 0; the kernel's drop reasons: IP_RPFILTER 2, OTHERHOST 9";
    assert_eq!(notes(&world), [note]);
    let mut world = dropping(1);
    world.evidence.drops.unavailable = Some("bpf: EPERM".into());
    let note =
        "TcpExt.IPReversePathFilter 1; the kernel's drop reasons are not available: bpf: EPERM";
    assert_eq!(notes(&world), [note]);
}

#[test]
fn drops_of_spoofed_packets_are_expected_and_no_others() {
    let mut world = dropping(SPOOFED);
    world.plan.spoofs = vec![Spoof {
        id: SpoofId(0),
        promise: PromiseId(10_000),
        through: parsed("ada"),
        source: parsed("app"),
        to: parsed("web"),
        family: Family::Ipv4,
        drop: DropBy::ReversePath,
        line: 1,
    }];
    world.evidence.spoofs = vec![SpoofOutcome {
        id: SpoofId(0),
        received: 0,
        genuine: SPOOFED,
        counted: SPOOFED,
        reasons: Err("not asked".into()),
    }];
    assert_eq!(breaches(&world), Vec::<String>::new());
    node(&mut world)
        .drops
        .insert(REVERSE_PATH.into(), SPOOFED + 1);
    assert_eq!(breaches(&world), [DROPPED]);
    node(&mut world)
        .drops
        .insert(REVERSE_PATH.into(), SPOOFED - 1);
    assert_eq!(
        breaches(&world),
        ["ada: its reverse-path filter dropped too few packets"]
    );
    // What something else has to drop is no excuse.
    world.plan.spoofs[0].drop = DropBy::Rule;
    assert_eq!(breaches(&world), [DROPPED]);
}

#[test]
fn expected_reverse_path_drops_are_not_reported() {
    let excuses: [fn(&mut Plan); 4] = [
        |plan| plan.cluster.host_encryption = false,
        |plan| {
            plan.nodes
                .iter_mut()
                .for_each(|node| node.rp_filter = RpFilter::Loose)
        },
        |plan| plan.cluster.families = vec![Family::Ipv6],
        |plan| {
            plan.steps.push(step(Action::Tamper {
                node: parsed("ada"),
                what: Tamper::Delete(Own::Nft),
                settles: Settles::Repaired,
            }));
        },
    ];
    for excuse in excuses {
        let mut world = dropping(1);
        excuse(&mut world.plan);
        assert_eq!(breaches(&world), Vec::<String>::new());
    }
    let of_bob = || parsed("bob");
    // What is behind a tunnel changes, and not every node knows at once.
    for action in [
        Action::MovePod {
            pod: parsed("web"),
            to: of_bob(),
        },
        Action::RemoveNode { node: of_bob() },
        Action::RebootNode { node: of_bob() },
        Action::ReaddressNode {
            node: of_bob(),
            address: parsed("10.240.0.99"),
        },
        Action::OverwriteKey {
            node: of_bob(),
            key: None,
        },
        Action::CrashEverywhere {
            node: of_bob(),
            provoke: Box::new(Action::Disable),
        },
    ] {
        let text = action.describe();
        let mut world = dropping(1);
        world.plan.steps.push(step(action));
        assert_eq!(breaches(&world), Vec::<String>::new(), "{text}");
    }
    // Somebody else's dataplane is no excuse, nor is a step that breaks nothing.
    for action in [
        Action::Tamper {
            node: parsed("bob"),
            what: Tamper::Delete(Own::Nft),
            settles: Settles::Repaired,
        },
        Action::KillEngine { node: None },
        Action::AddPod { pod: parsed("web") },
        Action::RemovePod { pod: parsed("web") },
        Action::AddNode { node: of_bob() },
        Action::PauseNode {
            node: parsed("ada"),
            millis: 1_000,
        },
        Action::Partition {
            node: parsed("ada"),
        },
        Action::SetMtu {
            node: parsed("ada"),
            mtu: 1400,
        },
        Action::SetMetric {
            node: parsed("ada"),
            metric: 7,
        },
    ] {
        let text = action.describe();
        let mut world = dropping(1);
        world.plan.steps.push(step(action));
        assert_eq!(breaches(&world), [DROPPED], "{text}");
    }
}

/// A host with things of each kind, of which the engine has left all.
fn furnished() -> World {
    let mut world = mixed();
    let plane = Dataplane {
        links: ["eth0", "eth1"]
            .map(|name| Link {
                name: parsed(name),
                kind: LinkKind::Veth,
                mtu: 1500,
                up: true,
            })
            .into(),
        addresses: [("eth0", "10.240.0.4/16"), ("eth1", "10.9.0.4/24")]
            .map(|(interface, address)| Address {
                interface: parsed(interface),
                address: parsed(address),
                scope: "global".into(),
            })
            .into(),
        rules: vec![Rule {
            priority: 32_766,
            not: false,
            fwmark: None,
            table: Some(254),
            other: vec![],
        }],
        rules6: vec![Rule {
            priority: 32_765,
            not: false,
            fwmark: None,
            table: Some(254),
            other: vec![],
        }],
        routes: vec![Route {
            table: 254,
            destination: parsed("0.0.0.0/0"),
            kind: RouteKind::Unicast,
            via: Some(parsed("10.240.0.1")),
            interface: Some(parsed("eth0")),
            protocol: "static".into(),
            scope: "global".into(),
            source: None,
            metric: 0,
        }],
        wireguard: vec![],
        nftables: "table ip foreign {\n}\n".into(),
        sysctls: [("net.ipv4.conf.eth0.rp_filter".into(), "1".into())].into(),
    };
    node(&mut world).before = Some(plane.clone());
    node(&mut world).dataplane = plane;
    world
}

#[test]
fn the_dataplane_from_before_the_engine_has_to_stay() {
    assert_eq!(breaches(&furnished()), Vec::<String>::new());
    type Change = fn(&mut Dataplane);
    let changes: [(Change, &str); 20] = [
        (
            |plane| plane.links[0].mtu = 1400,
            "the link eth0: its MTU is 1400, and was 1500",
        ),
        (
            |plane| {
                plane.links[0].kind = LinkKind::Tun;
                plane.links[0].mtu = 1400;
            },
            "the link eth0: its MTU is 1400, and was 1500; it is of the kind `tun`, and was of `veth`",
        ),
        (
            |plane| plane.links[1].up = false,
            "the link eth1: it is down",
        ),
        (
            |plane| drop(plane.links.remove(1)),
            "the link eth1: it is missing",
        ),
        (
            |plane| {
                plane.links[1].name = parsed("wg0");
                plane.addresses[1].interface = parsed("wg0");
            },
            "the link eth1: it is missing, and its address 10.9.0.4/24 is on wg0",
        ),
        (
            |plane| plane.addresses.clear(),
            "10.240.0.4/16 on eth0: it is missing",
        ),
        (
            |plane| plane.addresses[0].interface = parsed("eth1"),
            "10.240.0.4/16 on eth0: it is on eth1",
        ),
        (
            |plane| plane.addresses[0].address = parsed("10.240.0.4/32"),
            "10.240.0.4/16 on eth0: it is 10.240.0.4/32",
        ),
        (
            |plane| {
                plane.addresses[0].address = parsed("10.240.0.4/32");
                plane.addresses[1].address = parsed("10.240.0.4/16");
            },
            "10.240.0.4/16 on eth0: it is 10.240.0.4/32",
        ),
        (
            |plane| plane.addresses[0].scope = "link".into(),
            "10.240.0.4/16 on eth0: its scope is link, and was global",
        ),
        (
            |plane| plane.rules.clear(),
            "the rule of priority 32766: it is missing",
        ),
        (
            |plane| plane.rules[0].table = Some(7),
            "the rule of priority 32766: it is `32766: from all lookup 7`",
        ),
        (
            |plane| plane.rules6.clear(),
            "the rule of priority 32765: it is missing",
        ),
        (
            |plane| plane.routes.clear(),
            "the route 0.0.0.0/0 dev eth0 of table 254: it is missing",
        ),
        (
            |plane| plane.routes[0].via = Some(parsed("10.240.0.9")),
            "the route 0.0.0.0/0 dev eth0 of table 254: it is `default via 10.240.0.9 dev eth0 proto static`",
        ),
        (
            |plane| plane.routes[0].table = 7,
            "the route 0.0.0.0/0 dev eth0 of table 254: it is missing",
        ),
        (
            |plane| plane.nftables.clear(),
            "`table ip foreign {` of nftables: it is missing",
        ),
        (
            |plane| plane.nftables = "table ip foreign {\n".into(),
            "`}` of nftables: it is missing",
        ),
        (
            |plane| {
                let name = "net.ipv4.conf.eth0.rp_filter".to_owned();
                drop(plane.sysctls.insert(name, "0".into()));
            },
            "net.ipv4.conf.eth0.rp_filter = 1: it is 0",
        ),
        (
            |plane| plane.sysctls.clear(),
            "net.ipv4.conf.eth0.rp_filter = 1: it is missing",
        ),
    ];
    for (change, lost) in changes {
        let mut world = furnished();
        change(&mut node(&mut world).dataplane);
        let expected = format!("ada: what was there before the engine did not stay: {lost}");
        assert_eq!(breaches(&world), [expected]);
    }
}

#[test]
fn changes_of_hosts_by_the_lab_are_not_blamed_on_the_engine() {
    let node = |name: &str| -> NodeName { parsed(name) };
    let pod = || parsed("app");
    let killed = || Action::KillEngine { node: None };
    let change = |action| (action, true);
    let spare = |action| (action, false);
    let all = [
        change(Action::Tamper {
            node: node("bob"),
            what: Tamper::Delete(Own::Nft),
            settles: Settles::Repaired,
        }),
        change(Action::AddPod { pod: pod() }),
        change(Action::RemovePod { pod: pod() }),
        change(Action::MovePod {
            pod: pod(),
            to: node("bob"),
        }),
        change(Action::AddNode { node: node("bob") }),
        change(Action::RemoveNode { node: node("bob") }),
        change(Action::ReaddressNode {
            node: node("bob"),
            address: parsed("10.240.0.99"),
        }),
        change(Action::RebootNode { node: node("bob") }),
        change(Action::SetMtu {
            node: node("bob"),
            mtu: 1400,
        }),
        change(Action::SetMetric {
            node: node("bob"),
            metric: 7,
        }),
        change(Action::CrashEverywhere {
            node: node("bob"),
            provoke: Box::new(killed()),
        }),
        spare(killed()),
        spare(Action::Enable),
        spare(Action::RotateKey { node: node("ada") }),
        spare(Action::Partition { node: node("ada") }),
        spare(Action::Fabric(FabricAction::SetMtu { mtu: 1400 })),
        spare(Action::Store(StoreAction::Down)),
    ];
    for (action, changes) in all {
        let mut world = furnished();
        self::node(&mut world).dataplane.routes.clear();
        let name = action.as_str();
        world.plan.steps.push(step(action));
        assert_eq!(breaches(&world).is_empty(), changes, "{name}");
    }
}

#[test]
fn additions_of_the_engine_are_no_breach() {
    let mut world = furnished();
    let plane = &mut node(&mut world).dataplane;
    plane.rules.push(Rule {
        priority: 99,
        not: true,
        fwmark: Some((1, 1)),
        table: Some(1),
        other: vec![],
    });
    let mark = "net.ipv4.conf.all.src_valid_mark";
    plane.sysctls.insert(mark.into(), "1".into());
    let before = node(&mut world).before.as_mut().unwrap();
    before.sysctls.insert(mark.into(), "0".into());
    assert_eq!(breaches(&world), Vec::<String>::new());
}
