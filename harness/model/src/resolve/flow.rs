//! Flows: packets that are sent throughout every step, and the promises about them.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::EndpointName;
use crate::plan::{
    Class, Flow, FlowCourse, FlowId, Flows, Plan, PromiseId, State, StepKind, StepPromise,
};

use crate::scenario;

/// As many flows as there are at most if the author does not set it, and a few for each pair of nodes suffice.
const MAX_FLOWS: usize = 48;

/// Packets that all flows send together, in a second: what a small machine bears beside its work.
const PACKETS: u32 = 800;

/// The shortest and the longest time between two packets of a flow, in microseconds.
const MIN_INTERVAL: u32 = 5_000;
const MAX_INTERVAL: u32 = 200_000;

/// The flows of a plan that has all else; none without steps, or if the author wants none.
/// There is one between each of the pairs `watched`, whatever else there is room for.
pub(super) fn flows(
    plan: &Plan,
    written: &scenario::Flows,
    watched: &[(EndpointName, EndpointName)],
) -> Flows {
    if plan.steps.is_empty() || written.off {
        return Flows::default();
    }
    let families = &plan.cluster.families;
    let most = written.count.map_or(MAX_FLOWS, usize::from) / families.len().max(1);
    let chosen: BTreeSet<_> = pairs(plan.states(), most)
        .into_iter()
        .chain(watched.iter().cloned())
        .collect();
    let chosen = chosen.into_iter().flat_map(|pair| {
        let each = families.iter();
        each.map(move |family| (pair.clone(), *family))
    });
    let flows: Vec<_> = (0..)
        .zip(chosen)
        .map(|(id, ((from, to), family))| Flow {
            id: FlowId(id),
            from,
            to,
            family,
        })
        .collect();
    let count = u32::try_from(flows.len()).unwrap_or(u32::MAX);
    let every = (count.saturating_mul(1_000_000) / PACKETS).clamp(MIN_INTERVAL, MAX_INTERVAL);
    let every = written
        .every
        .map_or(every, |millis| u32::from(millis) * 1_000);
    let first = u32::try_from(plan.promises.len()).unwrap_or(u32::MAX);
    Flows {
        every,
        promises: promises(first, plan.states(), &flows),
        flows,
    }
}

/// Which pairs flows are between: one for each two nodes and class, and then more of each in
/// turn while there is room.
fn pairs(states: impl Iterator<Item = State>, most: usize) -> Vec<(EndpointName, EndpointName)> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    let mut known = BTreeSet::new();
    let mut before = BTreeSet::new();
    for state in states {
        let endpoints = state.endpoints();
        let new: Vec<_> = endpoints
            .iter()
            .filter(|end| !before.contains(&end.name))
            .collect();
        for from in &endpoints {
            // Pairs of two who were there before have been looked at then.
            let others: Vec<_> = match before.contains(&from.name) {
                true => new.clone(),
                false => endpoints.iter().collect(),
            };
            for to in others {
                let pair = (from.name.clone(), to.name.clone());
                if from.name == to.name || !known.insert(pair.clone()) {
                    continue;
                }
                let ends = (from.node.name.clone(), to.node.name.clone());
                let class = from.class(to);
                // Of those within a node, pods tell all there is to know.
                if class == Class::SameHost && (from.pod.is_none() || to.pod.is_none()) {
                    continue;
                }
                kinds.entry((ends, class)).or_default().push(pair);
            }
        }
        before = endpoints.into_iter().map(|end| end.name).collect();
    }
    let mut chosen = Vec::new();
    for turn in 0.. {
        let before = chosen.len();
        for ((_, class), pairs) in &kinds {
            let room = turn == 0 || (chosen.len() < most && *class != Class::SameHost);
            chosen.extend(pairs.get(turn).filter(|_| room).cloned());
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen.sort();
    chosen
}

/// What can be promised of each step and of the time before them, numbered from `first`.
fn promises(first: u32, states: impl Iterator<Item = State>, flows: &[Flow]) -> Vec<StepPromise> {
    let mut before: Vec<FlowCourse> = Vec::new();
    let steps = states.zip(0..).flat_map(|(state, step)| {
        let after = state.courses(flows);
        let leak = after.iter().any(|flow| flow.is_hidden);
        let mut both = before.iter().zip(&after);
        let outage = both.any(|(before, after)| before.is_delivered && after.is_delivered);
        before = after;
        let kinds = [(leak, StepKind::Leak), (outage, StepKind::Outage)];
        let kinds = kinds.into_iter().filter(|(judged, _)| *judged);
        kinds.map(move |(_, kind)| (step, kind))
    });
    (first..)
        .zip(steps)
        .map(|(id, (step, kind))| StepPromise {
            id: PromiseId(id),
            step,
            kind,
        })
        .collect()
}
