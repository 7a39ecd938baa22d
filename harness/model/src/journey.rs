//! Journeys: the interfaces that one probe passes, in order of time.

use std::net::IpAddr;

use crate::evidence::{Direction, Interface, Nanos, Role, Sighting};

/// The atlas: which interface connects what.
mod atlas;

/// Reassembly: the packet that a fragment belongs to.
mod fragment;

/// Index of sightings, by tag and by addresses.
mod index;

pub(crate) use atlas::{Atlas, Tunnel};
pub(crate) use fragment::Fragments;
pub(crate) use index::Index;

/// The two halves of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// From the sender to the receiver.
    Request,
    /// From the receiver back to the sender.
    Answer,
}

/// A sighting whose interface is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Its place in the order of time; no two have the same.
    pub(crate) rank: usize,
    pub(crate) sighting: &'a Sighting,
    pub(crate) interface: &'a Interface,
}

impl Seen<'_> {
    pub(crate) fn at(&self) -> Nanos {
        self.sighting.at
    }

    /// Whether it is an IP packet from `source` to `destination`, whatever is inside.
    pub(crate) fn goes(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.sighting
            .frame
            .packet()
            .is_some_and(|packet| (packet.source, packet.destination) == (source, destination))
    }
}

/// A point that a packet passes: an interface, in one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop<'a> {
    pub(crate) interface: &'a Interface,
    pub(crate) direction: Direction,
}

impl<'a> Stop<'a> {
    pub(crate) fn out(interface: &'a Interface) -> Self {
        Self {
            interface,
            direction: Direction::Out,
        }
    }

    pub(crate) fn into(interface: &'a Interface) -> Self {
        Self {
            interface,
            direction: Direction::In,
        }
    }

    pub(crate) fn is_at(&self, seen: &Seen<'_>) -> bool {
        std::ptr::eq(self.interface, seen.interface) && self.direction == seen.sighting.direction
    }

    /// What a packet that was here did: `left pod-5`.
    pub(crate) fn past(&self) -> String {
        let (name, place) = (&self.interface.name, self.interface.place.name());
        match (&self.interface.role, self.direction) {
            (Role::PodUplink, Direction::Out) => format!("left {place}"),
            (Role::PodUplink, Direction::In) => format!("arrived in {place}"),
            (Role::PodLink(pod), Direction::Out) => format!("left {place} towards {pod}"),
            (Role::PodLink(pod), Direction::In) => format!("arrived on {place} from {pod}"),
            (Role::Tunnel, Direction::Out) => format!("entered {name} on {place}"),
            (Role::Tunnel, Direction::In) => format!("left {name} on {place}"),
            (Role::Uplink, Direction::Out) => format!("left {name} of {place}"),
            (Role::Uplink, Direction::In) => format!("arrived at {name} of {place}"),
            (Role::Port(node), Direction::Out) => format!("left the wire towards {node}"),
            (Role::Port(node), Direction::In) => format!("reached the wire from {node}"),
            (Role::Loopback | Role::Other, Direction::Out | Direction::In) => {
                format!("passed {name} of {place}")
            }
        }
    }
}

/// The first journey through all the stops, each at or after the one before: what is
/// reached at once leaves the most time for what follows. Kernel timestamps of two
/// stops may be equal.
///
/// # Errors
/// The stops that were reached before the one that was not.
pub(crate) fn follow<'a>(
    stops: &[Stop<'_>],
    seen: &[Seen<'a>],
    start: Nanos,
) -> Result<Vec<Seen<'a>>, Vec<Seen<'a>>> {
    let mut reached: Vec<Seen<'a>> = Vec::with_capacity(stops.len());
    for stop in stops {
        let earliest = reached.last().map_or(start, Seen::at);
        match seen
            .iter()
            .find(|seen| stop.is_at(seen) && seen.at() >= earliest)
        {
            Some(next) => reached.push(*next),
            None => return Err(reached),
        }
    }
    Ok(reached)
}
