//! For random clusters and random edits: changes lead where they should, are never
//! needless, and never leak.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::model::{Fate, apply, fate};
use super::*;
use crate::cluster::Cluster;
use crate::desired::{Situation, desired};
use crate::family::PerFamily;
use crate::resource::{Block, Node, Workload};
use crate::settings::{RouteSource, Settings, Strict};

const NODES: [&str; 4] = ["a", "b", "c", "d"];

fn v4(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn v6(last: u8) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)])
}

fn node() -> impl Strategy<Value = Node> {
    let key = || proptest::option::weighted(0.8, 1_u8..9);
    (
        1_u8..20,
        any::<bool>(),
        key(),
        key(),
        proptest::option::of(100_u8..110),
    )
        .prop_map(|(last, dual, key, key6, tunnel)| {
            let read = |key: Option<u8>| key.map(|key| PublicKey::from_bytes([key; 32]));
            let mut addresses = vec![v4(last)];
            addresses.extend(dual.then(|| v6(last)));
            Node {
                endpoint: PerFamily {
                    v4: Some(v4(last)),
                    v6: dual.then(|| v6(last)),
                },
                addresses,
                tunnel_address: PerFamily {
                    v4: tunnel.map(v4),
                    v6: None,
                },
                public_key: PerFamily {
                    v4: read(key),
                    v6: read(key6),
                },
                ..Node::default()
            }
        })
}

fn owner() -> impl Strategy<Value = String> {
    proptest::sample::select(NODES.to_vec()).prop_map(String::from)
}

fn workload() -> impl Strategy<Value = Workload> {
    (owner(), 30_u8..45, any::<bool>()).prop_map(|(node, last, dual)| {
        let mut networks = vec![IpNet::from(v4(last))];
        networks.extend(dual.then(|| IpNet::from(v6(last))));
        Workload { node, networks }
    })
}

fn block() -> impl Strategy<Value = Block> {
    let borrowed = proptest::collection::vec((0_u8..16, owner()), 0..2);
    (0_u8..4, proptest::option::of(owner()), borrowed).prop_map(|(which, affinity, borrowed)| {
        let first = 64 + which * 16;
        Block {
            cidr: IpNet::new(v4(first), 28).unwrap(),
            affinity,
            borrowed: borrowed
                .into_iter()
                .map(|(at, node)| (v4(first + at), node))
                .collect(),
        }
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let strict = proptest::option::of(proptest::option::of(owner()));
    let numbers = (0_u16..2, 0_u32..2, 0_u32..2, 0_u32..2, 0_u16..2);
    (flags, strict, numbers, any::<bool>()).prop_map(
        |(
            (on, on6, host_encryption, ipam),
            strict,
            (port, mark, table, priority, keepalive),
            named,
        )| {
            let mut settings = Settings {
                host_encryption,
                route_source: match ipam {
                    true => RouteSource::CalicoIpam,
                    false => RouteSource::WorkloadIps,
                },
                rule_priority: 99 + priority,
                mark: 0x10_0000 << mark,
                tables: vec![(1 + table, 250)],
                keepalive,
                strict: strict.map(|plain| Strict {
                    plain_nodes: plain.into_iter().collect(),
                    ..Strict::default()
                }),
                ..Settings::default()
            };
            settings.tunnel.v4.enabled = on;
            settings.tunnel.v6.enabled = on6;
            settings.tunnel.v4.listen_port = 51820 + port * 10;
            if named {
                settings.tunnel.v4.interface = "wg0".into();
            }
            settings
        },
    )
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let nodes = proptest::collection::vec(proptest::option::weighted(0.9, node()), 4);
    let workloads = proptest::collection::vec(workload(), 0..8);
    let blocks = proptest::collection::vec(block(), 0..4);
    (nodes, workloads, blocks, settings()).prop_map(|(nodes, workloads, blocks, settings)| {
        let mut cluster = Cluster::empty();
        for (name, node) in NODES.iter().zip(nodes) {
            if let Some(node) = node {
                cluster.add_node(name, &node);
            }
        }
        cluster.workloads = workloads;
        cluster.blocks = blocks;
        cluster.settings = settings;
        cluster
    })
}

/// What node a should be like.
fn plane_of(cluster: &Cluster) -> Dataplane {
    let table = cluster.settings.tables[0].0;
    desired(
        cluster,
        &Situation {
            node: "a",
            uplink_mtu: PerFamily { v4: 1500, v6: 1500 },
            tables: PerFamily {
                v4: table,
                v6: table,
            },
            store: &[],
            supported: true,
        },
    )
}

fn plane() -> impl Strategy<Value = Dataplane> {
    cluster().prop_map(|cluster| plane_of(&cluster))
}

/// What somebody may have done to a dataplane meanwhile: less of this and of that.
fn tampered() -> impl Strategy<Value = Dataplane> {
    (
        plane(),
        proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    )
        .prop_map(|(mut plane, picks)| {
            for pick in picks {
                let part = &mut plane.planes.v4;
                match pick.index(6) {
                    0 => {
                        part.rules.pop_first();
                    }
                    1 => {
                        part.routes.pop_first();
                    }
                    2 => {
                        part.devices.pop_first();
                        part.routes.retain(|_, target| *target == Target::Throw);
                    }
                    3 => {
                        for device in part.devices.values_mut() {
                            device.peers.pop_first();
                            device.up = false;
                        }
                        part.routes.retain(|_, target| *target == Target::Throw);
                    }
                    4 => plane.firewall = Firewall::default(),
                    _ => {
                        for target in part.routes.values_mut().take(1) {
                            *target = Target::Foreign;
                        }
                    }
                }
            }
            plane
        })
}

/// The kernel says it only where there are peers.
fn settled(mut plane: Dataplane) -> Dataplane {
    for family in Family::ALL {
        for device in plane.planes[family].devices.values_mut() {
            device.threaded = None;
        }
    }
    plane
}

/// Undoes nothing that others may rely on.
fn goal(actual: &Dataplane, desired: &Dataplane) -> Dataplane {
    Dataplane {
        src_valid_mark: actual.src_valid_mark || desired.src_valid_mark,
        ..settled(desired.clone())
    }
}

fn after(changes: &[Change], mut plane: Dataplane) -> Dataplane {
    for change in changes {
        apply(change, &mut plane);
    }
    settled(plane)
}

/// Every address that any cluster here knows.
fn destinations() -> impl Iterator<Item = IpNet> {
    let last = || 1_u8..=255;
    last().map(v4).chain(last().map(v6)).map(IpNet::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changes_lead_to_what_is_desired(actual in tampered(), desired in plane()) {
        let changes = diff(&actual, &desired);
        prop_assert_eq!(after(&changes, actual.clone()), goal(&actual, &desired));
    }

    #[test]
    fn no_change_is_needless(actual in tampered(), desired in plane()) {
        let mut plane = actual;
        for change in diff(&plane, &desired) {
            let before = plane.clone();
            apply(&change, &mut plane);
            prop_assert_ne!(before, plane.clone(), "{}", change);
        }
        prop_assert_eq!(diff(&settled(plane), &desired), vec![]);
    }

    #[test]
    fn any_part_of_the_changes_can_be_taken_up_again(
        actual in tampered(), desired in plane(), cut in any::<prop::sample::Index>(),
    ) {
        let changes = diff(&actual, &desired);
        let done = &changes[..cut.index(changes.len() + 1)];
        let midway = after(done, actual.clone());
        let rest = diff(&midway, &desired);
        prop_assert_eq!(after(&rest, midway), goal(&actual, &desired));
    }

    #[test]
    fn no_part_of_the_changes_opens_a_way_in_clear(before in plane(), desired in plane()) {
        let changes = diff(&before, &desired);
        let end = after(&changes, before.clone());
        let protected: Vec<_> = destinations()
            .filter(|to| fate(&before, *to) != Fate::Plain && fate(&end, *to) != Fate::Plain)
            .collect();
        let mut plane = before;
        for change in &changes {
            apply(change, &mut plane);
            for to in &protected {
                prop_assert_ne!(fate(&plane, *to), Fate::Plain, "{} after {}", to, change);
            }
        }
    }
}

/// A pod that moves is handed over in one message to the device and one batch of routes.
#[test]
fn a_pod_that_moves_is_handed_over_in_one_message() {
    let mut cluster = Cluster::empty();
    for (name, last) in [("a", 1), ("b", 2), ("c", 3)] {
        let node = Node {
            endpoint: PerFamily {
                v4: Some(v4(last)),
                v6: None,
            },
            addresses: vec![v4(last)],
            public_key: PerFamily {
                v4: Some(PublicKey::from_bytes([last; 32])),
                v6: None,
            },
            ..Node::default()
        };
        cluster.add_node(name, &node);
    }
    cluster.settings.tunnel.v4.enabled = true;
    cluster.settings.route_source = RouteSource::WorkloadIps;
    let pod = |node: &str| Workload {
        node: node.into(),
        networks: vec![IpNet::from(v4(30))],
    };
    cluster.workloads = vec![pod("b")];
    let before = plane_of(&cluster);
    cluster.workloads = vec![pod("c")];
    let changes = diff(&before, &plane_of(&cluster));
    let [Change::Configure(configuration)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    let told: BTreeMap<_, _> = configuration.set.iter().cloned().collect();
    assert_eq!(told.len(), 2, "{configuration}");
    assert!(configuration.set[0].1.replace, "the loser is told first");
}
