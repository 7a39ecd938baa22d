//! The path of each network through rules and routes, as the kernel follows it (`net/core/fib_rules.c`,
//! `fib_rules_lookup`).
//!
//! A network is followed by parts of which every address meets the same rules and routes. Of the packets to a
//! part a rule may be for some alone (by source, protocol, ...): then what it does is looked at, and what comes
//! after it too. So no packet is missed; of two rules for some packets, the second one may be reported though
//! the first one has taken all of its packets.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Bypass, Effect};
use crate::dataplane::local_routes::supernets;
use crate::dataplane::policy::{Action, Covers, Origins, PolicyRule};

/// What a route does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteOutcome {
    /// Ends the look-up in its table.
    Throw,
    /// Stays on this node.
    Stays,
    /// Into the tunnel.
    Tunnel,
    /// Through the link of that name.
    Link(String),
    /// Dropped by the route's type.
    Refuse,
}

impl RouteOutcome {
    /// What becomes of a packet that it leads past the tunnel.
    fn leaves(&self) -> Option<Effect> {
        match self {
            Self::Link(link) => Some(Effect::Clear(link.clone())),
            Self::Refuse => Some(Effect::Refused),
            Self::Throw | Self::Stays | Self::Tunnel => None,
        }
    }
}

/// One of the ways that a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Where it leads.
    pub way: RouteOutcome,
    /// The group of its link, if that is known.
    pub group: Option<u32>,
}

/// A route of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its next hops in the kernel's order: each packet goes by one of them.
    pub hops: Vec<Hop>,
    /// Whether it is for some packets to its network alone, and others go on to the next one: to another
    /// one to that network, or to a wider one.
    pub some: bool,
}

impl Route {
    /// One that ends the look-up in its table.
    pub fn throw(some: bool) -> Self {
        let (way, group) = (RouteOutcome::Throw, None);
        let hops = vec![Hop { way, group }];
        Self { hops, some }
    }
}

/// The routes of a table.
#[derive(Debug, Default)]
pub struct Table {
    /// In the kernel's order.
    routes: BTreeMap<IpNet, Vec<Route>>,
    /// The prefix lengths that there are.
    lengths: BTreeSet<u8>,
}

impl FromIterator<(IpNet, Route)> for Table {
    /// Of several routes to one network, in the kernel's order.
    fn from_iter<T: IntoIterator<Item = (IpNet, Route)>>(all: T) -> Self {
        let mut routes = BTreeMap::<_, Vec<_>>::new();
        for (network, route) in all {
            routes.entry(network).or_default().push(route);
        }
        let lengths = routes.keys().map(IpNet::prefix_len).collect();
        Self { routes, lengths }
    }
}

/// The rules of others that come before this engine's, with the tables that they look up. `rules` are in
/// the kernel's order; while this engine has none there, none counts.
#[derive(Debug)]
pub struct Before<'a> {
    rules: &'a [PolicyRule],
    /// Where this engine's first rule is.
    own: usize,
    tables: BTreeMap<u32, Table>,
}

impl<'a> Before<'a> {
    /// Those of `rules`; none if they can send no packet past the tunnel. `vrfs` are the tables of the
    /// VRFs that packets may be of.
    pub fn of(
        rules: &'a [PolicyRule],
        vrfs: &BTreeSet<u32>,
        table: impl Fn(u32) -> Table,
    ) -> Option<Self> {
        let own = rules.iter().position(PolicyRule::takes_into_tunnel)?;
        let followed = followed(rules).iter();
        let tables: BTreeSet<_> = followed.flat_map(|rule| rule.tables(vrfs)).collect();
        let tables = tables.into_iter().map(|number| (number, table(number)));
        let tables = tables.collect();
        let before = Self { rules, own, tables };
        before.can_bypass(vrfs).then_some(before)
    }

    fn can_bypass(&self, vrfs: &BTreeSet<u32>) -> bool {
        let leads_past = |table: u32| {
            let routes = self.tables[&table].routes.values().flatten();
            let mut hops = routes.flat_map(|route| &route.hops);
            hops.any(|hop| hop.way.leaves().is_some())
        };
        self.rules[..self.own].iter().any(|rule| match rule.action {
            Action::LookUp(_) => rule.tables(vrfs).any(leads_past),
            Action::GoTo(_) | Action::Refuse(_) => true,
            Action::Nothing => false,
        })
    }

    /// What becomes of packets to the networks of `wanted`, of which those that should enter the tunnel
    /// have an owner: for each of these and each rule that takes some, the worst that becomes of them.
    pub fn bypasses(
        &self,
        wanted: &BTreeMap<IpNet, Option<&str>>,
        origins: &Origins,
    ) -> Vec<Bypass> {
        let walk = Walk::new(self, wanted, origins);
        let tunnelled = wanted
            .iter()
            .filter_map(|(network, owner)| Some((*network, (*owner)?)));
        let found = tunnelled.flat_map(|(network, owner)| {
            let effects = walk.effects(network).into_iter();
            effects.map(move |(place, effect)| Bypass {
                network,
                owner: owner.to_owned(),
                rule: self.rules[place].to_string(),
                effect,
            })
        });
        found.collect()
    }
}

/// The rules, in the kernel's order, that decide what reaches this engine's: those before it, and all
/// where one of them jumps, since it may jump over it, or where this engine has none.
pub fn followed(rules: &[PolicyRule]) -> &[PolicyRule] {
    let own = rules.iter().position(PolicyRule::takes_into_tunnel);
    let before = &rules[..own.unwrap_or(rules.len())];
    let jumps = |rule: &PolicyRule| matches!(rule.action, Action::GoTo(_));
    match before.iter().any(jumps) {
        true => rules,
        false => before,
    }
}

/// How packets come to a rule.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// Past no rule of this engine's.
    directly: bool,
    /// Over this engine's rule, by the jump of the rule at that place.
    over: Option<usize>,
}

impl Reached {
    fn add(&mut self, other: Self) {
        self.directly |= other.directly;
        self.over = self.over.or(other.over);
    }
}

/// What a table has for packets to a part of a network.
#[derive(Debug, Default)]
struct Found {
    /// The worst that becomes of some.
    leaves: Option<Effect>,
    /// Whether some go on to the next rule.
    goes_on: bool,
}

impl Found {
    fn leaves(&mut self, effect: Effect) {
        worsen(&mut self.leaves, effect);
    }
}

fn worsen(known: &mut Option<Effect>, effect: Effect) {
    if known.as_ref().is_none_or(|known| effect < *known) {
        *known = Some(effect);
    }
}

struct Walk<'a> {
    before: &'a Before<'a>,
    wanted: &'a BTreeMap<IpNet, Option<&'a str>>,
    /// The prefix lengths of `wanted`.
    lengths: BTreeSet<u8>,
    origins: &'a Origins,
    /// Every network that a rule, a route or a wanted route distinguishes from the rest.
    parts: BTreeSet<IpNet>,
}

impl<'a> Walk<'a> {
    fn new(
        before: &'a Before<'a>,
        wanted: &'a BTreeMap<IpNet, Option<&'a str>>,
        origins: &'a Origins,
    ) -> Self {
        let rules = followed(before.rules).iter();
        let destinations = rules.filter_map(|rule| Some(rule.to?.trunc()));
        let tables = before.tables.values();
        let routes = tables.flat_map(|table| table.routes.keys().copied());
        let parts = destinations.chain(routes).chain(wanted.keys().copied());
        Self {
            before,
            wanted,
            lengths: wanted.keys().map(IpNet::prefix_len).collect(),
            origins,
            parts: parts.collect(),
        }
    }

    /// What becomes of packets to a network: the worst by each rule, by its place.
    fn effects(&self, network: IpNet) -> BTreeMap<usize, Effect> {
        let mut effects = BTreeMap::new();
        let inside = inside(network, &self.parts);
        for part in std::iter::once(network).chain(inside) {
            // What lies nearer to another network is that one's.
            if self.is_nearest(network, part) && has_rest(part, &self.parts) {
                self.follow(part, &mut effects);
            }
        }
        effects
            .into_iter()
            .filter_map(|(place, effect)| Some((place, effect?)))
            .collect()
    }

    /// Follows packets to a part that is divided no further.
    fn follow(&self, part: IpNet, effects: &mut BTreeMap<usize, Option<Effect>>) {
        let rules = self.before.rules;
        let mut record = |place: usize, reached: Reached, effect: &Effect| {
            if reached.directly {
                worsen(effects.entry(place).or_default(), effect.clone());
            }
            if let Some(jump) = reached.over {
                // Whoever deletes the rules behind this engine's deletes the kernel's own.
                let effect = match (effect, rules[jump].action) {
                    (Effect::Clear(_), Action::GoTo(priority)) => Effect::Skips(priority),
                    _ => effect.clone(),
                };
                worsen(effects.entry(jump).or_default(), effect);
            }
        };
        let mut reached = vec![Reached::default(); rules.len() + 1];
        reached[0].directly = true;
        for (place, rule) in rules.iter().enumerate() {
            let here = reached[place];
            if !here.directly && here.over.is_none() {
                continue;
            }
            let covers = rule.covers(part, self.origins);
            if covers != Covers::All {
                reached[place + 1].add(here);
            }
            if covers == Covers::None || rule.takes_into_tunnel() {
                continue;
            }
            match rule.action {
                Action::Nothing => reached[place + 1].add(here),
                Action::Refuse(_) => record(place, here, &Effect::Refused),
                Action::GoTo(priority) => match self.target(place, priority) {
                    // Where no rule is there, the next one is asked.
                    None => reached[place + 1].add(here),
                    Some(target) => reached[target].add(self.jump(here, place, target)),
                },
                Action::LookUp(_) => {
                    for table in rule.tables(&self.origins.vrfs) {
                        let found = look_up(&self.before.tables[&table], rule, part);
                        if let Some(effect) = found.leaves {
                            record(place, here, &effect);
                        }
                        if found.goes_on {
                            reached[place + 1].add(here);
                        }
                    }
                }
            }
        }
        // No rule has taken them.
        record(
            rules.len(),
            Reached {
                directly: false,
                ..reached[rules.len()]
            },
            &Effect::Refused,
        );
    }

    /// Where a jump leads: to the first rule of that priority, behind it (kernel: `fib_nl_newrule`).
    fn target(&self, place: usize, priority: u32) -> Option<usize> {
        let mut rules = self.before.rules.iter();
        let target = rules.position(|rule| rule.rule.priority == priority)?;
        (target > place).then_some(target)
    }

    /// How packets come to the target of a jump.
    fn jump(&self, here: Reached, place: usize, target: usize) -> Reached {
        match place < self.before.own && target > self.before.own {
            true => Reached {
                directly: false,
                over: here.over.or(Some(place)),
            },
            false => here,
        }
    }

    /// Whether of all that is wanted this network is the most specific one around a part of it.
    fn is_nearest(&self, network: IpNet, part: IpNet) -> bool {
        let around = supernets(part).filter(|outer| self.lengths.contains(&outer.prefix_len()));
        let mut around = around.filter(|outer| self.wanted.contains_key(outer));
        around.next() == Some(network)
    }
}

/// What a rule finds in a table for packets to a part of a network.
fn look_up(table: &Table, rule: &PolicyRule, part: IpNet) -> Found {
    let mut found = Found::default();
    let around = supernets(part).filter(|outer| table.lengths.contains(&outer.prefix_len()));
    let routes = around.flat_map(|outer| {
        let routes = table.routes.get(&outer).into_iter().flatten();
        routes.map(move |route| (outer.prefix_len(), route))
    });
    for (length, route) in routes {
        // In IPv4 the first next hop's link says whether the route is taken (`fib4_rule_suppress`), in
        // IPv6 the link of the one that the packet goes by.
        let first = match part {
            IpNet::V4(_) => route.hops.first(),
            IpNet::V6(_) => None,
        };
        for hop in &route.hops {
            let group = first.unwrap_or(hop).group;
            match &hop.way {
                RouteOutcome::Throw => found.goes_on = true,
                RouteOutcome::Refuse => found.leaves(Effect::Refused),
                _ if rule.suppresses(length, group) => found.goes_on = true,
                way => way
                    .leaves()
                    .into_iter()
                    .for_each(|effect| found.leaves(effect)),
            }
        }
        if !route.some {
            return found;
        }
    }
    found.goes_on = true;
    found
}

/// The networks of a set that lie inside of another one.
fn inside(network: IpNet, all: &BTreeSet<IpNet>) -> impl Iterator<Item = IpNet> {
    let last = IpNet::from(network.broadcast());
    let inside = all.range(network.trunc()..=last).copied();
    inside.filter(move |inner| inner.prefix_len() > network.prefix_len())
}

/// Whether a network has an address that is in none of those that lie inside of it.
fn has_rest(network: IpNet, all: &BTreeSet<IpNet>) -> bool {
    let halves = match inside(network, all).next() {
        None => return true,
        Some(_) => network.subnets(network.prefix_len() + 1),
    };
    let mut halves = halves.into_iter().flatten();
    halves.any(|half| !all.contains(&half) && has_rest(half, all))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
