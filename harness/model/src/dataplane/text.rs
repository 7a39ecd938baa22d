//! The dataplane as text, section by section.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Address, Dataplane, LinkKind, Route, RouteKind, Rule};
use crate::name::NodeName;

/// WireGuard devices in the layout of `wg show`.
mod wireguard;

/// `RT_TABLE_DEFAULT`, `RT_TABLE_MAIN` and `RT_TABLE_LOCAL`.
const NAMED_TABLES: [(u32, &str); 3] = [(253, "default"), (254, "main"), (255, "local")];

pub(super) fn render(plane: &Dataplane, keys: &BTreeMap<String, NodeName>) -> String {
    let sections = [
        ("links", links(plane)),
        ("addresses", addresses(plane)),
        ("rules", rules(&plane.rules)),
        ("IPv6 rules", rules(&plane.rules6)),
        ("routes", routes(&plane.routes)),
        ("wireguard", wireguard::devices(&plane.wireguard, keys)),
        ("nftables", nftables(&plane.nftables)),
        ("sysctls", sysctls(&plane.sysctls)),
    ];
    let texts: Vec<_> = sections
        .into_iter()
        .filter(|(title, lines)| *title != "IPv6 rules" || !lines.is_empty())
        .map(|(title, lines)| {
            let lines = if lines.is_empty() {
                vec!["(none)".to_owned()]
            } else {
                lines
            };
            let body: String = lines.iter().map(|line| indented(line)).collect();
            format!("{title}\n{body}")
        })
        .collect();
    texts.join("\n")
}

fn indented(line: &str) -> String {
    if line.is_empty() {
        "\n".into()
    } else {
        format!("  {line}\n")
    }
}

fn links(plane: &Dataplane) -> Vec<String> {
    plane
        .links
        .iter()
        .map(|link| {
            // The same cluster reads the same with kernel and userspace WireGuard.
            let is_wireguard = plane
                .wireguard
                .iter()
                .any(|device| device.interface == link.name);
            let kind = match is_wireguard {
                true => LinkKind::Wireguard.to_string(),
                false => link.kind.to_string(),
            };
            let state = if link.up { "up" } else { "down" };
            format!("{:<15} {kind:<9} mtu {:<5} {state}", link.name, link.mtu)
        })
        .collect()
}

/// In the order of the links, whatever order the kernel listed the addresses in.
fn addresses(plane: &Dataplane) -> Vec<String> {
    let position = |address: &Address| {
        plane
            .links
            .iter()
            .position(|link| link.name == address.interface)
    };
    let mut sorted: Vec<_> = plane.addresses.iter().collect();
    sorted.sort_by_key(|address| (position(address), address.address));
    sorted
        .into_iter()
        .map(|address| {
            format!(
                "{:<15} {} scope {}",
                address.interface, address.address, address.scope
            )
        })
        .collect()
}

/// As `ip rule` prints them. Rules of one priority are asked in the kernel's order, which is kept.
fn rules(rules: &[Rule]) -> Vec<String> {
    let mut sorted: Vec<_> = rules.iter().collect();
    sorted.sort_by_key(|rule| rule.priority);
    sorted.into_iter().map(rule).collect()
}

pub(super) fn rule(rule: &Rule) -> String {
    let mut words = vec![format!("{}:", rule.priority)];
    if rule.not {
        words.push("not".into());
    }
    words.push("from all".into());
    match rule.fwmark {
        Some((mark, u32::MAX)) => words.push(format!("fwmark {mark:#x}")),
        Some((mark, mask)) => words.push(format!("fwmark {mark:#x}/{mask:#x}")),
        None => {}
    }
    words.extend(rule.other.iter().cloned());
    if let Some(table) = rule.table {
        words.push(format!("lookup {}", table_name(table)));
    }
    words.join(" ")
}

pub(super) fn table_name(table: u32) -> String {
    NAMED_TABLES
        .iter()
        .find(|(number, _)| *number == table)
        .map_or_else(|| table.to_string(), |(_, name)| (*name).to_owned())
}

fn routes(routes: &[Route]) -> Vec<String> {
    let mut tables = BTreeMap::<u32, Vec<&Route>>::new();
    for route in routes {
        tables.entry(route.table).or_default().push(route);
    }
    let mut lines = Vec::new();
    for (table, mut routes) in tables {
        // The rest of a route decides between two that go to the same place.
        routes.sort_by_cached_key(|route| (route.destination, route.metric, describe(route)));
        lines.push(format!("table {}", table_name(table)));
        let (own, others): (Vec<_>, Vec<_>) = routes
            .into_iter()
            .partition(|route| is_loopbacks_own(route));
        if !own.is_empty() {
            let own: Vec<_> = own.into_iter().map(kind_and_destination).collect();
            lines.push(format!("  {} dev lo proto kernel", own.join(", ")));
        }
        lines.extend(
            others
                .into_iter()
                .map(|route| format!("  {}", describe(route))),
        );
    }
    lines
}

/// What the kernel gives every loopback device, exactly; such routes share a line.
fn is_loopbacks_own(route: &Route) -> bool {
    let scope = if route.kind == RouteKind::Local {
        "host"
    } else if route.kind == RouteKind::Broadcast {
        "link"
    } else {
        return false;
    };
    let loopback = |address: IpAddr| address.is_loopback();
    loopback(route.destination.addr())
        && route.via.is_none()
        && route
            .interface
            .as_ref()
            .is_some_and(|name| name.as_str() == "lo")
        && route.protocol == "kernel"
        && route.scope == scope
        && route.source.is_some_and(loopback)
        && route.metric == 0
}

/// As `ip -d route` prints it, without the words that are defaults.
pub(super) fn describe(route: &Route) -> String {
    let mut text = kind_and_destination(route);
    let mut append = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name} {value}"));
        }
    };
    append("via", route.via.map(|address| address.to_string()));
    append("dev", route.interface.as_ref().map(ToString::to_string));
    append("proto", Some(route.protocol.clone()));
    append(
        "scope",
        (route.scope != "global").then(|| route.scope.clone()),
    );
    append("src", route.source.map(|address| address.to_string()));
    append(
        "metric",
        (route.metric > 0).then(|| route.metric.to_string()),
    );
    text
}

fn kind_and_destination(route: &Route) -> String {
    let destination = match route.destination {
        net if net.prefix_len() == 0 => "default".to_owned(),
        net => short(net),
    };
    match route.kind == RouteKind::Unicast {
        true => destination,
        false => format!("{} {destination}", route.kind),
    }
}

/// A single address has no prefix length, as ip(8) writes it.
fn short(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// Handles and counts differ from run to run and decide nothing.
fn nftables(ruleset: &str) -> Vec<String> {
    ruleset
        .trim_end()
        .lines()
        .map(|line| {
            let line = line.split(" # handle ").next().unwrap_or(line);
            without_counts(line).replace('\t', "  ")
        })
        .collect()
}

fn without_counts(line: &str) -> String {
    let is_number = |word: Option<&&str>| {
        word.is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let words: Vec<_> = line.split(' ').collect();
    let mut kept = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        kept.push(*word);
        at += 1;
        let counts = word.trim_start() == "counter"
            && words.get(at) == Some(&"packets")
            && is_number(words.get(at + 1))
            && words.get(at + 2) == Some(&"bytes")
            && is_number(words.get(at + 3));
        if counts {
            at += 4;
        }
    }
    kept.join(" ")
}

fn sysctls(sysctls: &BTreeMap<String, String>) -> Vec<String> {
    sysctls
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect()
}

#[cfg(test)]
mod tests;
