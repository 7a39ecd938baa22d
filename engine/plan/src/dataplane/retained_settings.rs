//! Settings as they were before one of them had a mistake: what they protected stays protected while it is
//! unknown that less is to be.
//!
//! A setting that cannot be read counts as if it were not there, and strict mode may go on without it: a
//! network of `wiremesh/strict-networks`, a `routeSource` by which pods' addresses count, or
//! `wiremesh/external-addresses`. What it decided is remembered, and not what it decided upon, so that a pod
//! that is deleted meanwhile is gone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::local_routes::LocalRoutes;
use crate::dataplane::networks;
use crate::intent::cluster::Cluster;
use crate::intent::family::Family;
use crate::intent::settings::RouteSource;

/// What is remembered of settings that were in force.
#[derive(Debug, Default)]
pub(crate) struct RetainedSettings {
    networks: BTreeSet<IpNet>,
    sources: BTreeSet<RouteSource>,
    external_addresses: bool,
}

impl RetainedSettings {
    /// The store has changed, and `before` was in force. While a configuration is in doubt everything is added
    /// up that was: each further change may have a mistake of its own.
    pub(crate) fn follow(&mut self, before: &Cluster, in_doubt: bool) {
        if !in_doubt {
            *self = Self::default();
        } else if let Some(strict) = &before.settings.strict {
            self.networks.extend(&strict.networks);
            self.sources.insert(before.settings.route_source);
            self.external_addresses |= before.settings.external_addresses;
        }
    }

    /// What would have stayed protected of the cluster as it is now, as the node `own` sees it, and is not
    /// protected by the settings that it has now.
    pub(crate) fn networks(&self, now: &Cluster, own: &str) -> BTreeSet<IpNet> {
        let settings = &now.settings;
        let known = settings.strict.as_ref().map(|strict| &strict.networks);
        let is_new = |network: &&IpNet| known.is_none_or(|known| !known.contains(*network));
        let mut held: BTreeSet<IpNet> = self.networks.iter().filter(is_new).copied().collect();
        let sources = self.sources.iter().copied();
        for source in sources.filter(|source| *source != settings.route_source) {
            held.extend(by_source(now, own, source));
        }
        if self.external_addresses && !settings.external_addresses && settings.host_encryption {
            let others = now.nodes.iter().filter(|(name, _)| *name != own);
            let addresses = others.flat_map(|(_, node)| &node.external_addresses);
            held.extend(addresses.map(|address: &IpAddr| IpNet::from(*address)));
        }
        held
    }
}

/// What counts as another node's if pods' addresses come from there.
fn by_source(cluster: &Cluster, own: &str, source: RouteSource) -> BTreeSet<IpNet> {
    let mut cluster = cluster.clone();
    cluster.settings.route_source = source;
    let mut found = BTreeSet::new();
    for family in Family::ALL {
        let networks = networks::of(&cluster, own, family, &LocalRoutes::default());
        let others = networks.owners.iter().filter(|(_, owner)| **owner != own);
        found.extend(others.map(|(network, _)| *network));
        found.extend(networks.conflicts.into_keys());
    }
    found.extend(networks::of_pods(&cluster));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::intent::resource::{Block, read};

    /// A cluster in strict mode whose FelixConfiguration has these annotations and fields.
    fn cluster(annotations: Value, spec: Value, pods: &[(&str, &str)]) -> Cluster {
        let mut configuration = json!({
            "kind": "FelixConfiguration",
            "metadata": {"name": "default", "annotations": {"wiremesh/strict": "true"}},
            "spec": {"wireguardEnabled": true, "wireguardHostEncryptionEnabled": true},
        });
        for (place, more) in [("/metadata/annotations", annotations), ("/spec", spec)] {
            let fields = configuration.pointer_mut(place).unwrap();
            let fields = fields.as_object_mut().unwrap();
            fields.extend(more.as_object().unwrap().clone());
        }
        let node = |name: &str, last: u8| {
            json!({
                "kind": "Node", "metadata": {"name": name},
                "spec": {"addresses": [
                    {"address": format!("10.0.0.{last}")},
                    {"address": format!("203.0.113.{last}"), "type": "ExternalIP"},
                ]},
            })
        };
        let pods = pods.iter().map(|(node, address)| {
            json!({
                "kind": "WorkloadEndpoint", "metadata": {"name": format!("{node}-{address}")},
                "spec": {"node": node, "ipNetworks": [address]},
            })
        });
        let documents = pods.chain([configuration, node("ada", 1), node("bob", 2)]);
        let resources = documents.map(|value| read(&value).unwrap()).collect();
        Cluster::new("ada", &resources).0
    }

    fn texts(held: &RetainedSettings, now: &Cluster) -> Vec<String> {
        let networks = held.networks(now, "ada");
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_network_that_a_mistake_takes_out_stays_until_the_mistake_is_put_right() {
        let with = |networks: &str| {
            let annotations = json!({"wiremesh/strict-networks": networks});
            cluster(annotations, json!({}), &[])
        };
        let (both, one, third) = (
            with("10.7.0.0/16,fd77::/64"),
            with("10.7.0.0/16"),
            with("10.8.0.0/16"),
        );
        let mut held = RetainedSettings::default();
        held.follow(&both, true);
        assert_eq!(texts(&held, &both), [""; 0]);
        assert_eq!(texts(&held, &one), ["fd77::/64"]);
        // One mistake after another.
        held.follow(&one, true);
        assert_eq!(texts(&held, &third), ["10.7.0.0/16", "fd77::/64"]);
        held.follow(&third, true);
        assert_eq!(texts(&held, &one), ["10.8.0.0/16", "fd77::/64"]);
        held.follow(&one, false);
        assert_eq!(texts(&held, &one), [""; 0]);
    }

    #[test]
    fn addresses_that_counted_by_another_setting_stay_while_their_resources_do() {
        let workloads = json!({"routeSource": "WorkloadIPs"});
        let pods = [
            ("bob", "10.0.1.5"),
            ("bob", "fd00::1:5"),
            ("ada", "10.0.1.6"),
        ];
        let external = json!({"wiremesh/external-addresses": "true"});
        let before = cluster(external, workloads, &pods);
        let mut held = RetainedSettings::default();
        held.follow(&before, true);
        assert_eq!(texts(&held, &before), [""; 0]);
        let now = |pods: &[_]| cluster(json!({}), json!({}), pods);
        // What is this node's own is its own, and what is gone is gone.
        for (pods, expected) in [
            (
                &pods[..],
                &[
                    "10.0.0.2/32",
                    "10.0.1.5/32",
                    "203.0.113.2/32",
                    "fd00::1:5/128",
                ][..],
            ),
            (
                &pods[1..],
                &["10.0.0.2/32", "203.0.113.2/32", "fd00::1:5/128"],
            ),
        ] {
            assert_eq!(texts(&held, &now(pods)), expected);
        }
        held.follow(&now(&pods), false);
        assert_eq!(texts(&held, &now(&pods)), [""; 0]);
    }

    #[test]
    fn without_strict_mode_nothing_is_held() {
        let mut before = cluster(
            json!({"wiremesh/strict-networks": "10.7.0.0/16"}),
            json!({}),
            &[],
        );
        let strict = before.clone();
        before.settings.strict = None;
        let mut held = RetainedSettings::default();
        held.follow(&before, true);
        let now = cluster(json!({}), json!({}), &[]);
        assert_eq!(texts(&held, &now), [""; 0]);
        // A further change without it forgets nothing while the doubt lasts.
        held.follow(&strict, true);
        held.follow(&before, true);
        assert_eq!(texts(&held, &now), ["10.7.0.0/16"]);
    }

    #[test]
    fn each_further_mistake_adds_to_what_earlier_settings_protected() {
        let pods = [("bob", "10.0.1.5"), ("bob", "fd00::1:5")];
        let external = || json!({"wiremesh/external-addresses": "true"});
        let both = cluster(external(), json!({"routeSource": "WorkloadIPs"}), &pods);
        let one = cluster(external(), json!({}), &pods);
        let neither = cluster(json!({}), json!({}), &pods);
        let mut held = RetainedSettings::default();
        for before in [&both, &one, &neither] {
            held.follow(before, true);
        }
        assert_eq!(
            texts(&held, &neither),
            [
                "10.0.0.2/32",
                "10.0.1.5/32",
                "203.0.113.2/32",
                "fd00::1:5/128"
            ]
        );
        // Hosts that speak in clear by now are out: nobody doubts that.
        let hosts_in_clear = json!({"wireguardHostEncryptionEnabled": false});
        let in_clear = cluster(json!({}), hosts_in_clear, &pods);
        assert_eq!(texts(&held, &in_clear), ["10.0.1.5/32", "fd00::1:5/128"]);
    }

    #[test]
    fn pools_and_addresses_of_pods_of_several_nodes_stay_as_they_counted() {
        let contested = ["10.0.1.7", "fd00::1:7"];
        let pods: Vec<_> = contested
            .into_iter()
            .flat_map(|address| ["ada", "bob"].map(|node| (node, address)))
            .collect();
        let by_workload = cluster(json!({}), json!({"routeSource": "WorkloadIPs"}), &pods);
        let mut held = RetainedSettings::default();
        held.follow(&by_workload, true);
        let by_pool = |pools: &[&str]| {
            let mut now = cluster(json!({}), json!({}), &pods);
            now.pools = pools.iter().map(|text| text.parse().unwrap()).collect();
            now
        };
        let now = texts(&held, &by_pool(&[]));
        assert!(
            contested
                .iter()
                .all(|address| now.iter().any(|held| held.starts_with(address)))
        );
        let pools = ["10.65.0.0/16", "fd65::/64"];
        let mut held = RetainedSettings::default();
        held.follow(&by_pool(&pools), true);
        let mut now = by_workload;
        now.pools = by_pool(&pools).pools;
        assert_eq!(
            texts(&held, &now),
            [
                "10.0.0.2/32",
                "10.0.1.7/32",
                "10.65.0.0/16",
                "fd00::1:7/128",
                "fd65::/64"
            ]
        );
        now.pools.clear();
        let by_itself = ["10.0.0.2/32", "10.0.1.7/32", "fd00::1:7/128"];
        assert_eq!(texts(&held, &now), by_itself);
        // So do blocks that several nodes are said to have.
        let of = |node: &str| Block {
            created: String::new(),
            cidr: "10.66.1.0/26".parse().unwrap(),
            affinity: Some(node.to_owned()),
            is_virtual: false,
            borrowed: Vec::new(),
        };
        let mut by_block = by_pool(&[]);
        by_block.blocks = ["aaa", "ada"].map(of).into();
        let mut held = RetainedSettings::default();
        held.follow(&by_block, true);
        now.blocks = by_block.blocks;
        assert_eq!(
            texts(&held, &now),
            [&by_itself[..2], &["10.66.1.0/26"], &by_itself[2..]].concat()
        );
    }
}
