//! Rules of the kernel's routing policy database: which packets each is for, and what it does with them
//! (ip-rule(8); kernel: `net/core/fib_rules.c`, `fib_rule_match`).

use std::fmt;

use ipnet::IpNet;

use crate::dataplane::model::Rule;

/// A rule, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyRule {
    /// What can be compared with this engine's.
    pub(crate) rule: Rule,
    /// The destination.
    pub(crate) to: Option<IpNet>,
    /// The source.
    pub(crate) from: Option<IpNet>,
    /// The link that the packet came in by; `lo` is for packets of this node's own.
    pub(crate) input: Option<String>,
    /// Selectors that some packets to each destination meet: protocol, ports, user, type of service. As
    /// ip-rule(8) writes them.
    pub(crate) some: Vec<String>,
    /// Selectors that no packet meets which could enter the tunnel: a socket that is bound to another
    /// link, a VRF, a tunnel's number.
    pub(crate) none: Vec<String>,
    pub(crate) action: Action,
    /// Routes with at most this prefix length do not count.
    pub(crate) suppressed: Option<u8>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Looks up a table.
    LookUp(u32),
    /// Goes on with the rule of that priority.
    GoTo(u32),
    /// Nothing.
    Nothing,
    /// Drops the packet, and may tell its sender.
    Refuse,
}

/// Where packets come from that this engine encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins {
    /// The addresses of this node and its pods.
    pub(crate) sources: Vec<IpNet>,
    /// The links by which such packets come in.
    pub(crate) inputs: Vec<String>,
}

/// How many of the packets to a destination a rule is for, of those that this engine encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covers {
    None,
    Some,
    All,
}

impl PolicyRule {
    /// One without other selectors, which looks its table up.
    pub(crate) fn without_selectors(rule: Rule) -> Self {
        Self {
            to: None,
            from: None,
            input: None,
            some: Vec::new(),
            none: Vec::new(),
            action: Action::LookUp(rule.table),
            suppressed: None,
            rule,
        }
    }

    /// Whether it is this engine's rule, which takes all that it encrypts into the tunnel. With its number
    /// anybody can make a rule that takes less.
    pub(crate) fn takes_into_tunnel(&self) -> bool {
        let Rule {
            not, mark, mask, ..
        } = self.rule;
        self.rule.is_own() && not && mark & mask != 0
    }

    /// How many packets to a destination the rule is for, of those that this engine encrypts: they carry
    /// no mark, since who marks a packet asks for another way. A network as destination is one that lies
    /// inside of the rule's own, or has addresses outside of it alone.
    pub(crate) fn covers(&self, destination: IpNet, origins: &Origins) -> Covers {
        let goes_there = self.to.is_none_or(|to| to.contains(&destination));
        let other_mark = self.rule.mark & self.rule.mask != 0;
        let never = !goes_there || other_mark || !self.none.is_empty();
        let partly = self.from.is_some() || self.input.is_some() || !self.some.is_empty();
        let comes_from = |from: &IpNet| origins.sources.iter().any(|own| overlap(own, from));
        let comes_in = |input: &String| origins.inputs.contains(input);
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
        if let Some(input) = &self.input {
            write!(f, " iif {input}")?;
        }
        for selector in self.some.iter().chain(&self.none) {
            write!(f, " {selector}")?;
        }
        match self.action {
            Action::LookUp(253) => f.write_str(" lookup default"),
            Action::LookUp(254) => f.write_str(" lookup main"),
            Action::LookUp(255) => f.write_str(" lookup local"),
            Action::LookUp(table) => write!(f, " lookup {table}"),
            Action::GoTo(priority) => write!(f, " goto {priority}"),
            Action::Nothing => f.write_str(" nop"),
            Action::Refuse => f.write_str(" unreachable"),
        }?;
        match self.suppressed {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
