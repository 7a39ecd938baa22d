//! Checks of a NAT: whether it rewrote a node's ports, as captured on both sides.

use super::fabric_effect::FabricEffect;
use crate::evidence::{Direction, Evidence, Role};
use crate::frame::Payload;
use crate::plan::{Nat, Plan};

/// Each generation of the NAT's mappings, and how many connections it had.
pub(super) fn mappings(
    plan: &Plan,
    evidence: &Evidence,
    packets: impl Fn(&str) -> u64,
) -> Vec<FabricEffect> {
    let state = plan.at_last();
    let Some(nat) = &state.fabric.nat else {
        return Vec::new();
    };
    let each = nat.lines.iter().enumerate().map(|(generation, line)| {
        let ports = Nat::ports(generation);
        let unlike = format!(
            "no message to {} was sent to a port of {} to {}",
            nat.node,
            ports.start(),
            ports.end()
        );
        FabricEffect {
            line: Some(*line),
            what: nat.describe(generation),
            packets: nat.counter(generation).map_or(0, |name| packets(&name)),
            unlike: (!is_seen(evidence, nat, generation)).then_some(unlike),
        }
    });
    each.collect()
}

/// Whether another node has sent a WireGuard message to a port of this generation: so it has been sent
/// one from there. Before the probes only what nodes send is kept.
fn is_seen(evidence: &Evidence, nat: &Nat, generation: usize) -> bool {
    let ports = Nat::ports(generation);
    evidence.sightings.iter().any(|sighting| {
        let Some(interface) = evidence.interface(sighting.interface) else {
            return false;
        };
        let from_another = matches!(&interface.role, Role::Port(port) if *port != nat.node)
            && sighting.direction == Direction::In;
        let packet = sighting.frame.packet().filter(|_| from_another);
        packet.is_some_and(|packet| {
            packet.destination == nat.address
                && matches!(packet.payload, Payload::WireGuard { destination_port, .. } if ports.contains(&destination_port))
        })
    })
}
