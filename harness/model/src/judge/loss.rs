//! Losses of evidence, since it was saved or from the beginning: a promise that needs such a part is open,
//! whatever the rest shows.
//!
//! A pair needs the frames of the wire, of its two nodes and its two pods, what its two nodes looked like, and
//! what is common to all, such as the list of interfaces and what sockets reported. Every other promise needs
//! everything. A frame that shows a pair's payload on the wire still breaks its promise when only other frames
//! or nodes are lost: what is gone cannot make it right.

use std::collections::BTreeSet;

use super::case::PairCase;
use super::finding::Finding;
use crate::evidence::{Evidence, Loss, Part, Place};
use crate::name::NodeName;
use crate::plan::{Plan, PromiseId};
use crate::verdict::{Outcome, Verdict};

/// Everything that is missing.
#[derive(Debug)]
pub(super) struct Losses {
    all: Vec<Loss>,
    /// Steps that the evidence has nothing about: one that never ran was no test.
    unseen_steps: Option<Loss>,
}

impl Losses {
    pub(super) fn new(plan: &Plan, evidence: &Evidence) -> Self {
        let mut all = evidence.lost.clone();
        all.extend(unseen_nodes(plan, evidence));
        all.extend(unseen_flows(plan, evidence));
        Self {
            all,
            unseen_steps: unseen_steps(plan, evidence),
        }
    }

    /// Why no pair can be decided, not even by a frame that breaks its promise.
    pub(super) fn common(&self) -> Option<String> {
        let mut common = self.all.iter().filter(|loss| loss.part == Part::Common);
        common.next().map(describe)
    }

    /// Why a pair that no frame breaks cannot be decided.
    pub(super) fn of_pair(&self, case: &PairCase<'_>) -> Option<String> {
        let needs = |part: &Part| match part {
            Part::Common | Part::Observer(Place::Fabric) => true,
            Part::Observer(Place::Node(name)) | Part::Node(name) => is_of(case, name),
            Part::Observer(Place::Pod(name)) => [case.from, case.to]
                .iter()
                .any(|end| end.pod.is_some_and(|pod| pod.name == *name)),
        };
        self.all.iter().find(|loss| needs(&loss.part)).map(describe)
    }

    /// Leaves a promise open that needs everything.
    pub(super) fn reopen(&self, verdict: Verdict) -> Verdict {
        let decided = matches!(verdict.outcome, Outcome::Held | Outcome::Broken);
        let Some(loss) = self.all.first().filter(|_| decided) else {
            return verdict;
        };
        let mut notes = vec![format!("what is left of it would show: {}", verdict.fact)];
        notes.extend(verdict.notes);
        Verdict {
            outcome: Outcome::Inconclusive,
            fact: describe(loss),
            notes,
            why: None,
            ..verdict
        }
    }

    /// The same of a promise that no frame is needed for: where frames alone are lost, what breaks it is
    /// shown all the same.
    pub(super) fn reopen_unless_shown(&self, verdict: Verdict) -> Verdict {
        let frames = |loss: &Loss| matches!(loss.part, Part::Observer(_));
        match verdict.outcome == Outcome::Broken && self.all.iter().all(frames) {
            true => verdict,
            false => self.reopen(verdict),
        }
    }

    /// Whether the evidence is whole; what else is missing of it is noted.
    pub(super) fn about_evidence(&self, promise: PromiseId) -> Verdict {
        let mut all = self.all.iter().chain(&self.unseen_steps).map(describe);
        let finding = match all.next() {
            None => Finding::held("nothing of it is missing".into()),
            Some(first) => Finding {
                notes: all.collect(),
                ..Finding::open(first)
            },
        };
        finding.about(promise)
    }
}

fn describe(loss: &Loss) -> String {
    format!("the evidence is not whole: {}", loss.text)
}

fn is_of(case: &PairCase<'_>, node: &NodeName) -> bool {
    [case.from, case.to]
        .iter()
        .any(|end| end.node.name == *node)
}

/// Nodes that are there at the end and were not looked at, or that were there at the start and were
/// not looked at before the engine was.
fn unseen_nodes(plan: &Plan, evidence: &Evidence) -> Vec<Loss> {
    let first: BTreeSet<_> = plan.after(0).nodes.into_iter().map(|n| n.name).collect();
    let lost = |name: &NodeName, text: String| Loss {
        part: Part::Node(name.clone()),
        text,
    };
    let last = plan.at_last().nodes;
    let all = last.iter().filter_map(|node| {
        let name = &node.name;
        match evidence.nodes.get(name) {
            None => Some(lost(
                name,
                format!("it does not say what node {name} looks like"),
            )),
            Some(seen) if seen.before.is_none() && first.contains(name) => Some(lost(
                name,
                format!("it does not say what node {name} looked like before the engine"),
            )),
            Some(_) => None,
        }
    });
    all.collect()
}

/// Flows that the plan has and the evidence has not.
fn unseen_flows(plan: &Plan, evidence: &Evidence) -> Option<Loss> {
    let planned = plan.flows.flows.len();
    let seen = evidence.flows.len();
    (seen < planned && !plan.flows.promises.is_empty()).then(|| Loss {
        part: Part::Common,
        text: format!("`flows`: {planned} were planned, {seen} are there"),
    })
}

/// Steps that the plan has and the evidence has not.
fn unseen_steps(plan: &Plan, evidence: &Evidence) -> Option<Loss> {
    let planned = plan.steps.len();
    let ran = evidence.steps.iter().map(|step| step.index);
    let text = format!(
        "`steps`: {planned} were planned, {} are there",
        evidence.steps.len()
    );
    (!ran.eq(1..=planned)).then_some(Loss {
        part: Part::Common,
        text,
    })
}
