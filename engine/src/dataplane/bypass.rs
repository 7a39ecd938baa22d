//! Rules of others that come before this engine's: they may send past the tunnel what peers say that
//! they encrypt.
//!
//! Each rule is followed to its routes, for every network that should enter the tunnel. To ask the
//! kernel (`RTM_GETROUTE`) would tell of one address in each network and of one kind of packet, and miss
//! a rule for another address, for a pod's link, or for one protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::dataplane::here::supernets;
use crate::dataplane::policy::{Action, Origins, PolicyRule};

/// How many networks are named in a message.
const NAMED: usize = 3;

/// What a route does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Ends the look-up in its table.
    Throw,
    /// Stays on this node.
    Stays,
    /// Into the tunnel.
    Tunnel,
    /// Through the link of that name.
    Link(String),
    /// Drops it.
    Refuse,
}

/// The routes of a table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    routes: BTreeMap<IpNet, Way>,
    /// The prefix lengths that there are.
    lengths: BTreeSet<u8>,
}

impl FromIterator<(IpNet, Way)> for Table {
    fn from_iter<T: IntoIterator<Item = (IpNet, Way)>>(routes: T) -> Self {
        let routes: BTreeMap<_, _> = routes.into_iter().collect();
        let lengths = routes.keys().map(IpNet::prefix_len).collect();
        Self { routes, lengths }
    }
}

/// What becomes of packets by a rule of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// They go through the link of that name, in clear.
    Clear(String),
    /// They go on with the rules from that priority on, in clear.
    Skips(u32),
    /// They are dropped.
    Refused,
}

/// A network of a peer to which not all packets enter the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bypass {
    /// As it should enter the tunnel.
    pub(crate) network: IpNet,
    /// Whose it is: a node's name.
    pub(crate) owner: String,
    /// The rule, as `ip rule` lists it.
    pub(crate) rule: String,
    pub(crate) effect: Effect,
}

impl Bypass {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "network": self.network,
            "node": self.owner,
            "rule": self.rule,
            "effect": self.effect.to_string(),
        })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear(link) => write!(f, "past the tunnel through {link}"),
            Self::Skips(priority) => write!(f, "past the tunnel to the rules from {priority} on"),
            Self::Refused => f.write_str("to nowhere"),
        }
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, network, effect) = (&self.rule, self.network, &self.effect);
        write!(f, "the rule `{rule}` sends {network} {effect}")
    }
}

/// The rules of others that come before this engine's, with the tables that they look up. `rules` are in
/// the kernel's order; while this engine has none there, none counts.
#[derive(Debug)]
pub(crate) struct Before<'a> {
    rules: &'a [PolicyRule],
    /// Where this engine's first rule is.
    own: usize,
    tables: BTreeMap<u32, Table>,
}

impl<'a> Before<'a> {
    /// Those of `rules`; none if they can send no packet past the tunnel.
    pub(crate) fn of(rules: &'a [PolicyRule], table: impl Fn(u32) -> Table) -> Option<Self> {
        let own = rules.iter().position(|rule| rule.rule.is_own())?;
        let mut tables = BTreeMap::new();
        for rule in &rules[..own] {
            if let Action::LookUp(number) = rule.action {
                tables.entry(number).or_insert_with(|| table(number));
            }
        }
        let before = Self { rules, own, tables };
        before.can_bypass().then_some(before)
    }

    fn can_bypass(&self) -> bool {
        self.rules[..self.own].iter().any(|rule| match rule.action {
            Action::LookUp(table) => {
                let mut routes = self.tables[&table].routes.values();
                routes.any(|way| leaves(way).is_some())
            }
            Action::GoTo(_) | Action::Refuse => true,
            Action::Nothing => false,
        })
    }

    /// What becomes of packets to the networks of `wanted`, of which those that should enter the tunnel
    /// have an owner.
    pub(crate) fn bypasses(
        &self,
        wanted: &BTreeMap<IpNet, Option<&str>>,
        origins: &Origins,
    ) -> Vec<Bypass> {
        let search = Search {
            before: self,
            wanted,
            lengths: wanted.keys().map(IpNet::prefix_len).collect(),
            origins,
        };
        let tunnelled = wanted
            .iter()
            .filter_map(|(network, owner)| Some((*network, (*owner)?)));
        let found = tunnelled.filter_map(|(network, owner)| {
            let (rule, effect) = search.effect(network)?;
            Some(Bypass {
                network,
                owner: owner.to_owned(),
                rule: rule.to_string(),
                effect,
            })
        });
        found.collect()
    }
}

struct Search<'a> {
    before: &'a Before<'a>,
    wanted: &'a BTreeMap<IpNet, Option<&'a str>>,
    /// The prefix lengths of `wanted`.
    lengths: BTreeSet<u8>,
    origins: &'a Origins,
}

/// What a table has for a network.
enum Found {
    /// Part of it goes elsewhere.
    Leaves(Effect),
    /// All of it enters the tunnel or stays here.
    Ends,
    /// The next rule counts.
    Nothing,
}

impl Search<'_> {
    /// The first rule that sends elsewhere what goes to a network.
    fn effect(&self, network: IpNet) -> Option<(&PolicyRule, Effect)> {
        let Before { rules, own, tables } = self.before;
        let mut next = 0;
        while next < *own {
            let rule = &rules[next];
            next += 1;
            let Some(selected) = rule.selects(network, self.origins) else {
                continue;
            };
            // What lies nearer to another network is that one's.
            if !self.is_nearest(network, selected.part) {
                continue;
            }
            let whole = selected.all && selected.part == network;
            match rule.action {
                Action::Nothing => {}
                Action::Refuse => return Some((rule, Effect::Refused)),
                Action::GoTo(priority) => {
                    let rest = rules.iter().skip(next);
                    let place = rest
                        .take_while(|rule| rule.rule.priority < priority)
                        .count();
                    let target = next + place;
                    let there = rules.get(target);
                    match there.is_some_and(|rule| rule.rule.priority == priority) {
                        true if target > *own => return Some((rule, Effect::Skips(priority))),
                        true if whole => next = target,
                        true | false => {}
                    }
                }
                Action::LookUp(table) => {
                    match self.look_up(&tables[&table], rule, network, selected.part) {
                        Found::Leaves(effect) => return Some((rule, effect)),
                        Found::Ends if whole => return None,
                        Found::Ends | Found::Nothing => {}
                    }
                }
            }
        }
        None
    }

    fn look_up(&self, table: &Table, rule: &PolicyRule, network: IpNet, part: IpNet) -> Found {
        let counts = |length: u8| rule.suppressed.is_none_or(|least| length > least);
        let last = IpNet::from(part.broadcast());
        let inside = table.routes.range(part.trunc()..=last);
        let mut inside = inside.filter(|(inner, _)| {
            inner.prefix_len() > part.prefix_len()
                && counts(inner.prefix_len())
                && self.is_nearest(network, **inner)
        });
        if let Some(effect) = inside.find_map(|(_, way)| leaves(way)) {
            return Found::Leaves(effect);
        }
        let best = nearest(part, &table.lengths, |outer| {
            table
                .routes
                .get(&outer)
                .filter(|_| counts(outer.prefix_len()))
        });
        match best {
            None | Some(Way::Throw) => Found::Nothing,
            Some(way) => leaves(way).map_or(Found::Ends, Found::Leaves),
        }
    }

    /// Whether of all that is wanted this network is the most specific one around a part of it.
    fn is_nearest(&self, network: IpNet, part: IpNet) -> bool {
        let found = nearest(part, &self.lengths, |outer| {
            self.wanted.contains_key(&outer).then_some(outer)
        });
        found == Some(network)
    }
}

/// What is found for a network or, of those around it, for the most specific one; `lengths` are the
/// prefix lengths that there may be.
fn nearest<T>(
    network: IpNet,
    lengths: &BTreeSet<u8>,
    find: impl FnMut(IpNet) -> Option<T>,
) -> Option<T> {
    let around = supernets(network).filter(|outer| lengths.contains(&outer.prefix_len()));
    let mut around = around;
    around.find_map(find)
}

/// What becomes of a packet by a route that leads past the tunnel.
fn leaves(way: &Way) -> Option<Effect> {
    match way {
        Way::Link(link) => Some(Effect::Clear(link.clone())),
        Way::Refuse => Some(Effect::Refused),
        Way::Throw | Way::Stays | Way::Tunnel => None,
    }
}

/// What to tell: a sentence for each rule and what it does.
pub(crate) fn problems<'a>(
    bypasses: &'a [Bypass],
    own_priority: u32,
    refuses: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = String> + 'a {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for bypass in bypasses {
        let group = groups.entry((&bypass.rule, &bypass.effect));
        group.or_default().push(bypass);
    }
    groups.into_iter().map(move |((rule, effect), bypasses)| {
        let owners: BTreeSet<_> = bypasses.iter().map(|bypass| &*bypass.owner).collect();
        let networks = listed(bypasses.iter().map(|bypass| bypass.network.to_string()));
        let nodes = listed(owners.iter().map(|name| (*name).to_owned()));
        let outcome = match effect {
            Effect::Refused => "it is cut off",
            _ if owners.iter().all(|name| refuses(name)) => {
                "what goes there is dropped, since it would be in clear"
            }
            _ => "what goes there is not encrypted",
        };
        // The kernel's own rule, without which the node does not know its addresses.
        let remedy = if rule.ends_with("lookup local") {
            "delete that route of the table local; the rule is the kernel's".to_owned()
        } else {
            format!("delete that rule, or give it a priority above {own_priority}")
        };
        format!(
            "the rule `{rule}` of another, which comes before this node's of priority {own_priority}, \
             sends {networks} of {nodes} {effect}: {outcome}; {remedy}"
        )
    })
}

fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let mut named: Vec<_> = all.take(NAMED).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    match named.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => named.concat(),
    }
}

#[cfg(test)]
mod tests;
