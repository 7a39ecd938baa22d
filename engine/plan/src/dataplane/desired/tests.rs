//! The reference cluster and its relatives, seen from one node.

use std::net::IpAddr;

use super::*;
use crate::intent::resource::{Block, Node, Workload};
use crate::intent::settings::{RouteSource, Settings};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

/// Puts pods into a cluster, on top of those that are there.
fn add(cluster: &mut Cluster, pods: impl IntoIterator<Item = Workload>) {
    for pod in pods {
        let identity = crate::intent::resource::Identity {
            kind: "WorkloadEndpoint".into(),
            namespace: String::new(),
            name: cluster.workloads.len().to_string(),
        };
        cluster.add_workload(&identity, &pod);
    }
}

/// A node 10.240.0.LAST, fd00::LAST, with a key in each family.
fn node(last: u8, key: Option<u8>) -> Node {
    let own = PerFamily {
        v4: address(&format!("10.240.0.{last}")),
        v6: address(&format!("fd00::{last:x}")),
    };
    Node {
        endpoint: PerFamily::each(|family| Some(own[family])),
        addresses: vec![own.v4, own.v6],
        public_key: PerFamily {
            v4: key.map(|key| PublicKey::from_bytes([key; 32])),
            v6: key.map(|key| PublicKey::from_bytes([key + 100; 32])),
        },
        ..Node::default()
    }
}

fn pod(node: &str, last: u8) -> Workload {
    Workload {
        node: node.into(),
        networks: vec![
            net(&format!("10.240.0.{last}")),
            net(&format!("fd00::{last:x}")),
        ],
        ..Workload::default()
    }
}

fn settings() -> Settings {
    let mut settings = Settings {
        host_encryption: true,
        route_source: RouteSource::WorkloadIps,
        ..Settings::default()
    };
    settings.tunnel.v4.enabled = true;
    settings
}

/// The AKS cluster of the reference, seen from the third node.
fn seed() -> Cluster {
    let mut cluster = Cluster::empty();
    for (name, last, key) in [("a", 4, 1), ("b", 64, 2), ("c", 33, 3)] {
        cluster.add_node(name, &node(last, Some(key)));
    }
    let pods = [
        ("a", 5),
        ("a", 6),
        ("b", 65),
        ("b", 66),
        ("c", 34),
        ("c", 35),
    ];
    add(&mut cluster, pods.map(|(node, last)| pod(node, last)));
    cluster.settings = settings();
    cluster.aks = true;
    cluster
}

/// Another cluster with this node in the place of that of its name.
fn with_node(cluster: &Cluster, name: &str, node: &Node) -> Cluster {
    let mut other = Cluster::empty();
    for (known, known_node) in &cluster.nodes {
        other.add_node(known, if known == name { node } else { known_node });
    }
    add(&mut other, cluster.workloads.values().cloned());
    other.settings = cluster.settings.clone();
    other.aks = cluster.aks;
    other
}

/// The local routes of a node on which every pod of the store is plugged in.
fn plugged(cluster: &Cluster, node: &str) -> LocalRoutes {
    let pods = cluster.workloads.values().filter(|pod| pod.node == node);
    let pods = pods.flat_map(|pod| pod.networks.clone());
    let own = cluster.nodes.get(node).into_iter();
    let own = own.flat_map(|own| own.addresses.iter().copied().map(IpNet::from));
    pods.chain(own).map(|network| (network, true)).collect()
}

fn seen_from(cluster: &Cluster, node: &str) -> Dataplane {
    seen_with(cluster, node, &plugged(cluster, node)).0
}

fn seen_with(
    cluster: &Cluster,
    node: &str,
    here: &LocalRoutes,
) -> (Dataplane, PerFamily<Vec<Conflict>>) {
    seen_after(cluster, node, here, &BTreeSet::new())
}

/// The same where nodes have gone that had these networks.
fn seen_after(
    cluster: &Cluster,
    node: &str,
    here: &LocalRoutes,
    departed: &BTreeSet<IpNet>,
) -> (Dataplane, PerFamily<Vec<Conflict>>) {
    desired(
        cluster,
        &Situation {
            node,
            uplink_mtu: PerFamily { v4: 1500, v6: 1500 },
            tables: PerFamily {
                v4: Some(1),
                v6: Some(1),
            },
            store: &[],
            supported: PerFamily { v4: true, v6: true },
            here,
            pods: &cluster.settings.pod_interfaces,
            departed,
        },
    )
}

fn to(plane: &FamilyDataplane, target: fn(&Target) -> bool) -> Vec<String> {
    let found = plane.routes.iter().filter(|(_, found)| target(found));
    found.map(|(slot, _)| slot.network.to_string()).collect()
}

fn tunnelled(plane: &FamilyDataplane) -> Vec<String> {
    to(plane, |target| matches!(target, Target::Tunnel(_)))
}

fn thrown(plane: &FamilyDataplane) -> Vec<String> {
    to(plane, |target| *target == Target::Throw)
}

fn device(plane: &FamilyDataplane) -> &Device {
    plane.devices.values().next().unwrap()
}

fn allowed(plane: &FamilyDataplane, key: u8) -> Vec<String> {
    let key = PublicKey::from_bytes([key; 32]).unwrap();
    let peer = device(plane).peers.get(&key);
    let networks = peer.into_iter().flat_map(|peer| &peer.allowed_ips);
    networks.map(ToString::to_string).collect()
}

fn hosts(lasts: &[u8]) -> Vec<String> {
    lasts
        .iter()
        .map(|last| format!("10.240.0.{last}/32"))
        .collect()
}

#[test]
fn the_reference_cluster_is_peered_and_routed_as_in_the_reference() {
    let plane = seen_from(&seed(), "c");
    assert!(plane.src_valid_mark && !plane.firewall.is_empty());
    let plane = plane.families.v4;
    assert_eq!(thrown(&plane), hosts(&[34, 35]));
    assert_eq!(tunnelled(&plane), hosts(&[4, 5, 6, 64, 65, 66]));
    assert_eq!(allowed(&plane, 1), hosts(&[4, 5, 6]));
    assert_eq!(allowed(&plane, 2), hosts(&[64, 65, 66]));
    assert_eq!(device(&plane).mtu, 1340);
    assert_eq!(
        device(&plane).addresses,
        BTreeSet::from([net("10.240.0.33")])
    );
}

#[test]
fn the_families_are_two_meshes() {
    let mut cluster = seed();
    assert_eq!(
        seen_from(&cluster, "c").families.v6,
        FamilyDataplane::default()
    );
    cluster.settings.tunnel.v6.enabled = true;
    let plane = seen_from(&cluster, "c").families.v6;
    assert_eq!(plane.devices.keys().next().unwrap(), "wg-v6.cali");
    assert_eq!(device(&plane).mtu, 1320);
    assert_eq!(device(&plane).listen_port, 51821);
    assert_eq!(
        allowed(&plane, 101),
        ["fd00::4/128", "fd00::5/128", "fd00::6/128"]
    );
    assert_eq!(thrown(&plane), ["fd00::22/128", "fd00::23/128"]);
    cluster.settings.tunnel.v4.enabled = false;
    let dataplane = seen_from(&cluster, "c");
    assert_eq!(dataplane.families.v4, FamilyDataplane::default());
    assert!(!dataplane.src_valid_mark, "there is no such thing in IPv6");
}

#[test]
fn a_node_that_lost_its_address_of_a_family_is_plain_in_that_family() {
    let mut cluster = seed();
    cluster.settings.tunnel.v6.enabled = true;
    let mut lost = node(4, Some(1));
    lost.endpoint.v6 = None;
    lost.addresses.truncate(1);
    let cluster = with_node(&cluster, "a", &lost);
    let families = seen_from(&cluster, "c").families;
    assert_eq!(
        thrown(&families.v6),
        ["fd00::5/128", "fd00::6/128", "fd00::22/128", "fd00::23/128"]
    );
    assert_eq!(device(&families.v6).peers.len(), 1);
    assert_eq!(device(&families.v4).peers.len(), 2);
    let own = seen_from(&cluster, "a").families;
    assert_eq!(own.v6, FamilyDataplane::default());
    assert_ne!(own.v4, FamilyDataplane::default());
}

#[test]
fn a_node_without_a_key_is_reached_in_clear() {
    let cluster = with_node(&seed(), "a", &node(4, None));
    let plane = seen_from(&cluster, "c").families.v4;
    assert_eq!(thrown(&plane), hosts(&[4, 5, 6, 34, 35]));
    assert_eq!(device(&plane).peers.len(), 1);
}

#[test]
fn a_key_of_two_nodes_is_used_for_neither_and_neither_is_black_holed() {
    let cluster = with_node(&seed(), "a", &node(4, Some(2)));
    let plane = seen_from(&cluster, "c").families.v4;
    assert_eq!(tunnelled(&plane), [""; 0]);
    assert!(device(&plane).peers.is_empty());
    // Nobody takes b for a peer: what it sent into the tunnel would be lost.
    let own = seen_from(&cluster, "b").families.v4;
    assert_eq!(tunnelled(&own), [""; 0]);
}

#[test]
fn without_host_encryption_nodes_are_left_alone() {
    let mut cluster = seed();
    cluster.settings.host_encryption = false;
    let plane = seen_from(&cluster, "c");
    assert!(!plane.src_valid_mark && plane.firewall.is_empty());
    assert_eq!(tunnelled(&plane.families.v4), hosts(&[5, 6, 65, 66]));
    assert_eq!(device(&plane.families.v4).mtu, 1440);
}

#[test]
fn a_network_of_two_nodes_is_allowed_for_one_peer_and_an_own_pod_stays_own() {
    let mut cluster = seed();
    add(&mut cluster, [pod("b", 5), pod("a", 34)]);
    let plane = seen_from(&cluster, "c").families.v4;
    assert_eq!(allowed(&plane, 1), hosts(&[4, 6]));
    assert_eq!(allowed(&plane, 2), hosts(&[5, 64, 65, 66]));
    assert_eq!(thrown(&plane), hosts(&[34, 35]));
}

#[test]
fn disabled_or_unable_means_nothing_of_ours() {
    let mut cluster = seed();
    let situation = Situation {
        node: "c",
        uplink_mtu: PerFamily::default(),
        tables: PerFamily::default(),
        store: &[],
        supported: PerFamily::default(),
        here: &LocalRoutes::default(),
        pods: &BTreeSet::new(),
        departed: &BTreeSet::new(),
    };
    assert_eq!(desired(&cluster, &situation).0, Dataplane::default());
    cluster.settings.tunnel.v4.enabled = false;
    assert_eq!(seen_from(&cluster, "c"), Dataplane::default());
}

#[test]
fn the_settings_values_are_those_of_the_device_the_rule_and_the_peers() {
    let mut cluster = seed();
    cluster.settings.tunnel.v6.enabled = true;
    cluster.settings.mark = 0x8_0000;
    cluster.settings.rule_priority = 42;
    cluster.settings.keepalive = 25;
    cluster.settings.threaded = true;
    cluster.settings.tunnel.v4.listen_port = 7;
    cluster.settings.tunnel.v6.listen_port = 8;
    for (family, port) in [(Family::V4, 7), (Family::V6, 8)] {
        let dataplane = seen_from(&cluster, "c");
        let plane = &dataplane.families[family];
        let device = device(plane);
        assert_eq!((device.fwmark, device.listen_port), (0x8_0000, port));
        assert_eq!(device.threaded, Some(true));
        assert!(!device.peers.is_empty());
        for peer in device.peers.values() {
            assert_eq!(peer.keepalive, 25);
            assert_eq!(peer.endpoint.unwrap().port(), port);
        }
        let rules: Vec<_> = plane.rules.iter().collect();
        assert_eq!(rules, [&Rule::for_mark(42, 0x8_0000, 1)]);
    }
}

#[test]
fn conflicts_are_reported_where_encryption_is_asked_for_though_this_node_cannot() {
    let mut cluster = seed();
    add(&mut cluster, [pod("b", 6)]);
    let conflicts = |cluster: &Cluster| {
        let (_, conflicts) = seen_with(cluster, "c", &plugged(cluster, "c"));
        conflicts.v4.len()
    };
    assert_eq!(conflicts(&cluster), 1);
    cluster.settings.tunnel.v4.enabled = false;
    cluster.wanted.v4 = true;
    assert_eq!(conflicts(&cluster), 1);
    cluster.wanted.v4 = false;
    assert_eq!(conflicts(&cluster), 0);
}

#[test]
fn strict_protects_the_addresses_of_a_node_that_has_gone_in_its_family() {
    let mut cluster = seed();
    cluster.settings.tunnel.v6.enabled = true;
    cluster.settings.strict = Some(Strict::default());
    let here = plugged(&cluster, "c");
    let departed = BTreeSet::from([net("10.240.7.7/32"), net("fd00::7:7/128")]);
    let firewall = seen_after(&cluster, "c", &here, &departed).0.firewall;
    for (own, other, network) in [
        ("protected4", "protected6", "10.240.7.7/32"),
        ("protected6", "protected4", "fd00::7:7/128"),
    ] {
        assert!(firewall.sets[own].contains(&net(network)), "{network}");
        assert!(!firewall.sets[other].contains(&net(network)), "{network}");
    }
}

#[test]
fn a_family_without_a_port_is_dropped_in_strict_mode_and_the_other_goes_on() {
    let mut cluster = seed();
    cluster.settings.tunnel.v6.enabled = true;
    cluster.settings.strict = Some(Strict::default());
    let here = plugged(&cluster, "c");
    let departed = BTreeSet::new();
    let situation = |v4, v6| Situation {
        node: "c",
        uplink_mtu: PerFamily { v4: 1500, v6: 1500 },
        tables: PerFamily {
            v4: Some(1),
            v6: Some(1),
        },
        store: &[],
        supported: PerFamily { v4, v6 },
        here: &here,
        pods: &cluster.settings.pod_interfaces,
        departed: &departed,
    };
    let (whole, _) = desired(&cluster, &situation(true, true));
    let (half, _) = desired(&cluster, &situation(false, true));
    assert_eq!(half.families.v4, FamilyDataplane::default());
    assert_eq!(half.families.v6, whole.families.v6);
    assert!(!whole.firewall.sets["protected4"].is_empty());
    assert_eq!(half.firewall.sets, whole.firewall.sets);
}

/// The reference's cluster on Calico IPAM (felix.md §1.2), seen from a.
fn ipam() -> Cluster {
    let block = |cidr: &str, node: &str, borrowed: &str, by: &str| Block {
        is_virtual: false,
        created: String::new(),
        cidr: net(cidr),
        affinity: Some(node.into()),
        borrowed: vec![(address(borrowed), by.into())],
    };
    let mut cluster = Cluster::empty();
    cluster.add_node("a", &node(1, Some(1)));
    let mut remote = node(2, Some(2));
    remote.tunnel_address.v4 = Some(address("10.65.1.1"));
    cluster.add_node("b", &remote);
    cluster.blocks = vec![
        block("10.65.0.0/26", "a", "10.65.0.4", "b"),
        block("10.65.1.0/26", "b", "10.65.1.4", "a"),
    ];
    let pod = Workload {
        node: "a".into(),
        networks: vec![net("10.65.0.2"), net("10.65.1.4")],
        ..Workload::default()
    };
    add(&mut cluster, [pod]);
    cluster.settings = Settings {
        host_encryption: false,
        route_source: RouteSource::CalicoIpam,
        ..settings()
    };
    cluster
}

#[test]
fn blocks_and_borrowed_and_tunnel_addresses_are_routed_as_in_the_reference() {
    let plane = seen_from(&ipam(), "a").families.v4;
    assert_eq!(thrown(&plane), ["10.65.0.0/26", "10.65.1.4/32"]);
    assert_eq!(
        tunnelled(&plane),
        ["10.65.0.4/32", "10.65.1.0/26", "10.65.1.1/32"]
    );
    assert_eq!(
        allowed(&plane, 2),
        ["10.65.0.4/32", "10.65.1.0/26", "10.65.1.1/32"]
    );
}

#[test]
fn strict_protects_what_is_not_listed_and_the_most_specific_network_wins() {
    let mut cluster = ipam();
    cluster.settings.strict = Some(Strict::default());
    let firewall = seen_from(&cluster, "a").firewall;
    let set = |name: &str| -> Vec<_> {
        firewall.sets[name]
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    // Of its own blocks a node may speak to what is on it in clear, and to nothing else.
    assert_eq!(set("protected4"), ["10.65.0.0/26", "10.65.1.0/26"]);
    assert_eq!(
        set("plain4"),
        [
            "10.65.0.2/32",
            "10.65.1.4/32",
            "10.240.0.1/32",
            "10.240.0.2/32"
        ]
    );
    cluster.settings.strict.as_mut().unwrap().plain_nodes = BTreeSet::from(["b".into()]);
    let firewall = seen_from(&cluster, "a").firewall;
    let set = |name: &str| -> Vec<_> {
        firewall.sets[name]
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(set("protected4"), ["10.65.0.0/26"]);
    assert!(set("plain4").contains(&"10.65.0.4/32".to_owned()));
}

/// Addresses that may be reached in clear where several nodes claim an address.
mod conflicts;
