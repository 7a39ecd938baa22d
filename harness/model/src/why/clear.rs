//! Defects of legs that are plaintext, or must not arrive.

use std::net::IpAddr;

use super::firewall::contains;
use super::tunnel::{delivery, wire};
use super::{Defect, Leg, Stage, device, filtered};
use crate::dataplane::RouteKind;
use crate::dataplane::ruleset::{Ruleset, Table};
use crate::plan::{Class, Protection};

pub(super) fn defects<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    match leg.question.protection {
        Protection::Blocked => not_dropped(leg).into_iter().collect(),
        Protection::Encrypted | Protection::Plaintext | Protection::Delivered => {
            let mut found: Vec<_> = into_the_tunnel(leg).into_iter().collect();
            // What went into the tunnel was not dropped by a firewall.
            if found.is_empty() {
                found.extend(dropped(leg));
            }
            if leg.sender.node.name != leg.receiver.node.name {
                found.extend(wire(leg));
                found.extend(filtered::too_large(leg));
            }
            found.extend(delivery(leg));
            found.extend(device::defects(leg.sender));
            found
        }
    }
}

/// A table of the engine's leads a plaintext destination into the tunnel, or would if another
/// route did.
fn into_the_tunnel<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.destination);
    let (tunnel, name) = (site.tunnel(), site.name());
    let tables = site.own_tables();
    let leading = tables.into_iter().find(|table| {
        let routes = site.routes(*table);
        let mut routes = routes.filter(|route| route.interface.as_ref() == Some(&tunnel));
        routes.next().is_some()
    })?;
    let expected = Some(format!("route throw {to} in table {leading}"));
    // A node's own address is in its local table, and without host encryption no node's is in
    // any other.
    let unlisted = leg.receiver.node.external
        || leg.to.pod.is_none()
            && (leg.receiver.node.name == site.node.name || !site.plan.cluster.host_encryption);
    let best = site.best(leading, to);
    let encrypt = [leg.sender, leg.receiver]
        .iter()
        .all(|site| site.published().is_some());
    let text = match best {
        Some(route) if route.kind == RouteKind::Throw => return None,
        Some(_) if site.tunnels(to, 0) => match leg.from.class(leg.to) {
            Class::CrossHost | Class::HostToHost if leg.question.stated && encrypt => {
                format!("both nodes encrypt: table {leading} of {name} leads {to} into {tunnel}")
            }
            Class::External => format!(
                "table {leading} of {name} leads {to}, which is outside the cluster, into {tunnel}"
            ),
            Class::CrossHost | Class::HostToHost | Class::SameHost | Class::Mixed => {
                format!("throw route missing: table {leading} of {name} leads {to} into {tunnel}")
            }
        },
        _ if unlisted => return None,
        _ if leg.question.plan.throws => {
            format!("throw route missing: table {leading} of {name} does not list {to}")
        }
        _ => return None,
    };
    Some(Defect {
        stage: Stage::Route,
        text,
        packet: Some(leg.packet()),
        expected,
    })
}

/// Encrypt or drop: what may be in clear is dropped, since it is not listed as such.
fn dropped<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let exempts = |site: super::NodeView<'a>, address: IpAddr| {
        let plane = site.seen.map(|seen| seen.dataplane.nftables.as_str());
        plane.is_some_and(|text| lists(text, "accept", address) == Some(true))
    };
    // Each by the address that is not its own: the other one may well be listed.
    let ends = [(leg.sender, leg.destination), (leg.receiver, leg.source)];
    let mut ends = ends
        .into_iter()
        .filter(|(site, address)| !exempts(*site, *address));
    let text = ends.find_map(|(site, address)| {
        Some(format!(
            "nftables of {} drops what is not encrypted (`{}`), and does not list {address} as plain",
            site.name(),
            site.strict_rule()?,
        ))
    })?;
    Some(Defect {
        stage: Stage::Route,
        text,
        packet: None,
        expected: None,
    })
}

/// What must be encrypted or dropped is neither.
fn not_dropped<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.destination);
    let text = match site.nft_rule("drop") {
        None => format!(
            "no nftables rule of {} drops what it does not encrypt",
            site.name()
        ),
        // A sender without sets may know what to drop by other means.
        Some(_) if lists(&site.seen?.dataplane.nftables, "drop", to) == Some(false) => format!(
            "nftables of {} drops only what it protects, and does not list {to} as protected",
            site.name()
        ),
        Some(_) => return None,
    };
    Some(Defect {
        stage: Stage::Route,
        text,
        packet: Some(leg.packet()),
        expected: None,
    })
}

/// Whether rules with that verdict are for packets to an address by a set that lists it; none, if no such rule has a
/// set.
fn lists(nftables: &str, verdict: &str, to: IpAddr) -> Option<bool> {
    let ruleset = Ruleset::parse(nftables);
    // Encrypt or drop is one table: what another one accepts, it does not exempt.
    let drops = |table: &&Table| table.drop_rules().next().is_some();
    let tables = ruleset.tables.iter().filter(drops);
    let mut sets = tables
        .flat_map(|table| table.destinations(verdict))
        .peekable();
    sets.peek()?;
    Some(
        sets.flatten()
            .any(|element| contains(element, to) == Some(true)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_protected_by_a_network_or_a_range_of_a_set_whatever_it_is_called() {
        let text = |rules: &str| {
            format!(
                "table inet fw {{\n set one {{\n  type ipv4_addr\n  flags interval\n  \
                 elements = {{ 10.1.0.4, 10.2.0.0/16,\n   10.3.0.1-10.3.0.9 }}\n }}\n set six {{\n  \
                 elements = {{ fd00::4 }}\n }}\n set other {{\n  elements = {{ 10.9.0.9 }}\n }}\n \
                 chain out {{\n  type filter hook postrouting priority filter; policy accept;\n{rules} }}\n}}"
            )
        };
        let rules =
            text("  ip daddr @other accept\n  ip daddr @one counter drop\n  ip6 daddr @six drop\n");
        for (address, drops, accepts) in [
            ("10.1.0.4", true, false),
            ("10.2.7.7", true, false),
            ("10.3.0.5", true, false),
            ("10.3.0.10", false, false),
            ("10.9.0.9", false, true),
            ("fd00::4", true, false),
            ("fd00::5", false, false),
        ] {
            let to = address.parse().unwrap();
            assert_eq!(lists(&rules, "drop", to), Some(drops), "{address}");
            assert_eq!(lists(&rules, "accept", to), Some(accepts), "{address}");
        }
        let to = "10.1.0.4".parse().unwrap();
        let empty = "table inet fw {\n set one {\n  type ipv4_addr\n }\n chain out {\n  ip daddr @one drop\n }\n}";
        assert_eq!(lists(empty, "drop", to), Some(false));
        // What only accepts exempts nothing.
        let accepts = text("  ip daddr @one accept\n");
        assert_eq!(lists(&accepts, "accept", to), None);
        // By who sends it, or by no set at all.
        for other in ["  ip saddr @one drop\n", "  ip daddr 10.1.0.4 drop\n", ""] {
            assert_eq!(lists(&text(other), "drop", to), None, "{other}");
        }
    }
}
