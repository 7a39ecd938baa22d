//! Random clusters, and the desired dataplane of one of their nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use crate::dataplane::desired::{Situation, desired};
use crate::dataplane::local_routes::LocalRoutes;
use crate::dataplane::model::Dataplane;
use crate::intent::cluster::Cluster;
use crate::intent::family::PerFamily;
use crate::intent::key::PublicKey;
use crate::intent::resource::{Block, Identity, Node, Workload};
use crate::intent::settings::{RouteSource, Settings, Strict};

/// A pod's name.
pub(crate) fn pod_identity(number: usize) -> Identity {
    Identity {
        kind: "WorkloadEndpoint".into(),
        namespace: String::new(),
        name: number.to_string(),
    }
}

pub(crate) const NODES: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) fn v4(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

pub(crate) fn v6(last: u8) -> IpAddr {
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
        created(),
    )
        .prop_map(|(last, dual, key, key6, tunnel, created)| {
            let read = |key: Option<u8>| key.map(|key| PublicKey::from_bytes([key; 32]));
            let mut addresses = vec![v4(last)];
            addresses.extend(dual.then(|| v6(last)));
            Node {
                created,
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

pub(crate) fn owner() -> impl Strategy<Value = String> {
    proptest::sample::select(NODES.to_vec()).prop_map(String::from)
}

/// When something was made, if it has a creation time.
fn created() -> impl Strategy<Value = String> {
    let times = ["", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"];
    proptest::sample::select(times.to_vec()).prop_map(String::from)
}

/// A pod, which has an address of a node or of a tunnel at times.
pub(crate) fn workload() -> impl Strategy<Value = Workload> {
    let last = prop_oneof![4 => 30_u8..45, 1 => 1_u8..20, 1 => 100_u8..110];
    (owner(), last, any::<bool>(), created()).prop_map(|(node, last, dual, created)| {
        let mut networks = vec![IpNet::from(v4(last))];
        networks.extend(dual.then(|| IpNet::from(v6(last))));
        Workload {
            created,
            node,
            networks,
        }
    })
}

/// What the kernel of node a leads to a pod or to itself, and to elsewhere: whatever the store has.
pub(crate) fn here() -> impl Strategy<Value = LocalRoutes> {
    let last = prop_oneof![4 => 30_u8..45, 1 => 1_u8..20, 2 => 64_u8..128, 1 => 100_u8..110];
    let route = (
        last,
        any::<bool>(),
        prop_oneof![3 => Just(32), 1 => 26_u8..32],
        any::<bool>(),
    );
    let route = route.prop_map(|(last, v6_too, length, here)| {
        let network = match v6_too {
            false => IpNet::new(v4(last), length),
            true => IpNet::new(v6(last), length + 96),
        };
        (network.unwrap().trunc(), here)
    });
    proptest::collection::vec(route, 0..12).prop_map(|routes| routes.into_iter().collect())
}

pub(crate) fn block() -> impl Strategy<Value = Block> {
    let borrowed = proptest::collection::vec((0_u8..16, owner()), 0..2);
    (0_u8..4, proptest::option::of(owner()), borrowed).prop_map(|(which, affinity, borrowed)| {
        let first = 64 + which * 16;
        Block {
            is_virtual: false,
            created: String::new(),
            cidr: IpNet::new(v4(first), 28).unwrap(),
            affinity,
            borrowed: borrowed
                .into_iter()
                .map(|(at, node)| (v4(first + at), node))
                .collect(),
        }
    })
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
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

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
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
        for (number, workload) in workloads.iter().enumerate() {
            cluster.add_workload(&pod_identity(number), workload);
        }
        cluster.blocks = blocks;
        cluster.settings = settings;
        cluster
    })
}

/// What node a should be like where all that it claims is on it.
pub(crate) fn plane_of(cluster: &Cluster) -> Dataplane {
    let here = ["0.0.0.0/0", "::/0"].map(|all| (all.parse().unwrap(), true));
    plane_with(cluster, &here.into_iter().collect())
}

/// What node a should be like where this is on it.
pub(crate) fn plane_with(cluster: &Cluster, here: &LocalRoutes) -> Dataplane {
    let table = cluster.settings.tables[0].0;
    plane_in(cluster, here, PerFamily::each(|_| Some(table)))
}

/// What node a should be like where this is on it, with these tables.
pub(crate) fn plane_in(
    cluster: &Cluster,
    here: &LocalRoutes,
    tables: PerFamily<Option<u32>>,
) -> Dataplane {
    let (dataplane, _) = desired(
        cluster,
        &Situation {
            node: "a",
            uplink_mtu: PerFamily { v4: 1500, v6: 1500 },
            tables,
            store: &[],
            supported: PerFamily { v4: true, v6: true },
            here,
            pods: &cluster.settings.pod_interfaces,
            departed: &BTreeSet::new(),
        },
    );
    dataplane
}

pub(crate) fn plane() -> impl Strategy<Value = Dataplane> {
    (cluster(), here()).prop_map(|(cluster, here)| plane_with(&cluster, &here))
}
