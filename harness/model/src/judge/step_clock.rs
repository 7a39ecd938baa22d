//! The step clock: the step of a time, and the clusters that it is held to.
//!
//! While a step is under way a pair is held to what both the cluster before and the one after it
//! promise; once it has settled, to what the cluster after it does.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Direction, Evidence, Nanos, Place, Role, Round, StepEvidence};
use crate::journey::Fragments;
use crate::plan::{Flow, FlowId, Plan, Protocol, State, StepPromise};
use crate::tag::{BeaconId, Tag};
use crate::verdict::{Outcome, Verdict};

/// The step clock: the step of a time, and the clusters that it is held to.
pub(super) struct StepClock<'a> {
    pub(super) plan: &'a Plan,
    pub(super) evidence: &'a Evidence,
    /// The cluster before the first step and after each.
    pub(super) states: Vec<State>,
    pub(super) steps: Vec<&'a StepEvidence>,
    pub(super) fragments: Fragments<'a>,
    /// In which states nothing of a flow may be readable, and in which it has to arrive.
    pub(super) hidden: BTreeMap<FlowId, Vec<bool>>,
    pub(super) delivered: BTreeMap<FlowId, Vec<bool>>,
}

impl<'a> StepClock<'a> {
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
    pub(super) fn holds(&self, states: Option<&Vec<bool>>, moment: Nanos) -> bool {
        let step = self.step_at(moment);
        let holds = |state: usize| states.and_then(|states| states.get(state)) == Some(&true);
        match step.checked_sub(1) {
            Some(before) if self.is_under_way(step, moment) => holds(before) && holds(step),
            Some(_) | None => holds(step),
        }
    }

    fn is_under_way(&self, step: usize, moment: Nanos) -> bool {
        self.overlaps(step, (moment, moment))
    }

    /// Whether a step was under way at some moment of a time, both of whose ends belong to it.
    pub(super) fn overlaps(&self, step: usize, (from, until): (Nanos, Nanos)) -> bool {
        let evidence = step.checked_sub(1).and_then(|index| self.steps.get(index));
        evidence.is_some_and(|step| step.began <= until && from <= step.settled)
    }

    pub(super) fn flow(&self, id: FlowId) -> Option<&'a Flow> {
        self.plan.flows.flows.get(usize::from(id.0))
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
    pub(super) fn sent_during(&self, step: usize, like: impl Fn(FlowId, Nanos) -> bool) -> usize {
        let flows = self.evidence.flows.iter();
        let sent = flows.flat_map(|flow| {
            let packets = flow.packets.iter();
            packets.map(move |packet| (flow.id, moment(flow.since, packet.sent)))
        });
        sent.filter(|(id, at)| self.step_at(*at) == step && like(*id, *at))
            .count()
    }

    pub(super) fn name(&self, id: FlowId) -> String {
        match self.flow(id) {
            Some(flow) => flow.describe(),
            None => format!("flow {}", id.0),
        }
    }
}

pub(super) fn moment(since: Nanos, micros: u64) -> Nanos {
    Nanos(since.0.saturating_add(micros.saturating_mul(1_000)))
}

/// A decision about a promise that is about a step.
pub(super) fn verdict(promise: &StepPromise, outcome: Outcome, fact: String) -> Verdict {
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
pub(crate) fn duration(micros: u64) -> String {
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
