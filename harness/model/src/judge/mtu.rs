//! Verdicts about MTUs: the largest packet that must arrive, and the ICMP errors for larger ones.
//!
//! That a packet does not arrive proves nothing by itself: a small one has to arrive on the same way after it,
//! and the packet has to be seen as it was meant, of that size and with that DF bit, where its sender's kernel
//! let it go.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::outer_packets::outer;
use crate::evidence::{Direction, Evidence, Place, Role, SizeOutcome};
use crate::frame::{Packet, Payload};
use crate::journey::{Index, Seen};
use crate::name::NodeName;
use crate::plan::{
    Endpoint, Family, Hop, IPV6_MTU_MIN, MtuKind, MtuPromise, Node, Plan, SizeId, SizeProbe, State,
};
use crate::tag::Tag;
use crate::verdict::{Outcome, Verdict};
use crate::why;

/// Frames shown of one promise.
const MAX_FRAMES: usize = 3;

/// One verdict for each promise about sizes, in the plan's order.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, index: &Index<'_>) -> Vec<Verdict> {
    let state = plan.at_last();
    let judge = MtuJudge {
        plan,
        evidence,
        state: &state,
        outcomes: evidence
            .sizes
            .iter()
            .map(|outcome| (outcome.id, outcome))
            .collect(),
        tagged: tagged(index),
        index,
    };
    let promises = plan.limits.promises.iter();
    promises.map(|promise| judge.decide(promise)).collect()
}

/// The sightings of each size probe, and of errors that quote it.
fn tagged<'a>(index: &Index<'a>) -> BTreeMap<SizeId, Vec<Seen<'a>>> {
    let mut tagged = BTreeMap::<SizeId, Vec<Seen<'a>>>::new();
    for seen in index.all() {
        if let Some(Tag::Size(id)) = seen.sighting.tag {
            tagged.entry(id).or_default().push(*seen);
        }
    }
    tagged
}

struct MtuJudge<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
    state: &'a State,
    outcomes: BTreeMap<SizeId, &'a SizeOutcome>,
    tagged: BTreeMap<SizeId, Vec<Seen<'a>>>,
    index: &'a Index<'a>,
}

impl<'a> MtuJudge<'a> {
    fn decide(&self, promise: &MtuPromise) -> Verdict {
        let family = promise.family;
        let mut finding = match &promise.kind {
            MtuKind::Device { node, mtu } => self.device(family, node, *mtu),
            MtuKind::Largest {
                below,
                at,
                above,
                encrypted,
            } => self.largest([*below, *at], *above, *encrypted),
            MtuKind::TooLarge {
                above,
                mtu,
                reported_by,
            } => self.too_large(*above, *mtu, reported_by),
            MtuKind::Fragmented { sizes } => self.fragmented(sizes),
            MtuKind::Bulk { bulk, arrives } => self.bulk(*bulk, *arrives),
            MtuKind::Outer {
                from,
                to,
                mtu,
                fragments,
            } => self.outer(family, [from, to], (*mtu).into(), *fragments),
        };
        if finding.outcome == Outcome::Broken {
            let nodes = self.nodes(&promise.kind);
            let (plan, evidence) = (self.plan, self.evidence);
            let fact = &finding.fact;
            let why = why::of_size(plan, evidence, self.state, family, &nodes, fact);
            finding = finding.with_why(why);
        }
        finding.frames.truncate(MAX_FRAMES);
        finding.about(promise.id)
    }

    /// The nodes that a promise is about.
    fn nodes<'k>(&'k self, kind: &'k MtuKind) -> Vec<&'k NodeName> {
        let size = |id: &SizeId| {
            let size = self.plan.limits.size(*id);
            size.map(|size| [&size.from, &size.to])
        };
        let ends = match kind {
            MtuKind::Device { node, .. } => return vec![node],
            MtuKind::Outer { from, to, .. } => return vec![from, to],
            MtuKind::Largest { at, .. } => size(at),
            MtuKind::TooLarge { above, .. } => size(above),
            MtuKind::Fragmented { sizes } => sizes.first().and_then(size),
            MtuKind::Bulk { bulk, .. } => {
                let bulk = self.plan.limits.bulk(*bulk);
                bulk.map(|bulk| [&bulk.from, &bulk.to])
            }
        };
        let ends = ends.into_iter().flatten();
        let nodes =
            ends.filter_map(|end| self.state.endpoints().into_iter().find(|e| e.name == *end));
        nodes.map(|end| &end.node.name).collect()
    }

    fn device(&self, family: Family, node: &NodeName, mtu: u16) -> Finding<'a> {
        let name = self.state.cluster.tunnel(family);
        let Some(seen) = self.evidence.nodes.get(node) else {
            return Finding::open(format!("nobody looked at {node}"));
        };
        let mut links = seen.dataplane.links.iter();
        match links.find(|link| link.name == name) {
            None => Finding::broken(format!("{node} has no {name}")),
            Some(link) if link.mtu == u32::from(mtu) => {
                Finding::held(format!("{name} has the MTU {mtu}"))
            }
            Some(link) => Finding::broken(format!(
                "{name} of {node} has the MTU {}, not {mtu}",
                link.mtu
            )),
        }
    }

    fn largest(&self, within: [SizeId; 2], above: SizeId, encrypted: bool) -> Finding<'a> {
        let mut largest = 0;
        for id in within {
            let (probe, outcome) = match self.tried(id) {
                Ok(tried) => tried,
                Err(why) => return Finding::open(why),
            };
            if !outcome.delivered {
                return self.lost(probe, outcome);
            }
            if let Err(finding) = self.was_sent_so(probe) {
                return finding;
            }
            if encrypted && !self.entered_the_tunnel(probe) {
                return Finding::broken(format!(
                    "{} bytes arrived, and not through the tunnel",
                    probe.size
                ));
            }
            largest = probe.size;
        }
        let (probe, outcome) = match self.tried(above) {
            Ok(tried) => tried,
            Err(why) => return Finding::open(why),
        };
        if outcome.delivered {
            let fact = format!("{} bytes arrive as well, unfragmented", probe.size);
            return Finding::broken(fact).with_frames(self.frames(above));
        }
        if outcome.refused.is_none() {
            if outcome.controls == 0 {
                return Finding::open(format!(
                    "{} bytes did not arrive, and nothing small after them either",
                    probe.size
                ));
            }
            if let Err(finding) = self.was_sent_so(probe) {
                return finding;
            }
        }
        Finding::held(format!(
            "{largest} bytes arrive unfragmented, {} do not",
            probe.size
        ))
    }

    fn too_large(&self, above: SizeId, mtu: u32, reported_by: &Hop) -> Finding<'a> {
        let (probe, outcome) = match self.tried(above) {
            Ok(tried) => tried,
            Err(why) => return Finding::open(why),
        };
        let size = probe.size;
        if outcome.delivered {
            return Finding::broken(format!("{size} bytes arrive as well, unfragmented"));
        }
        let errors = self.errors(probe);
        match reported_by {
            Hop::Sender => match outcome.refused {
                Some(named) if named == mtu => Finding::held(format!(
                    "{size} bytes are refused where they start, mtu {mtu}"
                )),
                Some(named) => Finding::broken(format!(
                    "refused where they start with mtu {named}, not {mtu}"
                )),
                None => Finding::broken(format!("{size} bytes left {}, and were lost", probe.from)),
            },
            _ if outcome.refused.is_some() => {
                Finding::broken(format!("{size} bytes are refused where they start"))
            }
            Hop::Nobody => match errors.first() {
                Some((seen, named)) => {
                    let fact = format!("{} is told of mtu {named}", probe.from);
                    Finding::broken(fact).with_frames(vec![*seen])
                }
                None if outcome.controls == 0 => {
                    Finding::open("nothing small arrived after it either".into())
                }
                None => Finding::held(format!("{size} bytes are lost without a word")),
            },
            Hop::Node(name) => self.describe(probe, &errors, mtu, Some(name)),
            Hop::Fabric => self.describe(probe, &errors, mtu, None),
        }
    }

    /// The ICMP error: from `node`, or from the fabric, with that MTU.
    fn describe(
        &self,
        probe: &SizeProbe,
        errors: &[(Seen<'a>, u32)],
        mtu: u32,
        node: Option<&NodeName>,
    ) -> Finding<'a> {
        let (from, size) = (&probe.from, probe.size);
        let Some((seen, named)) = errors.first() else {
            return Finding::broken(format!("nobody told {from} that {size} bytes are too many"));
        };
        let (reporter, right) = self.reporter(node, probe.family, seen);
        let finding = if *named != mtu {
            Finding::broken(format!("{from} is told of mtu {named}, not {mtu}"))
        } else if !right {
            Finding::broken(format!("not {reporter} tells {from} so"))
        } else {
            let fact = format!("{reporter} tells who sends {size} bytes: mtu {mtu}");
            Finding::held(fact)
        };
        finding.with_frames(vec![*seen])
    }

    /// The node that has to send the ICMP error, and whether an error is from there.
    fn reporter(
        &self,
        node: Option<&NodeName>,
        family: Family,
        error: &Seen<'_>,
    ) -> (String, bool) {
        let packet = error.sighting.frame.packet();
        let source = packet.map(|packet| packet.source);
        let nodes = &self.state.nodes;
        let Some(name) = node else {
            // The fabric answers from where the nodes have their gateways.
            let gateway = |node: &Node| self.state.fabric.gateway_of(node.address);
            let mut gateways = nodes.iter().map(|node| family.address(gateway(node)));
            let right = gateways.any(|gateway| Some(gateway) == source);
            return ("the fabric".into(), right);
        };
        let is_of = |node: &Node| {
            let pods = node.pods.iter().map(|pod| pod.address);
            let mut all = [node.address]
                .into_iter()
                .chain(node.tunnel_address)
                .chain(pods);
            all.any(|address| Some(family.address(address)) == source)
        };
        let right = nodes.iter().any(|node| node.name == *name && is_of(node));
        (name.to_string(), right)
    }

    fn fragmented(&self, sizes: &[SizeId]) -> Finding<'a> {
        let mut arrived = Vec::new();
        for id in sizes {
            let (probe, outcome) = match self.tried(*id) {
                Ok(tried) => tried,
                Err(why) => return Finding::open(why),
            };
            if !outcome.delivered {
                return self.lost(probe, outcome);
            }
            if let Err(finding) = self.was_sent_so(probe) {
                return finding;
            }
            arrived.push(probe.size.to_string());
        }
        Finding::held(format!(
            "{} bytes arrive where they may be fragmented",
            arrived.join(", ")
        ))
    }

    fn bulk(&self, id: SizeId, arrives: bool) -> Finding<'a> {
        let planned = self.plan.limits.bulk(id);
        let seen = self.evidence.bulks.iter().find(|seen| seen.id == id);
        let (Some(planned), Some(seen)) = (planned, seen) else {
            return Finding::open("the transfer was not tried".into());
        };
        match (seen.received == planned.bytes, arrives) {
            (true, true) => {
                return Finding::held(format!("{} bytes over TCP got through", planned.bytes));
            }
            (true, false) => {
                return Finding::broken(format!("{} bytes over TCP got through", planned.bytes));
            }
            (false, false) if seen.connected => {
                return Finding::held("connected, and what fills packets is lost".into());
            }
            (false, _) => {}
        }
        let error = seen.error.as_ref();
        let error = error.map(|error| format!(": {error}")).unwrap_or_default();
        Finding::broken(format!(
            "{} of {} bytes over TCP got through{error}",
            seen.received, planned.bytes
        ))
    }

    fn outer(
        &self,
        family: Family,
        ends: [&NodeName; 2],
        mtu: u32,
        fragments: bool,
    ) -> Finding<'a> {
        let address = |name: &NodeName| {
            let node = self.state.nodes.iter().find(|node| &node.name == name);
            node.map(|node| family.address(node.address))
        };
        let [Some(from), Some(to)] = ends.map(address) else {
            return Finding::open("one of the nodes is not there".into());
        };
        let (mut largest, mut fragmented) = (0, false);
        for (seen, packet) in outer(self.plan, self.index) {
            if !seen.goes(from, to) || seen.sighting.direction != Direction::In {
                continue;
            }
            let fact = if packet.length > mtu {
                format!(
                    "a packet of the tunnel has {} bytes, and the way carries {mtu}",
                    packet.length
                )
            } else if packet.fragment.is_some() && !fragments {
                "a packet of the tunnel was fragmented".into()
            } else {
                largest = largest.max(packet.length);
                fragmented |= packet.fragment.is_some();
                continue;
            };
            return Finding::broken(fact).with_frames(vec![*seen]);
        }
        match largest {
            0 => Finding::broken("no packet of the tunnel was seen on the wire".into()),
            _ if fragments && !fragmented => Finding::broken(
                "no packet of the tunnel was fragmented, and large ones do not fit".into(),
            ),
            _ if fragments => {
                let why = match self.state.nodes.iter().find(|node| &node.name == ends[0]) {
                    Some(node) if self.state.tunnel_mtu(node, family) > IPV6_MTU_MIN => {
                        "as its device's MTU makes them"
                    }
                    _ => "as IPv6's minimum asks",
                };
                Finding::held(format!(
                    "packets of the tunnel are fragmented, {why}: {largest} bytes"
                ))
            }
            _ => Finding::held(format!(
                "packets of the tunnel have up to {largest} bytes, none is a fragment"
            )),
        }
    }

    fn tried(&self, id: SizeId) -> Result<(&'a SizeProbe, &'a SizeOutcome), String> {
        let planned = self
            .plan
            .limits
            .size(id)
            .ok_or("the plan lacks a size probe")?;
        let outcome = self.outcomes.get(&id);
        outcome
            .map(|outcome| (planned, *outcome))
            .ok_or_else(|| format!("{} bytes were not tried", planned.size))
    }

    fn lost(&self, probe: &SizeProbe, outcome: &SizeOutcome) -> Finding<'a> {
        let size = probe.size;
        let may = match probe.dont_fragment {
            true => "unfragmented",
            false => "where they may be fragmented",
        };
        let errors = self.errors(probe);
        let why = match (outcome.refused, errors.first(), outcome.controls) {
            (Some(mtu), ..) => format!("refused where they start, mtu {mtu}"),
            (None, Some((_, mtu)), _) => format!("{} is told of mtu {mtu}", probe.from),
            (None, None, 0) => "nothing small arrives after them either".into(),
            (None, None, _) => "lost without a word, and small packets after them are not".into(),
        };
        let fact = format!("{size} bytes do not arrive {may}: {why}");
        Finding::broken(fact).with_frames(self.frames(probe.id))
    }

    fn frames(&self, id: SizeId) -> Vec<Seen<'a>> {
        let mut frames = self.tagged.get(&id).cloned().unwrap_or_default();
        frames.reverse();
        frames
    }

    /// Whether it was seen where it started as it was meant: whole, and with the right DF bit.
    fn was_sent_so(&self, probe: &SizeProbe) -> Result<(), Finding<'a>> {
        let Some(from) = self.state.endpoint(&probe.from) else {
            return Err(Finding::open(format!("{} is not there", probe.from)));
        };
        let mut seen = self.tagged.get(&probe.id).into_iter().flatten();
        let right = seen.any(|seen| {
            is_start(seen, &from)
                && seen
                    .sighting
                    .frame
                    .packet()
                    .is_some_and(|packet| is_as_meant(packet, probe))
        });
        right.then_some(()).ok_or_else(|| {
            Finding::open(format!(
                "no packet of {} bytes {} DF was seen leaving {}",
                probe.size,
                if probe.dont_fragment {
                    "with"
                } else {
                    "without"
                },
                probe.from
            ))
        })
    }

    fn entered_the_tunnel(&self, probe: &SizeProbe) -> bool {
        let mut seen = self.tagged.get(&probe.id).into_iter().flatten();
        seen.any(|seen| {
            seen.interface.role == Role::Tunnel
                && seen.sighting.direction == Direction::Out
                && seen
                    .sighting
                    .frame
                    .packet()
                    .is_some_and(|packet| packet.length == probe.size)
        })
    }

    /// The ICMP errors that reached the sender, each with its MTU in bytes.
    fn errors(&self, probe: &SizeProbe) -> Vec<(Seen<'a>, u32)> {
        let Some(from) = self.state.endpoint(&probe.from) else {
            return Vec::new();
        };
        let about = self.tagged.get(&probe.id).into_iter().flatten();
        let errors = about.filter_map(|seen| {
            let packet = seen.sighting.frame.packet()?;
            let here = is_at(seen, &from) && seen.sighting.direction == Direction::In;
            let Payload::Icmp { mtu: Some(mtu), .. } = packet.payload else {
                return None;
            };
            here.then_some((*seen, mtu))
        });
        errors.collect()
    }
}

/// Whether a frame left its sender there: at a pod's own link, or at whatever link of a node.
fn is_start(seen: &Seen<'_>, from: &Endpoint<'_>) -> bool {
    is_at(seen, from) && seen.sighting.direction == Direction::Out
}

fn is_at(seen: &Seen<'_>, end: &Endpoint<'_>) -> bool {
    match (&seen.interface.place, end.pod) {
        (Place::Pod(name), Some(pod)) => *name == pod.name,
        (Place::Node(name), None) => *name == end.node.name,
        _ => false,
    }
}

/// A packet of the right size with the right DF bit. What may be fragmented may have been.
fn is_as_meant(packet: &Packet, probe: &SizeProbe) -> bool {
    let whole = packet.length == probe.size && packet.fragment.is_none();
    match (probe.dont_fragment, probe.family) {
        (true, _) => whole && packet.dont_fragment,
        (false, Family::Ipv4) => !packet.dont_fragment && (whole || packet.fragment.is_some()),
        (false, Family::Ipv6) => whole || packet.fragment.is_some(),
    }
}
