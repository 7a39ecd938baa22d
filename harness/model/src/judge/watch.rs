//! The watch: whether the observers could have captured what a promise forbids.
//!
//! A negative needs a positive: every interface that matters must have shown its
//! beacons, before the first probe and after the last, in the promise's protocol,
//! to an observer that dropped nothing. A link that carried no beacon proves nothing
//! about its observers, and may be what the promise broke by.

use std::collections::{BTreeMap, BTreeSet};

use super::case::PairCase;
use crate::evidence::{
    Direction, Evidence, Interface, InterfaceId, Nanos, NoLink, Place, Role, Round,
};
use crate::frame::Frame;
use crate::journey::{Atlas, Index, Tunnel};
use crate::plan::{Plan, Protocol};
use crate::tag::{BeaconId, Tag};

/// When the first of the closing beacons was seen; never, if none was.
pub(super) fn closing(evidence: &Evidence, index: &Index<'_>) -> Nanos {
    let closing: BTreeSet<_> = evidence
        .beacons
        .iter()
        .filter(|beacon| beacon.round == Round::Closing)
        .map(|beacon| Tag::Beacon(beacon.id))
        .collect();
    let mut seen = index.all().iter();
    let first = seen.find(|seen| seen.sighting.tag.is_some_and(|tag| closing.contains(&tag)));
    first.map_or(Nanos(u64::MAX), |seen| seen.at())
}

/// What the observers have proven about themselves.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    plan: &'a Plan,
    /// Frames dropped, by place.
    dropped: BTreeMap<&'a Place, u64>,
    proven: BTreeSet<(InterfaceId, Protocol, Round)>,
    /// Beacons that no link carried.
    no_link: BTreeMap<(InterfaceId, Protocol, Round), NoLink>,
    /// Ports at which a frame was seen that nobody can read.
    unreadable: BTreeMap<InterfaceId, String>,
    strays: bool,
}

/// Why a promise cannot be judged from what was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// An observer may have missed what the promise forbids.
    Observer(String),
    /// A link carried no beacon, so its observers had nothing to see.
    NoLink(String),
}

impl<'a> Watch<'a> {
    pub(super) fn new(plan: &'a Plan, evidence: &'a Evidence, index: &Index<'a>) -> Self {
        let mut dropped = BTreeMap::new();
        for observer in &evidence.observers {
            let sum: &mut u64 = dropped.entry(&observer.place).or_default();
            *sum = sum.saturating_add(observer.dropped);
        }
        let beacons: BTreeMap<BeaconId, _> = evidence
            .beacons
            .iter()
            .map(|beacon| (beacon.id, (beacon.protocol, beacon.round)))
            .collect();
        let no_link = evidence.beacons.iter().flat_map(|beacon| {
            let ends = std::iter::once(beacon.interface).chain(port_of(evidence, beacon.interface));
            let key = |end| (end, beacon.protocol, beacon.round);
            let state = beacon.no_link;
            ends.filter_map(move |end| Some((key(end), state?)))
                .collect::<Vec<_>>()
        });
        let mut watch = Self {
            plan,
            dropped,
            proven: BTreeSet::new(),
            no_link: no_link.collect(),
            unreadable: BTreeMap::new(),
            strays: index.strays(),
        };
        for seen in index.all() {
            let (interface, sighting) = (seen.interface, seen.sighting);
            let on_the_wire = matches!(interface.role, Role::Port(_));
            if let Frame::Malformed { why } = &sighting.frame
                && on_the_wire
            {
                let found = format!(
                    "{}.pcapng #{}: {why}",
                    interface.place.name(),
                    sighting.number
                );
                watch.unreadable.entry(interface.id).or_insert(found);
            }
            let Some(Tag::Beacon(id)) = sighting.tag else {
                continue;
            };
            let Some((protocol, round)) = beacons.get(&id).copied() else {
                continue;
            };
            // What comes out of a node comes into its port, so that is the side that has to see.
            let right_side = !on_the_wire || sighting.direction == Direction::In;
            let right_kind = sighting
                .frame
                .packet()
                .is_some_and(|packet| packet.carries(protocol));
            if right_side && right_kind {
                watch.proven.insert((interface.id, protocol, round));
            }
        }
        watch
    }

    /// Why the promise cannot be judged from what was not seen; none if it can.
    pub(super) fn doubt(&self, case: &PairCase<'_>, atlas: &Atlas<'_>) -> Option<Doubt> {
        if self.strays {
            return Some(Doubt::Observer(
                "the evidence does not list every interface that a frame was seen at".into(),
            ));
        }
        let interfaces = match self.concerned(case, atlas) {
            Ok(interfaces) => interfaces,
            Err(why) => return Some(Doubt::Observer(why)),
        };
        let protocol = case.protocol();
        let places: BTreeSet<_> = interfaces
            .iter()
            .map(|interface| &interface.place)
            .collect();
        places
            .into_iter()
            .find_map(|place| self.blind(place))
            .or_else(|| {
                interfaces
                    .iter()
                    .find_map(|interface| self.lacks_beacon(interface, protocol))
            })
            .or_else(|| {
                interfaces.iter().find_map(|interface| {
                    let found = self.unreadable.get(&interface.id)?;
                    Some(format!("a frame on the wire is unreadable ({found})"))
                })
            })
            .map(Doubt::Observer)
            .or_else(|| {
                let mut without = interfaces
                    .iter()
                    .filter_map(|interface| self.without_link(interface, protocol));
                without.next().map(Doubt::NoLink)
            })
    }

    /// Every interface that the probe passes, or must not pass.
    fn concerned<'e>(
        &self,
        case: &PairCase<'_>,
        atlas: &Atlas<'e>,
    ) -> Result<Vec<&'e Interface>, String> {
        let mut interfaces = Vec::new();
        for endpoint in [case.from, case.to] {
            interfaces.extend(atlas.veth(endpoint)?);
            interfaces.push(atlas.uplink(endpoint.node)?);
            interfaces.push(atlas.port(endpoint.node)?);
            // Nobody looks for tunnels outside the cluster.
            if endpoint.node.external {
                continue;
            }
            let device = self.plan.cluster.tunnel(case.family());
            match atlas.tunnel(endpoint.node, &device) {
                Tunnel::Observed(tunnel) => interfaces.push(tunnel),
                Tunnel::Absent => {}
                Tunnel::Unobserved => {
                    return Err(format!(
                        "{} on {} was not observed",
                        device, endpoint.node.name
                    ));
                }
            }
        }
        Ok(interfaces)
    }

    fn blind(&self, place: &Place) -> Option<String> {
        match self.dropped.get(place) {
            None => Some(format!("{} has no observer", place.name())),
            Some(0) => None,
            Some(_) => Some(format!("the observer of {} dropped frames", place.name())),
        }
    }

    /// The rounds whose beacon of that protocol was not seen at an interface.
    fn unseen(
        &self,
        interface: &Interface,
        protocol: Protocol,
    ) -> impl Iterator<Item = (&'static str, Option<NoLink>)> {
        let id = interface.id;
        [(Round::Opening, "opening"), (Round::Closing, "closing")]
            .into_iter()
            .filter(move |(round, _)| !self.proven.contains(&(id, protocol, *round)))
            .map(move |(round, name)| {
                let no_link = self.no_link.get(&(id, protocol, round));
                (name, no_link.copied())
            })
    }

    fn lacks_beacon(&self, interface: &Interface, protocol: Protocol) -> Option<String> {
        let mut unseen = self.unseen(interface, protocol);
        let (round, _) = unseen.find(|(_, no_link)| no_link.is_none())?;
        Some(format!(
            "the observer of {} has not shown that it sees {} at {} (no {round} beacon)",
            interface.place.name(),
            protocol.as_str(),
            interface.name,
        ))
    }

    /// What a link's state was when it should have carried a beacon that was not seen.
    fn without_link(&self, interface: &Interface, protocol: Protocol) -> Option<String> {
        let mut unseen = self.unseen(interface, protocol);
        let (round, state) = unseen.find_map(|(round, state)| Some((round, state?)))?;
        Some(format!(
            "{} {} {}: it carried no {round} beacon of {}",
            interface.place.name(),
            interface.name,
            state.as_str(),
            protocol.as_str(),
        ))
    }
}

/// The port in front of an uplink: it sees only what the uplink sends.
fn port_of(evidence: &Evidence, uplink: InterfaceId) -> Option<InterfaceId> {
    let uplink = evidence.interface(uplink)?;
    let (Role::Uplink, Place::Node(node)) = (&uplink.role, &uplink.place) else {
        return None;
    };
    let role = Role::Port(node.clone());
    let mut all = evidence.interfaces.iter();
    let port = all.find(|interface| interface.role == role);
    port.map(|port| port.id)
}
