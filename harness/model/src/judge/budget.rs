//! Verdicts about budgets of steps: the time until everything has settled, and the engine's kernel writes.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::neighbour;
use crate::evidence::{Evidence, StepEvidence};
use crate::plan::{Budget, BudgetLimit};

/// Decides about one budget.
pub(super) fn decide(budget: Budget, evidence: &Evidence) -> Finding<'static> {
    let mut steps = evidence.steps.iter();
    let Some(seen) = steps.find(|seen| seen.index == budget.step) else {
        return Finding::open(format!("step {} never ran", budget.step));
    };
    match budget.limit {
        BudgetLimit::Settles(within) => settled(seen, within, evidence),
        BudgetLimit::Writes(most) => written(seen, u64::from(most)),
    }
}

fn settled(seen: &StepEvidence, within: u32, evidence: &Evidence) -> Finding<'static> {
    if seen.micros() <= u64::from(within) * 1_000 {
        return Finding::held(format!("step {} settled within {within} ms", seen.index));
    }
    // How much later differs from run to run, and is in the table.
    let late = format!("step {} had not settled after {within} ms", seen.index);
    // What is lost is sent again, later.
    match neighbour::doubt(evidence) {
        Some(why) => Finding::open(format!("{late}; {why}")),
        None => Finding::broken(late),
    }
}

fn written(seen: &StepEvidence, most: u64) -> Finding<'static> {
    let announced = seen.all_writes().unwrap_or(0);
    let observed: u64 = seen.notifications.values().flat_map(BTreeMap::values).sum();
    let what = if announced > most {
        format!("{announced} kernel writes")
    } else if observed > most {
        let by_kind = seen.notifications.iter().flat_map(|(node, kinds)| {
            let each = move |(kind, count): (&String, &u64)| format!("{node}: {count} of {kind}");
            kinds.iter().map(each)
        });
        let by_kind: Vec<_> = by_kind.collect();
        format!(
            "{observed} notifications of the kernel ({})",
            by_kind.join(", ")
        )
    } else {
        return Finding::held(format!("step {}: at most {most} kernel writes", seen.index));
    };
    let by_node = seen.writes.iter().filter(|(_, count)| **count > 0);
    let by_node: Vec<_> = by_node
        .map(|(node, count)| format!("{node} {count}"))
        .collect();
    let note = match by_node.is_empty() {
        true => "no agent has announced any".into(),
        false => format!("announced: {}", by_node.join(", ")),
    };
    let fact = format!("step {}: {what}, not at most {most}", seen.index);
    Finding::broken(fact).with_note(note)
}
