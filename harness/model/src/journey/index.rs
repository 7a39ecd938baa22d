//! Index of sightings, by tag and by addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Fragments, Seen};
use crate::evidence::Evidence;
use crate::frame::{Frame, Payload};
use crate::plan::ProbeId;
use crate::tag::Tag;

/// All sightings from the first probe on, in order of time.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    seen: Vec<Seen<'a>>,
    by_probe: BTreeMap<ProbeId, Vec<Seen<'a>>>,
    by_pair: BTreeMap<(IpAddr, IpAddr), Vec<Seen<'a>>>,
    fragments: Fragments<'a>,
    strays: bool,
}

impl<'a> Index<'a> {
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let mut sightings: Vec<_> = evidence
            .sightings
            .iter()
            .filter(|sighting| sighting.at >= evidence.probing)
            // What the lab itself spoofs bears the addresses of pairs that it is not of.
            .filter(|sighting| !is_spoofed(sighting.tag))
            .collect();
        // Saved evidence may have been edited; in order already, this costs one pass.
        sightings.sort_by_key(|sighting| sighting.at);
        let seen: Vec<_> = sightings
            .iter()
            .filter_map(|sighting| Some((*sighting, evidence.interface(sighting.interface)?)))
            .enumerate()
            .map(|(rank, (sighting, interface))| Seen {
                rank,
                sighting,
                interface,
            })
            .collect();
        let mut index = Self {
            strays: seen.len() < sightings.len() || misnumbered(evidence),
            seen,
            by_probe: BTreeMap::new(),
            by_pair: BTreeMap::new(),
            fragments: Fragments::new(evidence),
        };
        for seen in &index.seen {
            if let Some(Tag::Probe(id) | Tag::Answer(id)) = seen.sighting.tag {
                index.by_probe.entry(id).or_default().push(*seen);
            }
            for pair in pairs(&seen.sighting.frame) {
                index.by_pair.entry(pair).or_default().push(*seen);
            }
        }
        index
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Seen<'a>] {
        &self.seen
    }

    /// Those that hold a probe's tag, or its answer's.
    pub(crate) fn of_probe(&self, id: ProbeId) -> &[Seen<'a>] {
        self.by_probe.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Those that show these two addresses: as the packet's own, a packet's inside it,
    /// or as what an ICMP error quotes, in either direction.
    pub(crate) fn between(&self, one: IpAddr, other: IpAddr) -> &[Seen<'a>] {
        self.by_pair
            .get(&unordered(one, other))
            .map_or(&[], Vec::as_slice)
    }

    /// What joins the fragments among them.
    pub(crate) fn fragments(&self) -> &Fragments<'a> {
        &self.fragments
    }

    /// Whether it is unclear of some sighting at which interface it was made.
    pub(crate) fn strays(&self) -> bool {
        self.strays
    }
}

fn is_spoofed(tag: Option<Tag>) -> bool {
    matches!(tag, Some(Tag::Spoofed(_) | Tag::Genuine(_)))
}

fn misnumbered(evidence: &Evidence) -> bool {
    let mut numbered = evidence.interfaces.iter().zip(0_usize..);
    numbered.any(|(interface, number)| usize::from(interface.id.0) != number)
}

fn unordered(one: IpAddr, other: IpAddr) -> (IpAddr, IpAddr) {
    (one.min(other), one.max(other))
}

/// Every pair of addresses that a frame shows, once.
fn pairs(frame: &Frame) -> Vec<(IpAddr, IpAddr)> {
    let mut pairs = Vec::new();
    for layer in frame
        .packet()
        .into_iter()
        .flat_map(|packet| packet.layers())
    {
        pairs.push(unordered(layer.source, layer.destination));
        if let Payload::Icmp {
            quoted: Some(quote),
            ..
        } = &layer.payload
        {
            pairs.push(unordered(quote.source, quote.destination));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}
