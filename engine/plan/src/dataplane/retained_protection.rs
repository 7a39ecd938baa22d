//! Addresses of Nodes that are gone while their pods are not, that are there without an address, or that
//! cannot be read.
//!
//! A Node that is deleted takes its addresses out of the store, and its host may run on: resources that still
//! name the Node are a sign that it does. The host of a Node without an address may run too: Kubernetes has created
//! the Node again, and calico-node has not written its address yet. In strict mode the former addresses stay
//! protected until the Node has others or no resource names it. An agent that starts meanwhile reads them from the
//! kernel's nftables sets, which stay when an agent ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::firewall::Firewall;
use crate::dataplane::local_routes::{LocalRoutes, supernets, without};
use crate::dataplane::networks;
use crate::dataplane::retained_settings::RetainedSettings;
use crate::intent::cluster::Cluster;
use crate::intent::family::Family;
use crate::intent::resource::Node;

/// How many networks, and how many Nodes, a message names.
const MAX_NAMED: usize = 4;

/// What a Node has addresses for. Of one purpose it may have lost them, and not of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Host,
    Tunnel,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Host, Self::Tunnel];

    fn addresses(self, node: &Node, family: Family) -> BTreeSet<IpNet> {
        let addresses: Vec<_> = match self {
            Self::Host => node.addresses.clone(),
            Self::Tunnel => node.tunnels().collect(),
        };
        let own = addresses
            .into_iter()
            .filter(|address| Family::of(*address) == family);
        own.map(IpNet::from).collect()
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct RetainedProtection {
    /// By the name of the Node that is gone, or has no address of that family and purpose.
    nodes: BTreeMap<(String, Family, Purpose), BTreeSet<IpNet>>,
    /// What the kernel's sets held when the agent started, and no resource accounts for.
    recalled: BTreeSet<IpNet>,
    /// What settings have protected that may have a mistake now.
    held: RetainedSettings,
}

impl RetainedProtection {
    /// The store has changed from one cluster to another, as the node `own` sees it, which is `whole` if all
    /// of it could be read.
    pub fn follow(&mut self, before: &Cluster, now: &Cluster, own: &str, whole: bool) {
        let view = View::new(now, own);
        self.nodes
            .retain(|(name, family, purpose), _| view.misses(name, *family, *purpose));
        self.recalled
            .retain(|network| !whole || view.misses_any(Family::of_network(*network)));
        for (name, node) in &before.nodes {
            for (family, purpose) in kinds() {
                let addresses = purpose.addresses(node, family);
                let is_protected = purpose == Purpose::Tunnel || before.settings.host_encryption;
                if is_protected && !addresses.is_empty() && view.misses(name, family, purpose) {
                    self.nodes
                        .insert((name.clone(), family, purpose), addresses);
                }
            }
        }
    }

    /// Takes what is protected already from the kernel's sets, less what resources account for: of the
    /// rest nobody can tell that it is not a departed Node's, if there is one, or of a resource that cannot be
    /// read, if the store is not `whole`.
    pub fn recall(&mut self, cluster: &Cluster, own: &str, found: &Firewall, whole: bool) {
        let view = View::new(cluster, own);
        let families: Vec<_> = Family::ALL
            .into_iter()
            .filter(|family| !whole || view.misses_any(*family))
            .collect();
        if families.is_empty() {
            return;
        }
        let known = accounted_for(cluster, own);
        let found = found.protected().filter(|network| {
            let mut outer = supernets(**network);
            families.contains(&Family::of_network(**network))
                && !outer.any(|outer| known.contains(&outer))
        });
        let left = found.flat_map(|network| without(*network, &known));
        self.recalled.extend(left);
    }

    /// The settings of `before` were in force, and what follows them is in doubt or not.
    pub fn hold(&mut self, before: &Cluster, in_doubt: bool) {
        self.held.follow(before, in_doubt);
    }

    /// What stays protected of the cluster as it is now.
    pub fn networks(&self, now: &Cluster, own: &str) -> BTreeSet<IpNet> {
        let mut networks = self.held.networks(now, own);
        networks.extend(self.of_nodes());
        networks
    }

    /// What is, or may be, of Nodes.
    fn of_nodes(&self) -> BTreeSet<IpNet> {
        let nodes = self.nodes.values().flatten();
        nodes.chain(&self.recalled).copied().collect()
    }

    /// The problem of addresses that only a mistake may have removed: `why` there is a doubt, if there is one.
    pub fn doubt(&self, now: &Cluster, own: &str, why: Option<&String>) -> Option<String> {
        let why = why.filter(|_| now.settings.strict.is_some())?;
        let known = accounted_for(now, own);
        let kept: BTreeSet<_> = self.held.networks(now, own);
        let kept = kept.union(&self.recalled);
        let kept = kept.filter(|network| !known.contains(*network));
        let kept: Vec<_> = kept.map(|network| written(*network)).collect();
        let stays = if kept.len() == 1 { "stays" } else { "stay" };
        (!kept.is_empty()).then(|| {
            format!(
                "{} {stays} protected until this is corrected: {why}",
                listed(&kept)
            )
        })
    }

    /// The problems of addresses that existing Nodes may have had: a sentence for each family. A resource that
    /// names a Node that is not there is reported elsewhere.
    pub fn problems(&self, cluster: &Cluster, own: &str) -> Vec<String> {
        if cluster.settings.strict.is_none() {
            return Vec::new();
        }
        let view = View::new(cluster, own);
        let kept = self.of_nodes();
        let problems = Family::ALL.into_iter().filter_map(|family| {
            let nodes: Vec<_> = view.incomplete(family).collect();
            let kept = kept
                .iter()
                .filter(|network| Family::of_network(**network) == family);
            let kept: Vec<_> = kept.map(|network| written(*network)).collect();
            if nodes.is_empty() || kept.is_empty() {
                return None;
            }
            let (stays, it) = match kept.len() {
                1 => ("stays", "it"),
                _ => ("stay", "them"),
            };
            let (node, has, that) = match nodes.len() {
                1 => ("Node", "has", "it"),
                _ => ("Nodes", "have", "them"),
            };
            Some(format!(
                "{} {stays} protected, though no resource names {it}: {node} {} {has} no {family} address \
                 of a host or of a tunnel; give {that} one, or delete {that} and what names {that}",
                listed(&kept),
                listed(&nodes),
            ))
        });
        problems.collect()
    }
}

fn written(network: IpNet) -> String {
    match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    }
}

/// The first of many, and how many more there are.
fn listed(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMED).map(AsRef::as_ref).collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// Families and purposes.
fn kinds() -> impl Iterator<Item = (Family, Purpose)> {
    let families = Family::ALL.into_iter();
    families.flat_map(|family| Purpose::ALL.map(|purpose| (family, purpose)))
}

/// A cluster as one of its nodes sees it.
struct View<'a> {
    cluster: &'a Cluster,
    own: &'a str,
    /// The names of Nodes that are not there.
    unknown: BTreeSet<&'a str>,
    /// The families in which any Node has a tunnel's address.
    tunnels: Vec<Family>,
}

impl<'a> View<'a> {
    fn new(cluster: &'a Cluster, own: &'a str) -> Self {
        let has = |family: &Family| {
            let mut nodes = cluster.nodes.values();
            nodes.any(|node| !Purpose::Tunnel.addresses(node, *family).is_empty())
        };
        Self {
            cluster,
            own,
            unknown: cluster.unknown_nodes(),
            tunnels: Family::ALL.into_iter().filter(has).collect(),
        }
    }

    /// Whether a Node may have an address that the store lacks: the Node is deleted and a resource names it, or the
    /// Node has no address of that family and purpose. The node itself knows its
    /// own. Where no Node has a tunnel's address, none is missing.
    fn misses(&self, name: &str, family: Family, purpose: Purpose) -> bool {
        match self.cluster.nodes.get(name) {
            None => self.unknown.contains(name),
            Some(node) => {
                let is_meant = purpose == Purpose::Host || self.tunnels.contains(&family);
                is_meant && name != self.own && purpose.addresses(node, family).is_empty()
            }
        }
    }

    /// The Nodes that are there and miss an address that would be protected.
    fn incomplete(&self, family: Family) -> impl Iterator<Item = &'a str> {
        let hosts = self.cluster.settings.host_encryption;
        let misses = move |name: &&'a String| {
            Purpose::ALL.into_iter().any(|purpose| {
                let counts = hosts || purpose == Purpose::Tunnel;
                counts && self.misses(name, family, purpose)
            })
        };
        let nodes = self.cluster.nodes.keys().filter(misses);
        nodes.map(String::as_str)
    }

    /// Whether any Node misses an address, there or not.
    fn misses_any(&self, family: Family) -> bool {
        !self.unknown.is_empty() || self.incomplete(family).next().is_some()
    }
}

/// Every network that a resource or a setting names.
fn accounted_for(cluster: &Cluster, own: &str) -> BTreeSet<IpNet> {
    let mut known: BTreeSet<IpNet> = BTreeSet::new();
    for family in Family::ALL {
        let networks = networks::of(cluster, own, family, &LocalRoutes::default());
        known.extend(networks.owners.into_keys());
        known.extend(networks.conflicts.into_keys());
    }
    let hosts = cluster.nodes.values().flat_map(|node| &node.addresses);
    known.extend(hosts.copied().map(|address: IpAddr| IpNet::from(address)));
    known.extend(networks::of_pods(cluster));
    let strict = cluster.settings.strict.iter();
    known.extend(strict.flat_map(|strict| &strict.networks));
    known
}

#[cfg(test)]
mod tests;
