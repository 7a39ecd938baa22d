//! Leaks: frames that must not be where they are.

use std::net::{IpAddr, SocketAddr};

use super::case::PairCase;
use crate::evidence::Role;
use crate::frame::{Packet, Payload, Quote};
use crate::journey::{Index, Leg, Seen};
use crate::plan::{Node, Plan, Protection, Protocol};
use crate::tag::Tag;

/// How a frame shows that it belongs to a pair, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeakKind {
    /// It holds the probe's tag, or its answer's.
    Tag,
    /// It is a packet between the two, as it is or inside another one.
    Addresses,
    /// It is an ICMP error that quotes such a packet.
    Quote,
    /// It is a WireGuard message between the two nodes that does not go from endpoint to endpoint:
    /// not readable, and of another tunnel than the one that is promised.
    Endpoint,
}

/// What was seen where the promise forbids it.
#[derive(Debug)]
pub(super) struct Leak<'a> {
    /// The earliest of the strongest kind.
    pub(super) first: Seen<'a>,
    pub(super) shown: LeakKind,
    /// Frames in all, of any kind.
    pub(super) count: usize,
}

impl Leak<'_> {
    /// What is wrong with it, where that is promised.
    pub(super) fn describe(&self, promised: Protection) -> String {
        let what = match self.shown {
            LeakKind::Tag => "its payload",
            LeakKind::Addresses => "a packet between the two",
            LeakKind::Quote => "an ICMP error that quotes it",
            LeakKind::Endpoint => {
                return "a WireGuard message between the two nodes does not go between their endpoints".into();
            }
        };
        let interface = self.first.interface;
        match (promised, &interface.role) {
            (Protection::Encrypted | Protection::Blocked, _) => {
                format!("{what} is readable on the wire")
            }
            (Protection::Plaintext | Protection::Delivered, Role::Port(_)) => {
                format!("{what} was on the wire")
            }
            (Protection::Plaintext | Protection::Delivered, _) => {
                format!(
                    "{what} was at {} of {}",
                    interface.name,
                    interface.place.name()
                )
            }
        }
    }
}

/// A positive needs no negative: whatever was seen counts, even by observers that missed other frames.
pub(super) fn find<'a>(plan: &Plan, case: &PairCase<'_>, index: &Index<'a>) -> Option<Leak<'a>> {
    let (one, other) = case.addresses(Leg::Request);
    let tagged = index.of_probe(case.promise.probe).iter();
    let mut found: Vec<_> = tagged
        .chain(index.between(one, other))
        .filter(|seen| is_forbidden(case, &seen.interface.role))
        .filter_map(|seen| Some((shown(plan, case, index, seen)?, seen.rank, *seen)))
        .collect();
    found.sort_by_key(|(shown, rank, _)| (*shown, *rank));
    // A tagged packet between the two was found twice.
    found.dedup_by_key(|(_, rank, _)| *rank);
    let (shown, _, first) = *found.first()?;
    Some(Leak {
        first,
        shown,
        count: found.len(),
    })
}

fn is_forbidden(case: &PairCase<'_>, role: &Role) -> bool {
    match (case.promise.protection, role) {
        (Protection::Encrypted | Protection::Blocked, Role::Port(_))
        | (Protection::Plaintext, Role::Tunnel) => true,
        (Protection::Plaintext, Role::Port(_) | Role::Uplink) => case.same_host(),
        (Protection::Encrypted | Protection::Blocked, Role::Tunnel | Role::Uplink)
        | (Protection::Delivered, _)
        | (_, Role::PodLink(_) | Role::PodUplink | Role::Loopback | Role::Other) => false,
    }
}

fn shown(plan: &Plan, case: &PairCase<'_>, index: &Index<'_>, seen: &Seen<'_>) -> Option<LeakKind> {
    if case.is_tagged(seen) {
        return Some(LeakKind::Tag);
    }
    // A flow's packet may be late; what it may show is for the promises about its step.
    if let Some(Tag::Flow(..)) = seen.sighting.tag {
        return None;
    }
    let packet = seen.sighting.frame.packet()?;
    let is_all = |is_it: &dyn Fn(&Packet) -> bool| {
        is_it(packet) || index.fragments().is_rest_of(packet, seen.at(), is_it)
    };
    if is_store(plan, packet) || is_all(&|packet| is_ciphertext(plan, case, packet)) {
        return None;
    }
    if concerns(case, packet) && is_all(&|packet| is_of_another_tunnel(case, packet)) {
        return Some(LeakKind::Endpoint);
    }
    packet
        .layers()
        .filter_map(|layer| {
            if is_between(case, layer.source, layer.destination) && concerns(case, layer) {
                Some(LeakKind::Addresses)
            } else {
                quotes(plan, case, layer).then_some(LeakKind::Quote)
            }
        })
        .min()
}

fn is_between(case: &PairCase<'_>, source: IpAddr, destination: IpAddr) -> bool {
    [Leg::Request, Leg::Answer]
        .into_iter()
        .any(|leg| case.addresses(leg) == (source, destination))
}

/// A packet of the promise's protocol, or an ICMP error: that is about packets of any protocol.
fn concerns(case: &PairCase<'_>, packet: &Packet) -> bool {
    let is_error = matches!(
        &packet.payload,
        Payload::Icmp {
            quoted: Some(_),
            ..
        }
    );
    is_error || packet.carries(case.protocol()) && !finds_neighbours(packet)
}

/// Neighbour discovery (RFC 4861) finds the way to the other node, as ARP does.
pub(super) fn finds_neighbours(packet: &Packet) -> bool {
    matches!(
        (&packet.payload, packet.source),
        (
            Payload::Icmp {
                kind: 133..=137,
                ..
            },
            IpAddr::V6(_)
        )
    )
}

fn quotes(plan: &Plan, case: &PairCase<'_>, packet: &Packet) -> bool {
    let Payload::Icmp {
        quoted: Some(quote),
        ..
    } = &packet.payload
    else {
        return false;
    };
    is_between(case, quote.source, quote.destination)
        && quote.protocol == case.protocol().number()
        && !quotes_ciphertext(plan, case, quote)
}

/// A conversation with the store. With an etcd on a node these are the only ones that two encrypting nodes may
/// have in clear: over them they exchange their keys.
pub(super) fn is_store(plan: &Plan, packet: &Packet) -> bool {
    let Payload::Tcp {
        source_port,
        destination_port,
        ..
    } = packet.payload
    else {
        return false;
    };
    let ends = [
        SocketAddr::new(packet.source, source_port),
        SocketAddr::new(packet.destination, destination_port),
    ];
    plan.store
        .socket()
        .is_some_and(|store| ends.contains(&store))
}

/// WireGuard between the endpoints of the two nodes, which is all that may be seen of a protected pair.
fn is_ciphertext(plan: &Plan, case: &PairCase<'_>, packet: &Packet) -> bool {
    let Payload::WireGuard {
        source_port,
        destination_port,
        ..
    } = packet.payload
    else {
        return false;
    };
    are_endpoints(
        plan,
        case,
        SocketAddr::new(packet.source, source_port),
        SocketAddr::new(packet.destination, destination_port),
    )
}

/// A WireGuard message from one of two nodes to the other, whatever its ports. What a pod sends is
/// none, whatever it looks like.
fn is_of_another_tunnel(case: &PairCase<'_>, packet: &Packet) -> bool {
    let family = case.family();
    let [one, other] = [case.from.node, case.to.node].map(|node| family.address(node.address));
    let ends = (packet.source, packet.destination);
    case.promise.protection == Protection::Encrypted
        && matches!(packet.payload, Payload::WireGuard { .. })
        && (ends == (one, other) || ends == (other, one))
}

/// The fabric may send an ICMP error that a message is too big; it quotes the message and not what is inside.
fn quotes_ciphertext(plan: &Plan, case: &PairCase<'_>, quote: &Quote) -> bool {
    quote.protocol == Protocol::Udp.number()
        && quote.ports.is_some_and(|(from, to)| {
            are_endpoints(
                plan,
                case,
                SocketAddr::new(quote.source, from),
                SocketAddr::new(quote.destination, to),
            )
        })
}

fn are_endpoints(
    plan: &Plan,
    case: &PairCase<'_>,
    source: SocketAddr,
    destination: SocketAddr,
) -> bool {
    let family = case.family();
    let endpoint =
        |node: &Node| SocketAddr::new(family.address(node.address), plan.cluster.port(family));
    let (one, other) = (endpoint(case.from.node), endpoint(case.to.node));
    let ends = [source, destination].map(|end| {
        let port = match plan.fabric.translates(end.ip(), end.port()) {
            true => plan.cluster.port(family),
            false => end.port(),
        };
        SocketAddr::new(end.ip(), port)
    });
    ends == [one, other] || ends == [other, one]
}
