//! Addresses of Nodes that are gone while their pods are not, or that cannot be read.
//!
//! A Node that is deleted takes its addresses out of the store, and its host may run on: what resources
//! still name it for says that it may. In strict mode its addresses stay protected until it is back or
//! nothing names it. An agent that starts meanwhile takes them from the kernel's sets, which outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::firewall::Firewall;
use crate::dataplane::here::{Here, supernets, without};
use crate::dataplane::networks;
use crate::intent::cluster::Cluster;
use crate::intent::family::Family;
use crate::intent::settings::RouteSource;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    /// By the name of the Node that is gone.
    nodes: BTreeMap<String, BTreeSet<IpNet>>,
    /// What the kernel's sets held when the agent started, and no resource accounts for.
    recalled: BTreeSet<IpNet>,
}

impl Departed {
    /// The store has changed from one cluster to another, which is `whole` if all of it could be read.
    pub(crate) fn follow(&mut self, before: &Cluster, now: &Cluster, whole: bool) {
        let unknown = now.unknown_nodes();
        self.nodes.retain(|name, _| unknown.contains(name.as_str()));
        if unknown.is_empty() && whole {
            self.recalled.clear();
        }
        for (name, node) in &before.nodes {
            if !unknown.contains(name.as_str()) {
                continue;
            }
            let hosts = node.addresses.iter().copied();
            let hosts = hosts.filter(|_| before.settings.host_encryption);
            let addresses = hosts.chain(node.tunnels()).map(IpNet::from);
            self.nodes.insert(name.clone(), addresses.collect());
        }
    }

    /// Takes what is protected already from the kernel's sets, less what resources account for: of the
    /// rest nobody can tell that it is not a departed Node's, if there is one, or of a resource that cannot be
    /// read, if the store is not `whole`.
    pub(crate) fn recall(&mut self, cluster: &Cluster, own: &str, found: &Firewall, whole: bool) {
        if cluster.unknown_nodes().is_empty() && whole {
            return;
        }
        let known = accounted_for(cluster, own);
        let found = found.protected().filter(|network| {
            let mut outer = supernets(**network);
            !outer.any(|outer| known.contains(&outer))
        });
        let left = found.flat_map(|network| without(*network, &known));
        self.recalled.extend(left);
    }

    /// What stays protected.
    pub(crate) fn networks(&self) -> BTreeSet<IpNet> {
        let nodes = self.nodes.values().flatten();
        nodes.chain(&self.recalled).copied().collect()
    }
}

/// Every network that a resource or a setting names.
fn accounted_for(cluster: &Cluster, own: &str) -> BTreeSet<IpNet> {
    let mut known: BTreeSet<IpNet> = BTreeSet::new();
    for family in Family::ALL {
        let networks = networks::of(cluster, own, family, &Here::default());
        known.extend(networks.owners.into_keys());
        known.extend(networks.conflicts.into_keys());
    }
    let hosts = cluster.nodes.values().flat_map(|node| &node.addresses);
    known.extend(hosts.copied().map(|address: IpAddr| IpNet::from(address)));
    if cluster.settings.route_source == RouteSource::CalicoIpam {
        known.extend(&cluster.pools);
    }
    let strict = cluster.settings.strict.iter();
    known.extend(strict.flat_map(|strict| &strict.networks));
    known
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dataplane::firewall::{Protected, Wanted};
    use crate::intent::resource::read;

    fn node(name: &str, last: u8) -> Value {
        json!({
            "kind": "Node", "metadata": {"name": name},
            "spec": {
                "addresses": [{"address": format!("10.0.0.{last}")}, {"address": format!("fd00::{last}")}],
                "wireguard": {"interfaceIPv4Address": format!("10.9.0.{last}")},
            },
        })
    }

    fn pod(node: &str, last: u8) -> Value {
        json!({
            "kind": "WorkloadEndpoint", "metadata": {"name": format!("{node}-{last}")},
            "spec": {"node": node, "ipNetworks": [format!("10.0.1.{last}/32")]},
        })
    }

    fn cluster(host_encryption: bool, resources: &[Value]) -> Cluster {
        let configuration = json!({
            "kind": "FelixConfiguration", "metadata": {"name": "default"},
            "spec": {
                "routeSource": "WorkloadIPs", "wireguardEnabled": true,
                "wireguardHostEncryptionEnabled": host_encryption,
            },
        });
        let resources = resources.iter().chain([&configuration]);
        let resources = resources.map(|value| read(value).unwrap()).collect();
        Cluster::new("ada", &resources).0
    }

    fn texts(departed: &Departed) -> Vec<String> {
        departed
            .networks()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_node_that_goes_before_its_pods_stays_protected_until_they_go_or_it_is_back() {
        let (ada, bob) = (node("ada", 1), node("bob", 2));
        let all = cluster(true, &[ada.clone(), bob, pod("bob", 5)]);
        let gone = cluster(true, &[ada.clone(), pod("bob", 5)]);
        let neither = cluster(true, &[ada]);
        let own = ["10.0.0.2/32", "10.9.0.2/32", "fd00::2/128"];
        for end in [&all, &neither] {
            let mut departed = Departed::default();
            departed.follow(&Cluster::empty(), &all, true);
            assert_eq!(texts(&departed), [""; 0]);
            // Once, and each further time that the store changes.
            departed.follow(&all, &gone, true);
            assert_eq!(texts(&departed), own);
            departed.follow(&gone, &gone, true);
            assert_eq!(texts(&departed), own);
            departed.follow(&gone, end, true);
            assert_eq!(texts(&departed), [""; 0]);
        }
        // With its last pod it is really gone.
        let mut departed = Departed::default();
        departed.follow(&all, &neither, true);
        assert_eq!(texts(&departed), [""; 0]);
    }

    #[test]
    fn hosts_that_speak_in_clear_are_not_protected_when_they_go() {
        let all = cluster(false, &[node("ada", 1), node("bob", 2), pod("bob", 5)]);
        let gone = cluster(false, &[node("ada", 1), pod("bob", 5)]);
        let mut departed = Departed::default();
        departed.follow(&all, &gone, true);
        assert_eq!(texts(&departed), ["10.9.0.2/32"]);
    }

    #[test]
    fn an_agent_that_starts_later_recalls_what_no_resource_accounts_for() {
        let net = |text: &str| crate::intent::family::network(text).unwrap();
        let protected = ["10.0.0.2", "10.0.1.4", "10.0.1.5", "10.0.1.6", "fd00::2"];
        let found = Firewall::new(&Wanted {
            strict: Some(Protected {
                networks: protected.map(net).into(),
                exceptions: [net("10.7.0.1")].into(),
                local: [net("10.7.0.1")].into(),
            }),
            ..Wanted::default()
        });
        let pods = [pod("bob", 5), pod("ada", 4)];
        let [of_bob, of_ada] = pods;
        let gone = cluster(true, &[node("ada", 1), of_bob.clone(), of_ada.clone()]);
        let mut departed = Departed::default();
        departed.recall(&gone, "ada", &found, true);
        // 10.0.1.4 and 10.0.1.5 are one network in the set.
        let recalled = ["10.0.0.2/32", "10.0.1.6/32", "fd00::2/128"];
        assert_eq!(texts(&departed), recalled);
        departed.follow(&gone, &gone, true);
        assert_eq!(texts(&departed), recalled);
        let whole = cluster(true, &[node("ada", 1), node("bob", 2), of_bob, of_ada]);
        departed.follow(&gone, &whole, true);
        assert_eq!(texts(&departed), [""; 0]);
        // Where every Node is there, nothing is recalled.
        departed.recall(&whole, "ada", &found, true);
        assert_eq!(texts(&departed), [""; 0]);
    }

    #[test]
    fn what_was_protected_of_a_host_counts_whatever_hosts_do_from_then_on() {
        let all = |hosts| cluster(hosts, &[node("ada", 1), node("bob", 2), pod("bob", 5)]);
        let gone = |hosts| cluster(hosts, &[node("ada", 1), pod("bob", 5)]);
        let mut departed = Departed::default();
        departed.follow(&all(true), &gone(false), true);
        assert_eq!(
            texts(&departed),
            ["10.0.0.2/32", "10.9.0.2/32", "fd00::2/128"]
        );
        let mut departed = Departed::default();
        departed.follow(&all(false), &gone(true), true);
        assert_eq!(texts(&departed), ["10.9.0.2/32"]);
    }

    #[test]
    fn what_a_setting_names_is_not_recalled() {
        let net = |text: &str| crate::intent::family::network(text).unwrap();
        let found = Firewall::new(&Wanted {
            strict: Some(Protected {
                networks: ["10.0.0.2", "10.7.0.0/24"].map(net).into(),
                ..Protected::default()
            }),
            ..Wanted::default()
        });
        let mut gone = cluster(true, &[node("ada", 1), pod("bob", 5)]);
        gone.settings.strict = Some(crate::intent::settings::Strict {
            networks: [net("10.7.0.0/24")].into(),
            ..crate::intent::settings::Strict::default()
        });
        let mut departed = Departed::default();
        departed.recall(&gone, "ada", &found, true);
        assert_eq!(texts(&departed), ["10.0.0.2/32"]);
    }

    #[test]
    fn while_something_cannot_be_read_what_is_protected_stays_so() {
        let net = |text: &str| crate::intent::family::network(text).unwrap();
        let found = Firewall::new(&Wanted {
            strict: Some(Protected {
                networks: ["10.0.0.2", "fd00::2"].map(net).into(),
                ..Protected::default()
            }),
            ..Wanted::default()
        });
        let (alone, both) = (
            cluster(true, &[node("ada", 1)]),
            cluster(true, &[node("ada", 1), node("bob", 2)]),
        );
        let mut departed = Departed::default();
        departed.recall(&alone, "ada", &found, true);
        assert_eq!(texts(&departed), [""; 0]);
        departed.recall(&alone, "ada", &found, false);
        departed.follow(&alone, &alone, false);
        assert_eq!(texts(&departed), ["10.0.0.2/32", "fd00::2/128"]);
        departed.follow(&alone, &both, true);
        assert_eq!(texts(&departed), [""; 0]);
    }
}
