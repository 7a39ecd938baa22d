//! All resources together: the cluster as one node's agent sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::resource::{Block, Configuration, Identity, Node, Resource, Workload, Wrong};
use crate::intent::settings::{self, FOREIGN_PEERS, Settings};
use crate::intent::spelling::may_mean;

/// FelixConfigurations for the nodes that a selector selects.
mod scoped;

/// The cluster, from one node's point of view.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// Every pod's interface.
    pub workloads: BTreeMap<Identity, Workload>,
    /// The pods that have each network.
    pods_by_network: BTreeMap<IpNet, BTreeSet<Identity>>,
    /// Calico IPAM's blocks.
    pub blocks: Vec<Block>,
    /// Where pods have their addresses from.
    pub pools: BTreeSet<IpNet>,
    /// What the operator asked for, for this node.
    pub settings: Settings,
    /// Whether the cluster is to be encrypted, whatever is set for single nodes.
    pub wanted: PerFamily<bool>,
    /// Whether the cluster is AKS, whose network takes more of the MTU.
    pub aks: bool,
    /// Nodes that the operator has taken out, by a configuration of their own.
    pub opted_out: PerFamily<BTreeSet<String>>,
    /// Every address of a node.
    node_addresses: BTreeSet<IpAddr>,
    /// Which nodes have published each key.
    claims: PerFamily<BTreeMap<PublicKey, BTreeSet<String>>>,
}

/// Why a node is reached in plaintext, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// The operator has taken it out.
    OptedOut,
    /// It has no address of this family to send to.
    NoAddress(Family),
    /// It has an address of this family that cannot be used, and no other one.
    BadAddress(Family),
    /// It has published no key: it does not encrypt, or not yet.
    NoKey,
    /// What it has published is no key.
    BadKey,
    /// Other nodes have published the same key; it is unknown whose it is.
    SharedKey(Vec<String>),
    /// Other nodes have published this node's key, so that nobody takes this node for a peer.
    OwnKeyShared(Vec<String>),
    /// A rule of others takes packets before this engine's does: what it does.
    Bypassed(String),
}

impl Plain {
    /// Whether that is as somebody wants it, or will pass: it does not encrypt, or not yet.
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::OptedOut | Self::NoAddress(_) | Self::NoKey)
    }

    /// As metrics have it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
            Self::NoAddress(_) => "no_address",
            Self::BadAddress(_) => "bad_address",
            Self::NoKey => "no_key",
            Self::BadKey => "bad_key",
            Self::SharedKey(_) => "shared_key",
            Self::OwnKeyShared(_) => "own_key_shared",
            Self::Bypassed(_) => "bypassed",
        }
    }
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OptedOut => f.write_str("its own FelixConfiguration switches encryption off"),
            Self::NoAddress(family) => write!(f, "it has no {family} address"),
            Self::BadAddress(family) => write!(f, "its {family} address cannot be used"),
            Self::NoKey => f.write_str("it has published no key"),
            Self::BadKey => f.write_str("the public key that it has published is invalid"),
            Self::SharedKey(others) => write!(f, "its key is also {}'s", others.join("'s and ")),
            Self::OwnKeyShared(others) => {
                write!(f, "this node's key is also {}'s", others.join("'s and "))
            }
            Self::Bypassed(what) => f.write_str(what),
        }
    }
}

impl Cluster {
    /// The cluster that these resources describe to `node`. What is wrong with a
    /// configuration is reported by resource; its other fields count.
    pub fn new(
        node: &str,
        resources: &BTreeMap<Identity, Resource>,
    ) -> (Self, Vec<(Identity, Wrong)>) {
        let mut cluster = Self::empty();
        let own = format!("node.{node}");
        let mut configurations = BTreeMap::new();
        for (identity, resource) in resources {
            match resource {
                Resource::Node(node) => cluster.add_node(&identity.name, node),
                Resource::Workload(workload) => cluster.add_workload(identity, workload),
                Resource::Information(information) => {
                    cluster.aks |= information
                        .kind
                        .split(',')
                        .any(|word| word.trim().eq_ignore_ascii_case("aks"));
                }
                Resource::Configuration(configuration) => {
                    configurations.insert(identity.name.as_str(), (identity, configuration));
                }
                Resource::Pool(cidr) => {
                    cluster.pools.insert(*cidr);
                }
                Resource::Block(block) => cluster.blocks.push(block.clone()),
            }
        }
        let mut wrong = Vec::new();
        let labels = cluster.nodes.get(node).map(|node| &node.labels);
        let scoped = scoped::matching(node, labels, &configurations, &mut wrong);
        let layers = ["default"].into_iter().chain(scoped).chain([own.as_str()]);
        let layers: Vec<_> = layers
            .filter_map(|name| configurations.get_key_value(name))
            .collect();
        for (name, (identity, configuration)) in layers.iter().copied() {
            let found = match *name {
                "default" => cluster.settings.read(configuration),
                _ => cluster.settings.read_of_some_nodes(configuration),
            };
            if *name == "default" {
                let tunnel = &cluster.settings.tunnel;
                cluster.wanted = PerFamily::each(|family| tunnel[family].enabled);
            }
            wrong.extend(found.into_iter().map(|found| ((*identity).clone(), found)));
        }
        let stating = layers.iter().map(|(_, (_, configuration))| *configuration);
        let is_there = PerFamily::each(|family| cluster.has_addresses(family));
        if let Some((_, (identity, _))) = layers.first() {
            let unstated = cluster.settings.unstated(stating, is_there);
            wrong.extend(
                unstated
                    .into_iter()
                    .map(|found| ((*identity).clone(), found)),
            );
        }
        if cluster.settings.external_addresses {
            cluster.take_external_addresses();
        }
        let known = cluster.nodes.keys().map(String::as_str);
        let plain = cluster.settings.unknown_plain_nodes(known);
        for found in plain.into_iter().chain(cluster.own_foreign_peers()) {
            let named = [own.as_str(), "default"].into_iter();
            let mut named = named.filter_map(|name| configurations.get(name));
            let holds = |(_, configuration): &&(&Identity, &Configuration)| {
                let mut fields = configuration.annotations.keys();
                fields.any(|name| found.field.ends_with(name.as_str()))
            };
            if let Some((identity, _)) = named.find(holds) {
                wrong.push(((*identity).clone(), found));
            }
        }
        for (name, (identity, configuration)) in &configurations {
            cluster.note_opt_out(name, configuration);
            let found = cluster.misnamed(name);
            wrong.extend(found.map(|found| ((*identity).clone(), found)));
        }
        for (identity, resource) in resources {
            let found = cluster.homeless(resource);
            wrong.extend(found.map(|found| (identity.clone(), found)));
        }
        (cluster, wrong)
    }

    /// Removes the keys of Nodes from those of foreign peers, and reports it: such a peer is the mesh's own,
    /// and what is foreign on the device is never looked at.
    fn own_foreign_peers(&mut self) -> Vec<Wrong> {
        let mut found = Vec::new();
        for (name, node) in &self.nodes {
            for (_, key) in node.public_key.iter() {
                let Some(Ok(key)) = key else {
                    continue;
                };
                if self.settings.foreign_peers.remove(key) {
                    let field = format!("metadata.annotations.{FOREIGN_PEERS}");
                    let what =
                        format!("holds the key of the Node `{name}`, which is no foreign peer");
                    found.push(Wrong::at(&field, what));
                }
            }
        }
        found
    }

    /// Whether any node has an address of a family, or strict mode names a network of it.
    pub fn has_addresses(&self, family: Family) -> bool {
        let mut nodes = self.nodes.values();
        let strict = self.settings.strict.iter();
        let mut networks = strict.flat_map(|strict| &strict.networks);
        nodes.any(|node| node.endpoint[family].is_some())
            || networks.any(|network| Family::of(network.addr()) == family)
    }

    /// What is wrong with a FelixConfiguration that is for no node, and whose name is near to that of one for a
    /// node.
    fn misnamed(&self, name: &str) -> Option<Wrong> {
        let node = name.strip_prefix("node.")?;
        let mut nodes = self.nodes.keys().filter(|_| !self.nodes.contains_key(node));
        let meant = nodes.find(|known| may_mean(node, known))?;
        let what =
            format!("is `{name}`, and there is no Node `{node}`: did you mean `node.{meant}`?");
        Some(Wrong::at("metadata.name", what))
    }

    /// What is wrong with a resource that names a node that is not there.
    fn homeless(&self, resource: &Resource) -> Option<Wrong> {
        let (field, node) = match resource {
            Resource::Workload(workload) => ("spec.node", &workload.node),
            Resource::Block(block) => ("affinity", block.affinity.as_ref()?),
            _ => return None,
        };
        // What cannot be read is told by itself.
        if node.is_empty() {
            return None;
        }
        if self.nodes.contains_key(node) {
            return None;
        }
        let mut same = self
            .nodes
            .keys()
            .filter(|known| known.eq_ignore_ascii_case(node));
        let help = same
            .next()
            .map(|meant| format!(": did you mean `{meant}`?"));
        let help = help.unwrap_or_default();
        let what = format!("is `{node}`, and there is no such Node{help}");
        Some(Wrong::at(field, what))
    }

    /// Takes in that these resources have changed, if they are pods of known nodes; the cost
    /// is theirs, not the cluster's. Returns the networks that they have had or have now;
    /// none if the cluster must be put together anew.
    pub fn advance(
        &mut self,
        changed: &BTreeSet<Identity>,
        resources: &BTreeMap<Identity, Resource>,
    ) -> Option<BTreeSet<IpNet>> {
        let known = |node: &str| self.nodes.contains_key(node);
        for identity in changed {
            let before = self.workloads.get(identity);
            let pod = match resources.get(identity) {
                Some(Resource::Workload(workload)) => known(&workload.node),
                None => before.is_some(),
                Some(_) => false,
            };
            if !pod || before.is_some_and(|before| !known(&before.node)) {
                return None;
            }
        }
        let mut networks = BTreeSet::new();
        for identity in changed {
            if let Some(before) = self.remove_workload(identity) {
                networks.extend(before.networks);
            }
            if let Some(Resource::Workload(workload)) = resources.get(identity) {
                networks.extend(&workload.networks);
                self.add_workload(identity, workload);
            }
        }
        Some(networks)
    }

    /// Adds a pod.
    pub fn add_workload(&mut self, identity: &Identity, workload: &Workload) {
        for network in &workload.networks {
            let pods = self.pods_by_network.entry(*network).or_default();
            pods.insert(identity.clone());
        }
        self.workloads.insert(identity.clone(), workload.clone());
    }

    fn remove_workload(&mut self, identity: &Identity) -> Option<Workload> {
        let workload = self.workloads.remove(identity)?;
        for network in &workload.networks {
            let Some(pods) = self.pods_by_network.get_mut(network) else {
                continue;
            };
            pods.remove(identity);
            if pods.is_empty() {
                self.pods_by_network.remove(network);
            }
        }
        Some(workload)
    }

    /// The pods that have a network.
    pub fn pods_with(&self, network: &IpNet) -> impl Iterator<Item = (&Identity, &Workload)> {
        let pods = self.pods_by_network.get(network).into_iter().flatten();
        pods.filter_map(|identity| self.workloads.get_key_value(identity))
    }

    /// The names that pods and blocks have for nodes, and that no Node has.
    pub fn unknown_nodes(&self) -> BTreeSet<&str> {
        let pods = self.workloads.values().map(|pod| &pod.node);
        let blocks = self.blocks.iter();
        let blocks = blocks.filter_map(|block| block.affinity.as_ref());
        let names = pods.chain(blocks).map(String::as_str);
        names
            .filter(|name| !self.nodes.contains_key(*name))
            .collect()
    }

    /// Whether pods of several nodes have a network.
    pub fn is_contested(&self, network: &IpNet) -> bool {
        let mut nodes = self.pods_with(network).map(|(_, pod)| &pod.node);
        let first = nodes.next();
        nodes.any(|other| Some(other) != first)
    }

    /// A cluster without anything.
    pub fn empty() -> Self {
        Self {
            nodes: BTreeMap::new(),
            workloads: BTreeMap::new(),
            pods_by_network: BTreeMap::new(),
            blocks: Vec::new(),
            pools: BTreeSet::new(),
            settings: Settings::default(),
            wanted: PerFamily::default(),
            aks: false,
            opted_out: PerFamily::default(),
            node_addresses: BTreeSet::new(),
            claims: PerFamily::default(),
        }
    }

    /// Whether that is any node's address, of its uplink or of one of its tunnels.
    pub fn is_node_address(&self, address: IpAddr) -> bool {
        self.node_addresses.contains(&address)
    }

    /// Another node, or another state of one that is not there any more.
    pub fn add_node(&mut self, name: &str, node: &Node) {
        for family in Family::ALL {
            if let Some(Ok(key)) = &node.public_key[family] {
                let claims = self.claims[family].entry(*key).or_default();
                claims.insert(name.to_owned());
            }
        }
        let tunnels = node.tunnel_address.iter();
        self.node_addresses
            .extend(tunnels.filter_map(|(_, address)| *address));
        self.node_addresses
            .extend(node.addresses.iter().chain(&node.overlay_addresses));
        self.nodes.insert(name.to_owned(), node.clone());
    }

    /// Counts the nodes' external addresses as their own.
    fn take_external_addresses(&mut self) {
        for node in self.nodes.values_mut() {
            self.node_addresses.extend(&node.external_addresses);
            node.addresses.append(&mut node.external_addresses);
        }
    }

    fn note_opt_out(&mut self, name: &str, configuration: &Configuration) {
        let Some(node) = name.strip_prefix("node.") else {
            return;
        };
        for family in Family::ALL {
            if settings::is_off(configuration, family) {
                self.opted_out[family].insert(node.to_owned());
            }
        }
    }

    /// The key of a node that can be a peer, or why it cannot.
    pub fn key_of(&self, name: &str, family: Family) -> Result<PublicKey, Plain> {
        let node = self.nodes.get(name).ok_or(Plain::NoKey)?;
        if node.bad_address[family] && node.endpoint[family].is_none() {
            return Err(Plain::BadAddress(family));
        }
        let key = match &node.public_key[family] {
            None if self.opted_out[family].contains(name) => return Err(Plain::OptedOut),
            None => return Err(Plain::NoKey),
            Some(Err(_)) => return Err(Plain::BadKey),
            Some(Ok(key)) => *key,
        };
        if node.endpoint[family].is_none() {
            return Err(Plain::NoAddress(family));
        }
        let others: Vec<_> = self.claims[family]
            .get(&key)
            .into_iter()
            .flatten()
            .filter(|other| *other != name)
            .cloned()
            .collect();
        if others.is_empty() {
            Ok(key)
        } else {
            Err(Plain::SharedKey(others))
        }
    }
}

#[cfg(test)]
mod tests;
