//! The fast path: the changes for one pod that is added, removed or moved, at the cost of that pod and not of
//! the cluster.
//!
//! Everything else goes the long way, by [`crate::dataplane::desired`] and [`crate::dataplane::change`]; a
//! property holds that both ways lead to the same.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::dataplane::change::{Change, Configuration, peer_change};
use crate::dataplane::desired::peer_key;
use crate::dataplane::local_routes::LocalRoutes;
use crate::dataplane::model::{Dataplane, FamilyDataplane, RouteKey, Target};
use crate::dataplane::networks::{self, Basis, Claim};
use crate::intent::cluster::Cluster;
use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::settings::RouteSource;

/// Brings what is desired up to date after pods with these networks have changed, and
/// returns the changes that lead there; none if it takes the long way.
pub fn advance(
    cluster: &Cluster,
    own: &str,
    here: &LocalRoutes,
    networks: &BTreeSet<IpNet>,
    tables: PerFamily<u32>,
    desired: &mut Dataplane,
) -> Option<Vec<Change>> {
    let settings = &cluster.settings;
    // Blocks cover pods, and what is refused in clear is put together from all networks.
    if settings.route_source != RouteSource::WorkloadIps || settings.strict.is_some() {
        return None;
    }
    // A pod's network that is a node's address too has more than pods to decide about it.
    let of_nodes = |network: &IpNet| {
        network.prefix_len() < network.max_prefix_len() || cluster.is_node_address(network.addr())
    };
    if networks.iter().any(of_nodes) {
        return None;
    }
    let mut changes = Vec::new();
    for family in Family::ALL {
        let of_family = networks
            .iter()
            .filter(|network| Family::of_network(**network) == family);
        let plane = &mut desired.families[family];
        if let Some((name, _)) = plane.devices.first_key_value() {
            let name = name.clone();
            let mut step = Step {
                cluster,
                own,
                here,
                family,
                table: tables[family],
                name,
                before: BTreeMap::new(),
                routes: BTreeMap::new(),
            };
            of_family.for_each(|network| step.take(*network, plane));
            step.finish(plane, &mut changes);
        }
    }
    Some(changes)
}

/// One family's part.
struct Step<'a> {
    cluster: &'a Cluster,
    own: &'a str,
    here: &'a LocalRoutes,
    family: Family,
    table: u32,
    /// The device's name.
    name: String,
    /// The networks of each peer that is touched, as they were.
    before: BTreeMap<PublicKey, BTreeSet<IpNet>>,
    /// The routes that are touched, as they were.
    routes: BTreeMap<RouteKey, Option<Target>>,
}

impl Step<'_> {
    /// Moves one network to where it belongs now.
    fn take(&mut self, network: IpNet, plane: &mut FamilyDataplane) {
        let slot = RouteKey {
            table: self.table,
            network,
        };
        let Some(device) = plane.devices.get_mut(&self.name) else {
            return;
        };
        let claims = self.cluster.pods_with(&network);
        let claims = claims.map(|(identity, pod)| Claim {
            node: &pod.node,
            basis: Basis::Pod(identity),
            created: &pod.created,
            known: self.cluster.nodes.contains_key(&pod.node),
        });
        let claims: Vec<_> = claims.collect();
        let owner = networks::owner(&claims, self.own, self.here.has(network));
        let owner = owner.map(|owner| owner.node);
        let peer = owner
            .filter(|owner| *owner != self.own)
            .and_then(|owner| peer_key(self.cluster, self.own, owner, self.family).ok());
        for (key, state) in &mut device.peers {
            let has = state.allowed_ips.contains(&network);
            if has != (peer == Some(*key)) {
                let before = self.before.entry(*key);
                before.or_insert_with(|| state.allowed_ips.clone());
                match has {
                    true => state.allowed_ips.remove(&network),
                    false => state.allowed_ips.insert(network),
                };
            }
        }
        let target = owner.map(|_| match peer {
            Some(_) => Target::Tunnel(self.name.clone()),
            None => Target::Throw,
        });
        let before = match target {
            Some(target) => plane.routes.insert(slot, target),
            None => plane.routes.remove(&slot),
        };
        self.routes.entry(slot).or_insert(before);
    }

    /// The changes, in the order of [`crate::dataplane::change::diff`].
    fn finish(self, plane: &FamilyDataplane, changes: &mut Vec<Change>) {
        let family = self.family;
        let device = &plane.devices[&self.name];
        let mut set = Vec::new();
        for (key, allowed_ips) in self.before {
            let after = &device.peers[&key];
            let mut before = after.clone();
            before.allowed_ips = allowed_ips;
            set.extend(peer_change(Some(&before), after).map(|change| (key, change)));
        }
        set.sort_by_key(|(_, change)| !change.replace);
        if !set.is_empty() {
            changes.push(Change::Configure(Configuration {
                family,
                name: self.name,
                fwmark: None,
                listen_port: None,
                remove: BTreeSet::new(),
                set,
            }));
        }
        let (mut tunnels, mut throws, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, before) in self.routes {
            match plane.routes.get(&slot) {
                now if now == before.as_ref() => {}
                Some(Target::Throw) => throws.push((slot, Target::Throw)),
                Some(target) => tunnels.push((slot, target.clone())),
                None => remove.push(slot),
            }
        }
        tunnels.append(&mut throws);
        for (remove, set) in [(Vec::new(), tunnels), (remove, Vec::new())] {
            if !remove.is_empty() || !set.is_empty() {
                changes.push(Change::SetRoutes {
                    family,
                    remove,
                    set,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
