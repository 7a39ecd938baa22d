//! The tunnels' outer packets on the wire.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::evidence::{Direction, Evidence, Role};
use crate::frame::{Packet, Payload};
use crate::journey::{Index, Seen};
use crate::plan::{Family, Plan};

/// What the tunnel's packets on the wire were like, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OuterPackets {
    /// How many there were.
    pub packets: usize,
    /// How many of them had DF set (IPv4).
    pub dont_fragment: usize,
    /// How many were the first fragment of one.
    pub fragmented: usize,
    /// Bytes of the largest IP packet.
    pub largest: u32,
}

/// What each family's tunnel packets were like, from the first probe on, as they came out of
/// the nodes.
pub fn outer_packets(plan: &Plan, evidence: &Evidence) -> BTreeMap<Family, OuterPackets> {
    let index = Index::new(evidence);
    let mut all = BTreeMap::<Family, OuterPackets>::new();
    for (seen, packet) in outer(plan, &index) {
        if seen.sighting.direction != Direction::In {
            continue;
        }
        let counts = all.entry(Family::of(packet.source)).or_default();
        counts.packets += 1;
        counts.dont_fragment += usize::from(packet.dont_fragment);
        counts.fragmented += usize::from(packet.fragment.is_some());
        counts.largest = counts.largest.max(packet.length);
    }
    all
}

/// The tunnel's packets at the ports, and first fragments of such.
pub(super) fn outer<'i, 'a>(
    plan: &'i Plan,
    index: &'i Index<'a>,
) -> impl Iterator<Item = (&'i Seen<'a>, &'a Packet)> {
    index.all().iter().filter_map(|seen| {
        let packet = seen.sighting.frame.packet()?;
        let port = plan.cluster.port(Family::of(packet.source));
        let to_a_tunnel = match packet.payload {
            Payload::WireGuard {
                destination_port, ..
            }
            | Payload::Udp {
                destination_port, ..
            } => {
                destination_port == port
                    || plan.fabric.translates(packet.destination, destination_port)
            }
            Payload::Icmp { .. }
            | Payload::Tcp { .. }
            | Payload::Tunnelled { .. }
            | Payload::Other { .. } => false,
        };
        let on_the_wire = matches!(seen.interface.role, Role::Port(_));
        (to_a_tunnel && on_the_wire).then_some((seen, packet))
    })
}
