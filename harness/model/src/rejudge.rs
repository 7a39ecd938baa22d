//! The promises of another scenario, about a run that has been.
//!
//! What happened is the run's: its cluster, its steps, its probes. What is promised about it is the
//! other scenario's. Its promises are about the run's probes, which have numbers of their own; one
//! that the run has tried nothing of is left open, whatever else was seen.

/// Differences between the clusters of two scenarios.
mod difference;

/// The run's size probes and spoofs that match those of another scenario.
mod matching_probes;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::evidence::Evidence;
use crate::judge::judge;
use crate::plan::{Plan, PromiseId, Spoof, Step};
use crate::verdict::{Outcome, Verdict};

use matching_probes::Tried;

/// A run's plan with the promises of another scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejudged {
    /// What happened in the run, and what is promised about it.
    pub plan: Plan,
    /// Promises that the run has tried nothing of.
    pub untried: BTreeSet<PromiseId>,
}

impl Rejudged {
    /// What `wanted` promises, of the run that had the plan `seen`.
    ///
    /// # Errors
    /// The two are about different clusters, or different things happen in them. The error lists each difference.
    pub fn new(seen: &Plan, mut wanted: Plan) -> Result<Self, Vec<String>> {
        // Its budgets are for a quick machine, and the run's may have been slow.
        wanted.wait_longer(seen.deadlines.patience);
        let mut different = difference::between(&happens(seen), &happens(&wanted));
        different.extend(unnamed(seen, &wanted));
        if !different.is_empty() {
            return Err(different);
        }
        let mut tried = Tried::new(seen);
        let promises = wanted.promises.into_iter();
        let promises = promises.map(|promise| tried.pair(promise)).collect();
        let limits = wanted.limits.promises.iter();
        let limits = limits.map(|promise| tried.size(&wanted.limits, promise));
        let limits = limits.collect();
        let spoofs = wanted.spoofs.into_iter();
        let spoofs = spoofs.map(|one| tried.spoof(one)).collect();
        let steps = seen.steps.iter().zip(wanted.steps);
        let steps = steps.map(|(seen, wanted)| Step {
            action: seen.action.clone(),
            ..wanted
        });
        let (mut plan, untried) = tried.end();
        plan.title = wanted.title;
        plan.warnings = wanted.warnings;
        plan.facts = wanted.facts;
        plan.promises = promises;
        plan.flows.promises = wanted.flows.promises;
        plan.limits.promises = limits;
        plan.spoofs = spoofs;
        plan.never_plaintext = wanted.never_plaintext;
        plan.steps = steps.collect();
        Ok(Self { plan, untried })
    }

    /// Decides about every promise, as [`judge`] does.
    pub fn judge(&self, evidence: &Evidence) -> Vec<Verdict> {
        let mut verdicts = judge(&self.plan, evidence);
        let untried = |verdict: &&mut Verdict| self.untried.contains(&verdict.promise);
        for verdict in verdicts.iter_mut().filter(untried) {
            *verdict = Verdict {
                promise: verdict.promise,
                outcome: Outcome::Inconclusive,
                fact: "the run has not tried it".into(),
                exhibits: Vec::new(),
                notes: Vec::new(),
                why: None,
            };
        }
        verdicts
    }
}

/// What two scenarios must have in common: who there is, and what happens.
fn happens(plan: &Plan) -> Value {
    let actions: Vec<_> = plan.steps.iter().map(|step| &step.action).collect();
    json!({
        "fabric": plan.fabric,
        "cluster": plan.cluster,
        "store": plan.store,
        "node": plan.nodes,
        "client": plan.clients,
        "phantoms": plan.phantoms,
        "step": actions,
    })
}

/// Spoofed packets count in the hosts' filters, so whoever judges a run has to know of each.
fn unnamed(seen: &Plan, wanted: &Plan) -> Vec<String> {
    let named = |one: &&Spoof| {
        wanted
            .spoofs
            .iter()
            .any(|other| matching_probes::is_same(one, other))
    };
    let unnamed = seen.spoofs.iter().filter(|one| !named(one));
    let texts = unnamed.map(|one| {
        let (source, to, through) = (&one.source, &one.to, &one.through);
        format!("spoof: one as {source} to {to} through {through} in the run, none in the file")
    });
    texts.collect()
}

#[cfg(test)]
mod tests;
