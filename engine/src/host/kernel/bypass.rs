//! Rules as the kernel tells of them, and what those before this engine's do.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Kernel;
use super::routes::in_table;
use crate::dataplane::bypass::{self, Before, Table};
use crate::dataplane::policy::{Action, Origins, PolicyRule};
use crate::host::netlink::{Route, Way};
use crate::intent::family::Family;
use crate::intent::settings::Settings;

/// The name of the loopback link, and of the link by which this node's own packets come in.
const LOOPBACK: &str = "lo";

impl Kernel {
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
        let before: BTreeSet<_> = self.followed(family).collect();
        change(&mut self.policy[family]);
        let after: BTreeSet<_> = self.followed(family).collect();
        self.stale.routes |= !after.is_subset(&before);
    }

    /// The tables that rules look up which decide what reaches this engine's.
    fn followed(&self, family: Family) -> impl Iterator<Item = u32> {
        let rules = bypass::followed(&self.policy[family]).iter();
        rules.filter_map(|policy| match policy.action {
            Action::LookUp(table) => Some(table),
            Action::GoTo(_) | Action::Nothing | Action::Refuse => None,
        })
    }

    /// Whether such a rule looks a table up.
    pub(super) fn is_followed(&self, family: Family, table: u32) -> bool {
        self.followed(family).any(|followed| followed == table)
    }

    /// The rules before this engine's, if they can send any packet past the tunnel.
    pub(crate) fn rules_of_others_before(
        &self,
        family: Family,
        settings: &Settings,
    ) -> Option<Before<'_>> {
        let tunnels = self.tunnel_indexes(family, settings);
        Before::of(&self.policy[family], |table| {
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
        let tunnels = self.tunnel_indexes(family, settings);
        let inner = self.inner_links(settings);
        let links = self.links.values();
        let inputs =
            links.filter(|link| inner.contains(&link.index) || tunnels.contains(&link.index));
        let inputs = inputs.map(|link| link.name.clone());
        let addresses = self.addresses.iter().map(|(_, address)| address.addr());
        Origins {
            sources: own.chain(addresses.map(IpNet::from)).collect(),
            inputs: inputs.chain([LOOPBACK.to_owned()]).collect(),
        }
    }

    fn table(&self, family: Family, table: u32, tunnels: &BTreeSet<u32>) -> Table {
        let both = [&self.routes[family], &self.own_routes[family]];
        let routes = both.into_iter().flat_map(|routes| in_table(routes, table));
        let routes = routes.map(|(slot, route)| (slot.network, self.way(route, tunnels)));
        routes.collect()
    }

    fn way(&self, route: &Route, tunnels: &BTreeSet<u32>) -> bypass::Way {
        let name = |index: &u32| {
            let link = self.links.get(index);
            link.map_or_else(|| format!("link {index}"), |link| link.name.clone())
        };
        let others = route.links.iter().filter(|link| !tunnels.contains(link));
        let mut others = others.map(name).filter(|name| name != LOOPBACK);
        match route.way {
            Way::Throw => bypass::Way::Throw,
            Way::Refuse => bypass::Way::Refuse,
            Way::Link(_) | Way::Other => match others.next() {
                Some(name) => bypass::Way::Link(name),
                None if route.links.iter().any(|link| tunnels.contains(link)) => {
                    bypass::Way::Tunnel
                }
                // Local, broadcast and multicast ones.
                None => bypass::Way::Stays,
            },
        }
    }
}

#[cfg(test)]
mod tests;
