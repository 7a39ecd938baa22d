//! Outages: how long flows were interrupted, in microseconds.
//!
//! A packet has to arrive if it was sent while its flow is promised delivery; while a step is under
//! way that is so only if the clusters before and after it both promise it. An outage lasts from the
//! first such packet that was lost until the next that was not is sent, and belongs to the step in
//! which it began. Packets to an address that has left are lost, and are part of the outage: how long
//! the senders go on using the address is what the outage's budget is about.

use super::neighbour;
use super::step_clock::{StepClock, duration, moment, verdict};
use crate::evidence::{FlowEvidence, Nanos};
use crate::plan::{FlowId, StepPromise};
use crate::verdict::{Outcome, Verdict};

/// A flow none of whose packets arrived for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outage {
    /// From the first packet that was lost until the next that was not was sent, in microseconds.
    pub micros: u64,
    /// How many packets were lost.
    pub lost: usize,
    /// The flow that was interrupted.
    pub flow: FlowId,
}

impl StepClock<'_> {
    /// Whether what a flow sends at a moment has to arrive.
    fn must_arrive(&self, flow: FlowId, moment: Nanos) -> bool {
        self.holds(self.delivered.get(&flow), moment)
    }

    pub(super) fn about_outages(&self, promise: &StepPromise) -> Verdict {
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
                let fact = format!(
                    "a flow was interrupted for longer than {}",
                    duration(budget)
                );
                let note = format!(
                    "{}: {} packets lost in {}",
                    self.name(outage.flow),
                    outage.lost,
                    duration(outage.micros)
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
                let fact = format!(
                    "no flow was interrupted for longer than {}",
                    duration(budget)
                );
                verdict(promise, Outcome::Held, fact)
            }
        }
    }

    pub(super) fn longest_outage(&self, step: usize) -> Option<Outage> {
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
}
