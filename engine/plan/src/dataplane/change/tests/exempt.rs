//! "Encrypt or drop" where resources contradict each other: nothing is exempt by a mere claim.

use proptest::prelude::*;

use super::super::model::{Fate, fate};
use super::super::random::{NODES, cluster, here, plane_with};
use super::*;
use crate::dataplane::desired::is_active;
use crate::intent::settings::Strict;

/// A node that an address is claimed for, and whether as its own address.
type Claimant<'a> = (&'a str, bool);

/// The claims to the most specific network that an address is in, and those around it if they are of
/// hosts alone.
fn claimants(cluster: &Cluster, to: IpNet) -> Vec<Claimant<'_>> {
    let mut claims: Vec<(IpNet, Claimant<'_>)> = Vec::new();
    let by_block = cluster.settings.route_source == RouteSource::CalicoIpam;
    for pod in cluster.workloads.values() {
        if by_block && pod.node != "a" {
            continue;
        }
        let networks = pod.networks.iter();
        claims.extend(networks.map(|network| (*network, (pod.node.as_str(), false))));
    }
    for block in cluster.blocks.iter().filter(|_| by_block) {
        let affine = block.affinity.iter().map(|node| (block.cidr, node));
        let borrowed = block.borrowed.iter();
        let borrowed = borrowed.map(|(address, node)| (IpNet::from(*address), node));
        claims.extend(
            affine
                .chain(borrowed)
                .map(|(network, node)| (network, (node.as_str(), false))),
        );
    }
    for (name, node) in &cluster.nodes {
        let tunnels = node
            .tunnel_address
            .iter()
            .filter_map(|(_, address)| *address);
        claims.extend(tunnels.map(|address| (address.into(), (name.as_str(), false))));
        let hosts = node.addresses.iter();
        claims.extend(hosts.map(|address| (IpNet::from(*address), (name.as_str(), true))));
    }
    claims.retain(|(network, _)| network.contains(&to));
    claims.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
    let mut found = Vec::new();
    let mut level = None;
    for (network, claimant) in claims {
        if level.is_some_and(|level| level != network) && found.iter().any(|(_, host)| !host) {
            break;
        }
        level = Some(network);
        found.push(claimant);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn only_local_or_plain_addresses_may_be_reached_in_clear(
        mut cluster in cluster(), here in here(), plain in proptest::option::of(0_usize..4),
    ) {
        let plain_nodes = plain.into_iter().map(|plain| NODES[plain].to_owned()).collect();
        cluster.settings.strict = Some(Strict { plain_nodes, ..Strict::default() });
        let listed = |name: &str| {
            let strict = cluster.settings.strict.as_ref();
            strict.is_some_and(|strict| strict.plain_nodes.contains(name))
                && cluster.nodes.contains_key(name)
        };
        // An agent whose own Node is not there does nothing.
        prop_assume!(cluster.nodes.contains_key("a"));
        let dataplane = plane_with(&cluster, &here);
        let all = (1_u8..=255).flat_map(|last| [v4(last), v6(last)]).map(IpNet::from);
        for to in all {
            let family = Family::of_network(to);
            let refuses = cluster.settings.tunnel[family].enabled
                && (is_active(&cluster, "a", family) || !listed("a"));
            let claimants = claimants(&cluster, to);
            let is_plain = |(node, host): &Claimant<'_>| {
                listed(node) || *host && !cluster.settings.host_encryption
            };
            let others = claimants.iter().any(|(node, _)| *node != "a");
            // A pod of a node's own address is that host.
            let mut nodes = claimants.iter().map(|(node, _)| node);
            let all_plain = nodes.all(|node| {
                let mut own = claimants.iter().filter(|(other, _)| other == node);
                own.any(is_plain)
            });
            if refuses && others && !all_plain && !here.has(to) {
                prop_assert_ne!(fate(&dataplane, to), Fate::Plain, "{} of {:?}", to, claimants);
            }
        }
    }
}
