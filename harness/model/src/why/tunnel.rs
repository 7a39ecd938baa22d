//! Defects of legs that are ciphertext between the nodes.

use std::net::SocketAddr;

use super::node_view::{Marks, NodeView};
use super::{Defect, Leg, Packet, Stage, device, filtered};
use crate::count::counted;
use crate::dataplane::{self, Peer, RouteKind};
use crate::plan::{FabricKind, Family, ImpairmentKind};

pub(super) fn defects<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let mut found = Vec::new();
    found.extend(no_device(leg.sender, Stage::Route));
    if leg.sender.link(&leg.sender.tunnel()).is_some() {
        found.extend(not_routed(leg));
    }
    found.extend(keys(leg));
    found.extend(peer(leg));
    found.extend(own_packets(leg));
    found.extend(no_way(leg));
    found.extend(no_address(leg));
    found.extend(wire(leg));
    found.extend(filtered::too_large(leg));
    found.extend(not_taken(leg));
    found.extend(no_device(leg.receiver, Stage::Accept));
    found.extend(device::defects(leg.sender));
    found.extend(device::defects(leg.receiver));
    found.extend(not_accepted(leg));
    found.extend(delivery(leg));
    found
}

fn defect<'a>(stage: Stage, text: String) -> Defect<'a> {
    Defect {
        stage,
        text,
        packet: None,
        expected: None,
    }
}

fn no_device<'a>(site: NodeView<'a>, stage: Stage) -> Option<Defect<'a>> {
    let (tunnel, name) = (site.tunnel(), site.name());
    match site.link(&tunnel) {
        None => Some(defect(stage, format!("{tunnel} is missing on {name}"))),
        Some(link) if !link.up => Some(defect(stage, format!("{tunnel} of {name} is down"))),
        Some(_) if site.device().is_none() => Some(defect(
            stage,
            format!("{tunnel} of {name} is no WireGuard device, or nobody serves it"),
        )),
        Some(_) => None,
    }
}

/// The sender's rules and routes do not lead into the tunnel.
fn not_routed<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.destination);
    if site.tunnels(to, 0) {
        return None;
    }
    let (tunnel, name) = (site.tunnel(), site.name());
    let tables = site.own_tables();
    let leads = |table: &&u32| {
        site.best(**table, to)
            .is_some_and(|route| route.interface.as_ref() == Some(&tunnel))
    };
    let expected = format!("route {to} dev {tunnel}");
    let (text, expected) = match tables.iter().find(leads) {
        Some(table) => match site.rule_to(*table, 0) {
            None => (
                format!("no rule sends {name}'s packets to table {table}"),
                format!("a rule that looks up table {table} for packets without the mark"),
            ),
            Some(rule) => (
                format!(
                    "the rule of {name} to table {table} comes too late (priority {})",
                    rule.priority
                ),
                dataplane::rule(rule),
            ),
        },
        None => match tables.first() {
            None => (
                format!("{name} has no table that leads into {tunnel}, and no rule to one"),
                expected,
            ),
            Some(table) => {
                let lacks = match site.best(*table, to) {
                    Some(route) if route.kind == RouteKind::Throw => {
                        format!("table {table} of {name} throws {to} back")
                    }
                    Some(route) => format!(
                        "table {table} of {name} sends {to} elsewhere: {}",
                        dataplane::route(route)
                    ),
                    None => format!("table {table} of {name} has no route for {to}"),
                };
                let text = format!("{lacks} (expected: dev {tunnel})");
                (text, format!("{expected} in table {table}"))
            }
        },
    };
    Some(Defect {
        packet: Some(leg.packet()),
        expected: Some(expected),
        ..defect(Stage::Route, text)
    })
}

/// Both nodes have to publish the key that their device has.
fn keys<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let mut found = Vec::new();
    for site in [leg.receiver, leg.sender] {
        let Some(device) = site.device() else {
            continue;
        };
        let (name, tunnel) = (site.name(), site.tunnel());
        match (site.published(), &device.public_key) {
            (_, None) => found.push(format!("{tunnel} of {name} has no key")),
            (None, Some(_)) => found.push(format!("{name} publishes no key")),
            (Some(published), Some(key)) if published != key => {
                found.push(format!(
                    "{name} publishes a key that its {tunnel} does not have"
                ));
            }
            (Some(_), Some(_)) => {}
        }
    }
    if leg.sender.published().is_some() && leg.sender.published() == leg.receiver.published() {
        found.push(format!(
            "{} and {} publish the same key",
            leg.sender.name(),
            leg.receiver.name()
        ));
    }
    let defects = found.into_iter();
    defects.map(|text| defect(Stage::Encrypt, text)).collect()
}

/// The peer that a node has for another one, or what it has instead.
fn peer_of<'a>(site: NodeView<'a>, other: NodeView<'a>) -> Result<&'a Peer, String> {
    let (tunnel, name, other_name) = (site.tunnel(), site.name(), other.name());
    let key = other.device().and_then(|device| device.public_key.as_ref());
    let key = key.or(other.published());
    if let Some(peer) = key.and_then(|key| site.peer(key)) {
        return Ok(peer);
    }
    let at = |peer: &&Peer| peer.endpoint.is_some_and(|end| end.ip() == other.address());
    let peers = site.device().into_iter().flat_map(|device| &device.peers);
    Err(match peers.into_iter().find(at) {
        Some(_) => format!("{other_name}'s key on {name} is not the one of its {tunnel}"),
        None => format!("peer {other_name} is missing on {name}'s {tunnel}"),
    })
}

/// The sender's peer for the receiver.
fn peer<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let (site, other) = (leg.sender, leg.receiver);
    if site.device().is_none() {
        return Vec::new();
    }
    let peer = match peer_of(site, other) {
        Ok(peer) => peer,
        Err(text) => return vec![defect(Stage::Encrypt, text)],
    };
    let mut found = Vec::new();
    if let Some(lack) = lacks(site, other, peer, leg.destination) {
        found.push(lack);
    }
    let port = other.device().and_then(|device| device.listen_port);
    let port = port.unwrap_or(site.plan.cluster.port(leg.family));
    let right = SocketAddr::new(other.address(), port);
    let (name, other) = (site.name(), other.name());
    match peer.endpoint {
        None => found.push(format!("peer {other} on {name} has no endpoint")),
        Some(end) if end != right && !site.plan.fabric.translates(end.ip(), end.port()) => {
            let has = leg.receiver.interface_with(end.ip());
            let has = has.filter(|_| end.ip() != right.ip());
            // Peers roam to where messages come from, and those have the source that the kernel prefers.
            let unknown = has.map_or_else(String::new, |on| {
                format!(
                    ": {} is on {on} of {other} too, and the fabric has no route to it",
                    end.ip()
                )
            });
            found.push(format!(
                "the endpoint of peer {other} on {name} is {end}, and {other} listens at {right}{unknown}"
            ));
        }
        Some(_) => {}
    }
    let defects = found.into_iter();
    defects.map(|text| defect(Stage::Encrypt, text)).collect()
}

/// Whether a peer's allowed IPs lack an address.
fn lacks(
    site: NodeView<'_>,
    other: NodeView<'_>,
    peer: &Peer,
    address: std::net::IpAddr,
) -> Option<String> {
    let (name, other) = (site.name(), other.name());
    let whose = |has: &Peer| {
        let end = has.endpoint.map(|end| end.ip());
        let nodes = site.plan.nodes.iter();
        let mut nodes = nodes.filter(|node| Some(site.family.address(node.address)) == end);
        match nodes.next() {
            // Two peers at one address, such as one that a Node left whose machine was replaced.
            Some(node) if node.name.as_str() == other => {
                format!("a peer with another key, at {other}'s endpoint,")
            }
            Some(node) => format!("peer {}", node.name),
            None => "another peer".to_owned(),
        }
    };
    match site.allowed(address) {
        Some((has, _)) if has.public_key == peer.public_key => None,
        Some((has, network)) => Some(format!(
            "the allowed IPs of peer {other} on {name} lack {address}: {} has {network}",
            whose(has)
        )),
        None => Some(format!(
            "the allowed IPs of peer {other} on {name} lack {address}"
        )),
    }
}

/// What the sender's device sends itself must not go into it again.
fn own_packets<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.receiver.address());
    let device = site.device()?;
    let mark = device.fwmark;
    if !site.tunnels(to, mark) {
        return None;
    }
    let (tunnel, name) = (site.tunnel(), site.name());
    let with = match mark {
        0 => "no mark".to_owned(),
        mark => format!("the mark {mark:#x}, which no rule lets pass"),
    };
    let text = format!(
        "{tunnel}'s own packets have {with} (fwmark) on {name}: they are routed into it again"
    );
    Some(Defect {
        packet: Some(Packet {
            site,
            source: None,
            destination: to,
            input: None,
            mark,
        }),
        expected: Some(format!("route {to} dev eth0")),
        ..defect(Stage::Encrypt, text)
    })
}

/// What the sender's device sends itself needs a route to the other node.
fn no_way<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.sender, leg.receiver.address());
    let mark = site.device()?.fwmark;
    let text = format!("{} has no route to {to}", site.name());
    site.decide(to, mark).is_none().then(|| Defect {
        packet: Some(Packet {
            site,
            source: None,
            destination: to,
            input: None,
            mark,
        }),
        expected: Some(format!("route {to} dev eth0")),
        ..defect(Stage::Encrypt, text)
    })
}

/// Without host encryption a node sends to other nodes' pods from its device's address.
fn no_address<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let site = leg.sender;
    let tunnel = site.tunnel();
    let needs = leg.from.pod.is_none() && site.node.tunnel_address.is_some();
    let lacks = site.link(&tunnel).is_some() && site.addresses(&tunnel).next().is_none();
    let text = format!("{tunnel} of {} has no address to speak from", site.name());
    (needs && lacks).then(|| defect(Stage::Encrypt, text))
}

/// What the fabric did to packets.
pub(super) fn wire<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let tally = |name: &str| {
        let mut all = leg.question.evidence.wire.iter();
        all.find(|tally| tally.name == name && tally.packets > 0)
    };
    let impairments = leg.question.plan.fabric.impairments.iter();
    // What comes late has not been lost.
    let impairments = impairments.filter(|one| !matches!(one.kind, ImpairmentKind::Delay { .. }));
    let hit = impairments.filter_map(|one| Some((one, tally(&one.counter())?)));
    hit.map(|(impairment, tally)| {
        let text = format!(
            "the wire is made to lose packets (line {}: {}, {})",
            impairment.line,
            impairment.describe(),
            counted(tally.packets, "packet")
        );
        defect(Stage::Wire, text)
    })
    .collect()
}

/// The receiver's reverse-path filter drops what the sender's node sends it.
fn not_taken<'a>(leg: &Leg<'a>) -> Vec<Defect<'a>> {
    let (site, sender) = (leg.receiver, leg.sender.address());
    // Only a source that is routed into the tunnel looks false.
    if !site.is_strict() || !site.tunnels(sender, 0) {
        return Vec::new();
    }
    let name = site.name();
    let (marked, minded) = (site.sets(Marks::Ip), site.minds_marks());
    let mut wrong = Vec::new();
    let overwritten = marked.then(|| filtered::overwritten(leg)).flatten();
    if let Some(rule) = &overwritten {
        wrong.push(format!(
            "{rule} on {name} overwrites the mark of what comes in"
        ));
    } else if !marked {
        wrong.push(format!(
            "the incoming packets are not marked on {name} (nft rule missing)"
        ));
    }
    if !minded {
        wrong.push(format!("src_valid_mark is 0 on {name}"));
    }
    let mut found = Vec::new();
    if !wrong.is_empty() {
        let text = format!(
            "{}: its strict reverse-path filter drops what comes from {}",
            wrong.join(", and "),
            leg.sender.name()
        );
        found.push(Defect {
            packet: Some(Packet {
                site,
                source: Some(sender),
                destination: site.address(),
                input: "eth0".parse().ok(),
                mark: match marked && overwritten.is_none() {
                    true => site.mark().unwrap_or(0),
                    false => 0,
                },
            }),
            expected: Some(format!("way back to {sender} by eth0")),
            ..defect(Stage::Accept, text)
        });
    }
    let asks = leg.question.plan.fabric.kind == FabricKind::Flat;
    if asks && leg.family == Family::Ipv4 && minded && !site.sets(Marks::Arp) {
        found.push(defect(
            Stage::Accept,
            format!(
                "incoming ARP is not marked on {name} (nft rule missing): its strict reverse-path filter leaves {}'s requests unanswered",
                leg.sender.name()
            ),
        ));
    }
    found
}

/// The receiver's device does not accept the sender's packets.
fn not_accepted<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, other) = (leg.receiver, leg.sender);
    site.device()?;
    let text = match peer_of(site, other) {
        Ok(peer) => lacks(site, other, peer, leg.source)?,
        Err(text) => text,
    };
    Some(defect(Stage::Decrypt, text))
}

/// From the receiver's device to the endpoint.
pub(super) fn delivery<'a>(leg: &Leg<'a>) -> Option<Defect<'a>> {
    let (site, to) = (leg.receiver, leg.destination);
    let name = site.name();
    if !site.was_seen() {
        return None;
    }
    if leg.to.pod.is_some() && site.sysctl("net.ipv4.ip_forward") == Some(0) {
        return Some(defect(
            Stage::Deliver,
            format!("{name} does not forward (net.ipv4.ip_forward is 0)"),
        ));
    }
    let wanted = leg.to.pod.map(|pod| site.link_of(pod));
    let right = match (site.decide(to, 0), &wanted) {
        (Some((_, route)), Some(link)) => route.interface.as_ref() == Some(link),
        (Some((_, route)), None) => route.kind == RouteKind::Local,
        (None, _) => false,
    };
    if right {
        return None;
    }
    let back = site.decide(to, 0).filter(|_| site.tunnels(to, 0));
    let expected = wanted.map_or("local".to_owned(), |link| format!("dev {link}"));
    let text = match back {
        Some((_, route)) => format!(
            "throw route missing: table {} of {name} leads {to} back into {}",
            route.table,
            site.tunnel()
        ),
        None => format!(
            "{name} does not lead {to} to {} (expected: {expected})",
            leg.to.name
        ),
    };
    Some(Defect {
        packet: Some(Packet {
            site,
            source: None,
            destination: to,
            input: None,
            mark: 0,
        }),
        expected: Some(format!("route {to} {expected}")),
        ..defect(Stage::Deliver, text)
    })
}
