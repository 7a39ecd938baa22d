//! Policy rules as the kernel reports them, and the effect of those before this engine's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use wiremesh_plan::dataplane::bypass::{self, Before, Table};
use wiremesh_plan::dataplane::policy::{Origins, PolicyRule};
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::settings::Settings;

use super::KernelCache;
use super::lead::Lead;
use super::routes::in_table;
use crate::host::netlink::{Hop, Kind, Link, Route, RouteAction};

/// The name of the loopback link, and of the link by which this node's own packets come in.
const LOOPBACK: &str = "lo";

impl KernelCache {
    /// Takes over all rules of a family, in the kernel's order.
    pub(super) fn set_rules(&mut self, family: Family, rules: Vec<PolicyRule>) {
        self.rules[family] = rules.iter().map(|policy| policy.rule.clone()).collect();
        self.change_policy(family, |all| *all = rules);
    }

    /// Takes in a rule that has been added: it comes after all of its priority (kernel:
    /// `fib_nl_newrule`).
    pub(super) fn add_rule(&mut self, family: Family, policy: PolicyRule) {
        self.rules[family].insert(policy.rule.clone());
        // What is listed at first may be told once more.
        if !self.policy[family].contains(&policy) {
            let priority = policy.rule.priority;
            self.change_policy(family, |all| {
                let place = all.partition_point(|known| known.rule.priority <= priority);
                all.insert(place, policy);
            });
        }
    }

    /// Asks for the routes where the rules lead to another table than before the change: of a table that
    /// nobody looks up it is not known in full which routes have gone, and which are behind others.
    fn change_policy(&mut self, family: Family, change: impl FnOnce(&mut Vec<PolicyRule>)) {
        let before = self.followed(family);
        change(&mut self.policy[family]);
        self.stale.routes |= !self.followed(family).is_subset(&before);
    }

    /// The tables that rules look up which decide what reaches this engine's.
    fn followed(&self, family: Family) -> BTreeSet<u32> {
        let vrfs = self.links.values().filter_map(|link| link.vrf).collect();
        let rules = bypass::followed(&self.policy[family]).iter();
        rules.flat_map(|policy| policy.tables(&vrfs)).collect()
    }

    /// Whether such a rule looks a table up.
    pub(super) fn is_followed(&self, family: Family, table: u32) -> bool {
        self.followed(family).contains(&table)
    }

    /// Takes in that a link is another one than before, if either is there. The kernel does not notify that a
    /// rule has lost the link that it names, or has found it (`fib_rules_event`).
    pub(super) fn link_changes(&mut self, before: Option<&Link>, after: Option<&Link>) {
        let name = |link: Option<&Link>| link.map(|link| link.name.clone());
        if name(before) != name(after) {
            let mut rules = self.policy.iter().flat_map(|(_, rules)| rules);
            self.stale.rules |= rules.any(PolicyRule::names_link);
        }
        let vrf = |link: Option<&Link>| link.and_then(|link| link.vrf);
        self.stale.routes |= vrf(before) != vrf(after);
    }

    /// The rules before this engine's, if they can send any packet past the tunnel.
    pub(crate) fn rules_of_others_before(
        &self,
        family: Family,
        settings: &Settings,
    ) -> Option<Before<'_>> {
        let tunnels = self.tunnel_indexes(family, settings);
        let vrfs = self.vrfs(family, settings);
        Before::of(&self.policy[family], &vrfs, |table| {
            self.table(family, table, &tunnels)
        })
    }

    /// Where packets come from that this engine encrypts: `own` is what this node has by what the store
    /// says.
    pub(crate) fn origins(
        &self,
        family: Family,
        settings: &Settings,
        own: impl Iterator<Item = IpNet>,
    ) -> Origins {
        let inputs = self.inputs(family, settings);
        let tunnels = self.tunnel_indexes(family, settings);
        let names = |link: &Link| {
            let names = std::iter::once(&link.name).chain(&link.other_names);
            names.cloned().collect::<Vec<_>>()
        };
        let (inside, outside): (Vec<_>, Vec<_>) = self
            .links
            .values()
            .partition(|link| inputs.contains(&link.index));
        let inside = inside.into_iter();
        let tunnels = inside.filter(|link| tunnels.contains(&link.index));
        let addresses = self.addresses.iter().map(|(_, address)| address.addr());
        // That of a socket which has none yet: it is chosen by the route (IPv4: `ip_route_output_key_hash`).
        let none_yet = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let addresses = addresses.chain([none_yet]).map(IpNet::from);
        Origins {
            sources: own.chain(addresses).collect(),
            outside: outside.into_iter().flat_map(names).collect(),
            tunnels: tunnels.flat_map(names).collect(),
            vrfs: self.vrfs(family, settings),
        }
    }

    /// The links by which packets of this node, of its pods and out of the tunnel come in: bridges and
    /// VRFs too that have one of them as a port, whatever their other ports are.
    fn inputs(&self, family: Family, settings: &Settings) -> BTreeSet<u32> {
        let mut inputs = self.inner_links(settings);
        inputs.extend(self.tunnel_indexes(family, settings));
        loop {
            let links = self.links.values();
            let ports = links.filter(|link| inputs.contains(&link.index));
            let masters: Vec<_> = ports.filter_map(|link| link.master).collect();
            let known = inputs.len();
            inputs.extend(masters);
            if inputs.len() == known {
                return inputs;
            }
        }
    }

    /// The tables of the VRFs among them.
    fn vrfs(&self, family: Family, settings: &Settings) -> BTreeSet<u32> {
        let inputs = self.inputs(family, settings);
        let links = self.links.values();
        let inputs = links.filter(|link| inputs.contains(&link.index));
        inputs.filter_map(|link| link.vrf).collect()
    }

    fn table(&self, family: Family, table: u32, tunnels: &BTreeSet<u32>) -> Table {
        let others = in_table(&self.routes[family], table).flat_map(|(_, routes)| routes);
        let own = in_table(&self.own_routes[family], table).map(|(_, route)| route);
        let routes = others.chain(own);
        let routes = routes.map(|route| (route.slot.network, self.followed_route(route, tunnels)));
        routes.collect()
    }

    /// What a route does with packets.
    fn followed_route(&self, route: &Route, tunnels: &BTreeSet<u32>) -> bypass::Route {
        if route.way == RouteAction::Throw {
            return bypass::Route::throw(route.some);
        }
        let leads = self.leads(route);
        let stays = match route.kind {
            Kind::Local => true,
            Kind::EndOfSubnet => self.is_end_of_subnet(route.slot.network),
            Kind::Unicast | Kind::Other => false,
        };
        let hop = |lead: &Lead| {
            let (index, way) = match lead {
                Lead::Refuse => (None, bypass::RouteOutcome::Refuse),
                Lead::Unknown => (None, bypass::RouteOutcome::Link(unknown(route))),
                Lead::Hop(hop) if stays => (Some(hop.link), bypass::RouteOutcome::Stays),
                Lead::Hop(hop) => (Some(hop.link), self.way(hop, tunnels)),
            };
            let link = index.and_then(|index| self.links.get(&index));
            bypass::Hop {
                way,
                group: link.map(|link| link.group),
            }
        };
        // The kernel passes over an IPv6 gateway that does not answer (`rt6_select`).
        let may_be_passed_over = |lead: &Lead| match lead {
            Lead::Hop(hop) => hop.gateway && route.slot.network.addr().is_ipv6(),
            Lead::Refuse | Lead::Unknown => false,
        };
        bypass::Route {
            hops: leads.iter().map(hop).collect(),
            some: route.some || leads.iter().any(may_be_passed_over),
        }
    }

    fn way(&self, hop: &Hop, tunnels: &BTreeSet<u32>) -> bypass::RouteOutcome {
        let link = self.links.get(&hop.link);
        let name = || link.map_or_else(|| format!("link {}", hop.link), |link| link.name.clone());
        match hop.link {
            _ if hop.encapsulates => {
                bypass::RouteOutcome::Link(format!("{} in an encapsulation", name()))
            }
            index if tunnels.contains(&index) => bypass::RouteOutcome::Tunnel,
            _ if link.is_some_and(|link| link.name == LOOPBACK) => bypass::RouteOutcome::Stays,
            _ => bypass::RouteOutcome::Link(name()),
        }
    }

    /// Whether a network is the first or last address of a subnet of this node's, where the kernel makes
    /// routes of types of their own (`fib_add_ifaddr`, `addrconf_join_anycast`).
    fn is_end_of_subnet(&self, network: IpNet) -> bool {
        let mut subnets = self.addresses.iter().map(|(_, subnet)| subnet);
        let ends = |subnet: &IpNet| [subnet.network(), subnet.broadcast()];
        network.prefix_len() == network.max_prefix_len()
            && subnets.any(|subnet| ends(subnet).contains(&network.addr()))
    }
}

/// The link of a route that does not name one.
fn unknown(route: &Route) -> String {
    match route.nexthop {
        Some(id) => format!("the nexthop {id}, of which nothing is known"),
        None => format!("a route to {} that cannot be read", route.slot.network),
    }
}

#[cfg(test)]
mod tests;
