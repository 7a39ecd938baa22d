//! What a scenario promises besides its pairs: how much a step makes the engine write, and what
//! a dataplane has at the end.

use std::collections::BTreeMap;

use super::loss::Losses;
use crate::evidence::{Evidence, StepEvidence};
use crate::plan::{Plan, Step};
use crate::verdict::Outcome;

use super::neighbour;

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// What the scenario, or every one, says of its cluster.
    Scenario,
    /// What every engine is promised to be besides right.
    Conduct,
    /// What the scenario says of something that nobody looked at: it is open.
    Unseen,
}

/// A promise that is about no pair and did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Whose promise it was.
    pub about: About,
    /// The scenario's line that promises it; none if it is promised to every host.
    pub line: Option<u32>,
    /// What it was about, and what was seen instead.
    pub told: String,
    /// What differs from run to run, or from machine to machine.
    pub note: Option<String>,
    /// What is behind it, where more is known than what was seen.
    pub why: Option<String>,
}

impl Breach {
    /// How it was decided.
    pub fn outcome(&self) -> Outcome {
        match self.about {
            About::Scenario | About::Conduct => Outcome::Broken,
            About::Unseen => Outcome::Inconclusive,
        }
    }

    /// As reports say it.
    pub fn text(&self) -> String {
        match self.line {
            Some(line) => format!("line {line}, {}", self.told),
            None => self.told.clone(),
        }
    }
}

/// Every such promise that did not hold, in the order of the scenario's parts.
pub fn breaches(plan: &Plan, evidence: &Evidence) -> Vec<Breach> {
    if evidence.skipped.is_some() {
        return Vec::new();
    }
    let losses = Losses::new(plan, evidence);
    let lost = losses.told().map(|told| Breach {
        about: About::Unseen,
        line: None,
        told,
        note: None,
        why: None,
    });
    if !losses.spare_nodes() {
        return lost.collect();
    }
    let steps = plan.steps.iter().zip(&evidence.steps);
    let written = steps.flat_map(|(step, seen)| {
        let slow = late(step, seen).into_iter();
        // What is lost is sent again, later.
        let late = slow.map(|late| match neighbour::doubt(evidence) {
            Some(why) => Breach {
                about: About::Unseen,
                told: format!("{}; {why}", late.told),
                ..late
            },
            None => late,
        });
        late.chain(too_many_writes(step, seen))
    });
    let facts = plan
        .facts
        .iter()
        .flat_map(|fact| super::fact::contradicted(fact, plan, evidence));
    let hosts = super::host::breaches(plan, evidence);
    let conduct = super::conduct::breaches(plan, evidence);
    let broken = written.chain(facts).chain(hosts).chain(conduct);
    broken.chain(lost).collect()
}

fn late(step: &Step, seen: &StepEvidence) -> Option<Breach> {
    let within = step.settles_within?;
    // How much later differs from run to run, and is in the table.
    (seen.micros() > u64::from(within) * 1_000).then(|| Breach {
        note: None,
        why: None,
        about: About::Scenario,
        line: Some(step.line),
        told: format!("step {} had not settled after {within} ms", seen.index),
    })
}

fn too_many_writes(step: &Step, seen: &StepEvidence) -> Option<Breach> {
    let most = u64::from(step.writes?);
    let announced = seen.all_writes().unwrap_or(0);
    let observed: u64 = seen.notifications.values().flat_map(BTreeMap::values).sum();
    let what = if announced > most {
        format!("{announced} kernel writes")
    } else if observed > most {
        let by_kind = seen.notifications.iter().flat_map(|(node, kinds)| {
            let told = move |(kind, count): (&String, &u64)| format!("{node}: {count} of {kind}");
            kinds.iter().map(told)
        });
        let by_kind: Vec<_> = by_kind.collect();
        format!(
            "{observed} notifications of the kernel ({})",
            by_kind.join(", ")
        )
    } else {
        return None;
    };
    let by_node = seen.writes.iter().filter(|(_, count)| **count > 0);
    let by_node: Vec<_> = by_node
        .map(|(node, count)| format!("{node} {count}"))
        .collect();
    let note = match by_node.is_empty() {
        true => "no agent has announced any".into(),
        false => format!("announced: {}", by_node.join(", ")),
    };
    Some(Breach {
        note: Some(note),
        why: None,
        about: About::Scenario,
        line: Some(step.line),
        told: format!("step {}: {what}, not at most {most}", seen.index),
    })
}
