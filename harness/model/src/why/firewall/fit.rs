//! Matching of a packet with a rule of nftables, as far as its text is known.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::ruleset::Table;
use crate::plan::Family;

use super::Header;

/// A rule, as a packet finds it.
#[derive(Debug)]
pub(super) struct Fit<'r> {
    /// Whether every match fits; none if one is not decided by what is known of the packet.
    pub(super) is: Option<bool>,
    /// What the rule does to the mark.
    pub(super) mark: Option<SetMark>,
    /// The words of its verdict; none of a rule without one.
    pub(super) verdict: Vec<&'r str>,
}

/// `meta mark set ..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetMark {
    To(u32),
    Or(u32),
    And(u32),
    Xor(u32),
    /// To what is not known here.
    Other,
}

impl SetMark {
    pub(super) fn of(self, before: Option<u32>) -> Option<u32> {
        match self {
            Self::To(mark) => Some(mark),
            Self::Or(bits) => before.map(|mark| mark | bits),
            Self::And(bits) => before.map(|mark| mark & bits),
            Self::Xor(bits) => before.map(|mark| mark ^ bits),
            Self::Other => None,
        }
    }
}

const VERDICTS: &[&str] = &[
    "accept", "drop", "reject", "return", "jump", "goto", "queue", "dup", "fwd",
];

/// Words of statements that match nothing.
const STATEMENTS: &[&str] = &[
    "counter",
    "log",
    "notrack",
    "masquerade",
    "snat",
    "dnat",
    "redirect",
    "tproxy",
    "synproxy",
];

/// The effect of a table's rule on a packet.
pub(super) fn fit<'r>(rule: &'r str, table: &Table, packet: &Header) -> Fit<'r> {
    let mut words = words(rule);
    let mut fit = Fit {
        is: Some(true),
        mark: None,
        verdict: Vec::new(),
    };
    while let Some(first) = words.first().copied() {
        if VERDICTS.contains(&first) {
            fit.verdict = words;
            break;
        }
        if first == "counter" {
            // `counter packets 3 bytes 180`, where the listing is not stateless.
            let taken = if words.get(1) == Some(&"packets") {
                5
            } else {
                1
            };
            words.drain(..taken.min(words.len()));
            continue;
        }
        if STATEMENTS.contains(&first) {
            words.drain(..1);
            // Its own words are not matches: the verdict is what is left to find.
            let next = words.iter().position(|word| VERDICTS.contains(word));
            words.drain(..next.unwrap_or(words.len()));
            continue;
        }
        if words.starts_with(&["meta", "mark", "set"]) {
            words.drain(..3);
            fit.mark = Some(set_mark(&mut words));
            continue;
        }
        let (fits, taken) = one_match(&words, table, packet);
        fit.is = both(fit.is, fits);
        match taken {
            Some(taken) => drop(words.drain(..taken.min(words.len()))),
            // A match in words that are not known here: what follows it may be its own.
            None => {
                let next = words.iter().position(|word| VERDICTS.contains(word));
                let vmap = words.contains(&"vmap");
                words.drain(..next.filter(|_| !vmap).unwrap_or(words.len()));
                if vmap {
                    fit.verdict = vec!["vmap"];
                }
            }
        }
    }
    fit
}

/// Both fit: a match that does not is enough for a rule that does not.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// The words of a rule; a set `{ .. }` is one of them.
fn words(rule: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = rule.trim();
    while !rest.is_empty() {
        let end = match rest.starts_with('{') {
            true => rest.find('}').map_or(rest.len(), |at| at + 1),
            false => rest.find(' ').unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn set_mark(words: &mut Vec<&str>) -> SetMark {
    let (set, taken) = match words.as_slice() {
        ["meta" | "mark", ..] => {
            let skip = if words.first() == Some(&"meta") { 2 } else { 1 };
            let bits = words.get(skip + 1).and_then(|word| number(word));
            let set = match (words.get(skip).copied(), bits) {
                (Some("|" | "or"), Some(bits)) => SetMark::Or(bits),
                (Some("&" | "and"), Some(bits)) => SetMark::And(bits),
                (Some("^" | "xor"), Some(bits)) => SetMark::Xor(bits),
                _ => SetMark::Other,
            };
            // `meta mark & 0xff0fffff | 0x00100000` and longer ones.
            match words.get(skip + 2) {
                Some(more) if ["|", "&", "^"].contains(more) => (SetMark::Other, words.len()),
                _ if set == SetMark::Other => (set, words.len()),
                _ => (set, skip + 2),
            }
        }
        [word, ..] => match number(word) {
            Some(mark) => (SetMark::To(mark), 1),
            None => (SetMark::Other, words.len()),
        },
        [] => (SetMark::Other, 0),
    };
    // What cannot be read takes all words but the verdict.
    let verdict = words.iter().position(|word| VERDICTS.contains(word));
    let taken = taken.min(verdict.unwrap_or(words.len()));
    words.drain(..taken);
    set
}

/// Whether the match at the head of the words fits, and how many words it has; no number where
/// it is not known.
fn one_match(words: &[&str], table: &Table, packet: &Header) -> (Option<bool>, Option<usize>) {
    let words: Vec<_> = match words {
        // `meta iifname` is `iifname`.
        ["meta", rest @ ..] if rest.first().is_some_and(|word| is_bare(word)) => {
            let (fits, taken) = one_match(rest, table, packet);
            return (fits, taken.map(|taken| taken + 1));
        }
        _ => words.to_vec(),
    };
    // Which value, and how many words name it.
    let (key, named) = match words.as_slice() {
        [word @ ("iif" | "iifname" | "oif" | "oifname"), ..] => (*word, 1),
        ["meta", "mark", ..] => ("mark", 2),
        ["meta", "l4proto", ..] => ("l4proto", 2),
        ["meta", "nfproto", ..] => ("nfproto", 2),
        ["ip", "protocol", ..] => ("ip protocol", 2),
        ["ip6", "nexthdr", ..] => ("ip6 nexthdr", 2),
        ["ip", "saddr", ..] => ("ip saddr", 2),
        ["ip", "daddr", ..] => ("ip daddr", 2),
        ["ip6", "saddr", ..] => ("ip6 saddr", 2),
        ["ip6", "daddr", ..] => ("ip6 daddr", 2),
        ["udp", "sport", ..] => ("udp sport", 2),
        ["udp", "dport", ..] => ("udp dport", 2),
        ["tcp", _, ..] => ("tcp", 2),
        ["icmp" | "icmpv6", _, ..] => ("icmp", 2),
        _ => return (None, None),
    };
    let mut at = named;
    let mut mask = None;
    if key == "mark"
        && let [op @ ("&" | "and"), bits, ..] = &words[at..]
        && let Some(bits) = number(bits)
    {
        let _ = op;
        mask = Some(bits);
        at += 2;
    }
    let negated = match words.get(at) {
        Some(&"!=") => {
            at += 1;
            true
        }
        Some(&"==") => {
            at += 1;
            false
        }
        Some(&("<" | ">" | "<=" | ">=" | "vmap" | "&" | "|" | "^")) => return (None, None),
        _ => false,
    };
    let Some(value) = words.get(at) else {
        return (None, None);
    };
    let values = values(value, table);
    let is_one = |fits: Test<'_>| -> Option<bool> {
        let values = values.as_ref()?;
        let all: Vec<_> = values.iter().map(|value| fits(value)).collect();
        match all.contains(&Some(true)) {
            true => Some(true),
            false => all.iter().all(Option::is_some).then_some(false),
        }
    };
    let fits = value_of(key, mask, packet, &is_one);
    // What a packet has not, such as a port of TCP, fits neither way.
    let fits = match fits {
        Value::Absent => Some(false),
        Value::Of(fits) => fits.map(|fits| fits != negated),
    };
    (fits, Some(at + 1))
}

/// Whether a value of a rule is that of the packet; none if it cannot be read.
type Test<'t> = &'t dyn Fn(&str) -> Option<bool>;

enum Value {
    /// The packet has none.
    Absent,
    /// Whether it is among those of the rule.
    Of(Option<bool>),
}

fn value_of(
    key: &str,
    mask: Option<u32>,
    packet: &Header,
    is_one: &dyn Fn(Test<'_>) -> Option<bool>,
) -> Value {
    let address = |address: IpAddr, family: Family| match packet.family == family {
        true => Value::Of(is_one(&|value| contains(value, address))),
        false => Value::Absent,
    };
    let protocol = || match packet.udp {
        Some(_) => Value::Of(is_one(&|value| Some(value == "udp" || value == "17"))),
        None => Value::Of(None),
    };
    let port = |port: fn((u16, u16)) -> u16| match packet.udp {
        Some(ports) => Value::Of(is_one(&|value| in_range(value, port(ports)))),
        None => Value::Of(None),
    };
    match key {
        "iif" | "iifname" => match &packet.input {
            Some(name) => Value::Of(is_one(&|value| Some(is_interface(value, name)))),
            None => Value::Absent,
        },
        "oif" | "oifname" => match &packet.output {
            Some(name) => Value::Of(is_one(&|value| Some(is_interface(value, name)))),
            None => Value::Absent,
        },
        "mark" => Value::Of(packet.mark.and_then(|mark| {
            let mark = mark & mask.unwrap_or(u32::MAX);
            is_one(&|value| number(value).map(|value| value == mark))
        })),
        "nfproto" => {
            let own = match packet.family {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            Value::Of(is_one(&|value| Some(value == own)))
        }
        "l4proto" => protocol(),
        "ip protocol" if packet.family == Family::Ipv4 => protocol(),
        "ip6 nexthdr" if packet.family == Family::Ipv6 => protocol(),
        "ip saddr" => address(packet.source, Family::Ipv4),
        "ip daddr" => address(packet.destination, Family::Ipv4),
        "ip6 saddr" => address(packet.source, Family::Ipv6),
        "ip6 daddr" => address(packet.destination, Family::Ipv6),
        "udp sport" => port(|(source, _)| source),
        "udp dport" => port(|(_, destination)| destination),
        "tcp" | "icmp" if packet.udp.is_none() => Value::Of(None),
        _ => Value::Absent,
    }
}

/// Words that `meta` may stand before or not.
fn is_bare(word: &str) -> bool {
    ["iif", "iifname", "oif", "oifname"].contains(&word)
}

/// The values that a rule names: one, a set, or a set with a name.
fn values(word: &str, table: &Table) -> Option<Vec<String>> {
    let plain = |word: &str| word.trim().trim_matches('"').to_owned();
    if let Some(name) = word.strip_prefix('@') {
        return table.sets.get(name).cloned();
    }
    match word.strip_prefix('{') {
        Some(inside) => {
            let inside = inside.trim_end_matches('}').split(',');
            Some(inside.map(plain).collect())
        }
        None => Some(vec![plain(word)]),
    }
}

/// A name, or the beginning of names with `*` behind it.
fn is_interface(value: &str, name: &str) -> bool {
    match value.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == value,
    }
}

/// Whether an address is that of a rule, in its network, or in its range.
pub(in crate::why) fn contains(value: &str, address: IpAddr) -> Option<bool> {
    if let Ok(one) = value.parse::<IpAddr>() {
        return Some(one == address);
    }
    if let Ok(network) = value.parse::<IpNet>() {
        return Some(network.contains(&address));
    }
    let (first, last) = value.split_once('-')?;
    let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    Some(first <= address && address <= last)
}

fn in_range(value: &str, port: u16) -> Option<bool> {
    if let Ok(one) = value.parse::<u16>() {
        return Some(one == port);
    }
    let (first, last) = value.split_once('-')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..=last).contains(&port))
}

/// A number as nft lists it: `0x00100000` or `16`.
fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
