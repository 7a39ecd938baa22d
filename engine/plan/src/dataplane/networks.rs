//! The node of each network (Felix: `calc/l3_route_resolver.go`).
//!
//! Felix takes the first of several claims by kind and name, since it expects them to be transient. Here one
//! rule decides ([`owner`]), and the conflict is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::local_routes::{LocalRoutes, supernets};
use crate::intent::cluster::Cluster;
use crate::intent::family::{Family, PerFamily};
use crate::intent::resource::{Block, Identity};
use crate::intent::settings::RouteSource;

/// Claims to a network, and the one rule of whose it is.
mod claim;

pub use claim::{Basis, Claim, Conflict, owner};

/// How many conflicts are reported one by one.
const MAX_REPORTED: usize = 10;

/// The networks of the cluster in one family.
#[derive(Debug, Clone, Default)]
pub struct Networks<'a> {
    /// Each network with the name of its node.
    pub owners: BTreeMap<IpNet, &'a str>,
    /// The networks that several nodes claim.
    pub conflicts: BTreeMap<IpNet, Conflict>,
}

/// Every claim to each network.
type Claims<'a> = BTreeMap<IpNet, Vec<Claim<'a>>>;

/// The networks of every node in one family as `own` sees them, which really has what is `here`: its
/// pods' or blocks', its tunnels' addresses and, with host encryption, its own addresses. Nodes that are
/// only named by pods or blocks have networks too, as in Felix. The addresses of `own` itself are left
/// out where it has them: the local table is asked before any of ours.
pub fn of<'a>(
    cluster: &'a Cluster,
    own: &'a str,
    family: Family,
    here: &LocalRoutes,
) -> Networks<'a> {
    let claims = claims(cluster, own, family);
    // Hosts that are not encrypted have no routes.
    let hosts = cluster.settings.host_encryption;
    let view = View { own, here, hosts };
    let mut networks = Networks::default();
    for (network, claimed) in &claims {
        let owner = view.owner(*network, claimed);
        networks
            .owners
            .extend(owner.map(|owner| (*network, owner.node)));
        networks.note(&view, *network, claimed);
    }
    networks.settle_nested(&view, &claims);
    for address in own_addresses(cluster, own) {
        let network = IpNet::from(address);
        if networks.owners.get(&network) == Some(&own) || here.has(network) {
            networks.owners.remove(&network);
        }
    }
    networks
}

impl<'a> Networks<'a> {
    /// The most specific network that contains another one or is it, and its node.
    pub fn nearest(&self, network: IpNet) -> Option<(IpNet, &'a str)> {
        let mut outer = supernets(network);
        outer.find_map(|outer| Some((outer, *self.owners.get(&outer)?)))
    }

    /// Whether every claim to a network is one that may be reached in clear.
    pub fn all_may_be_plain(&self, network: &IpNet, may_be: impl Fn(&str, bool) -> bool) -> bool {
        let conflict = self.conflicts.get(network);
        conflict.is_none_or(|conflict| conflict.all_may_be_plain(may_be))
    }

    /// Takes note of what is claimed for several nodes.
    fn note(&mut self, view: &View<'_>, network: IpNet, claims: &[Claim<'a>]) {
        if claims.windows(2).all(|pair| pair[0].node == pair[1].node) {
            return;
        }
        let owner = view.owner(network, claims);
        let is_here = view.is_here(network, claims);
        let conflict = Conflict::of(network, claims, owner, view.own, is_here);
        self.conflicts.insert(network, conflict);
    }

    /// Claims inside of another node's block that IPAM does not know of: what this node claims and has not is
    /// left to the block, and of an address of a node's own it is reported.
    fn settle_nested(&mut self, view: &View<'_>, claims: &Claims<'a>) {
        if claims.keys().all(|network| is_single(*network)) {
            return;
        }
        for (network, claimed) in claims {
            let mut outer = supernets(*network).skip(1);
            let Some(block) = outer.find_map(|outer| claims.get(&outer)) else {
                continue;
            };
            let is_borrowed =
                |claim: &Claim<'_>| matches!(claim.basis, Basis::Block(cidr) if cidr != *network);
            let is_lent = claimed.iter().any(is_borrowed);
            let shared = block
                .iter()
                .any(|outer| claimed.iter().any(|c| c.node == outer.node));
            if is_lent || shared || self.conflicts.contains_key(network) {
                continue;
            }
            let is_refuted = |claim: &Claim<'_>| {
                let of_pods = matches!(claim.basis, Basis::Pod(_) | Basis::Block(_));
                of_pods && claim.node == view.own
            };
            let refuted = claimed.iter().all(is_refuted) && !view.is_here(*network, claimed);
            if refuted {
                self.owners.remove(network);
            }
            if refuted || claimed.iter().any(|claim| claim.basis == Basis::Host) {
                let both: Vec<_> = claimed.iter().chain(block).copied().collect();
                self.note(view, *network, &both);
            }
        }
    }
}

/// How a node looks at claims.
struct View<'v> {
    own: &'v str,
    here: &'v LocalRoutes,
    /// Whether the nodes' own addresses are encrypted.
    hosts: bool,
}

impl View<'_> {
    /// Whether a network is really on the node, in whole or in part, if the node claims it at all.
    fn is_here(&self, network: IpNet, claims: &[Claim<'_>]) -> bool {
        let claimed = claims.iter().any(|claim| claim.node == self.own);
        claimed && !self.here.parts(network).is_empty()
    }

    /// The claim that counts.
    fn owner<'c, 'a>(&self, network: IpNet, claims: &'c [Claim<'a>]) -> Option<&'c Claim<'a>> {
        let routed = |claim: &&Claim<'_>| self.hosts || claim.basis != Basis::Host;
        let is_here = self.is_here(network, claims);
        owner(claims.iter().filter(routed), self.own, is_here)
    }
}

/// The problems of conflicts, in the families that are encrypted or asked to be.
pub fn problems(conflicts: &PerFamily<Vec<Conflict>>) -> Vec<String> {
    let all = || conflicts.iter().flat_map(|(_, conflicts)| conflicts);
    let mut problems: Vec<_> = all().take(MAX_REPORTED).map(ToString::to_string).collect();
    let more = all().count().saturating_sub(MAX_REPORTED);
    if more > 0 {
        problems.push(format!("{more} more networks are claimed by several nodes"));
    }
    problems
}

fn is_single(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

fn claims<'a>(cluster: &'a Cluster, own: &str, family: Family) -> Claims<'a> {
    let mut claims = Claims::new();
    let mut claim = |network: IpNet, node: &'a str, basis: Basis<'a>, created: &'a str| {
        if Family::of_network(network) == family {
            let known = cluster.nodes.contains_key(node);
            let claim = Claim {
                node,
                basis,
                created,
                known,
            };
            claims.entry(network).or_default().push(claim);
        }
    };
    let mut covered = Vec::new();
    match cluster.settings.route_source {
        // A network for each address of a pod.
        RouteSource::WorkloadIps => {
            for (identity, pod) in &cluster.workloads {
                for network in &pod.networks {
                    claim(*network, &pod.node, Basis::Pod(identity), &pod.created);
                }
            }
        }
        RouteSource::CalicoIpam => covered = blocks(cluster, own, &mut claim),
    }
    for (name, node) in &cluster.nodes {
        for address in node.tunnels() {
            claim(address.into(), name, Basis::Tunnel, &node.created);
        }
        for address in &node.addresses {
            claim((*address).into(), name, Basis::Host, &node.created);
        }
    }
    // A pod in a block of its node needs no network of its own, unless others claim its address.
    for (network, claim) in covered {
        if let Some(others) = claims.get_mut(&network) {
            others.push(claim);
        }
    }
    claims
}

/// A network for each block, for each address that is borrowed from one, and for each of
/// this node's own pods that none of its blocks covers. In strict mode also for each pod of another node
/// that nothing covers: no block may leave it in clear. Returns the claims of those that are covered.
fn blocks<'a>(
    cluster: &'a Cluster,
    own: &str,
    claim: &mut impl FnMut(IpNet, &'a str, Basis<'a>, &'a str),
) -> Vec<(IpNet, Claim<'a>)> {
    let mut covered = Vec::new();
    for (network, node, block) in of_blocks(cluster) {
        claim(network, node, Basis::Block(block.cidr), &block.created);
        covered.extend((node == own).then_some(network));
    }
    let mut in_blocks = Vec::new();
    for (identity, pod) in &cluster.workloads {
        // One whose node cannot be read is in nobody's block.
        let counts = pod.node == own || pod.node.is_empty();
        let networks = pod.networks.iter().filter(|_| counts);
        for network in networks {
            let basis = Basis::Pod(identity);
            if !covered.iter().any(|block| block.contains(network)) {
                claim(*network, &pod.node, basis, &pod.created);
                continue;
            }
            let pod = Claim {
                node: &pod.node,
                basis,
                created: &pod.created,
                known: cluster.nodes.contains_key(&pod.node),
            };
            in_blocks.push((*network, pod));
        }
    }
    if cluster.settings.strict.is_some() {
        for (network, identity) in outside_blocks(cluster, own) {
            let pod = &cluster.workloads[identity];
            claim(network, &pod.node, Basis::Pod(identity), &pod.created);
        }
    }
    in_blocks
}

/// Each network that a block gives to a node: its own, and each address that another borrowed.
fn of_blocks(cluster: &Cluster) -> impl Iterator<Item = (IpNet, &str, &Block)> {
    cluster.blocks.iter().flat_map(|block| {
        let borrowed = block.borrowed.iter();
        let borrowed = borrowed.map(|(address, node)| (IpNet::from(*address), node));
        let affine = block.affinity.iter().map(|node| (block.cidr, node));
        let all = affine.chain(borrowed);
        all.map(move |(network, node)| (network, node.as_str(), block))
    })
}

/// The addresses of other nodes' pods that no block covers, while blocks assign addresses to nodes; in strict
/// mode, which drops what is in a pool, that no pool covers either. As in Felix no route leads to them; in
/// strict mode each counts as its node's. Where pods' addresses are not Calico's, as with Azure CNI,
/// `routeSource` is to be `WorkloadIPs`.
pub fn outside_blocks<'a>(
    cluster: &'a Cluster,
    own: &str,
) -> impl Iterator<Item = (IpNet, &'a Identity)> {
    let by_block = cluster.settings.route_source == RouteSource::CalicoIpam;
    let blocks = of_blocks(cluster).map(|(network, ..)| network);
    let dropped = cluster.settings.strict.iter();
    let dropped = dropped.flat_map(|_| of_pods(cluster));
    let covering: BTreeSet<_> = blocks.chain(dropped).collect();
    let pods = cluster.workloads.iter();
    let others = pods.filter(move |(_, pod)| by_block && pod.node != own && !pod.node.is_empty());
    others.flat_map(move |(identity, pod)| {
        let is_covered = |network: IpNet| supernets(network).any(|outer| covering.contains(&outer));
        let outside = pod.networks.iter().filter(|network| !is_covered(**network));
        let outside: Vec<_> = outside.map(|network| (*network, identity)).collect();
        outside
    })
}

/// The networks that hold nothing but pods, whichever nodes these are on. Calico's pools and blocks are such;
/// those of others may hold a whole cloud. A block without a node has pods on any node, or none.
pub fn of_pods(cluster: &Cluster) -> BTreeSet<IpNet> {
    if cluster.settings.route_source != RouteSource::CalicoIpam {
        return BTreeSet::new();
    }
    let blocks = cluster.blocks.iter();
    let blocks = blocks.filter(|block| block.affinity.is_none() && !block.is_virtual);
    let blocks = blocks.map(|block| block.cidr);
    cluster.pools.iter().copied().chain(blocks).collect()
}

fn own_addresses<'a>(cluster: &'a Cluster, own: &str) -> impl Iterator<Item = IpAddr> + 'a {
    let own = cluster.nodes.get(own).into_iter();
    own.flat_map(|node| node.addresses.iter().copied().chain(node.tunnels()))
}

#[cfg(test)]
mod tests;
