//! What goes on through every step, and what is promised about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::EndpointName;
use crate::plan::{
    Class, Flow, FlowId, Flows, Plan, PromiseId, Protection, State, StepKind, StepPromise,
};

/// As many flows as there are at most, if a few for each pair of nodes suffice.
const MOST: usize = 48;

/// Packets that all flows send together, in a second: what a small machine bears beside its work.
const PACKETS: u32 = 400;

/// The shortest and the longest time between two packets of a flow, in microseconds.
const SHORTEST: u32 = 5_000;
const LONGEST: u32 = 200_000;

/// The flows of a plan that has all else; none without steps.
pub(super) fn flows(plan: &Plan) -> Flows {
    if plan.steps.is_empty() {
        return Flows::default();
    }
    let states: Vec<_> = (0..=plan.steps.len())
        .map(|steps| plan.after(steps))
        .collect();
    let flows: Vec<_> = (0..)
        .zip(pairs(&states))
        .map(|(id, (from, to))| Flow {
            id: FlowId(id),
            from,
            to,
        })
        .collect();
    let count = u32::try_from(flows.len()).unwrap_or(u32::MAX);
    let every = (count.saturating_mul(1_000_000) / PACKETS).clamp(SHORTEST, LONGEST);
    let first = u32::try_from(plan.promises.len()).unwrap_or(u32::MAX);
    Flows {
        every,
        promises: promises(first, &states, &flows),
        flows,
    }
}

/// Which pairs flows are between: one for each two nodes and class, and then more of each in
/// turn while there is room.
fn pairs(states: &[State]) -> Vec<(EndpointName, EndpointName)> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    let mut known = BTreeSet::new();
    for state in states {
        let endpoints = state.endpoints();
        for from in &endpoints {
            for to in &endpoints {
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
    }
    let mut chosen = Vec::new();
    for turn in 0.. {
        let before = chosen.len();
        for ((_, class), pairs) in &kinds {
            let room = turn == 0 || (chosen.len() < MOST && *class != Class::SameHost);
            chosen.extend(pairs.get(turn).filter(|_| room).cloned());
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen.sort();
    chosen
}

/// What can be promised of each step, numbered from `first`.
fn promises(first: u32, states: &[State], flows: &[Flow]) -> Vec<StepPromise> {
    let secret = |state: &State, flow: &Flow| state.flow(flow).is_some_and(Protection::is_secret);
    let delivered =
        |state: &State, flow: &Flow| state.flow(flow).is_some_and(Protection::is_delivered);
    let steps = states.windows(2).zip(1..).flat_map(|(around, step)| {
        let mut kinds = Vec::new();
        if let [before, after] = around {
            if flows.iter().any(|flow| secret(after, flow)) {
                kinds.push(StepKind::Leak);
            }
            let lasts = |flow: &Flow| delivered(before, flow) && delivered(after, flow);
            if flows.iter().any(lasts) {
                kinds.push(StepKind::Outage);
            }
        }
        kinds.into_iter().map(move |kind| (step, kind))
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
