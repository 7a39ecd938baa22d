//! Routes and rules as netlink reports them, and the routing tables that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::IpNet;
use wiremesh_plan::dataplane::model::{RouteKey, Target};
use wiremesh_plan::dataplane::tables::{ForeignRoute, ForeignWay, Tables};
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::settings::{KERNEL_TABLES, Settings};

use super::lead::Lead;
use super::local::is_of_kernel;
use super::{KernelCache, family_of_tag};
use crate::host::netlink::nexthop::Nexthop;
use crate::host::netlink::{Route, RouteAction};

impl KernelCache {
    /// Takes over all routes of a family.
    pub(super) fn set_routes(&mut self, family: Family, routes: Vec<Route>) {
        let (mut own, mut others) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for route in routes {
            if route.own {
                own.entry(route.slot).or_insert(route);
            } else {
                others.entry(route.slot).or_default().push(route);
            }
        }
        self.own_routes[family] = own;
        self.routes[family] = others;
    }

    /// Takes in a route that has been added, or has taken another's place: of that one netlink notifies nothing.
    pub(super) fn add_route(&mut self, route: Route) {
        let (family, table) = (Family::of_network(route.slot.network), route.slot.table);
        if route.own {
            let replaced = self.routes[family].contains_key(&route.slot);
            self.stale.routes |= replaced && !KERNEL_TABLES.contains(&table);
            self.own_routes[family].insert(route.slot, route);
            return;
        }
        let counts = is_of_kernel(&route) || self.is_followed(family, table);
        self.stale.routes |= self.is_in_use(family, table);
        let known = self.routes[family].entry(route.slot).or_default();
        if !known.contains(&route) {
            // Whether it takes the other's place, or stands before or behind it, is not told.
            self.stale.routes |= counts && !known.is_empty();
            *known = vec![route];
        }
    }

    /// Takes in that a route is gone. There may be another one at its place, or behind it.
    pub(super) fn remove_route(&mut self, gone: &Route) {
        let (family, table) = (Family::of_network(gone.slot.network), gone.slot.table);
        if gone.own {
            if self.own_routes[family].get(&gone.slot) == Some(gone) {
                self.own_routes[family].remove(&gone.slot);
            }
        } else if let Some(known) = self.routes[family].get_mut(&gone.slot) {
            known.retain(|route| route != gone);
            if known.is_empty() {
                self.routes[family].remove(&gone.slot);
            }
        }
        self.stale.routes |= is_of_kernel(gone)
            || !gone.own
                && (self.is_in_use(family, table)
                    || self.is_followed(family, table)
                    || !self.is_shared(family, table));
    }

    /// Where a route leads, by each of its next hops in the kernel's order: at least one.
    pub(super) fn leads(&self, route: &Route) -> Vec<Lead> {
        let one = |nexthop: Option<&Nexthop>| match nexthop {
            Some(Nexthop::Hop(hop)) => Lead::Hop(*hop),
            Some(Nexthop::Refuse) => Lead::Refuse,
            // No group is a part of another.
            Some(Nexthop::Group(_) | Nexthop::Unknown) | None => Lead::Unknown,
        };
        let leads: Vec<_> = match (route.way, route.nexthop) {
            (RouteAction::Throw | RouteAction::Refuse, _) => vec![Lead::Refuse],
            (RouteAction::Link(_) | RouteAction::Other, None) => {
                route.hops.iter().map(|hop| Lead::Hop(*hop)).collect()
            }
            (RouteAction::Link(_) | RouteAction::Other, Some(id)) => match self.nexthops.get(&id) {
                Some(Nexthop::Group(members)) => {
                    let members = members.iter();
                    members.map(|id| one(self.nexthops.get(id))).collect()
                }
                known => vec![one(known)],
            },
        };
        match leads.is_empty() {
            true => vec![Lead::Unknown],
            false => leads,
        }
    }

    /// Whether a table is this engine's, by its routes or its rules.
    fn is_in_use(&self, family: Family, table: u32) -> bool {
        let mut rules = self.rules[family].iter();
        in_table(&self.own_routes[family], table).next().is_some()
            || rules.any(|rule| rule.is_own() && rule.table == table)
    }

    /// Whether there are routes of others in a table.
    pub(crate) fn is_shared(&self, family: Family, table: u32) -> bool {
        in_table(&self.routes[family], table).next().is_some()
    }

    /// What this engine's route at that place does.
    pub(crate) fn target(&self, slot: RouteKey) -> Option<Target> {
        let route = self.own_routes[Family::of_network(slot.network)].get(&slot)?;
        Some(self.target_of(route))
    }

    fn target_of(&self, route: &Route) -> Target {
        match route.way {
            _ if !route.own => Target::Foreign,
            RouteAction::Throw => Target::Throw,
            RouteAction::Link(index) => self
                .links
                .get(&index)
                .map_or(Target::Foreign, |link| Target::Tunnel(link.name.clone())),
            RouteAction::Refuse | RouteAction::Other => Target::Foreign,
        }
    }

    /// What is known of a family's routing tables.
    pub(crate) fn tables(&self, family: Family, settings: &Settings) -> Tables<'_> {
        let devices = self.tunnel_indexes(family, settings);
        let mut foreign = BTreeMap::<_, Vec<_>>::new();
        let others = self.routes[family].values().flatten();
        for route in others.filter(|route| !KERNEL_TABLES.contains(&route.slot.table)) {
            let way = match route.way {
                RouteAction::Throw => ForeignWay::Throw,
                RouteAction::Link(index) if devices.contains(&index) => ForeignWay::Tunnel,
                RouteAction::Link(_) | RouteAction::Refuse | RouteAction::Other => {
                    ForeignWay::Elsewhere
                }
            };
            let network = route.slot.network;
            let routes = foreign.entry(route.slot.table).or_default();
            routes.push(ForeignRoute { network, way });
        }
        let own = || self.own_routes[family].values();
        let into_tunnel = own().filter(|route| match route.way {
            RouteAction::Link(index) => devices.contains(&index),
            RouteAction::Throw | RouteAction::Refuse | RouteAction::Other => false,
        });
        let mut tables = Tables {
            rules: &self.rules[family],
            own: own().map(|route| route.slot.table).collect(),
            into_tunnel: into_tunnel.map(|route| route.slot.table).collect(),
            foreign,
        };
        self.hooks.change_tables(&mut tables);
        tables
    }

    /// The indexes of the family's tunnel devices, by the configured name or this engine's tag.
    pub(super) fn tunnel_indexes(&self, family: Family, settings: &Settings) -> BTreeSet<u32> {
        let configured = &settings.tunnel[family].interface;
        let links = self.links.values();
        let tunnels =
            links.filter(|link| link.name == *configured || family_of_tag(link) == Some(family));
        tunnels.map(|link| link.index).collect()
    }

    /// This engine's routes, and those of its kind in the tables that another engine has left.
    pub(super) fn routes_of(
        &self,
        family: Family,
        settings: &Settings,
        left: &BTreeSet<u32>,
    ) -> BTreeMap<RouteKey, Target> {
        let devices = self.tunnel_indexes(family, settings);
        let is_of_our_kind = |route: &Route| match route.way {
            RouteAction::Throw => true,
            RouteAction::Link(index) => devices.contains(&index),
            RouteAction::Refuse | RouteAction::Other => false,
        };
        let others = self.routes[family].values().flatten().filter(|route| {
            left.contains(&route.slot.table) && is_of_our_kind(route)
                || self.hooks.owns_table(route.slot.table)
        });
        // Of two at one place this engine's own counts.
        let all = others.chain(self.own_routes[family].values());
        all.map(|route| (route.slot, self.target_of(route)))
            .collect()
    }
}

/// What is at the places of one table.
pub(super) fn in_table<T>(
    routes: &BTreeMap<RouteKey, T>,
    table: u32,
) -> impl Iterator<Item = (&RouteKey, &T)> {
    // The smallest of all networks: IPv4 comes before IPv6.
    let network = IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0);
    let first = RouteKey { table, network };
    let routes = routes.range(first..);
    routes.take_while(move |(slot, _)| slot.table == table)
}
