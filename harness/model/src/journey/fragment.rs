//! Reassembly: the packet that a fragment belongs to.
//!
//! A fragment that is not the first has no ports, so by itself it does not show what it is a piece
//! of. The first one does. They are joined by identification, as receivers do it, before a frame is
//! judged; in which order they came, how often and at which port of the fabric does not matter.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::evidence::{Evidence, Nanos, Role};
use crate::frame::{Fragment, Packet};
use crate::plan::Family;

/// How long Linux waits for the other pieces of a packet (`ipfrag_time`, ip-sysctl). An
/// identification may come again after it.
const REASSEMBLY: u64 = 30_000_000_000;

/// Source, destination, protocol (of IPv4 only) and identification.
type Key = (IpAddr, IpAddr, u8, u32);

/// The first fragments that were seen on the wire.
#[derive(Debug, Default)]
pub(crate) struct Fragments<'a> {
    firsts: BTreeMap<Key, Vec<(Nanos, &'a Packet)>>,
}

impl<'a> Fragments<'a> {
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let mut fragments = Self::default();
        for sighting in &evidence.sightings {
            let on_the_wire = evidence
                .interface(sighting.interface)
                .is_some_and(|interface| matches!(interface.role, Role::Port(_)));
            let packet = sighting.frame.packet().filter(|_| on_the_wire);
            if let Some(packet) = packet
                && let Some(fragment @ Fragment { offset: 0, .. }) = packet.fragment
            {
                let firsts = fragments.firsts.entry(key(packet, fragment)).or_default();
                firsts.push((sighting.at, packet));
            }
        }
        fragments
    }

    /// Whether a packet is a fragment but not the first, and `is_it` is true of every first one that
    /// it can belong to. Without any, nobody knows what it is a piece of.
    pub(crate) fn is_rest_of(
        &self,
        packet: &Packet,
        at: Nanos,
        is_it: impl Fn(&Packet) -> bool,
    ) -> bool {
        let Some(fragment) = packet.fragment.filter(|fragment| fragment.offset > 0) else {
            return false;
        };
        let firsts = self
            .firsts
            .get(&key(packet, fragment))
            .into_iter()
            .flatten();
        let mut firsts = firsts
            .filter(|(seen, _)| seen.0.abs_diff(at.0) <= REASSEMBLY)
            .peekable();
        firsts.peek().is_some() && firsts.all(|(_, first)| is_it(first))
    }
}

fn key(packet: &Packet, fragment: Fragment) -> Key {
    let protocol = match Family::of(packet.source) {
        Family::Ipv4 => packet.protocol(),
        Family::Ipv6 => 0,
    };
    (packet.source, packet.destination, protocol, fragment.id)
}
