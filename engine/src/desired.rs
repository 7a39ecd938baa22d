//! Cluster to dataplane: what this node should be like.
//!
//! Felix decides the same in `wireguard/wireguard.go` and `dataplane/linux/wireguard_mgr.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use ipnet::Ipv4Net;

use crate::cluster::Cluster;
use crate::dataplane::{Dataplane, Device, IncomingMark, Peer, Rule, Target};
use crate::key::PublicKey;
use crate::settings::RouteSource;

/// What this node should be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Desired {
    /// Without encryption: nothing of ours is there.
    Plain(Dataplane),
    /// With encryption.
    Encrypting(Dataplane),
    /// The cluster asks for what this engine cannot do; the dataplane is left alone.
    LeaveAlone(&'static str),
}

/// What `node` should be like, given the MTU of its uplink in bytes.
pub(crate) fn desired(cluster: &Cluster, node: &str, uplink_mtu: u32) -> Desired {
    let settings = &cluster.settings;
    let Some(own) = cluster.nodes.get(node) else {
        return Desired::Plain(Dataplane::default());
    };
    if !settings.enabled {
        return Desired::Plain(Dataplane::default());
    }
    if settings.route_source == RouteSource::CalicoIpam {
        return Desired::LeaveAlone(
            "routeSource is CalicoIPAM, and this engine routes by workload IPs: set routeSource to WorkloadIPs",
        );
    }
    let networks = networks(cluster, node);
    let mut plane = Dataplane {
        device: None,
        routes: routes(cluster, node, &networks),
        rules: BTreeSet::from([Rule {
            priority: settings.rule_priority,
            not: true,
            mark: settings.mark,
            mask: settings.mark,
            table: settings.table,
            foreign: false,
        }]),
        incoming_mark: None,
        src_valid_mark: false,
    };
    let mut address = own.tunnel_address;
    if settings.host_encryption {
        address = own.endpoint;
        plane.src_valid_mark = true;
        plane.incoming_mark = Some(IncomingMark {
            mark: settings.mark,
            interfaces: BTreeSet::from(["lo".into(), settings.interface.clone()]),
            prefixes: settings.pod_interfaces.clone(),
        });
    }
    plane.device = Some(Device {
        name: settings.interface.clone(),
        has_key: true,
        mtu: settings.device_mtu(uplink_mtu, cluster.aks),
        up: true,
        addresses: address.map(Ipv4Net::from).into_iter().collect(),
        listen_port: settings.listen_port,
        fwmark: settings.mark,
        peers: peers(cluster, node, &networks),
    });
    Desired::Encrypting(plane)
}

/// Each other node that can be one.
fn peers(
    cluster: &Cluster,
    own: &str,
    networks: &BTreeMap<Ipv4Net, &str>,
) -> BTreeMap<PublicKey, Peer> {
    let settings = &cluster.settings;
    let mut allowed = BTreeMap::<_, BTreeSet<_>>::new();
    for (network, owner) in networks {
        allowed.entry(*owner).or_default().insert(*network);
    }
    cluster
        .nodes
        .iter()
        .filter(|(name, _)| *name != own)
        .filter_map(|(name, node)| {
            let key = cluster.key_of(name).ok()?;
            let peer = Peer {
                endpoint: Some(SocketAddrV4::new(node.endpoint?, settings.listen_port)),
                allowed_ips: allowed.remove(name.as_str()).unwrap_or_default(),
                keepalive: settings.keepalive,
            };
            Some((key, peer))
        })
        .collect()
}

/// A throw for each of the node's own pods, so that these stay in clear; for each
/// network of another node the tunnel if it is a peer, and a throw if not.
fn routes(
    cluster: &Cluster,
    own: &str,
    networks: &BTreeMap<Ipv4Net, &str>,
) -> BTreeMap<Ipv4Net, Target> {
    let target = |owner: &str| match cluster.key_of(owner) {
        _ if owner == own => Target::Throw,
        Ok(_) => Target::Tunnel,
        Err(_) => Target::Throw,
    };
    networks
        .iter()
        .map(|(network, owner)| (*network, target(owner)))
        .collect()
}

/// Which node has each network: its pods' and, with host encryption, its own addresses.
/// Where two nodes claim one, this node has it, then the first by name: a network can be
/// allowed for one peer only. The node's own addresses are left out: the local table is
/// asked before any of ours.
fn networks<'a>(cluster: &'a Cluster, own: &'a str) -> BTreeMap<Ipv4Net, &'a str> {
    let mut networks = BTreeMap::new();
    let mut claims = BTreeMap::<&str, Vec<Ipv4Net>>::new();
    for workload in &cluster.workloads {
        claims
            .entry(&workload.node)
            .or_default()
            .extend(&workload.networks);
    }
    if cluster.settings.host_encryption {
        for (name, node) in &cluster.nodes {
            claims
                .entry(name)
                .or_default()
                .extend(node.addresses.iter().copied().map(Ipv4Net::from));
        }
    }
    let known = cluster.nodes.keys().map(String::as_str);
    for owner in std::iter::once(own).chain(known) {
        for network in claims.get(owner).into_iter().flatten() {
            networks.entry(*network).or_insert(owner);
        }
    }
    for address in cluster
        .nodes
        .get(own)
        .iter()
        .flat_map(|node| &node.addresses)
    {
        networks.remove(&Ipv4Net::from(*address));
    }
    networks
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::resource::{Node, Workload};
    use crate::settings::Settings;

    fn node(last: u8, key: Option<u8>) -> Node {
        let address = Ipv4Addr::new(10, 240, 0, last);
        Node {
            endpoint: Some(address),
            addresses: vec![address],
            tunnel_address: None,
            public_key: key.map(|key| PublicKey::from_bytes([key; 32])),
        }
    }

    fn pod(node: &str, last: u8) -> Workload {
        Workload {
            node: node.into(),
            networks: vec![Ipv4Net::from(Ipv4Addr::new(10, 240, 0, last))],
        }
    }

    /// The AKS cluster of the reference, seen from the third node.
    fn seed() -> Cluster {
        Cluster {
            nodes: BTreeMap::from([
                ("a".into(), node(4, Some(1))),
                ("b".into(), node(64, Some(2))),
                ("c".into(), node(33, Some(3))),
            ]),
            workloads: [
                ("a", 5),
                ("a", 6),
                ("b", 65),
                ("b", 66),
                ("c", 34),
                ("c", 35),
            ]
            .map(|(node, last)| pod(node, last))
            .into(),
            settings: Settings {
                enabled: true,
                host_encryption: true,
                route_source: RouteSource::WorkloadIps,
                ..Settings::default()
            },
            aks: true,
        }
    }

    fn encrypting(cluster: &Cluster) -> Dataplane {
        match desired(cluster, "c", 1500) {
            Desired::Encrypting(plane) => plane,
            other => panic!("{other:?}"),
        }
    }

    /// Last numbers of the networks that have this target.
    fn to(plane: &Dataplane, target: Target) -> Vec<u8> {
        plane
            .routes
            .iter()
            .filter(|(_, found)| **found == target)
            .map(|(network, _)| network.addr().octets()[3])
            .collect()
    }

    fn allowed(plane: &Dataplane, key: u8) -> Vec<u8> {
        let key = PublicKey::from_bytes([key; 32]).unwrap();
        let device = plane.device.as_ref().unwrap();
        let peer = device.peers.get(&key);
        peer.into_iter()
            .flat_map(|peer| &peer.allowed_ips)
            .map(|network| network.addr().octets()[3])
            .collect()
    }

    #[test]
    fn the_reference_cluster_is_peered_and_routed_as_in_the_reference() {
        let plane = encrypting(&seed());
        assert_eq!(to(&plane, Target::Throw), [34, 35]);
        assert_eq!(to(&plane, Target::Tunnel), [4, 5, 6, 64, 65, 66]);
        assert_eq!(allowed(&plane, 1), [4, 5, 6]);
        assert_eq!(allowed(&plane, 2), [64, 65, 66]);
        let device = plane.device.unwrap();
        assert_eq!(device.mtu, 1340);
        assert_eq!(
            device.addresses,
            BTreeSet::from([Ipv4Net::from(Ipv4Addr::new(10, 240, 0, 33))])
        );
        assert!(plane.src_valid_mark && plane.incoming_mark.is_some());
    }

    #[test]
    fn a_node_without_a_key_is_reached_in_clear() {
        let mut cluster = seed();
        cluster.nodes.insert("a".into(), node(4, None));
        let plane = encrypting(&cluster);
        assert_eq!(to(&plane, Target::Throw), [4, 5, 6, 34, 35]);
        assert_eq!(plane.device.unwrap().peers.len(), 1);
    }

    #[test]
    fn a_key_of_two_nodes_is_used_for_neither_and_neither_is_black_holed() {
        let mut cluster = seed();
        cluster.nodes.insert("a".into(), node(4, Some(2)));
        let plane = encrypting(&cluster);
        assert_eq!(to(&plane, Target::Tunnel), [0_u8; 0]);
        assert!(plane.device.unwrap().peers.is_empty());
    }

    #[test]
    fn without_host_encryption_nodes_are_left_alone() {
        let mut cluster = seed();
        cluster.settings.host_encryption = false;
        let plane = encrypting(&cluster);
        assert_eq!(to(&plane, Target::Tunnel), [5, 6, 65, 66]);
        assert!(!plane.src_valid_mark && plane.incoming_mark.is_none());
        assert_eq!(plane.device.unwrap().mtu, 1440);
    }

    #[test]
    fn a_network_of_two_nodes_is_allowed_for_one_peer_and_an_own_pod_stays_own() {
        let mut cluster = seed();
        cluster.workloads.push(pod("b", 5));
        cluster.workloads.push(pod("a", 34));
        let plane = encrypting(&cluster);
        assert_eq!(allowed(&plane, 1), [4, 5, 6]);
        assert_eq!(allowed(&plane, 2), [64, 65, 66]);
        assert_eq!(to(&plane, Target::Throw), [34, 35]);
    }

    #[test]
    fn disabled_means_nothing_of_ours() {
        let mut cluster = seed();
        cluster.settings.enabled = false;
        assert_eq!(
            desired(&cluster, "c", 1500),
            Desired::Plain(Dataplane::default())
        );
    }

    #[test]
    fn blocks_of_calico_ipam_are_refused_rather_than_left_in_clear() {
        let mut cluster = seed();
        cluster.settings.route_source = RouteSource::CalicoIpam;
        assert!(matches!(
            desired(&cluster, "c", 1500),
            Desired::LeaveAlone(_)
        ));
    }
}
