//! Traits of a run, as values that can be compared with those of another run of the same scenario: on another
//! kernel, or with another WireGuard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::dataplane;
use crate::evidence::{Direction, Evidence, Nanos, Role, StepEvidence};
use crate::frame::{Message, Packet, Payload};
use crate::name::NodeName;
use crate::plan::{Family, Plan};

/// To what WireGuard pads (WireGuard paper, section 5.4.6), in bytes.
const PADDING: u32 = 16;
/// What a transport message has around its packet, in bytes.
const AROUND: u32 = 32;

/// Something that was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What, in few words: the same for all runs.
    pub what: &'static str,
    /// How it was.
    pub value: String,
    /// Whether it is a number that differs from run to run, so that a difference means little.
    pub measured: bool,
}

/// What is worth comparing, always the same things in the same order.
pub fn observations(plan: &Plan, evidence: &Evidence) -> Vec<Observation> {
    let wire = wire(plan, evidence);
    let of = |what, value: String| Observation {
        what,
        value,
        measured: false,
    };
    let measured = |what, value: String| Observation {
        what,
        value,
        measured: true,
    };
    vec![
        of("tunnel device", devices(plan, evidence)),
        of("outer packets' DF bit", dont_fragment(&wire)),
        of(
            "outer packets in fragments",
            some(&wire, |one| one.packet.fragment.is_some()),
        ),
        of("outer packets' padding", padding(&wire)),
        of("largest outer packet", largest(&wire)),
        of(
            "keepalives",
            some(&wire, |one| one.message == Some(Message::Keepalive)),
        ),
        of(
            "cookies",
            some(&wire, |one| one.message == Some(Message::Cookie)),
        ),
        measured("handshakes begun", count(&wire, Message::Initiation)),
        measured("handshakes answered", count(&wire, Message::Response)),
        measured("handshake answered after", answered(&wire)),
        measured("first handshake after", first(evidence, &wire)),
        measured("settled after", settled(evidence)),
        measured("kernel writes", writes(evidence)),
    ]
}

/// Every node's dataplane as reviewers read it.
pub fn dataplanes(evidence: &Evidence) -> BTreeMap<NodeName, String> {
    let nodes = || evidence.nodes.iter();
    let keys: BTreeMap<_, _> = nodes()
        .flat_map(|(name, node)| {
            let keys = node.published_key.iter().chain(&node.published_key6);
            keys.map(|key| (key.clone(), name.clone()))
        })
        .collect();
    let texts = nodes().map(|(name, node)| {
        let mut text = dataplane::render(&node.dataplane, &keys);
        // A node keeps its key with its device; one that did not is for the reviewer to see.
        if node.key_history.len() > 1 {
            text += &format!(
                "\nkeys published one after the other: {}\n",
                node.key_history.len()
            );
        }
        (name.clone(), text)
    });
    texts.collect()
}

/// A packet to a tunnel, where it came onto the wire.
struct Outer<'e> {
    at: Nanos,
    packet: &'e Packet,
    /// None of one that is no WireGuard message, such as a first fragment.
    message: Option<Message>,
}

fn wire<'e>(plan: &Plan, evidence: &'e Evidence) -> Vec<Outer<'e>> {
    let cluster = plan.at_last().cluster;
    let seen = evidence.sightings.iter().filter_map(|sighting| {
        let role = &evidence.interface(sighting.interface)?.role;
        if !matches!(role, Role::Port(_)) || sighting.direction != Direction::In {
            return None;
        }
        let packet = sighting.frame.packet()?;
        let port = cluster.port(Family::of(packet.source));
        let is_tunnels = |its| its == port || plan.fabric.translates(packet.destination, its);
        let message = match packet.payload {
            Payload::WireGuard {
                destination_port,
                message,
                ..
            } if is_tunnels(destination_port) => Some(message),
            Payload::Udp {
                destination_port, ..
            } if is_tunnels(destination_port) && packet.fragment.is_some() => None,
            Payload::WireGuard { .. }
            | Payload::Udp { .. }
            | Payload::Icmp { .. }
            | Payload::Tcp { .. }
            | Payload::Tunnelled { .. }
            | Payload::Other { .. } => return None,
        };
        let at = sighting.at;
        Some(Outer {
            at,
            packet,
            message,
        })
    });
    seen.collect()
}

/// The kinds of the tunnel devices, as the kernel has them.
fn devices(plan: &Plan, evidence: &Evidence) -> String {
    let tunnels = plan.tunnels();
    let planes = evidence.nodes.values().map(|node| &node.dataplane);
    let links = planes.flat_map(|plane| &plane.links);
    let kinds: BTreeSet<_> = links
        .filter(|link| tunnels.contains(&link.name))
        .map(|link| link.kind.to_string())
        .collect();
    match kinds.is_empty() {
        true => "none".into(),
        false => kinds.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn dont_fragment(wire: &[Outer<'_>]) -> String {
    let mut bits = wire
        .iter()
        .filter(|one| one.packet.source.is_ipv4())
        .map(|one| one.packet.dont_fragment);
    let Some(first) = bits.next() else {
        return "no packet".into();
    };
    match (first, bits.all(|bit| bit == first)) {
        (true, true) => "set".into(),
        (false, true) => "not set".into(),
        (_, false) => "set on some".into(),
    }
}

fn some(wire: &[Outer<'_>], is_one: impl Fn(&Outer<'_>) -> bool) -> String {
    match wire.iter().any(is_one) {
        true => "some".into(),
        false => "none".into(),
    }
}

/// A packet is padded no further than to the device's MTU (Linux: `drivers/net/wireguard/send.c`,
/// `calculate_skb_padding`), so the largest means nothing.
fn padding(wire: &[Outer<'_>]) -> String {
    let lengths: BTreeSet<u32> = wire
        .iter()
        .filter_map(|one| match one.message {
            Some(Message::Data { length }) => Some(length.saturating_sub(AROUND)),
            _ => None,
        })
        .collect();
    let Some(largest) = lengths.last() else {
        return "no packet".into();
    };
    let whole = |length: &u32| length.is_multiple_of(PADDING);
    let mut others = lengths.iter().filter(|length| *length != largest);
    let padded = match lengths.len() {
        1 => whole(largest),
        _ => others.all(whole),
    };
    match padded {
        true => format!("to {PADDING} bytes"),
        false => "none".into(),
    }
}

fn largest(wire: &[Outer<'_>]) -> String {
    let largest = wire.iter().map(|one| one.packet.length).max();
    largest.map_or_else(|| "no packet".into(), |bytes| format!("{bytes} bytes"))
}

fn count(wire: &[Outer<'_>], message: Message) -> String {
    let all = wire.iter().filter(|one| one.message == Some(message));
    all.count().to_string()
}

/// From an initiation to the answer, on the wire; the median.
fn answered(wire: &[Outer<'_>]) -> String {
    let mut asked: BTreeMap<(IpAddr, IpAddr), Nanos> = BTreeMap::new();
    let mut took = Vec::new();
    for one in wire {
        let (source, destination) = (one.packet.source, one.packet.destination);
        match one.message {
            Some(Message::Initiation) => {
                asked.insert((source, destination), one.at);
            }
            Some(Message::Response) => {
                let since = asked.remove(&(destination, source));
                took.extend(since.map(|since| one.at.0.saturating_sub(since.0)));
            }
            _ => {}
        }
    }
    took.sort_unstable();
    took.get(took.len() / 2)
        .map_or_else(|| "never".into(), |nanos| span(*nanos))
}

fn first(evidence: &Evidence, wire: &[Outer<'_>]) -> String {
    let began = evidence.start.began.0;
    let mut begun = wire
        .iter()
        .filter(|one| one.message == Some(Message::Initiation));
    begun.next().map_or_else(
        || "never".into(),
        |one| span(one.at.0.saturating_sub(began)),
    )
}

fn settled(evidence: &Evidence) -> String {
    span(evidence.start.micros() * 1_000)
}

fn writes(evidence: &Evidence) -> String {
    let steps = std::iter::once(&evidence.start).chain(&evidence.steps);
    let writes = steps
        .filter_map(StepEvidence::all_writes)
        .reduce(|sum, one| sum + one);
    writes.map_or_else(|| "unknown".into(), |writes| writes.to_string())
}

fn span(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests;
