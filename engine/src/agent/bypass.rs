//! Rules of others that send packets past the tunnel: each is reported as a problem, and the node is not ready.

use std::collections::BTreeMap;

use wiremesh_plan::dataplane::bypass::{self, Bypass};
use wiremesh_plan::dataplane::model::{Dataplane, Target};
use wiremesh_plan::dataplane::networks;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};

use crate::host::kernel::KernelCache;

use super::Agent;

/// What rules of others send past the tunnel of what is desired.
pub(super) fn find(
    kernel: &KernelCache,
    cluster: &Cluster,
    node: &str,
    family: Family,
    desired: &Dataplane,
) -> Vec<Bypass> {
    let settings = &cluster.settings;
    let routes = &desired.families[family].routes;
    let before = kernel.rules_of_others_before(family, settings);
    let Some(before) = before.filter(|_| !routes.is_empty()) else {
        return Vec::new();
    };
    let here = kernel.here(settings);
    let owners = networks::of(cluster, node, family, &here).owners;
    let own = owners.iter().filter(|(_, owner)| **owner == node);
    let origins = kernel.origins(family, settings, own.map(|(network, _)| *network));
    let wanted: BTreeMap<_, _> = routes
        .iter()
        .map(|(slot, target)| {
            let enters = matches!(target, Target::Tunnel(_));
            let owner = owners.get(&slot.network).copied();
            (slot.network, owner.filter(|_| enters))
        })
        .collect();
    before.bypasses(&wanted, &origins)
}

/// A problem for each rule that sends packets past the tunnel.
pub(crate) fn problems(bypasses: &PerFamily<Vec<Bypass>>, cluster: &Cluster) -> Vec<String> {
    let settings = &cluster.settings;
    let all = bypasses.iter().flat_map(|(family, found)| {
        let refuses = |name: &str| settings.refuses(name);
        let problems = bypass::problems(found, settings.rule_priority, refuses);
        problems.map(move |problem| format!("{family}: {problem}"))
    });
    all.collect()
}

impl Agent {
    /// The same of this agent.
    pub(super) fn bypass_problems(&self) -> Vec<String> {
        problems(&self.bypasses, &self.cluster)
    }
}
