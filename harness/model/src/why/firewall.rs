//! Evaluation of a node's nftables for one packet, by its rules alone.
//!
//! Chains are walked by hook and priority, jumps are followed, and marks that rules set are kept (nft(8)). A
//! match that these facts do not decide, such as one of connection tracking, is neither taken for one nor for
//! none: what is dropped only if it fits is not reported as dropped.

/// Matching of a packet with a rule of nftables.
mod fit;

use std::net::IpAddr;

use crate::dataplane::rule_key;
use crate::dataplane::ruleset::{Chain, Ruleset, Table};
use crate::plan::Family;

use fit::Fit;
pub(super) use fit::contains;

/// Chains that a packet may jump through, so that no listing is walked for ever.
const JUMPS: usize = 16;

/// A packet as rules see it.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) family: Family,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The interface that it comes in by; none of a node's own.
    pub(super) input: Option<String>,
    /// The interface that it goes out by; none of a packet for the node itself.
    pub(super) output: Option<String>,
    /// Source and destination port of a UDP packet; none of a packet of another protocol, or of
    /// whichever.
    pub(super) udp: Option<(u16, u16)>,
    /// None once a rule has set it to what is not known here.
    pub(super) mark: Option<u32>,
}

/// What becomes of a packet at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Passes,
    /// It is dropped.
    Drops {
        /// By which rule or policy, of which chain.
        by: String,
        /// Its key among the counted rules; none of a policy.
        key: Option<String>,
        /// The rules before it that would let it pass, if they are for it.
        unless: Vec<String>,
    },
}

/// Where a mark was set last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MarkedBy {
    pub(super) rule: String,
}

/// What a chain came to.
enum End {
    /// No rule decided.
    Open,
    Accepted,
    Dropped(Dropping),
    /// Back to the chain that jumped here.
    Returned,
}

/// A rule that drops packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dropping {
    rule: String,
    /// With its chain and table.
    pub(super) text: String,
    pub(super) key: String,
}

/// A walk of one packet through a ruleset.
pub(super) struct Walk<'a> {
    ruleset: &'a Ruleset,
    packet: Header,
    marked: Option<MarkedBy>,
    /// Every mark that it has had from a rule.
    marks: Vec<u32>,
    unless: Vec<String>,
    /// Rules that would drop it, if they are for it.
    perhaps: Vec<Dropping>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(ruleset: &'a Ruleset, packet: Header) -> Self {
        Self {
            ruleset,
            packet,
            marked: None,
            marks: Vec::new(),
            unless: Vec::new(),
            perhaps: Vec::new(),
        }
    }

    /// Rules that it came past and that would have dropped it, if they are for it.
    pub(super) fn perhaps(&self) -> &[Dropping] {
        &self.perhaps
    }

    /// The packet's mark now.
    pub(super) fn mark(&self) -> Option<u32> {
        self.packet.mark
    }

    /// The marks that it has had from rules, in order.
    pub(super) fn marks(&self) -> &[u32] {
        &self.marks
    }

    /// The last rule that set it.
    pub(super) fn marked(&self) -> Option<&MarkedBy> {
        self.marked.as_ref()
    }

    /// What becomes of it at a hook: each base chain decides by itself, and the first that drops
    /// it ends its way.
    pub(super) fn through(&mut self, hook: &str) -> Fate {
        let family = match self.packet.family {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        };
        for (table, chain) in self.ruleset.at(hook, family) {
            self.unless.clear();
            let place = format!(
                "chain {} of table {} {}, hook {hook}",
                chain.name, table.family, table.name
            );
            let (by, key) = match self.chain(table, chain, 0) {
                End::Dropped(by) => (format!("`{}` ({place})", by.rule), Some(by.key)),
                End::Open | End::Returned if chain.hook.as_ref().is_some_and(|hook| hook.drops) => {
                    let policy = format!("the policy of {place}, where no rule accepts it");
                    (policy, None)
                }
                End::Open | End::Returned | End::Accepted => continue,
            };
            return Fate::Drops {
                by,
                key,
                unless: std::mem::take(&mut self.unless),
            };
        }
        Fate::Passes
    }

    fn chain(&mut self, table: &Table, chain: &Chain, depth: usize) -> End {
        for rule in &chain.rules {
            let fit = fit::fit(rule, table, &self.packet);
            if fit.is == Some(false) {
                continue;
            }
            let sure = fit.is == Some(true);
            self.set_mark(&fit, sure, rule, chain, table);
            let end = match fit.verdict.as_slice() {
                ["accept", ..] => End::Accepted,
                ["drop", ..] | ["reject", ..] => End::Dropped(dropping(rule, chain, table)),
                ["return", ..] => End::Returned,
                [jump @ ("jump" | "goto"), to, ..] if depth < JUMPS => {
                    let Some(next) = table.chain(to) else {
                        continue;
                    };
                    let end = self.chain(table, next, depth + 1);
                    match (*jump, end) {
                        ("jump", End::Open | End::Returned) => continue,
                        (_, End::Open) => End::Returned,
                        (_, end) => end,
                    }
                }
                // A verdict map, a queue: what it comes to is not known here.
                [word, ..] if ["vmap", "queue", "dup", "fwd"].contains(word) => {
                    self.unless.push(rule.clone());
                    continue;
                }
                _ => continue,
            };
            match (end, sure) {
                (end, true) => return end,
                (End::Accepted | End::Returned, false) => self.unless.push(rule.clone()),
                // Whether it drops is not known.
                (End::Dropped(by), false) => self.perhaps.push(by),
                (End::Open, false) => {}
            }
        }
        End::Open
    }

    fn set_mark(&mut self, fit: &Fit<'_>, sure: bool, rule: &str, chain: &Chain, table: &Table) {
        let Some(set) = &fit.mark else {
            return;
        };
        let before = self.packet.mark;
        self.packet.mark = match sure {
            true => set.of(before),
            false => None,
        };
        if self.packet.mark != before {
            self.marks.extend(self.packet.mark);
            self.marked = Some(MarkedBy {
                rule: format!(
                    "`{rule}` (chain {} of table {} {})",
                    chain.name, table.family, table.name
                ),
            });
        }
    }
}

fn dropping(rule: &str, chain: &Chain, table: &Table) -> Dropping {
    let hook = chain.hook.as_ref();
    let hook = hook.map_or_else(String::new, |hook| format!(", hook {}", hook.name));
    Dropping {
        rule: rule.to_owned(),
        text: format!(
            "`{rule}` (chain {} of table {} {}{hook})",
            chain.name, table.family, table.name
        ),
        key: rule_key(&table.family, &table.name, &chain.name, rule),
    }
}

#[cfg(test)]
mod tests;
