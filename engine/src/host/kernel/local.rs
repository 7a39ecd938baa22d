//! The destinations of the kernel's own routes: this node, its pods, or elsewhere.

use std::collections::BTreeSet;

use wiremesh_plan::dataplane::local_routes::LocalRoutes;
use wiremesh_plan::intent::settings::{KERNEL_TABLES, Settings};

use super::lead::Lead;
use super::{KernelCache, family_of_tag};
use crate::host::netlink::{Kind, Link, Route};

/// The kind of a bridge.
const BRIDGE: &str = "bridge";

/// Whether a route is one of the kernel's own tables, which every packet without a mark of ours is
/// looked up in.
pub(super) fn is_of_kernel(route: &Route) -> bool {
    KERNEL_TABLES.contains(&route.slot.table) && !route.own
}

impl KernelCache {
    /// The networks that are really on this node: the kernel's own route to them is of type `local`, or
    /// leads to `lo` or to pods alone. The local table is asked before the others (`fib_rules`).
    pub(crate) fn here(&self, settings: &Settings) -> LocalRoutes {
        let inner = self.inner_links(settings);
        let routes = self.routes.iter().flat_map(|(_, routes)| routes.values());
        // In the kernel's tables the first one at a place counts.
        let routes = routes.filter_map(|routes| routes.first());
        // By table: default, main, local, so that of two routes to one network the last one counts.
        let routes = routes.filter(|route| is_of_kernel(route));
        let leads_here = |lead: Lead| match lead {
            Lead::Hop(hop) => inner.contains(&hop.link) && !hop.encapsulates,
            Lead::Refuse | Lead::Unknown => false,
        };
        let routes = routes.map(|route| {
            let is_here = match route.kind {
                Kind::Local => true,
                Kind::Unicast => self.leads(route).into_iter().all(leads_here),
                Kind::EndOfSubnet | Kind::Other => false,
            };
            (route.slot.network, is_here)
        });
        routes.collect()
    }

    /// The links that lead to nobody but this node and its pods: `lo`, the pods' interfaces, and bridges
    /// whose ports are all pods' interfaces.
    pub(super) fn inner_links(&self, settings: &Settings) -> BTreeSet<u32> {
        let prefixes = self.pod_prefixes(settings);
        let is_pod_s = |link: &Link| {
            let mut prefixes = prefixes.iter();
            prefixes.any(|prefix| link.name.starts_with(prefix.as_str()))
        };
        let is_inner = |link: &Link| {
            let ports = || {
                self.links
                    .values()
                    .filter(|port| port.master == Some(link.index))
            };
            let is_bridge =
                link.kind == BRIDGE && ports().next().is_some() && ports().all(is_pod_s);
            link.name == "lo" || is_pod_s(link) || is_bridge
        };
        let tunnels = &settings.tunnel;
        let is_tunnel = |link: &Link| {
            let mut names = tunnels.iter().map(|(_, tunnel)| &tunnel.interface);
            names.any(|name| *name == link.name) || family_of_tag(link).is_some()
        };
        let links = self.links.values().filter(|link| !is_tunnel(link));
        links
            .filter(|link| is_inner(link))
            .map(|link| link.index)
            .collect()
    }
}

#[cfg(test)]
mod tests;
