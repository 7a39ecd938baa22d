//! Parts of a dataplane that are not as they were, and what there is instead.

use crate::dataplane::{Address, Dataplane, Link, Route, Rule, route, rule};

/// The one parameter of the host that is the engine's to set (Felix sets it for host encryption).
const ENGINE_SYSCTL: &str = "net.ipv4.conf.all.src_valid_mark";

const MISSING: &str = "it is missing";

/// The first thing that was there before and is not there any more, or is otherwise.
pub(super) fn lost(before: &Dataplane, after: &Dataplane) -> Option<String> {
    link(before, after)
        .or_else(|| address(before, after))
        .or_else(|| rules(&before.rules, &after.rules))
        .or_else(|| rules(&before.rules6, &after.rules6))
        .or_else(|| routes(before, after))
        .or_else(|| nftables(before, after))
        .or_else(|| sysctl(before, after))
}

fn link(before: &Dataplane, after: &Dataplane) -> Option<String> {
    let mut all = before.links.iter();
    let lost = all.find(|link| !after.links.contains(link))?;
    let found = after.links.iter().find(|link| link.name == lost.name);
    let now = match found {
        Some(found) => changes(lost, found),
        None => renamed(before, after, lost).unwrap_or_else(|| MISSING.into()),
    };
    Some(format!("the link {}: {now}", lost.name))
}

fn changes(lost: &Link, found: &Link) -> String {
    let up = match found.up {
        true => "it is up",
        false => "it is down",
    };
    let changes = [
        (found.up != lost.up).then(|| up.to_owned()),
        (found.mtu != lost.mtu).then(|| format!("its MTU is {}, and was {}", found.mtu, lost.mtu)),
        (found.kind != lost.kind).then(|| {
            format!(
                "it is of the kind `{}`, and was of `{}`",
                found.kind, lost.kind
            )
        }),
    ];
    let changes: Vec<_> = changes.into_iter().flatten().collect();
    changes.join("; ")
}

/// A link that was not there before, and has an address of one that is missing.
fn renamed(before: &Dataplane, after: &Dataplane, lost: &Link) -> Option<String> {
    let mut own = before
        .addresses
        .iter()
        .filter(|one| one.interface == lost.name);
    own.find_map(|own| {
        let mut all = after.addresses.iter();
        let found = all.find(|found| {
            let known = before.links.iter().any(|link| link.name == found.interface);
            found.address == own.address && !known
        })?;
        Some(format!(
            "{MISSING}, and its address {} is on {}",
            own.address, found.interface
        ))
    })
}

fn address(before: &Dataplane, after: &Dataplane) -> Option<String> {
    let mut all = before.addresses.iter();
    let lost = all.find(|address| !after.addresses.contains(address))?;
    let same = |one: &&Address| one.address.addr() == lost.address.addr();
    let of_same = after.addresses.iter().filter(same);
    let found = of_same.max_by_key(|one| one.interface == lost.interface);
    let now = match found {
        None => MISSING.into(),
        Some(found) if found.interface != lost.interface => format!("it is on {}", found.interface),
        Some(found) if found.address != lost.address => format!("it is {}", found.address),
        Some(found) => format!("its scope is {}, and was {}", found.scope, lost.scope),
    };
    Some(format!("{} on {}: {now}", lost.address, lost.interface))
}

fn rules(before: &[Rule], after: &[Rule]) -> Option<String> {
    let lost = before.iter().find(|rule| !after.contains(rule))?;
    let mut others = after.iter().filter(|rule| !before.contains(rule));
    let found = others.find(|rule| rule.priority == lost.priority);
    let now = instead(found.map(rule));
    Some(format!("the rule of priority {}: {now}", lost.priority))
}

fn routes(before: &Dataplane, after: &Dataplane) -> Option<String> {
    let mut all = before.routes.iter();
    let lost = all.find(|route| !after.routes.contains(route))?;
    let key = |route: &Route| (route.table, route.destination);
    let mut others = after
        .routes
        .iter()
        .filter(|route| !before.routes.contains(route));
    let now = instead(others.find(|other| key(other) == key(lost)).map(route));
    let device = lost.interface.as_ref();
    let device = device
        .map(|name| format!(" dev {name}"))
        .unwrap_or_default();
    Some(format!(
        "the route {}{device} of table {}: {now}",
        lost.destination, lost.table
    ))
}

fn nftables(before: &Dataplane, after: &Dataplane) -> Option<String> {
    let has = |line: &&str| after.nftables.lines().any(|other| other == *line);
    let lost = before.nftables.lines().find(|line| !has(line))?;
    Some(format!("`{}` of nftables: {MISSING}", lost.trim()))
}

fn sysctl(before: &Dataplane, after: &Dataplane) -> Option<String> {
    let mut all = before
        .sysctls
        .iter()
        .filter(|(name, _)| *name != ENGINE_SYSCTL);
    let (name, was) = all.find(|(name, value)| after.sysctls.get(*name) != Some(value))?;
    let now = match after.sysctls.get(name) {
        Some(value) => format!("it is {value}"),
        None => MISSING.into(),
    };
    Some(format!("{name} = {was}: {now}"))
}

fn instead(found: Option<String>) -> String {
    found.map_or_else(|| MISSING.into(), |text| format!("it is `{text}`"))
}
