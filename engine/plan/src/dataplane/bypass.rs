//! Policy rules of other programs that match before this engine's: they may send past the tunnel what peers encrypt.
//!
//! Each rule is followed to its routes, for every network that should enter the tunnel. To ask the kernel
//! (`RTM_GETROUTE`) would resolve one address in each network and of one kind of packet, and miss a rule for
//! another address, for a pod's link, or for one protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde_json::{Value, json};

/// The path of each network through rules and routes, as the kernel follows it.
mod walk;

pub use walk::{Before, Hop, Route, RouteOutcome, Table, followed};

/// How many networks are named in a message.
const MAX_NAMED: usize = 3;

/// What becomes of packets by a rule of others, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// They go through the link of that name, in clear.
    Clear(String),
    /// They go on with the rules from that priority on, in clear.
    Skips(u32),
    /// They are dropped.
    Refused,
}

/// A network of a peer to which not all packets enter the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bypass {
    /// As it should enter the tunnel.
    pub network: IpNet,
    /// Whose it is: a node's name.
    pub owner: String,
    /// The rule, as `ip rule` lists it.
    pub rule: String,
    /// What becomes of those packets.
    pub effect: Effect,
}

impl Bypass {
    /// As JSON, for programs.
    pub fn json(&self) -> Value {
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

/// The worst of what becomes of packets to a node: what goes in clear, before what is dropped.
pub fn worst<'a>(bypasses: &'a [Bypass], owner: &str) -> Option<&'a Bypass> {
    let of_node = bypasses.iter().filter(|bypass| bypass.owner == owner);
    of_node.min_by_key(|bypass| &bypass.effect)
}

/// The problems: a sentence for each rule and its effect.
pub fn problems<'a>(
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
            "the rule `{rule}` of another program, which comes before this node's rule of priority {own_priority}, \
             sends {networks} of {nodes} {effect}: {outcome}; {remedy}"
        )
    })
}

fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(MAX_NAMED);
    let mut named: Vec<_> = all.take(MAX_NAMED).collect();
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
