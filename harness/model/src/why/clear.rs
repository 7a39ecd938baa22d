//! What a leg needs that is plaintext, or must not arrive.

use std::net::IpAddr;

use ipnet::IpNet;

use super::tunnel::{delivery, wire};
use super::{Defect, Leg, Stage, device, filtered};
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
    let told = match best {
        Some(route) if route.kind == "throw" => return None,
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
        told,
        packet: Some(leg.packet()),
        expected,
    })
}

/// Encrypt or drop: what may be in clear is dropped, since it is not listed as such.
fn dropped<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let of = |site: super::Site<'a>| {
        let rule = site.strict_rule()?;
        Some(format!(
            "nftables of {} drops what is not encrypted (`{rule}`), and does not list {} as plain",
            site.name(),
            if site.node.name == leg.sender.node.name {
                leg.destination
            } else {
                leg.source
            }
        ))
    };
    let told = of(leg.sender).or_else(|| of(leg.receiver))?;
    let lists = |site: super::Site<'a>, address: IpAddr| {
        let plane = site.seen.map(|seen| seen.dataplane.nftables.as_str());
        plane.is_some_and(|text| {
            let mut sets = text.split("set plain").skip(1);
            sets.any(|set| {
                let set = set.split('}').next().unwrap_or_default();
                set.contains(&address.to_string())
            })
        })
    };
    if lists(leg.sender, leg.destination) && lists(leg.receiver, leg.source) {
        return None;
    }
    Some(Defect {
        stage: Stage::Route,
        told,
        packet: None,
        expected: None,
    })
}

/// What must be encrypted or dropped is neither.
fn not_dropped<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.destination);
    let told = match site.nft_rule("drop") {
        None => format!(
            "no nftables rule of {} drops what it does not encrypt",
            site.name()
        ),
        // A sender whose sets are none of this engine's may know what to drop by other means.
        Some(_) if protects(site.seen?.dataplane.nftables.as_str(), to) == Some(false) => format!(
            "nftables of {} drops only what it protects, and does not list {to} as protected",
            site.name()
        ),
        Some(_) => return None,
    };
    Some(Defect {
        stage: Stage::Route,
        told,
        packet: Some(leg.packet()),
        expected: None,
    })
}

/// Whether a set of what is protected has the address; none, if there is no such set. An element is an
/// address, a network, or the first and the last address of a range (nft(8), interval sets).
fn protects(nftables: &str, to: IpAddr) -> Option<bool> {
    let mut sets = nftables.split("set protected").skip(1).peekable();
    sets.peek()?;
    let covers = |element: &str| match element.split_once('-') {
        Some((first, last)) => {
            let ends = first.parse::<IpAddr>().ok().zip(last.parse().ok());
            ends.is_some_and(|(first, last)| (first..=last).contains(&to))
        }
        None => {
            let network = element.parse::<IpNet>().ok();
            let network = network.or_else(|| element.parse::<IpAddr>().ok().map(IpNet::from));
            network.is_some_and(|network| network.contains(&to))
        }
    };
    let lists = |set: &str| {
        let elements = set.split_once("elements = {");
        let elements = elements.and_then(|(_, rest)| rest.split_once('}'));
        let (elements, _) = elements.unwrap_or_default();
        elements.split(',').map(str::trim).any(covers)
    };
    Some(sets.any(lists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_protected_by_a_network_or_a_range_of_a_set() {
        let text = "table inet wiremesh {\n set protected4 {\n  type ipv4_addr\n  flags interval\n  \
                    elements = { 10.1.0.4, 10.2.0.0/16,\n   10.3.0.1-10.3.0.9 }\n }\n set protected6 {\n  \
                    elements = { fd00::4 }\n }\n set plain4 {\n  elements = { 10.9.0.9 }\n }\n}";
        for (address, is_protected) in [
            ("10.1.0.4", true),
            ("10.2.7.7", true),
            ("10.3.0.5", true),
            ("10.3.0.10", false),
            ("10.9.0.9", false),
            ("fd00::4", true),
            ("fd00::5", false),
        ] {
            let to = address.parse().unwrap();
            assert_eq!(protects(text, to), Some(is_protected), "{address}");
        }
        let empty = "set protected4 {\n type ipv4_addr\n }";
        assert_eq!(protects(empty, "10.1.0.4".parse().unwrap()), Some(false));
        assert_eq!(
            protects("table inet fw { }", "10.1.0.4".parse().unwrap()),
            None
        );
    }
}
