//! Verdicts about pairs that are never plaintext on the wire in the whole run: not during a step, not with an
//! excuse, and not where the cluster's intent would have it in clear.

use std::collections::BTreeSet;

use super::exhibit;
use super::leak::{finds_neighbours, is_store};
use super::step_clock::{StepClock, duration, moment};
use crate::evidence::{Direction, Evidence, FlowEvidence, Nanos, Role, Sighting};
use crate::frame::{Packet, Payload};
use crate::journey::Seen;
use crate::name::EndpointName;
use crate::plan::{Family, Flow, FlowId, NeverPlaintext, Plan, Probe, Protocol, State};
use crate::tag::Tag;
use crate::verdict::{Outcome, Verdict};

/// Frames shown of one promise.
const MAX_FRAMES: usize = 3;

/// Decides about every promise of the plan that is about the whole run.
pub(super) fn judge(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    if plan.never_plaintext.is_empty() {
        return Vec::new();
    }
    let times = StepClock::new(plan, evidence);
    let decide = |promise| {
        NeverPlaintextJudge {
            promise,
            plan,
            evidence,
            times: &times,
        }
        .decide()
    };
    plan.never_plaintext.iter().map(decide).collect()
}

/// The judge of one promise.
struct NeverPlaintextJudge<'a> {
    promise: &'a NeverPlaintext,
    plan: &'a Plan,
    evidence: &'a Evidence,
    times: &'a StepClock<'a>,
}

impl<'a> NeverPlaintextJudge<'a> {
    fn decide(&self) -> Verdict {
        let readable = self.readable();
        if let (Some(first), Some(last)) = (readable.first(), readable.last()) {
            let notes = [first, last].map(|seen| self.when(seen.at()));
            let [first, last] = notes;
            return Verdict {
                exhibits: readable
                    .iter()
                    .take(MAX_FRAMES)
                    .map(exhibit::exhibit)
                    .collect(),
                notes: vec![format!(
                    "{} frames, the first {first} and the last {last}",
                    readable.len()
                )],
                ..self.verdict(
                    Outcome::Broken,
                    "what they say was readable on the wire".into(),
                )
            };
        }
        match self.doubt() {
            Some(why) => self.verdict(Outcome::Inconclusive, why),
            None => self.verdict(Outcome::Held, self.held()),
        }
    }

    fn verdict(&self, outcome: Outcome, fact: String) -> Verdict {
        Verdict {
            promise: self.promise.id,
            outcome,
            fact,
            exhibits: Vec::new(),
            notes: Vec::new(),
            why: None,
        }
    }

    /// `12 ms after step 3 began`.
    fn when(&self, at: Nanos) -> String {
        let step = self.times.step_at(at);
        let since = self.times.began(step);
        let after = duration(at.0.saturating_sub(since.0) / 1_000);
        match step {
            0 => format!("{after} after the start"),
            step => format!("{after} after step {step} began"),
        }
    }

    fn held(&self) -> String {
        let (flows, probes) = (self.flows().count(), self.probes().count());
        format!(
            "not one frame of {} was readable on the wire: {} and {}",
            counted(self.promise.pairs.len(), "pair"),
            counted(flows, "flow"),
            counted(probes, "probe")
        )
    }

    fn is_about(&self, from: &EndpointName, to: &EndpointName, family: Family) -> bool {
        self.promise.families.contains(&family) && self.promise.covers(from, to)
    }

    fn flows(&self) -> impl Iterator<Item = &'a Flow> {
        let flows = self.plan.flows.flows.iter();
        flows.filter(|flow| self.is_about(&flow.from, &flow.to, flow.family))
    }

    fn probes(&self) -> impl Iterator<Item = &'a Probe> {
        let probes = self.plan.probes.iter();
        probes.filter(|probe| self.is_about(&probe.from, &probe.to, probe.protocol.family()))
    }

    /// Frames out of nodes onto the wire that show what they must not, in order of time.
    fn readable(&self) -> Vec<Seen<'a>> {
        let mut seen: Vec<_> = self
            .evidence
            .sightings
            .iter()
            .filter(|one| one.direction == Direction::In)
            .filter_map(|sighting| {
                let interface = self.evidence.interface(sighting.interface)?;
                let on_the_wire = matches!(interface.role, Role::Port(_));
                (on_the_wire && self.shows(sighting)).then_some((sighting, interface))
            })
            .collect();
        seen.sort_by_key(|(sighting, _)| sighting.at);
        let ranked = seen.into_iter().enumerate();
        ranked
            .map(|(rank, (sighting, interface))| Seen {
                rank,
                sighting,
                interface,
            })
            .collect()
    }

    /// Whether a frame holds a tag of the pairs, or is a packet between two of them that is not
    /// ciphertext.
    fn shows(&self, sighting: &Sighting) -> bool {
        match sighting.tag {
            // What the lab itself sends in others' names, or to prove that it sees.
            Some(Tag::Beacon(_) | Tag::Spoofed(_) | Tag::Genuine(_)) => return false,
            Some(Tag::Flow(id, _)) => return self.flows().any(|flow| flow.id == id),
            Some(Tag::Probe(id) | Tag::Answer(id)) => {
                return self.probes().any(|probe| probe.id == id);
            }
            Some(Tag::Size(_) | Tag::Control(_)) | None => {}
        }
        let Some(packet) = sighting.frame.packet() else {
            return false;
        };
        let hides = is_store(self.plan, packet)
            || finds_neighbours(packet)
            || self.times.is_ciphertext(packet, sighting.at);
        let state = self.times.states.get(self.times.step_at(sighting.at));
        !hides
            && state.is_some_and(|state| packet.layers().any(|layer| self.is_between(state, layer)))
    }

    /// Whether a packet goes between two of the pairs, or quotes one that does.
    fn is_between(&self, state: &State, packet: &Packet) -> bool {
        let quoted = if let Payload::Icmp { quoted, .. } = &packet.payload {
            quoted.map(|quote| (quote.source, quote.destination))
        } else {
            None
        };
        let ends = [Some((packet.source, packet.destination)), quoted];
        let pairs = self.promise.pairs.iter();
        let addresses = pairs.filter_map(|(from, to)| state.endpoint(from).zip(state.endpoint(to)));
        let mut addresses = addresses.flat_map(|(from, to)| {
            let families = self.promise.families.iter();
            families.map(move |family| (family.address(from.address), family.address(to.address)))
        });
        addresses.any(|(from, to)| {
            ends.iter()
                .flatten()
                .any(|ends| *ends == (from, to) || *ends == (to, from))
        })
    }

    /// Why silence proves nothing; none if it does.
    fn doubt(&self) -> Option<String> {
        let last = self.plan.steps.len();
        let families = self.promise.families.iter();
        let protocols: BTreeSet<_> = families.flat_map(|family| Protocol::of(*family)).collect();
        (0..=last)
            .find_map(|step| self.times.doubt(step, &protocols))
            .or_else(|| self.quiet_flow())
            .or_else(|| self.probe_without_outcome())
    }

    /// A flow that was silent while both its ends existed proves nothing about that time. With steps there has
    /// to be one.
    fn quiet_flow(&self) -> Option<String> {
        let steps = self.plan.steps.len();
        if steps > 0 && self.flows().next().is_none() {
            return Some("no flow went between them through the steps".into());
        }
        let evidence =
            |id: FlowId| -> Option<&FlowEvidence> { self.evidence.flows.get(usize::from(id.0)) };
        let mut missing = self.flows().flat_map(|flow| {
            (0..=steps).filter_map(move |step| {
                let there = |step: usize| {
                    let state = self.times.states.get(step)?;
                    state.endpoint(&flow.from).zip(state.endpoint(&flow.to))
                };
                // While an end comes or goes, it may come too late or go too soon.
                let lasts = there(step).is_some()
                    && step
                        .checked_sub(1)
                        .is_none_or(|before| there(before).is_some());
                let packets = evidence(flow.id).into_iter().flat_map(|flow| {
                    let since = flow.since;
                    flow.packets
                        .iter()
                        .map(move |packet| moment(since, packet.sent))
                });
                let sent = packets.filter(|at| self.times.step_at(*at) == step).count();
                (lasts && sent == 0)
                    .then(|| format!("{} sent nothing during step {step}", flow.describe()))
            })
        });
        missing.next()
    }

    /// A probe without an outcome was perhaps never sent.
    fn probe_without_outcome(&self) -> Option<String> {
        let known: BTreeSet<_> = self.evidence.probes.iter().map(|probe| probe.id).collect();
        let mut missing = self.probes().filter(|probe| !known.contains(&probe.id));
        let probe = missing.next()?;
        let (from, to, protocol) = (&probe.from, &probe.to, probe.protocol.as_str());
        Some(format!(
            "the evidence does not say what became of the probe {from} → {to} {protocol}"
        ))
    }
}

/// `1 pair`, `2 pairs`.
fn counted(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}
