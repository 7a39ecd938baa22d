//! Leak windows: frames of flows that should not have been readable, and what excuses them.
//!
//! A frame on the wire is the end of a packet's way from its sender to there. It breaks the promise
//! if the packet had to be hidden, and nothing excuses it, all that time: from when it was sent until
//! it was seen. A packet without a flow's tag has no known beginning, and is judged by
//! when it was seen.
//!
//! What excuses a frame, if any moment of the packet's way lies in the window of such a step, from its
//! beginning until it has settled:
//!
//! - The cluster before the step or the one after it does not hide the flow.
//! - The step breaks or empties the sender's dataplane, or makes two nodes have one key.
//! - The step takes an address away that the packet was sent to. A sender goes on sending to an address
//! until its target changes, which is before the step has settled; what it sent waits in sockets,
//! queues and tunnels, and may come out of the tunnel of the node that had the address after the
//! step has settled. That node's kernel then sends it where it sends everything, readable, as no
//! engine can know of an address that nobody has. Nothing that is sent after the step has settled
//! is excused.
//!
//! Who states how many frames may be readable in a step excuses none.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::exhibit;
use super::step_clock::{StepClock, duration, moment, verdict};
use crate::count::counted;
use crate::evidence::{Direction, FlowEvidence, Nanos, Role, Sighting};
use crate::frame::{Packet, Payload};
use crate::journey::Seen;
use crate::name::NodeName;
use crate::plan::{Excuse, Family, Flow, FlowId, Protocol, State, StepPromise};
use crate::tag::Tag;
use crate::verdict::{Outcome, Verdict};

/// Frames shown of one step.
const MAX_FRAMES: usize = 3;

/// When a packet was sent, and when a frame of it was seen.
type SentAndSeen = (Nanos, Nanos);

/// A frame that should not have been readable.
pub(super) struct Leak<'a> {
    pub(super) step: usize,
    flow: FlowId,
    pub(super) excused: bool,
    pub(super) seen: Seen<'a>,
}

impl<'a> StepClock<'a> {
    /// Whether nothing of a flow's packet may be readable that was on its way all that time.
    fn is_secret(&self, flow: FlowId, way: SentAndSeen) -> bool {
        let mut steps = 1..=self.steps.len();
        self.is_hidden(flow, way)
            && !steps.any(|step| self.overlaps(step, way) && self.excuses(step, flow))
    }

    /// Whether the intent requires it, from the beginning of that time to its end.
    fn is_hidden(&self, flow: FlowId, (sent, seen): SentAndSeen) -> bool {
        let hidden = self.hidden.get(&flow);
        let steps = self.steps.iter().map(|step| step.began);
        let mut between = steps.filter(|began| sent < *began && *began < seen);
        self.holds(hidden, sent)
            && self.holds(hidden, seen)
            && between.all(|began| self.holds(hidden, began))
    }

    /// Whether what a step does excuses readable frames of a flow while it is under way.
    fn excuses(&self, step: usize, flow: FlowId) -> bool {
        let planned = step.checked_sub(1).and_then(|at| self.plan.steps.get(at));
        let counts = |even_strict: bool| even_strict || !self.drops(step);
        match planned.map(|step| step.action.change().excuse()) {
            None | Some(Excuse::Nothing) => false,
            Some(Excuse::SentBy { node, strict }) => {
                counts(strict) && self.sender(flow, step) == Some(node)
            }
            Some(Excuse::SentTo { end, strict }) => {
                counts(strict) && self.flow(flow).is_some_and(|flow| flow.to == end)
            }
            Some(Excuse::Everything) => true,
        }
    }

    /// How many frames may be readable during a step, where its author sets a bound.
    fn budget(&self, step: usize) -> Option<u32> {
        self.plan.steps.get(step.checked_sub(1)?)?.leaks
    }

    /// Whether what cannot be encrypted is to be dropped.
    fn drops(&self, step: usize) -> bool {
        let state = self.states.get(step);
        state.is_some_and(|state| state.cluster.settings.asks_to_drop())
    }

    fn sender(&self, flow: FlowId, step: usize) -> Option<&NodeName> {
        let flow = self.flow(flow)?;
        let from = self.states.get(step)?.endpoint(&flow.from)?;
        Some(&from.node.name)
    }

    /// Every frame that came out of a node onto the wire and should not have been readable, in
    /// order of time.
    pub(super) fn leaks(&self) -> Vec<Leak<'a>> {
        let mut sightings: Vec<_> = self.evidence.sightings.iter().collect();
        sightings.sort_by_key(|sighting| sighting.at);
        let leaks = sightings.into_iter().enumerate().filter_map(|(rank, one)| {
            let interface = self.evidence.interface(one.interface)?;
            let from_a_node =
                matches!(interface.role, Role::Port(_)) && one.direction == Direction::In;
            let flow = from_a_node.then(|| self.readable(one)).flatten()?;
            Some(Leak {
                step: self.step_at(one.at),
                flow,
                // Who says how many there may be excuses none.
                excused: self.budget(self.step_at(one.at)).is_none()
                    && !self.is_secret(flow, self.way(one)),
                seen: Seen {
                    rank,
                    sighting: one,
                    interface,
                },
            })
        });
        leaks.collect()
    }

    /// From when the packet was sent whose frame this is, if that is known, until it was seen.
    fn way(&self, sighting: &Sighting) -> SentAndSeen {
        let sent = match sighting.tag {
            Some(Tag::Flow(id, number)) => self
                .evidence
                .flows
                .get(usize::from(id.0))
                .and_then(|flow| sent(flow, usize::try_from(number).ok()?)),
            _ => None,
        };
        // A packet is stamped before it is sent, on the same clock; what says otherwise was edited.
        let sent = sent.unwrap_or(sighting.at).min(sighting.at);
        (sent, sighting.at)
    }

    /// The flow that a frame belongs to, by its tag or else by its addresses, if the intent is that it is
    /// hidden.
    fn readable(&self, sighting: &Sighting) -> Option<FlowId> {
        if let Some(Tag::Flow(id, _)) = sighting.tag {
            self.evidence.flows.get(usize::from(id.0))?;
            return self.is_hidden(id, self.way(sighting)).then_some(id);
        }
        // From the first probe on, the promises about probes see to the rest.
        if sighting.at < self.evidence.start.settled || sighting.at >= self.evidence.probing {
            return None;
        }
        let packet = sighting.frame.packet()?;
        let step = self.step_at(sighting.at);
        let allowed = super::leak::is_store(self.plan, packet)
            || super::leak::finds_neighbours(packet)
            || self.is_ciphertext(packet, sighting.at);
        if allowed {
            return None;
        }
        let state = self.states.get(step)?;
        let flows = self.plan.flows.flows.iter();
        let mut hidden = flows.filter(|flow| self.is_hidden(flow.id, self.way(sighting)));
        hidden
            .find(|flow| packet.layers().any(|layer| is_between(state, flow, layer)))
            .map(|flow| flow.id)
    }

    /// A WireGuard message between nodes, a piece of one, or an error about one. A message's ports are
    /// not asked for: they change while a device is made anew.
    pub(super) fn is_ciphertext(&self, packet: &Packet, at: Nanos) -> bool {
        let is_message = |packet: &Packet| {
            matches!(packet.payload, Payload::WireGuard { .. })
                && self.is_node(packet.source)
                && self.is_node(packet.destination)
        };
        let of_tunnel = |port| {
            let mut clusters = self.states.iter().map(|state| &state.cluster);
            clusters.any(|cluster| {
                let mut families = Family::ALL.into_iter();
                families.any(|family| cluster.port(family) == port)
            })
        };
        let quotes_message = if let Payload::Icmp { quoted, .. } = &packet.payload {
            let ports = quoted.and_then(|quote| quote.ports);
            ports.is_some_and(|(source, destination)| of_tunnel(source) || of_tunnel(destination))
        } else {
            false
        };
        is_message(packet) || quotes_message || self.fragments.is_rest_of(packet, at, is_message)
    }

    /// Whether a node has that address at some time.
    fn is_node(&self, address: IpAddr) -> bool {
        let mut nodes = self.states.iter().flat_map(|state| &state.nodes);
        nodes.any(|node| Family::of(address).address(node.address) == address)
    }

    pub(super) fn about_leaks(&self, promise: &StepPromise, leaks: &[Leak<'a>]) -> Verdict {
        let own: Vec<_> = leaks
            .iter()
            .filter(|leak| leak.step == promise.step && !leak.excused)
            .collect();
        let budget = self.budget(promise.step).unwrap_or(0);
        let beyond = u32::try_from(own.len()).map_or(true, |count| count > budget);
        let (Some(first), Some(last), true) = (own.first(), own.last(), beyond) else {
            let flows = self.plan.flows.flows.iter();
            let protocols = flows.map(|flow| Protocol::of_flows(flow.family));
            let doubt = self.doubt(promise.step, &protocols.collect()).or_else(|| {
                let sent = self.sent_during(promise.step, |id, at| self.is_secret(id, (at, at)));
                (sent == 0).then(|| "no packet of a protected flow was sent during it".into())
            });
            return match doubt {
                Some(why) => verdict(promise, Outcome::Inconclusive, why),
                None => verdict(promise, Outcome::Held, self.kept_secret(promise.step)),
            };
        };
        let since = self.began(promise.step);
        let after = |leak: &Leak<'_>| duration(leak.seen.at().0.saturating_sub(since.0) / 1_000);
        let mut flows = BTreeMap::<FlowId, usize>::new();
        for leak in &own {
            *flows.entry(leak.flow).or_default() += 1;
        }
        let mut notes = vec![format!(
            "{}, the first {} and the last {} after the step began",
            counted(own.len(), "frame"),
            after(first),
            after(last)
        )];
        let counts = flows.iter().map(|(id, count)| (self.name(*id), count));
        notes.extend(counts.map(|(name, count)| format!("{name}: {count}")));
        let fact = match budget {
            0 => "packets of protected flows were readable on the wire".into(),
            1 => "more than 1 frame of protected flows was readable on the wire".into(),
            most => format!("more than {most} frames of protected flows were readable on the wire"),
        };
        Verdict {
            exhibits: own
                .iter()
                .take(MAX_FRAMES)
                .map(|leak| exhibit::exhibit(&leak.seen))
                .collect(),
            notes,
            ..verdict(promise, Outcome::Broken, fact)
        }
    }

    fn kept_secret(&self, step: usize) -> String {
        let secret = |states: &&Vec<bool>| states.get(step) == Some(&true);
        let count = self.hidden.values().filter(secret).count();
        match self.budget(step).unwrap_or(0) {
            0 => format!("not one frame of {count} protected flows was readable on the wire"),
            most => format!(
                "no more than {most} frames of {count} protected flows were readable on the wire"
            ),
        }
    }
}

fn sent(flow: &FlowEvidence, number: usize) -> Option<Nanos> {
    let packet = flow.packets.get(number)?;
    Some(moment(flow.since, packet.sent))
}

/// Whether a packet is one of the two endpoints of a flow to the other.
fn is_between(state: &State, flow: &Flow, packet: &Packet) -> bool {
    let address = |name| {
        let end = state.endpoint(name);
        end.map(|end| flow.family.address(end.address))
    };
    let Some((from, to)) = address(&flow.from).zip(address(&flow.to)) else {
        return false;
    };
    let ends = (packet.source, packet.destination);
    ends == (from, to) || ends == (to, from)
}
