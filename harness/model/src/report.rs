//! Verdicts told: for people as a table, for reviewers as a snapshot, for programs as
//! JSON, and what went wrong as a text that leads to the frames.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::evidence::{Evidence, StepEvidence};
use crate::judge::{About, Breach, FabricEffect, breaches, fabric_effects, step_windows};
use crate::plan::{
    FlowId, LimitPromise, NeverPlaintext, Plan, ProbeId, Promise, PromiseId, Spoof, StepPromise,
};
use crate::verdict::{Outcome, Verdict};

/// Promises of one kind in one line.
mod row;

/// What the flows showed of each step.
mod step_windows;

/// What the fabric did to packets.
mod wire;

/// What the sizes of packets came to.
mod limit;

/// What became of spoofed packets.
mod spoof;

/// What nobody may read in the whole run.
mod never_plaintext;

/// How the engines behaved besides their work.
mod conduct;

/// Rows and totals as a table.
mod table;

/// Why it went wrong.
mod why;

/// What went wrong.
mod failure;

pub use table::COLOURS;

/// A frame of a capture file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The file's name in the run directory.
    pub file: String,
    /// Its number there, counted from 1.
    pub number: u32,
}

impl Frame {
    /// As exhibits name it: `fabric.pcapng #12`.
    fn named(text: &str) -> Option<Self> {
        let (file, number) = text.rsplit_once(" #")?;
        Some(Self {
            file: file.to_owned(),
            number: number.parse().ok()?,
        })
    }
}

/// The report of one run.
#[derive(Debug)]
pub struct Report<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
    verdicts: BTreeMap<PromiseId, &'a Verdict>,
}

/// What a promise came to.
#[derive(Debug, Clone, Copy)]
struct Judged<'a, P = Promise> {
    promise: &'a P,
    /// None if nobody judged it, which is an error of the run.
    verdict: Option<&'a Verdict>,
}

impl<'a, P> Judged<'a, P> {
    fn outcome(&self) -> Outcome {
        self.verdict
            .map_or(Outcome::Inconclusive, |verdict| verdict.outcome)
    }

    fn fact(&self) -> &'a str {
        self.verdict
            .map_or("nobody judged it", |verdict| verdict.fact.as_str())
    }
}

impl<'a> Report<'a> {
    /// The report of `verdicts` about a run of `plan` that left `evidence`.
    pub fn new(plan: &'a Plan, evidence: &'a Evidence, verdicts: &'a [Verdict]) -> Self {
        Self {
            plan,
            evidence,
            verdicts: verdicts
                .iter()
                .map(|verdict| (verdict.promise, verdict))
                .collect(),
        }
    }

    /// 0 if every promise held; 1 if one was broken; 3 if none was broken but one is open,
    /// if nobody looked at what one is about, if a step never ran, if an impairment of the wire hit nothing,
    /// or if there is no promise: a run that promises nothing proves nothing.
    pub fn exit_status(&self) -> u8 {
        let outcomes: Vec<_> = self.told().map(|told| told.outcome()).collect();
        let throughout: Vec<_> = self.of_steps().map(|told| told.outcome()).collect();
        let sizes: Vec<_> = self.of_limits().map(|told| told.outcome()).collect();
        let spoofed: Vec<_> = self.of_spoofs().map(|told| told.outcome()).collect();
        let never_plaintext: Vec<_> = self
            .of_never_plaintext()
            .map(|told| told.outcome())
            .collect();
        let after = sizes.iter().chain(&spoofed).chain(&never_plaintext);
        let mut all = outcomes.iter().chain(&throughout).chain(after);
        let broken = all.clone().any(|outcome| *outcome == Outcome::Broken);
        let breaches = self.breaches();
        let breached = |breach: &Breach| breach.outcome() == Outcome::Broken;
        if broken || breaches.iter().any(breached) {
            1
        } else if !breaches.is_empty()
            || !self.every_step_ran()
            || self.fabric_effects().iter().any(FabricEffect::is_idle)
            || outcomes.is_empty()
            || all.any(|outcome| *outcome != Outcome::Held)
        {
            3
        } else {
            0
        }
    }

    /// Whether nothing is wrong but the engine's conduct, of which a scenario says nothing.
    pub fn is_conduct_all_that_broke(&self) -> bool {
        let mut breaches = self.breaches().into_iter();
        let broken = |verdict: &&Verdict| verdict.outcome == Outcome::Broken;
        self.exit_status() == 1
            && !self.verdicts.values().any(broken)
            && breaches.all(|breach| breach.about == About::Conduct)
    }

    /// For a terminal, at most 120 columns wide. `directory` is where the run's files are.
    pub fn table(&self, directory: &str, colour: bool) -> String {
        table::table(self, directory, colour)
    }

    /// One line for a list of many runs: what held, how soon it settled, and what it cost.
    pub fn line(&self, name: &str) -> String {
        table::line(self, name)
    }

    /// The table without what differs from run to run: only words of the plan and of the verdicts.
    pub fn snapshot(&self) -> String {
        table::snapshot(self)
    }

    /// Each promise that did not hold, with the frames that show it; empty if all held.
    pub fn failure(&self, directory: &str) -> String {
        failure::failure(self, directory)
    }

    /// What is to be said, in its capture file, of each frame that shows why a promise did not hold;
    /// first of those that decide.
    pub fn comments(&self) -> Vec<(Frame, String)> {
        failure::comments(self)
    }

    /// One document: `title`, `scenario` (for the caller to fill in), `engine`, `status` (the exit
    /// status), `pairs` (one entry for each probe), `nodes`, `convergence` (the longest time until
    /// everything had settled), `writes` (of the kernel's state, where the engine counts them),
    /// `wire` (what the fabric did to packets), `start`, `steps`, `through` (what the flows showed of
    /// each step), `sizes`, `spoofs`, `never_plaintext` (what must never be readable), `conduct` (of the engines), `drops` (by the kernel's reasons) and `timings`. Times are in microseconds.
    pub fn json(&self) -> Value {
        let promises: BTreeMap<ProbeId, _> =
            self.told().map(|told| (told.promise.probe, told)).collect();
        let pairs: Vec<_> = self
            .plan
            .probes
            .iter()
            .map(|probe| {
                let told = promises.get(&probe.id);
                let verdict = told.and_then(|told| told.verdict);
                json!({
                    "from": probe.from,
                    "to": probe.to,
                    "protocol": probe.protocol,
                    "payload": probe.payload,
                    "class": told.map(|told| told.promise.class),
                    "expected": told.map(|told| told.promise.protection),
                    "verdict": told.map_or(json!("no promise"), |told| json!(told.outcome())),
                    "fact": told.map(Judged::fact),
                    "exhibits": verdict.map_or(&[][..], |verdict| &verdict.exhibits),
                    "notes": verdict.map_or(&[][..], |verdict| &verdict.notes),
                    "why": verdict.and_then(|verdict| verdict.why.as_ref()),
                })
            })
            .collect();
        let nodes: BTreeMap<_, _> = self
            .evidence
            .nodes
            .iter()
            .map(|(name, node)| {
                let told = json!({ "public_key": node.published_key, "drops": node.drops });
                (name.as_str(), told)
            })
            .collect();
        json!({
            "title": self.plan.title,
            "scenario": null,
            "engine": self.plan.engine,
            "status": self.exit_status(),
            "pairs": pairs,
            "nodes": nodes,
            "breaches": self.breaches().iter().map(|breach| &breach.told).collect::<Vec<_>>(),
            "wire": self.fabric_effects().iter().map(wire::json).collect::<Vec<_>>(),
            "convergence": self.convergence().micros(),
            "writes": self.writes(),
            "start": step(&self.evidence.start),
            "steps": self.evidence.steps.iter().map(step).collect::<Vec<_>>(),
            "through": self.through(),
            "sizes": limit::json(self),
            "spoofs": spoof::json(self),
            "never_plaintext": never_plaintext::json(self),
            "conduct": conduct::json(self),
            "drops": self.evidence.drops,
            "timings": self.evidence.timings,
        })
    }

    /// What was promised besides the pairs, and broken.
    fn breaches(&self) -> Vec<Breach> {
        breaches(self.plan, self.evidence)
    }

    /// What the fabric did to packets.
    fn fabric_effects(&self) -> Vec<FabricEffect> {
        fabric_effects(self.plan, self.evidence)
    }

    /// One entry for each promise about a step.
    fn through(&self) -> Vec<Value> {
        let step_windows = step_windows(self.plan, self.evidence);
        let name = |id: FlowId| self.plan.flows.flows.get(usize::from(id.0));
        self.of_steps()
            .map(|told| {
                let step = told.promise.step;
                let window = step_windows.iter().find(|window| window.step == step);
                let outage = window.and_then(|window| window.outage);
                json!({
                    "step": step,
                    "action": self.action(step),
                    "kind": told.promise.kind,
                    "verdict": told.outcome(),
                    "fact": told.fact(),
                    "exhibits": told.verdict.map_or(&[][..], |verdict| &verdict.exhibits),
                    "notes": told.verdict.map_or(&[][..], |verdict| &verdict.notes),
                    "leaked": window.map(|window| window.leaked),
                    "excused": window.map(|window| window.excused),
                    "leak": window.and_then(|window| window.leak),
                    "outage": outage.map(|outage| json!({
                        "micros": outage.micros,
                        "lost": outage.lost,
                        "from": name(outage.flow).map(|flow| &flow.from),
                        "to": name(outage.flow).map(|flow| &flow.to),
                        "family": name(outage.flow).map(|flow| flow.family),
                    })),
                })
            })
            .collect()
    }

    /// Whether each step of the plan is in the evidence: one that never ran was no test.
    fn every_step_ran(&self) -> bool {
        let ran = self.evidence.steps.iter().map(|step| step.index);
        ran.eq(1..=self.plan.steps.len())
    }

    /// The step that took longest to settle, or the start.
    fn convergence(&self) -> &'a StepEvidence {
        let all = self.evidence.steps.iter().chain([&self.evidence.start]);
        all.max_by_key(|step| step.micros())
            .unwrap_or(&self.evidence.start)
    }

    /// Kernel writes from the start to the last step, if the engine counts them.
    fn writes(&self) -> Option<u64> {
        let all = [&self.evidence.start]
            .into_iter()
            .chain(&self.evidence.steps);
        all.filter_map(StepEvidence::all_writes)
            .reduce(|sum, writes| sum + writes)
    }

    /// Every promise about a step, in the plan's order.
    fn of_steps(&self) -> impl Iterator<Item = Judged<'a, StepPromise>> {
        self.plan.flows.promises.iter().map(|promise| Judged {
            promise,
            verdict: self.verdicts.get(&promise.id).copied(),
        })
    }

    /// Every promise about sizes, in the plan's order.
    fn of_limits(&self) -> impl Iterator<Item = Judged<'a, LimitPromise>> {
        self.plan.limits.promises.iter().map(|promise| Judged {
            promise,
            verdict: self.verdicts.get(&promise.id).copied(),
        })
    }

    /// Every promise about spoofed packets, in the plan's order.
    fn of_spoofs(&self) -> impl Iterator<Item = Judged<'a, Spoof>> {
        self.plan.spoofs.iter().map(|promise| Judged {
            promise,
            verdict: self.verdicts.get(&promise.promise).copied(),
        })
    }

    /// Every promise about the whole run, in the plan's order.
    fn of_never_plaintext(&self) -> impl Iterator<Item = Judged<'a, NeverPlaintext>> {
        self.plan.never_plaintext.iter().map(|promise| Judged {
            promise,
            verdict: self.verdicts.get(&promise.id).copied(),
        })
    }

    /// What happened in a step, in words.
    fn action(&self, step: usize) -> String {
        let planned = step.checked_sub(1).and_then(|at| self.plan.steps.get(at));
        planned.map_or_else(|| "start".into(), |step| step.action.told())
    }

    /// Every promise of the plan, in its order.
    fn told(&self) -> impl Iterator<Item = Judged<'a>> {
        self.plan.promises.iter().map(|promise| Judged {
            promise,
            verdict: self.verdicts.get(&promise.id).copied(),
        })
    }
}

fn step(step: &StepEvidence) -> Value {
    json!({
        "step": step.index,
        "action": step.action,
        "micros": step.micros(),
        "writes": step.all_writes(),
        "notifications": step.notifications,
        "crash_points": step.crash_points,
        "note": step.note,
    })
}

#[cfg(test)]
mod tests;
