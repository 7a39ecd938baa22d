//! What a scenario promises besides its pairs: when a step has settled, how much it makes the engine write,
//! and what the other parts of the judge find of dataplanes, hosts and engines.

use std::collections::BTreeMap;

use super::breach::{About, Breach};
use super::loss::Losses;
use super::{conduct, fact, host, neighbour};
use crate::evidence::{Evidence, StepEvidence};
use crate::plan::{Plan, Step};

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
        .flat_map(|fact| fact::contradicted(fact, plan, evidence));
    let hosts = host::breaches(plan, evidence);
    let conduct = conduct::breaches(plan, evidence);
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
