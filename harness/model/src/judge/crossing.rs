//! Assignment of transport messages to the packets that they carried between tunnel devices.
//!
//! Ciphertext shows nothing of what is inside, so a message is given to a packet by its length and its time,
//! and to one packet only. All packets that entered a tunnel device take part, tagged or not: otherwise the
//! message of one could prove another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::evidence::{Direction, Evidence, Nanos, Place, Role};
use crate::frame::{Message, Packet, Payload};
use crate::journey::{Index, Seen};
use crate::name::NodeName;
use crate::plan::{Family, Node, Plan};
use crate::tag::Tag;

/// Type, receiver and counter before the packet, authentication after it.
const MESSAGE_OVERHEAD: u32 = 32;

/// Packets are padded to multiples of this, up to the device's MTU.
const PADDING: u32 = 16;

/// One packet's way from a tunnel device to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossing<'a> {
    /// Where it entered the tunnel device.
    pub(super) entered: Seen<'a>,
    /// The message that can have carried it, as it came from the source node.
    pub(super) sent: Option<Seen<'a>>,
    /// The same, on its way to the destination node.
    pub(super) delivered: Option<Seen<'a>>,
    /// Where it left the tunnel device of the destination.
    pub(super) left: Option<Seen<'a>>,
    /// Bytes of the message that carries it.
    pub(super) length: u32,
}

/// Every packet that entered a tunnel device towards another node.
#[derive(Debug)]
pub(super) struct Crossings<'a> {
    all: Vec<Crossing<'a>>,
    /// By the rank of the sighting at the entry.
    by_entry: BTreeMap<usize, usize>,
    by_pair: BTreeMap<(IpAddr, IpAddr), Vec<usize>>,
}

impl<'a> Crossings<'a> {
    pub(super) fn new(plan: &'a Plan, evidence: &Evidence, index: &Index<'a>) -> Self {
        let messages = Messages::new(plan, index);
        let bare = messages.bare_senders(evidence);
        let mut crossings = Self {
            all: entries(plan, evidence, index, &bare),
            by_entry: BTreeMap::new(),
            by_pair: BTreeMap::new(),
        };
        messages.assign_to(&mut crossings.all, plan);
        for (position, crossing) in crossings.all.iter().enumerate() {
            crossings.by_entry.insert(crossing.entered.rank, position);
            if let Some(packet) = crossing.entered.sighting.frame.packet() {
                let pair = (packet.source, packet.destination);
                crossings.by_pair.entry(pair).or_default().push(position);
            }
        }
        crossings
    }

    /// The crossing of the packet that was seen entering a tunnel device.
    pub(super) fn of(&self, entry: &Seen<'_>) -> Option<&Crossing<'a>> {
        self.all.get(*self.by_entry.get(&entry.rank)?)
    }

    /// Every crossing of a packet with these addresses.
    pub(super) fn between(
        &self,
        source: IpAddr,
        destination: IpAddr,
    ) -> impl Iterator<Item = &Crossing<'a>> {
        self.by_pair
            .get(&(source, destination))
            .into_iter()
            .flatten()
            .filter_map(|position| self.all.get(*position))
    }
}

/// What distinguishes a packet from others when it leaves the tunnel; ports, flags and length are in the packet.
type Identity<'a> = (&'a Packet, Option<Tag>);

/// Packets at the tunnel devices, each exit given to the first entry of the same
/// packet that has none. A packet that was sent twice and lost once may be given
/// the other copy's exit; both are then later than its entry all the same.
fn entries<'a>(
    plan: &'a Plan,
    evidence: &Evidence,
    index: &Index<'a>,
    bare: &BTreeSet<&NodeName>,
) -> Vec<Crossing<'a>> {
    let owners = owners(plan);
    let mut exits = BTreeMap::<(&NodeName, Identity<'_>), VecDeque<Seen<'a>>>::new();
    for (node, seen, packet) in at_tunnels(index, Direction::In) {
        let identity = (packet, seen.sighting.tag);
        exits.entry((node, identity)).or_default().push_back(seen);
    }
    let mut all = Vec::new();
    for (from, entered, packet) in at_tunnels(index, Direction::Out) {
        let Some(to) = owner(&owners, packet.destination).filter(|to| to.name != *from) else {
            continue;
        };
        let left = exits
            .get_mut(&(&to.name, (packet, entered.sighting.tag)))
            .and_then(|queue| {
                // An exit before the first entry belongs to none.
                while queue.front()?.at() < entered.at() {
                    queue.pop_front();
                }
                queue.pop_front()
            });
        let mtu = evidence.nodes.get(from).and_then(|node| {
            let links = &node.dataplane.links;
            let device = links
                .iter()
                .find(|link| link.name == entered.interface.name)?;
            Some(device.mtu)
        });
        let length = match bare.contains(from) {
            true => packet.length.saturating_add(MESSAGE_OVERHEAD),
            false => message_length(packet.length, mtu),
        };
        all.push(Crossing {
            entered,
            sent: None,
            delivered: None,
            left,
            length,
        });
    }
    all
}

fn at_tunnels<'i, 'a>(
    index: &'i Index<'a>,
    direction: Direction,
) -> impl Iterator<Item = (&'a NodeName, Seen<'a>, &'a Packet)> + use<'i, 'a> {
    index.all().iter().filter_map(move |seen| {
        let Place::Node(node) = &seen.interface.place else {
            return None;
        };
        let here = seen.interface.role == Role::Tunnel && seen.sighting.direction == direction;
        let packet = seen.sighting.frame.packet().filter(|_| here)?;
        Some((node, *seen, packet))
    })
}

fn owners(plan: &Plan) -> BTreeMap<IpAddr, &Node> {
    let all = plan.nodes.iter().flat_map(|node| {
        let pods = node.pods.iter().map(|pod| pod.address);
        std::iter::once(node.address)
            .chain(pods)
            .flat_map(|address| Family::ALL.map(|family| family.address(address)))
            .map(move |address| (address, node))
    });
    all.collect()
}

fn owner<'a>(owners: &BTreeMap<IpAddr, &'a Node>, address: IpAddr) -> Option<&'a Node> {
    owners.get(&address).copied()
}

/// WireGuard pads to 16 bytes, but not beyond the device's MTU (wireguard-linux: `calculate_skb_padding`).
fn message_length(packet: u32, mtu: Option<u32>) -> u32 {
    let padded = packet.div_ceil(PADDING).saturating_mul(PADDING);
    let limit = mtu.unwrap_or(u32::MAX).max(packet);
    padded.min(limit).saturating_add(MESSAGE_OVERHEAD)
}

/// Source and destination node, whose tunnels: each family has its own, between addresses of that family;
/// and the message's length.
type Kind<'a> = (&'a NodeName, &'a NodeName, Family, u32);

/// The transport messages on the wire, from the right endpoint to the right endpoint.
#[derive(Debug, Default)]
struct Messages<'a> {
    /// From the source's port into the fabric.
    sent: BTreeMap<Kind<'a>, Vec<Seen<'a>>>,
    /// From the fabric to the destination's port.
    delivered: BTreeMap<Kind<'a>, Vec<Seen<'a>>>,
}

impl<'a> Messages<'a> {
    fn new(plan: &'a Plan, index: &Index<'a>) -> Self {
        let nodes: BTreeMap<_, _> = plan
            .nodes
            .iter()
            .flat_map(|node| Family::ALL.map(|family| (family.address(node.address), &node.name)))
            .collect();
        let mut messages = Self::default();
        for seen in index.all() {
            let Role::Port(port) = &seen.interface.role else {
                continue;
            };
            let Some((packet, length)) = transport(plan, seen) else {
                continue;
            };
            let from = nodes.get(&packet.source).copied();
            let to = nodes.get(&packet.destination).copied();
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            let (list, end) = match seen.sighting.direction {
                Direction::In => (&mut messages.sent, from),
                Direction::Out => (&mut messages.delivered, to),
            };
            if end == port {
                let kind = (from, to, Family::of(packet.source), length);
                list.entry(kind).or_default().push(*seen);
            }
        }
        messages
    }

    /// The nodes whose tunnels do not pad (boringtun 0.7): most messages of theirs are of lengths that
    /// padding never makes. Were one taken for such wrongly, its messages would fit no packet.
    fn bare_senders(&self, evidence: &Evidence) -> BTreeSet<&'a NodeName> {
        let has_mtu = |node: &NodeName, bytes: u32| {
            let links = evidence.nodes.get(node).map(|node| &node.dataplane.links);
            links.into_iter().flatten().any(|link| link.mtu == bytes)
        };
        let mut balance = BTreeMap::<&NodeName, i64>::new();
        for ((from, _, _, length), messages) in &self.sent {
            let inside = length.saturating_sub(MESSAGE_OVERHEAD);
            // Of the largest packets neither would be padded; they say nothing.
            if has_mtu(from, inside) {
                continue;
            }
            let many = i64::try_from(messages.len()).unwrap_or(i64::MAX);
            let is_padded = inside.is_multiple_of(PADDING);
            *balance.entry(from).or_default() += if is_padded { -many } else { many };
        }
        let bare = balance.into_iter().filter(|(_, balance)| *balance > 0);
        bare.map(|(node, _)| node).collect()
    }

    fn assign_to(&self, crossings: &mut [Crossing<'a>], plan: &'a Plan) {
        let owners = owners(plan);
        let mut groups = BTreeMap::<Kind<'a>, Vec<usize>>::new();
        for (position, crossing) in crossings.iter().enumerate() {
            let Place::Node(from) = &crossing.entered.interface.place else {
                continue;
            };
            let Some(packet) = crossing.entered.sighting.frame.packet() else {
                continue;
            };
            if let Some(to) = owner(&owners, packet.destination) {
                let family = Family::of(packet.source);
                let kind = (from, &to.name, family, crossing.length);
                groups.entry(kind).or_default().push(position);
            }
        }
        for (kind, members) in groups {
            give(
                crossings,
                &members,
                self.sent.get(&kind),
                |crossing, message| {
                    crossing.sent = Some(message);
                },
            );
            let carried: Vec<_> = members
                .into_iter()
                .filter(|position| crossings.get(*position).is_some_and(|c| c.sent.is_some()))
                .collect();
            give(
                crossings,
                &carried,
                self.delivered.get(&kind),
                |crossing, message| {
                    crossing.delivered = Some(message);
                },
            );
        }
    }
}

/// A transport message between two configured endpoints, with its length.
fn transport<'a>(plan: &Plan, seen: &Seen<'a>) -> Option<(&'a Packet, u32)> {
    let packet = seen.sighting.frame.packet()?;
    let Payload::WireGuard {
        source_port,
        destination_port,
        message: Message::Data { length },
    } = packet.payload
    else {
        return None;
    };
    let port = plan.cluster.port(Family::of(packet.source));
    let is_tunnels = |address, its| its == port || plan.fabric.translates(address, its);
    let between =
        is_tunnels(packet.source, source_port) && is_tunnels(packet.destination, destination_port);
    between.then_some((packet, length))
}

/// Gives each message to one of the `members` whose time it fits: not before the packet
/// was last seen, and not after it left the tunnel. Of those that wait, the one that left
/// first is served first, which serves as many as can be served.
fn give<'a>(
    crossings: &mut [Crossing<'a>],
    members: &[usize],
    messages: Option<&Vec<Seen<'a>>>,
    mut take: impl FnMut(&mut Crossing<'a>, Seen<'a>),
) {
    let mut windows: Vec<_> = members
        .iter()
        .filter_map(|position| {
            let crossing = crossings.get(*position)?;
            let start = crossing.sent.as_ref().unwrap_or(&crossing.entered).at();
            let end = crossing.left.as_ref().map_or(Nanos(u64::MAX), Seen::at);
            Some((start, end, *position))
        })
        .collect();
    windows.sort_unstable();
    let mut coming = windows.into_iter().peekable();
    let mut waiting = BTreeSet::new();
    for message in messages.into_iter().flatten() {
        while let Some((_, end, position)) = coming.next_if(|(start, ..)| *start <= message.at()) {
            waiting.insert((end, position));
        }
        // Those whose time is over stay without.
        while let Some((end, position)) = waiting.pop_first() {
            if end >= message.at() {
                if let Some(crossing) = crossings.get_mut(position) {
                    take(crossing, *message);
                }
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_padded_to_sixteen_bytes_but_not_beyond_the_mtu() {
        for (packet, mtu, expected) in [
            (40, Some(1340), 80),
            (144, Some(1340), 176),
            (145, Some(1340), 192),
            (1340, Some(1340), 1372),
            (1340, Some(1440), 1376),
            (1340, None, 1376),
            (1400, Some(1340), 1432),
            (u32::MAX, None, u32::MAX),
        ] {
            assert_eq!(message_length(packet, mtu), expected, "{packet} {mtu:?}");
        }
    }
}
