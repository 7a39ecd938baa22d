//! All resources together: the cluster as one node's agent sees it.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::PublicKey;
use crate::resource::{Identity, Node, Resource, Workload, Wrong};
use crate::settings::Settings;

/// The cluster, from one node's point of view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cluster {
    /// By name.
    pub(crate) nodes: BTreeMap<String, Node>,
    /// Every pod's interface.
    pub(crate) workloads: Vec<Workload>,
    /// What the operator asked for, for this node.
    pub(crate) settings: Settings,
    /// Whether the cluster is AKS, whose network takes more of the MTU.
    pub(crate) aks: bool,
}

/// Why a node is no peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    /// It has no IPv4 address to send to.
    NoAddress,
    /// It has published no key: it does not encrypt, or not yet.
    NoKey,
    /// What it has published is no key.
    BadKey,
    /// Other nodes have published the same key; nobody can tell whose it is.
    SharedKey(Vec<String>),
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAddress => f.write_str("it has no IPv4 address"),
            Self::NoKey => f.write_str("it has published no key"),
            Self::BadKey => f.write_str("what it has published is no key"),
            Self::SharedKey(others) => write!(f, "its key is also {}'s", others.join("'s and ")),
        }
    }
}

impl Cluster {
    /// The cluster that these resources describe to `node`. What is wrong with a
    /// configuration is reported by resource; its other fields count.
    pub(crate) fn new(
        node: &str,
        resources: &BTreeMap<Identity, Resource>,
    ) -> (Self, Vec<(Identity, Wrong)>) {
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            workloads: Vec::new(),
            settings: Settings::default(),
            aks: false,
        };
        let own = format!("node.{node}");
        let mut configurations = BTreeMap::new();
        for (identity, resource) in resources {
            match resource {
                Resource::Node(node) => {
                    cluster.nodes.insert(identity.name.clone(), node.clone());
                }
                Resource::Workload(workload) => cluster.workloads.push(workload.clone()),
                Resource::Information(kind) => {
                    cluster.aks |= kind
                        .split(',')
                        .any(|word| word.trim().eq_ignore_ascii_case("aks"));
                }
                Resource::Configuration(spec) => {
                    configurations.insert(identity.name.as_str(), (identity, spec));
                }
                Resource::Pool => {}
            }
        }
        let mut wrong = Vec::new();
        for name in ["default", own.as_str()] {
            if let Some((identity, spec)) = configurations.get(name) {
                let found = cluster.settings.read(spec);
                wrong.extend(found.into_iter().map(|wrong| ((*identity).clone(), wrong)));
            }
        }
        for (identity, resource) in resources {
            if let Resource::Workload(workload) = resource
                && !cluster.nodes.contains_key(&workload.node)
            {
                let what = format!("is `{}`, and there is no such Node", workload.node);
                wrong.push((identity.clone(), Wrong::at("spec.node", what)));
            }
        }
        (cluster, wrong)
    }

    /// The key of a node that can be a peer, or why it cannot.
    pub(crate) fn key_of(&self, name: &str) -> Result<PublicKey, Plain> {
        let node = self.nodes.get(name).ok_or(Plain::NoKey)?;
        let key = match &node.public_key {
            None => return Err(Plain::NoKey),
            Some(Err(_)) => return Err(Plain::BadKey),
            Some(Ok(key)) => *key,
        };
        if node.endpoint.is_none() {
            return Err(Plain::NoAddress);
        }
        let others: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|(other, node)| *other != name && node.public_key == Some(Ok(key)))
            .map(|(other, _)| other.clone())
            .collect();
        if others.is_empty() {
            Ok(key)
        } else {
            Err(Plain::SharedKey(others.into_iter().collect()))
        }
    }
}
