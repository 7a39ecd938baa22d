//! Which node has which network (Felix: `calc/l3_route_resolver.go`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::Cluster;
use crate::family::Family;
use crate::settings::RouteSource;

/// Each network with the name of its node.
pub(crate) type Networks<'a> = BTreeMap<IpNet, &'a str>;

/// The networks of every node in one family: its pods' or blocks', its tunnels' addresses and,
/// with host encryption, its own addresses. Where two nodes claim one, this node has it,
/// then the first by name: a network can be allowed for one peer only. The node's own
/// addresses are left out: the local table is asked before any of ours.
pub(crate) fn of<'a>(cluster: &'a Cluster, own: &'a str, family: Family) -> Networks<'a> {
    let mut claims = BTreeMap::<&str, Vec<IpNet>>::new();
    match cluster.settings.route_source {
        RouteSource::WorkloadIps => workloads(cluster, &mut claims),
        RouteSource::CalicoIpam => blocks(cluster, own, &mut claims),
    }
    for (name, node) in &cluster.nodes {
        let tunnels = node.tunnel_address[family]
            .iter()
            .chain(&node.overlay_addresses);
        let hosts = node
            .addresses
            .iter()
            .filter(|_| cluster.settings.host_encryption);
        claims
            .entry(name)
            .or_default()
            .extend(tunnels.chain(hosts).copied().map(IpNet::from));
    }
    let mut networks = Networks::new();
    let known = cluster.nodes.keys().map(String::as_str);
    for owner in std::iter::once(own).chain(known) {
        let claimed = claims.get(owner).into_iter().flatten();
        for network in claimed.filter(|network| Family::of_network(**network) == family) {
            networks.entry(*network).or_insert(owner);
        }
    }
    for address in own_addresses(cluster, own) {
        networks.remove(&IpNet::from(address));
    }
    networks
}

/// A network for each address of a pod.
fn workloads<'a>(cluster: &'a Cluster, claims: &mut BTreeMap<&'a str, Vec<IpNet>>) {
    for workload in cluster.workloads.values() {
        claims
            .entry(&workload.node)
            .or_default()
            .extend(&workload.networks);
    }
}

/// A network for each block, for each address that is borrowed from one, and for each of
/// this node's own pods that none of its blocks covers.
fn blocks<'a>(cluster: &'a Cluster, own: &str, claims: &mut BTreeMap<&'a str, Vec<IpNet>>) {
    for block in &cluster.blocks {
        if let Some(node) = &block.affinity {
            claims.entry(node).or_default().push(block.cidr);
        }
        for (address, node) in &block.borrowed {
            claims.entry(node).or_default().push(IpNet::from(*address));
        }
    }
    for workload in cluster.workloads.values().filter(|pod| pod.node == own) {
        let claimed = claims.entry(&workload.node).or_default();
        for network in &workload.networks {
            if !claimed.iter().any(|block| block.contains(network)) {
                claimed.push(*network);
            }
        }
    }
}

fn own_addresses<'a>(cluster: &'a Cluster, own: &str) -> impl Iterator<Item = IpAddr> + 'a {
    cluster.nodes.get(own).into_iter().flat_map(|node| {
        let tunnels = node
            .tunnel_address
            .iter()
            .filter_map(|(_, address)| *address);
        node.addresses
            .iter()
            .chain(&node.overlay_addresses)
            .copied()
            .chain(tunnels)
    })
}
