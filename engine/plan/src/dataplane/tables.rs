//! The choice of this engine's routing table.
//!
//! Its rule sends nearly every packet of the node to its table. So the table must be nobody else's: a
//! rule of others that looks it up would send others' packets into the tunnel, and routes of others in
//! it would apply to packets that they were not made for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use crate::dataplane::model::{Rule, Target};
use crate::intent::settings::KERNEL_TABLES;

/// How many tables that are taken are named in a message.
const MAX_NAMED: usize = 3;

/// A route that this engine did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignRoute {
    /// The destination network.
    pub network: IpNet,
    /// Where it leads.
    pub way: ForeignWay,
}

/// Where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignWay {
    /// Out of its table, to the next rule.
    Throw,
    /// To this engine's tunnel device, without a gateway.
    Tunnel,
    /// Anywhere else: an engine of this one's kind makes no such route.
    Elsewhere,
}

/// What a foreign route does to the packets that this engine's rule leads to it, from the least harm
/// to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    None,
    /// It decides about packets that this engine leaves in clear.
    Plain,
    /// It decides about packets that this engine protects, or is where a route of this engine's must be.
    Protected,
}

impl ForeignRoute {
    /// Of this engine's routes `wanted` the longest prefix counts, as everywhere.
    fn effect(&self, wanted: &BTreeMap<IpNet, Target>) -> Effect {
        let around = wanted
            .iter()
            .filter(|(network, _)| network.contains(&self.network));
        match around.max_by_key(|(network, _)| network.prefix_len()) {
            Some((network, _)) if *network == self.network => Effect::Protected,
            Some((_, Target::Tunnel(_))) => Effect::Protected,
            _ if self.way == ForeignWay::Throw => Effect::None,
            _ => Effect::Plain,
        }
    }

    /// Whether an engine of this one's kind makes such routes.
    fn is_of_our_kind(&self) -> bool {
        self.way != ForeignWay::Elsewhere
    }
}

/// What is known of one family's tables.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The rules of this engine's priority.
    pub rules: &'a BTreeSet<Rule>,
    /// The tables that hold routes of this engine's.
    pub own: BTreeSet<u32>,
    /// Those of them that hold one into the tunnel device.
    pub into_tunnel: BTreeSet<u32>,
    /// The routes of others, by table.
    pub foreign: BTreeMap<u32, Vec<ForeignRoute>>,
}

/// A table that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The table's number.
    pub table: u32,
    /// Networks of others' routes in it, which apply to packets that this engine leaves in clear.
    pub shared: Vec<IpNet>,
}

/// No table is free.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoTable {
    ranges: Vec<(u32, u32)>,
    /// The first ones, and who has them.
    taken: Vec<String>,
}

impl Tables<'_> {
    /// The table of `ranges` for this engine, whose routes would be `wanted`.
    ///
    /// It stays where its rule or its routes are, so that it does not move again when another table
    /// becomes free; else it takes the first table that is free: neither the kernel's own, nor looked up
    /// by a rule of others, nor with a route of others in it, but for what an engine of its kind left.
    /// It moves away from its table when others look it up or their routes decide about packets there.
    /// Where no other table is free it bears routes that decide about nothing that it protects.
    ///
    /// # Errors
    /// No table is free.
    pub fn choose(
        &self,
        ranges: &[(u32, u32)],
        wanted: impl FnOnce() -> BTreeMap<IpNet, Target>,
    ) -> Result<Choice, NoTable> {
        let looked_up = self.looked_up();
        let allowed = |table: &u32| {
            let in_range = |(min, max): &(u32, u32)| (*min..=*max).contains(table);
            ranges.iter().any(in_range)
                && !KERNEL_TABLES.contains(table)
                && !looked_up.contains_key(table)
        };
        let unshared = |table| Choice {
            table,
            shared: Vec::new(),
        };
        let mut bearable = None;
        let mut wanted = Some(wanted);
        let mut routes = None;
        let ruled = self.rules.iter().filter(|rule| rule.is_own());
        let own = ruled.map(|rule| rule.table).chain(self.own.iter().copied());
        for table in own.filter(allowed) {
            if self.foreign(table).next().is_none() {
                return Ok(unshared(table));
            }
            if let Some(wanted) = wanted.take() {
                routes = Some(wanted());
            }
            let none = BTreeMap::new();
            let wanted = routes.as_ref().unwrap_or(&none);
            let effects = || self.foreign(table).map(|route| route.effect(wanted));
            match effects().max() {
                None | Some(Effect::None) => return Ok(unshared(table)),
                Some(Effect::Protected) => {}
                Some(Effect::Plain) => {
                    let routes = self.foreign(table);
                    let routes = routes.filter(|route| route.effect(wanted) == Effect::Plain);
                    bearable.get_or_insert(Choice {
                        table,
                        shared: routes.map(|route| route.network).collect(),
                    });
                }
            }
        }
        let all = ranges.iter().flat_map(|(min, max)| *min..=*max);
        let mut free = all.filter(|table| allowed(table) && self.foreign(*table).next().is_none());
        let free = free.next().map(unshared);
        free.or(bearable).ok_or_else(|| NoTable {
            ranges: ranges.to_vec(),
            taken: self.taken(ranges, &looked_up),
        })
    }

    /// The tables that another engine of this one's kind has left: its rule leads there, and there is a
    /// route to this engine's device, whoever of the two has made it. Who only makes rules that look
    /// like it (a VPN) has no such route.
    pub fn left(&self) -> BTreeSet<u32> {
        let ruled = self.rules.iter().filter(|rule| rule.is_of_our_kind());
        let left = ruled.filter(|rule| {
            let mut routes = self.foreign.get(&rule.table).into_iter().flatten();
            let leads_to_tunnel = routes.any(|route| route.way == ForeignWay::Tunnel)
                || self.into_tunnel.contains(&rule.table);
            !KERNEL_TABLES.contains(&rule.table) && leads_to_tunnel
        });
        left.map(|rule| rule.table).collect()
    }

    /// The tables that rules of others look up, with the priority of one of these.
    fn looked_up(&self) -> BTreeMap<u32, u32> {
        let left = self.left();
        let is_left = |rule: &Rule| rule.is_of_our_kind() && left.contains(&rule.table);
        let foreign = self
            .rules
            .iter()
            .filter(|rule| !rule.is_own() && !is_left(rule));
        foreign.map(|rule| (rule.table, rule.priority)).collect()
    }

    /// The routes of others that stay in a table.
    fn foreign(&self, table: u32) -> impl Iterator<Item = &ForeignRoute> {
        let is_left = self.foreign.contains_key(&table) && self.left().contains(&table);
        let routes = self.foreign.get(&table).into_iter().flatten();
        routes.filter(move |route| !(is_left && route.is_of_our_kind()))
    }

    /// Who has the first tables of the ranges.
    fn taken(&self, ranges: &[(u32, u32)], looked_up: &BTreeMap<u32, u32>) -> Vec<String> {
        let all = ranges.iter().flat_map(|(min, max)| *min..=*max);
        let others = all.filter(|table| !KERNEL_TABLES.contains(table));
        let reasons = others.filter_map(|table| self.reason(table, looked_up));
        reasons.take(MAX_NAMED).collect()
    }

    fn reason(&self, table: u32, looked_up: &BTreeMap<u32, u32>) -> Option<String> {
        let rule = looked_up.get(&table);
        let rule = rule.map(|priority| format!("the rule of priority {priority} looks up {table}"));
        rule.or_else(|| {
            let route = self.foreign(table).next()?;
            Some(format!("{table} has a route to {}", route.network))
        })
    }

    /// Who else has a table, if anybody.
    pub fn why_taken(&self, table: u32) -> Option<String> {
        self.reason(table, &self.looked_up())
    }
}

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges.iter().map(|(min, max)| match min == max {
            true => min.to_string(),
            false => format!("{min}-{max}"),
        });
        let ranges: Vec<_> = ranges.collect();
        write!(
            f,
            "no routing table of routeTableRanges ({}) is free",
            ranges.join(", ")
        )?;
        if !self.taken.is_empty() {
            write!(f, ": {}", self.taken.join(", "))?;
        }
        f.write_str("; add a range of free tables")
    }
}

#[cfg(test)]
mod tests;
