//! Rules of the kernel's routing policy database: which packets each is for, and what it does with them
//! (ip-rule(8); kernel: `net/core/fib_rules.c`, `fib_rule_match`).

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;

use crate::dataplane::model::Rule;

/// A rule, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRule {
    /// What can be compared with this engine's.
    pub rule: Rule,
    /// The destination network that it selects; none is any.
    pub to: Option<IpNet>,
    /// The source network that it selects; none is any.
    pub from: Option<IpNet>,
    /// The link that the packet came in by; `lo` is for packets of this node's own.
    pub input: Option<LinkName>,
    /// The link that the packet has to leave by.
    pub output: Option<LinkName>,
    /// Whether it is for packets of a VRF, whose table it looks up (`l3mdev`).
    pub of_vrf: bool,
    /// Selectors that some packets to each destination meet: protocol, ports, user, type of service. As
    /// ip-rule(8) writes them.
    pub some: Vec<String>,
    /// Selectors that no packet meets which could enter the tunnel. As ip-rule(8) writes them.
    pub none: Vec<String>,
    /// What it does with the packets that it is for.
    pub action: Action,
    /// A route with at most this prefix length is not taken.
    pub suppressed_length: Option<u32>,
    /// A route through a link of this group is not taken.
    pub suppressed_group: Option<u32>,
}

/// A link that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkName {
    /// Its name: `iif` or `oif` of ip-rule(8).
    pub name: String,
    /// Whether there was no such link when the kernel reported the rule.
    pub detached: bool,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Looks up a table; one of a VRF's, where the rule is for its packets.
    LookUp(u32),
    /// Goes on with the rule of that priority.
    GoTo(u32),
    /// Goes on with the next rule (`nop`).
    Nothing,
    /// Drops the packet, and may send an ICMP error: `blackhole`, `unreachable`, `prohibit`.
    Refuse(&'static str),
}

/// Where packets come from that this engine encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// The addresses of this node and its pods.
    pub sources: Vec<IpNet>,
    /// The links by which no such packet comes in, by each of their names: they lead elsewhere, and what
    /// comes from there is none of this node's.
    pub outside: BTreeSet<String>,
    /// The tunnel devices, by each of their names.
    pub tunnels: BTreeSet<String>,
    /// The tables of the VRFs that such packets are of.
    pub vrfs: BTreeSet<u32>,
}

/// How many of the packets to a destination a rule is for, of those that this engine encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// None of them.
    None,
    /// Some of them.
    Some,
    /// All of them.
    All,
}

impl PolicyRule {
    /// One without other selectors, which looks its table up.
    pub fn without_selectors(rule: Rule) -> Self {
        Self {
            to: None,
            from: None,
            input: None,
            output: None,
            of_vrf: false,
            some: Vec::new(),
            none: Vec::new(),
            action: Action::LookUp(rule.table),
            suppressed_length: None,
            suppressed_group: None,
            rule,
        }
    }

    /// Whether it is this engine's rule, which takes all that it encrypts into the tunnel. With its number
    /// anybody can make a rule that takes less.
    pub fn takes_into_tunnel(&self) -> bool {
        let Rule {
            not, mark, mask, ..
        } = self.rule;
        self.rule.is_own() && not && mark & mask != 0
    }

    /// How many packets to a destination the rule is for, of those that this engine encrypts: they carry
    /// no mark, since who marks a packet asks for another way. A network as destination is one that lies
    /// inside of the rule's own, or has addresses outside of it alone.
    pub fn covers(&self, destination: IpNet, origins: &Origins) -> Covers {
        let goes_there = self.to.is_none_or(|to| to.contains(&destination));
        let other_mark = self.rule.mark & self.rule.mask != 0;
        let never = !goes_there
            || other_mark
            || !self.none.is_empty()
            || self.is_detached()
            || self.output.is_some() && !self.may_leave_by(destination, origins)
            || self.of_vrf && origins.vrfs.is_empty();
        let partly = self.from.is_some()
            || self.input.is_some()
            || self.output.is_some()
            || self.of_vrf
            || !self.some.is_empty();
        let comes_from = |from: &IpNet| origins.sources.iter().any(|own| overlap(own, from));
        let comes_in = |input: &LinkName| !origins.outside.contains(&input.name);
        let elsewhere =
            !self.from.as_ref().is_none_or(comes_from) || !self.input.as_ref().is_none_or(comes_in);
        match (self.rule.not, never) {
            (true, true) => Covers::All,
            // From elsewhere means: not from what is known to be here.
            (true, false) if partly => Covers::Some,
            (true, false) => Covers::None,
            (false, true) => Covers::None,
            (false, false) if elsewhere => Covers::None,
            (false, false) if partly => Covers::Some,
            (false, false) => Covers::All,
        }
    }

    /// Whether a packet of which this engine asks nothing may have to leave by the rule's link. A socket
    /// that is bound to a link asks for its way itself. But the kernel answers an IPv6 echo request by
    /// the link that it came in by (`icmpv6_echo_reply`), which is the tunnel's device.
    fn may_leave_by(&self, destination: IpNet, origins: &Origins) -> bool {
        let is_tunnel = |link: &LinkName| origins.tunnels.contains(&link.name);
        destination.addr().is_ipv6() && self.output.as_ref().is_some_and(is_tunnel)
    }

    /// Whether it names a link that is not there, so that no packet meets it (kernel: `iifindex` -1).
    fn is_detached(&self) -> bool {
        let mut links = self.input.iter().chain(&self.output);
        links.any(|link| link.detached)
    }

    /// Whether its meaning changes when links come, go or are named.
    pub fn names_link(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// The tables that it looks up, where there are these VRFs.
    pub fn tables<'a>(&'a self, vrfs: &'a BTreeSet<u32>) -> impl Iterator<Item = u32> + 'a {
        let table = match self.action {
            Action::LookUp(table) => Some(table),
            Action::GoTo(_) | Action::Nothing | Action::Refuse(_) => None,
        };
        let of_vrfs = vrfs.iter().copied().filter(|_| self.of_vrf);
        let own = table.filter(|_| !self.of_vrf);
        own.into_iter().chain(of_vrfs)
    }

    /// Whether a route that it has found is not taken: by its prefix length, and the group of its link
    /// (kernel: `fib4_rule_suppress`, `fib6_rule_suppress`). One that drops is taken in any case.
    pub fn suppresses(&self, length: u8, group: Option<u32>) -> bool {
        let short = self
            .suppressed_length
            .is_some_and(|most| u32::from(length) <= most);
        short || self.suppressed_group.is_some() && self.suppressed_group == group
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

impl fmt::Display for PolicyRule {
    /// As `ip rule` lists it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule {
            priority,
            not,
            mark,
            mask,
            ..
        } = self.rule;
        write!(f, "{priority}: {}from ", if not { "not " } else { "" })?;
        match self.from {
            Some(from) => write!(f, "{from}")?,
            None => f.write_str("all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if (mark, mask) != (0, 0) {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        for (key, link) in [("iif", &self.input), ("oif", &self.output)] {
            if let Some(LinkName { name, detached }) = link {
                let detached = if *detached { " [detached]" } else { "" };
                write!(f, " {key} {name}{detached}")?;
            }
        }
        for selector in self.some.iter().chain(&self.none) {
            write!(f, " {selector}")?;
        }
        match self.action {
            Action::LookUp(_) if self.of_vrf => f.write_str(" lookup [l3mdev-table]"),
            Action::LookUp(253) => f.write_str(" lookup default"),
            Action::LookUp(254) => f.write_str(" lookup main"),
            Action::LookUp(255) => f.write_str(" lookup local"),
            Action::LookUp(table) => write!(f, " lookup {table}"),
            Action::GoTo(priority) => write!(f, " goto {priority}"),
            Action::Nothing => f.write_str(" nop"),
            Action::Refuse(how) => write!(f, " {how}"),
        }?;
        if let Some(length) = self.suppressed_length {
            write!(f, " suppress_prefixlength {length}")?;
        }
        match self.suppressed_group {
            Some(0) => f.write_str(" suppress_ifgroup default"),
            Some(group) => write!(f, " suppress_ifgroup {group}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
