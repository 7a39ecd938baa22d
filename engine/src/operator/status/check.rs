//! The checks of `status --check`: whether all is as intended.
//!
//! The intent is what the FelixConfigurations ask for. A node that they take out, or that strict
//! mode lists as plain, is in clear as intended.

use std::collections::BTreeSet;

use wiremesh_plan::dataplane::desired::peer_key;
use wiremesh_plan::dataplane::local_routes::LocalRoutes;
use wiremesh_plan::dataplane::networks;
use wiremesh_plan::intent::cluster::Plain;
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::text::line;

use super::{Reach, Status};

impl Status<'_> {
    /// What is pending, wrong, or in clear against the intent: a sentence each.
    pub(crate) fn deviations(&self) -> Vec<String> {
        let pending = self.pending.iter();
        let pending = pending.map(|change| format!("{}: {change}", self.to_be_made()));
        let problems = self.problems.iter().cloned();
        let mut deviations: Vec<_> = pending.chain(problems).collect();
        if self.is_strict_about_nothing() && !self.held {
            deviations.push(
                "encryption is off, and everything goes in clear, while strict mode is asked for: run \
                 `wiremesh enable`, or delete the annotation `wiremesh/strict` of the FelixConfiguration"
                    .into(),
            );
        }
        for family in Family::ALL {
            self.check_family(family, &mut deviations);
        }
        deviations
    }

    fn check_family(&self, family: Family, deviations: &mut Vec<String>) {
        let cluster = self.cluster;
        if !cluster.settings.tunnel[family].enabled {
            let is_strict = cluster.settings.strict.is_some() && !self.is_strict_about_nothing();
            if is_strict && !self.held && !cluster.wanted[family] && cluster.has_addresses(family) {
                deviations.push(format!(
                    "{family}: encryption is off, and everything goes in clear, while strict mode is asked for: \
                     run `wiremesh enable`"
                ));
            }
            return;
        }
        // Who has any network at all, by what the store says.
        let networks = networks::of(cluster, self.node, family, &LocalRoutes::default());
        let owners: BTreeSet<_> = networks.owners.values().copied().collect();
        let mut deviate = |what: String| deviations.push(format!("{family}: {what}"));
        if let Some(why) = self.idle(family) {
            // A node without networks of that family sends nothing that could be encrypted.
            if owners.contains(self.node) {
                deviate(format!("this node does not encrypt: {why}"));
            }
            return;
        }
        let device = self.devices[family].and_then(|(_, state)| state.public_key);
        let published = cluster.nodes.get(self.node);
        let published = published.and_then(|own| own.public_key[family].as_ref());
        if device.is_some() && published != device.map(Ok).as_ref() {
            deviate("this node's key is not published".into());
        }
        let outside = networks::outside_blocks(cluster, self.node);
        let outside = outside.map(|(network, _)| network);
        let outside: Vec<_> = outside
            .filter(|network| Family::of_network(*network) == family)
            .collect();
        if let (None, Some(first)) = (&cluster.settings.strict, outside.first()) {
            let pods = match outside.len() {
                1 => format!("the pod {} of another node is", first.addr()),
                more => format!(
                    "{more} pods of other nodes, {} among them, are",
                    first.addr()
                ),
            };
            deviate(format!(
                "{pods} reached in clear, since no IPAMBlock covers the address; where Calico IPAM does not \
                 give the pods their addresses, set `routeSource: WorkloadIPs` in the FelixConfiguration"
            ));
        }
        let is_here = |name: &str| {
            let node = cluster.nodes.get(name);
            node.is_some_and(|node| node.endpoint[family].is_some())
        };
        for name in self.others() {
            let strict = cluster.settings.strict.as_ref();
            let listed = strict.is_some_and(|strict| strict.plain_nodes.contains(name));
            let (how, because) = match self.reach(name, family) {
                Reach::Encrypted(_) => continue,
                Reach::Pending => {
                    deviate(format!("{name} is yet to be made a peer"));
                    continue;
                }
                Reach::Plain(_) if listed => continue,
                Reach::Plain(why) => ("reached in clear", why),
                Reach::Dropped(why) => ("cut off", why),
            };
            match peer_key(cluster, self.node, name, family) {
                Err(Plain::OptedOut) => {}
                // It is a problem already.
                Err(_) if self.unread_nodes.contains(name) => {}
                Err(_) if !is_here(name) && !owners.contains(name.as_str()) => {}
                Err(why) => deviate(format!("{name} is {how}: {why}")),
                Ok(_) => deviate(format!("{name} is {how}: {because}")),
            }
        }
    }

    /// For people: each deviation on a line.
    pub(super) fn check_text(&self) -> String {
        let deviations = self.deviations();
        if deviations.is_empty() {
            let tunnel = &self.cluster.settings.tunnel;
            return match tunnel.v4.enabled || tunnel.v6.enabled {
                true => "\nall is as intended\n".into(),
                false => "\nall is as intended: nothing is encrypted\n".into(),
            };
        }
        let lines = deviations.iter().map(|what| format!("  {}\n", line(what)));
        let lines: String = lines.collect();
        format!("\nnot as intended\n{lines}")
    }
}
