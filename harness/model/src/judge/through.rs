//! What the flows show of each step: frames that should not have been readable, and packets
//! that never came.
//!
//! While a step is under way a pair is held to what both the cluster before and the one after
//! it promise; once it has settled, to what the cluster after it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{exhibit, neighbour};
use crate::evidence::{
    Direction, Evidence, FlowEvidence, Nanos, Place, Role, Round, Sighting, StepEvidence,
};
use crate::frame::{Packet, Payload};
use crate::journey::{Fragments, Seen};
use crate::name::{EndpointName, NodeName};
use crate::plan::{Action, Family, Flow, FlowId, Plan, Protocol, State, StepKind, StepPromise};
use crate::tag::{BeaconId, Tag};
use crate::verdict::{Outcome, Verdict};

/// Frames shown of one step.
const SHOWN: usize = 3;

/// What the flows showed from one step's beginning until the next one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Which step; 0 is the time before the first.
    pub step: usize,
    /// Frames of protected flows that were readable on the wire.
    pub leaked: usize,
    /// Such frames besides that nobody promised anything about: what broke the dataplane was not the
    /// engine, and it had not put it right yet.
    pub excused: usize,
    /// The first and the last of them, in microseconds since the step began.
    pub leak: Option<(u64, u64)>,
    /// The longest interruption of a flow that had to arrive throughout.
    pub outage: Option<Outage>,
}

/// A flow none of whose packets arrived for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// From the first packet that was lost until the next that was not was sent, in microseconds.
    pub micros: u64,
    /// Packets lost.
    pub lost: usize,
    /// Whose.
    pub flow: FlowId,
}

/// What each step's flows showed, the time before the first step included.
pub fn passages(plan: &Plan, evidence: &Evidence) -> Vec<Passage> {
    let times = Times::new(plan, evidence);
    let leaks = times.leaks();
    (0..=times.steps.len())
        .map(|step| {
            let own = || leaks.iter().filter(|leak| leak.step == step);
            let excused = own().filter(|leak| leak.excused).count();
            let leaks: Vec<_> = own().filter(|leak| !leak.excused).collect();
            let since = times.began(step);
            let micros = |leak: &&Leak<'_>| leak.seen.at().0.saturating_sub(since.0) / 1_000;
            Passage {
                step,
                leaked: leaks.len(),
                excused,
                leak: leaks.first().map(micros).zip(leaks.last().map(micros)),
                outage: times.longest_outage(step),
            }
        })
        .collect()
}

/// Decides about every promise of the plan that is about a step.
pub(super) fn judge(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    if plan.flows.promises.is_empty() {
        return Vec::new();
    }
    let times = Times::new(plan, evidence);
    let leaks = times.leaks();
    let decide = |promise: &StepPromise| match promise.kind {
        StepKind::Leak => times.about_leaks(promise, &leaks),
        StepKind::Outage => times.about_outages(promise),
    };
    plan.flows.promises.iter().map(decide).collect()
}

/// A run by its steps.
pub(super) struct Times<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
    /// The cluster before the first step and after each.
    pub(super) states: Vec<State>,
    steps: Vec<&'a StepEvidence>,
    fragments: Fragments<'a>,
    /// In which states nothing of a flow may be readable, and in which it has to arrive.
    hidden: BTreeMap<FlowId, Vec<bool>>,
    delivered: BTreeMap<FlowId, Vec<bool>>,
}

/// A frame that should not have been readable.
struct Leak<'a> {
    step: usize,
    flow: FlowId,
    excused: bool,
    seen: Seen<'a>,
}

impl<'a> Times<'a> {
    pub(super) fn new(plan: &'a Plan, evidence: &'a Evidence) -> Self {
        let states: Vec<_> = plan.states().collect();
        let when = |holds: fn(&State, &Flow) -> bool| {
            let flows = plan.flows.flows.iter();
            let when = |flow| states.iter().map(|state| holds(state, flow)).collect();
            flows.map(|flow| (flow.id, when(flow))).collect()
        };
        Self {
            hidden: when(State::hides),
            delivered: when(State::delivers),
            steps: evidence.steps.iter().take(plan.steps.len()).collect(),
            fragments: Fragments::new(evidence),
            plan,
            evidence,
            states,
        }
    }

    pub(super) fn began(&self, step: usize) -> Nanos {
        match step.checked_sub(1).and_then(|index| self.steps.get(index)) {
            Some(step) => step.began,
            None => self.evidence.start.settled,
        }
    }

    /// The step that began last; 0 before the first.
    pub(super) fn step_at(&self, moment: Nanos) -> usize {
        self.steps
            .iter()
            .take_while(|step| step.began <= moment)
            .count()
    }

    /// Whether something is so in the state at a moment; while a step is under way, in both.
    fn holds(&self, states: Option<&Vec<bool>>, moment: Nanos) -> bool {
        let step = self.step_at(moment);
        let holds = |state: usize| states.and_then(|states| states.get(state)) == Some(&true);
        match step.checked_sub(1) {
            Some(before) if self.is_under_way(step, moment) => holds(before) && holds(step),
            Some(_) | None => holds(step),
        }
    }

    fn is_under_way(&self, step: usize, moment: Nanos) -> bool {
        let evidence = step.checked_sub(1).and_then(|index| self.steps.get(index));
        evidence.is_some_and(|step| moment <= step.settled)
    }

    /// Whether nothing of a flow may be readable at a moment.
    fn is_secret(&self, flow: FlowId, moment: Nanos) -> bool {
        self.is_hidden(flow, moment) && !self.is_sabotaged(flow, moment)
    }

    /// Whether the intent says so.
    fn is_hidden(&self, flow: FlowId, moment: Nanos) -> bool {
        self.holds(self.hidden.get(&flow), moment)
    }

    /// Whether what a flow sends at a moment has to arrive.
    fn must_arrive(&self, flow: FlowId, moment: Nanos) -> bool {
        self.holds(self.delivered.get(&flow), moment)
    }

    /// Whether somebody has just broken or emptied the sender's dataplane: until the engine has put it
    /// right, what that node sends is not the engine's doing. Where it has to encrypt or drop, only
    /// the loss of what drops is an excuse.
    fn is_sabotaged(&self, flow: FlowId, moment: Nanos) -> bool {
        let step = self.step_at(moment);
        let planned = step.checked_sub(1).and_then(|at| self.plan.steps.get(at));
        let own = match planned.map(|step| &step.action) {
            Some(Action::RebootNode { node }) => {
                !self.drops(step) && self.sender(flow, step) == Some(node)
            }
            Some(Action::Tamper { node, what, .. }) => {
                (!self.drops(step) || what.takes_firewall())
                    && self.sender(flow, step) == Some(node)
            }
            // An address that no engine has been told of yet can be protected by none.
            Some(Action::ReaddressNode { node, .. }) => self
                .flow(flow)
                .is_some_and(|flow| flow.to == EndpointName::from(node)),
            // What was encrypted to the node that a pod has left comes out of its tunnel, and its
            // kernel sends it where it sends everything, until the agents are told.
            Some(Action::MovePod { pod, .. } | Action::RemovePod { pod }) => {
                !self.drops(step)
                    && self
                        .flow(flow)
                        .is_some_and(|flow| flow.to == EndpointName::from(pod))
            }
            // Two nodes with one key have none until it is put right.
            Some(Action::CrashEverywhere { .. } | Action::OverwriteKey { .. }) => true,
            Some(_) | None => false,
        };
        own && self.is_under_way(step, moment)
    }

    /// How many frames may be readable during a step, where its author says so.
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

    fn flow(&self, id: FlowId) -> Option<&'a Flow> {
        self.plan.flows.flows.get(usize::from(id.0))
    }

    fn sent(flow: &FlowEvidence, number: usize) -> Option<Nanos> {
        let packet = flow.packets.get(number)?;
        Some(moment(flow.since, packet.sent))
    }

    /// Every frame that came out of a node onto the wire and should not have been readable, in
    /// order of time.
    fn leaks(&self) -> Vec<Leak<'a>> {
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
                    && !self.is_promised(flow, one),
                seen: Seen {
                    rank,
                    sighting: one,
                    interface,
                },
            })
        });
        leaks.collect()
    }

    /// Whether a frame of a flow must not be readable. What was sent before anyone promised
    /// anything may still be on its way.
    fn is_promised(&self, flow: FlowId, sighting: &Sighting) -> bool {
        let sent = match sighting.tag {
            Some(Tag::Flow(id, number)) => self
                .evidence
                .flows
                .get(usize::from(id.0))
                .and_then(|flow| Self::sent(flow, usize::try_from(number).ok()?)),
            _ => None,
        };
        let was_secret = sent.is_none_or(|sent| self.is_secret(flow, sent));
        was_secret && self.is_secret(flow, sighting.at)
    }

    /// The flow that a frame belongs to, by its tag or else by its addresses, if the intent says that
    /// it is hidden.
    fn readable(&self, sighting: &Sighting) -> Option<FlowId> {
        if let Some(Tag::Flow(id, number)) = sighting.tag {
            let flow = self.evidence.flows.get(usize::from(id.0))?;
            let sent = usize::try_from(number).ok();
            let sent = sent.and_then(|number| Self::sent(flow, number));
            let was_hidden = sent.is_none_or(|sent| self.is_hidden(id, sent));
            return (was_hidden && self.is_hidden(id, sighting.at)).then_some(id);
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
        let mut hidden = flows.filter(|flow| self.is_hidden(flow.id, sighting.at));
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

    fn about_leaks(&self, promise: &StepPromise, leaks: &[Leak<'a>]) -> Verdict {
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
                let sent = self.sent_during(promise.step, |id, at| self.is_secret(id, at));
                (sent == 0).then(|| "no packet of a protected flow was sent during it".into())
            });
            return match doubt {
                Some(why) => verdict(promise, Outcome::Inconclusive, why),
                None => verdict(promise, Outcome::Held, self.kept_secret(promise.step)),
            };
        };
        let since = self.began(promise.step);
        let after = |leak: &Leak<'_>| told(leak.seen.at().0.saturating_sub(since.0) / 1_000);
        let mut flows = BTreeMap::<FlowId, usize>::new();
        for leak in &own {
            *flows.entry(leak.flow).or_default() += 1;
        }
        let mut notes = vec![format!(
            "{} frames, the first {} and the last {} after the step began",
            own.len(),
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
                .take(SHOWN)
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

    /// Why what was not seen on the wire of these protocols proves nothing; none if it does.
    pub(super) fn doubt(&self, step: usize, protocols: &BTreeSet<Protocol>) -> Option<String> {
        if step > self.steps.len() {
            return Some("the step never ran".into());
        }
        let mut fabric = self.evidence.observers.iter();
        match fabric.find(|observer| observer.place == Place::Fabric) {
            None => return Some("fabric has no observer".into()),
            Some(observer) if observer.dropped + observer.dropped_early > 0 => {
                return Some("the observer of fabric dropped frames".into());
            }
            Some(_) => {}
        }
        let nodes = self.states.get(step).map(|state| &state.nodes);
        nodes.into_iter().flatten().find_map(|node| {
            let role = Role::Port(node.name.clone());
            // A node that comes later has a port that was not there at first.
            let first = self
                .states
                .first()
                .is_some_and(|state| state.nodes.iter().any(|known| known.name == node.name));
            let lasts = self
                .states
                .last()
                .is_some_and(|state| state.nodes.iter().any(|known| known.name == node.name));
            let rounds = [(Round::Armed, first), (Round::Closing, lasts)];
            let rounds = rounds.into_iter().filter(|(_, needed)| *needed);
            let mut shows = rounds
                .flat_map(|(round, _)| protocols.iter().map(move |protocol| (round, *protocol)));
            shows
                .find(|(round, protocol)| !self.has_shown(&role, *round, *protocol))
                .map(|(_, protocol)| {
                    let (name, protocol) = (&node.name, protocol.as_str());
                    format!(
                        "the observer of fabric has not shown that it sees {protocol} at {name}"
                    )
                })
        })
    }

    /// Whether an observer has seen, coming in there, a beacon of that protocol.
    fn has_shown(&self, role: &Role, round: Round, protocol: Protocol) -> bool {
        let sent: Vec<BeaconId> = self
            .evidence
            .beacons
            .iter()
            .filter(|beacon| beacon.round == round && beacon.protocol == protocol)
            .map(|beacon| beacon.id)
            .collect();
        self.evidence.sightings.iter().any(|sighting| {
            let interface = self.evidence.interface(sighting.interface);
            let here = interface.is_some_and(|interface| &interface.role == role);
            let beacon = matches!(sighting.tag, Some(Tag::Beacon(id)) if sent.contains(&id));
            here && beacon && sighting.direction == Direction::In
        })
    }

    /// Packets that were sent during a step while `like` was true of their flow.
    fn sent_during(&self, step: usize, like: impl Fn(FlowId, Nanos) -> bool) -> usize {
        let flows = self.evidence.flows.iter();
        let sent = flows.flat_map(|flow| {
            let packets = flow.packets.iter();
            packets.map(move |packet| (flow.id, moment(flow.since, packet.sent)))
        });
        sent.filter(|(id, at)| self.step_at(*at) == step && like(*id, *at))
            .count()
    }

    fn about_outages(&self, promise: &StepPromise) -> Verdict {
        let step = promise.step.checked_sub(1);
        let planned = step.and_then(|index| self.plan.steps.get(index));
        let Some(budget) = planned.map(|step| u64::from(step.outage) * 1_000) else {
            let why = "the plan has no such step".into();
            return verdict(promise, Outcome::Inconclusive, why);
        };
        if promise.step > self.steps.len() {
            return verdict(promise, Outcome::Inconclusive, "the step never ran".into());
        }
        let lasting = |id, at| self.must_arrive(id, at);
        match self.longest_outage(promise.step) {
            Some(outage) if outage.micros > budget => {
                let fact = format!("a flow was interrupted for longer than {}", told(budget));
                let note = format!(
                    "{}: {} packets lost in {}",
                    self.name(outage.flow),
                    outage.lost,
                    told(outage.micros)
                );
                let lost = verdict(promise, Outcome::Broken, fact);
                Verdict {
                    notes: vec![note],
                    ..neighbour::of_loss(lost, self.evidence)
                }
            }
            _ if self.sent_during(promise.step, lasting) == 0 => {
                let why = "no packet of a lasting flow was sent during it".into();
                verdict(promise, Outcome::Inconclusive, why)
            }
            _ => {
                let fact = format!("no flow was interrupted for longer than {}", told(budget));
                verdict(promise, Outcome::Held, fact)
            }
        }
    }

    fn longest_outage(&self, step: usize) -> Option<Outage> {
        let outages = self
            .evidence
            .flows
            .iter()
            .flat_map(|flow| self.outages(flow));
        let own = outages.filter(|(began, _)| *began == step);
        own.map(|(_, outage)| outage).max()
    }

    /// The interruptions of a flow, each with the step in which it began.
    fn outages(&self, flow: &FlowEvidence) -> Vec<(usize, Outage)> {
        let mut outages = Vec::new();
        let mut running: Option<(Nanos, usize)> = None;
        let mut end = |running: &mut Option<(Nanos, usize)>, until: Nanos| {
            if let Some((since, lost)) = running.take() {
                let outage = Outage {
                    micros: until.0.saturating_sub(since.0) / 1_000,
                    lost,
                    flow: flow.id,
                };
                outages.push((self.step_at(since), outage));
            }
        };
        for packet in &flow.packets {
            let sent = moment(flow.since, packet.sent);
            let must_arrive = self.must_arrive(flow.id, sent);
            match (packet.received, &mut running) {
                (None, Some((_, lost))) if must_arrive => *lost += 1,
                (None, None) if must_arrive => running = Some((sent, 1)),
                (None | Some(_), _) => end(&mut running, sent),
            }
        }
        let last = flow.packets.last().map_or(0, |packet| packet.sent);
        end(&mut running, moment(flow.since, last));
        outages
    }

    fn name(&self, id: FlowId) -> String {
        match self.flow(id) {
            Some(flow) => flow.told(),
            None => format!("flow {}", id.0),
        }
    }
}

pub(super) fn moment(since: Nanos, micros: u64) -> Nanos {
    Nanos(since.0.saturating_add(micros.saturating_mul(1_000)))
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

fn verdict(promise: &StepPromise, outcome: Outcome, fact: String) -> Verdict {
    Verdict {
        promise: promise.id,
        outcome,
        fact,
        exhibits: Vec::new(),
        notes: Vec::new(),
        why: None,
    }
}

/// Microseconds in the largest unit that makes them whole, or nearly.
pub(crate) fn told(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
        _ => format!(
            "{}.{:02} s",
            micros / 1_000_000,
            micros % 1_000_000 / 10_000
        ),
    }
}
