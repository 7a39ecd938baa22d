//! Checks of nodes' dataplanes (`[[dataplane]]`): what each must have and lack, and what is there instead.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ipnet::IpNet;

use super::finding::Finding;
use crate::dataplane::{self, Dataplane, Peer, Route, RouteKind};
use crate::evidence::Evidence;
use crate::name::NodeName;
use crate::plan::{DataplaneCheck, DataplaneItem, DataplanePart, Plan};

/// The node of each public key.
type Keys = BTreeMap<String, NodeName>;

/// The most items that a message lists of those that are there instead.
const MAX_LISTED: usize = 5;

/// Decides about one part of what a dataplane must be like.
pub(super) fn decide(
    check: &DataplaneCheck,
    part: DataplanePart<'_>,
    plan: &Plan,
    evidence: &Evidence,
) -> Finding<'static> {
    let when = match check.after {
        None => String::new(),
        Some(0) => " at the start".into(),
        Some(step) => format!(" after step {step}"),
    };
    let about = |fact: String| format!("dataplane of {}{when}: {fact}", check.node);
    let Some((plane, keys)) = seen(check, plan, evidence) else {
        return Finding::open(about("nobody looked at it".into()));
    };
    let has_line = |part: &str| {
        let text = dataplane::render(plane, &keys);
        text.lines().any(|line| line.contains(part))
    };
    let view = View { plane, keys: &keys };
    let (is_right, fact) = match part {
        DataplanePart::Has(part) if has_line(part) => (true, format!("a line has `{part}`")),
        DataplanePart::Has(part) => (false, format!("no line has `{part}`")),
        DataplanePart::Lacks(part) if has_line(part) => (false, format!("a line has `{part}`")),
        DataplanePart::Lacks(part) => (true, format!("no line has `{part}`")),
        DataplanePart::Present(item) => match view.find(item) {
            Some(found) => (true, format!("`{item}` is there: {found}")),
            None => {
                let instead = view.instead(item);
                (false, format!("`{item}` is not there; {instead}"))
            }
        },
        DataplanePart::Absent(item) => match view.find(item) {
            Some(found) => (false, format!("`{item}` is there: {found}")),
            None => (true, format!("`{item}` is not there")),
        },
    };
    match is_right {
        true => Finding::held(about(fact)),
        false => Finding::broken(about(fact)),
    }
}

/// The dataplane that a check is about.
fn seen<'a>(
    check: &DataplaneCheck,
    plan: &Plan,
    evidence: &'a Evidence,
) -> Option<(&'a Dataplane, Cow<'a, Keys>)> {
    if let Some(after) = check.after {
        let mut states = evidence.states.iter();
        let state = states.find(|state| state.node == check.node && state.after == after)?;
        return Some((&state.dataplane, Cow::Borrowed(&state.keys)));
    }
    let node = evidence.nodes.get(&check.node)?;
    let keys = evidence.nodes.iter().flat_map(|(name, node)| {
        let keys = node.published_key.iter().chain(&node.published_key6);
        keys.map(|key| (key.clone(), name.clone()))
    });
    let phantoms = plan.phantoms.iter().flat_map(|phantom| {
        let families = plan.cluster.families.iter();
        families.map(|family| (phantom.public_key(*family), phantom.name.clone()))
    });
    Some((&node.dataplane, Cow::Owned(keys.chain(phantoms).collect())))
}

/// A dataplane, and whose the keys in it are.
struct View<'a> {
    plane: &'a Dataplane,
    keys: &'a Keys,
}

impl<'a> View<'a> {
    /// A thing as it is there.
    fn find(&self, thing: &DataplaneItem) -> Option<String> {
        match thing {
            DataplaneItem::Route { to, device, throw } => {
                let mut routes = self.plane.routes.iter();
                let fits = |route: &&Route| {
                    route.destination == *to
                        && (device.is_none() || route.interface == *device)
                        && (!throw || route.kind == RouteKind::Throw)
                };
                routes.find(fits).map(in_table)
            }
            DataplaneItem::Rule { priority } => {
                let mut rules = self.plane.rules.iter().chain(&self.plane.rules6);
                let rule = rules.find(|rule| rule.priority == *priority)?;
                Some(format!("`{}`", dataplane::rule(rule)))
            }
            DataplaneItem::Peer { node } => {
                let (device, peer) = self.peers().find(|(_, peer)| self.is_of(peer, node))?;
                Some(format!(
                    "{device} has it, with {}",
                    listed(peer.allowed_ips.iter())
                ))
            }
            DataplaneItem::AllowedIp { network, node } => {
                let has =
                    |peer: &Peer| self.is_of(peer, node) && peer.allowed_ips.contains(network);
                let (device, _) = self.peers().find(|(_, peer)| has(peer))?;
                Some(format!("of {device}"))
            }
            DataplaneItem::Address { address } => {
                let mut all = self.plane.addresses.iter();
                let found = all.find(|one| one.address.addr() == *address)?;
                Some(format!("{} on {}", found.address, found.interface))
            }
            DataplaneItem::Device { name } => {
                let link = self.plane.links.iter().find(|link| link.name == *name)?;
                Some(format!("mtu {}", link.mtu))
            }
            DataplaneItem::Nft { part } => {
                let mut lines = self.plane.nftables.lines();
                let line = lines.find(|line| line.contains(part.as_str()))?;
                Some(format!("`{}`", line.trim()))
            }
            DataplaneItem::Sysctl { name, value } => {
                let found = self.plane.sysctls.get(name)?;
                (found == value).then(|| format!("it is {found}"))
            }
        }
    }

    /// What there is of the same kind.
    fn instead(&self, thing: &DataplaneItem) -> String {
        let plane = self.plane;
        match thing {
            DataplaneItem::Route { to, .. } => self.way_instead(*to),
            DataplaneItem::Rule { .. } => {
                let rules = plane.rules.iter().chain(&plane.rules6);
                format!("its rules are {}", listed(rules.map(|rule| rule.priority)))
            }
            DataplaneItem::Peer { .. } => {
                let names = self.peers().map(|(_, peer)| self.owner(peer));
                format!("its peers are {}", listed(names))
            }
            DataplaneItem::AllowedIp { network, node } => {
                let holder = self
                    .peers()
                    .find(|(_, peer)| peer.allowed_ips.contains(network));
                let own = self.peers().find(|(_, peer)| self.is_of(peer, node));
                match (holder, own) {
                    (Some((_, peer)), _) => format!("{} has it", self.owner(peer)),
                    (None, Some((_, peer))) => {
                        format!("that peer has {}", listed(peer.allowed_ips.iter()))
                    }
                    (None, None) => format!("{node} is no peer"),
                }
            }
            DataplaneItem::Address { .. } => {
                let all = plane.addresses.iter().map(|one| one.address);
                format!("its addresses are {}", listed(all))
            }
            DataplaneItem::Device { .. } => {
                let all = plane.links.iter().map(|link| link.name.as_str());
                format!("its devices are {}", listed(all))
            }
            DataplaneItem::Nft { .. } => {
                let tables = plane.nftables.lines();
                let tables = tables.filter(|line| line.starts_with("table "));
                let tables = tables.map(|line| line.trim_end_matches([' ', '{']));
                format!("its nftables have {}", listed(tables))
            }
            DataplaneItem::Sysctl { name, .. } => match plane.sysctls.get(name) {
                Some(value) => format!("it is {value}"),
                None => "there is no such sysctl".into(),
            },
        }
    }

    /// Where packets to a network go that has no such route.
    fn way_instead(&self, to: IpNet) -> String {
        let routes = || self.plane.routes.iter();
        if let Some(other) = routes().find(|route| route.destination == to) {
            return format!("there is {}", in_table(other));
        }
        let covers = |route: &&Route| route.destination.contains(&to);
        let closest = routes()
            .filter(covers)
            .max_by_key(|route| route.destination.prefix_len());
        match closest {
            Some(route) => format!("{} covers it", in_table(route)),
            None => "no route leads there".into(),
        }
    }

    fn peers(&self) -> impl Iterator<Item = (&'a str, &'a Peer)> {
        self.plane.wireguard.iter().flat_map(|device| {
            let peers = device.peers.iter();
            peers.map(|peer| (device.interface.as_str(), peer))
        })
    }

    fn is_of(&self, peer: &Peer, node: &NodeName) -> bool {
        self.keys.get(&peer.public_key) == Some(node)
    }

    fn owner(&self, peer: &Peer) -> &'a str {
        let owner = self.keys.get(&peer.public_key);
        owner.map_or("a stranger", NodeName::as_str)
    }
}

fn in_table(route: &Route) -> String {
    let table = dataplane::table(route.table);
    format!("`{}` of table {table}", dataplane::route(route))
}

fn listed<T: ToString>(all: impl Iterator<Item = T>) -> String {
    let mut all: Vec<_> = all.map(|one| one.to_string()).collect();
    if all.is_empty() {
        return "none".into();
    }
    let rest = all.len().saturating_sub(MAX_LISTED);
    all.truncate(MAX_LISTED);
    match rest {
        0 => all.join(", "),
        rest => format!("{} and {rest} more", all.join(", ")),
    }
}
