//! Steps about a node's key: whether that node has one.

use crate::name::NodeName;
use crate::plan::{Change, Plan, State};
use crate::problem::Problem;
use crate::scenario::Scenario;

/// Reports each key that nobody can replace when it is its step's turn: the run would wait for it until the
/// step's deadline.
pub(super) fn unreplaced(scenario: &Scenario, plan: &Plan) -> Vec<Problem> {
    let steps = scenario.steps.iter().enumerate();
    let problems = steps.filter_map(|(at, step)| {
        let change = step.action.change();
        let is_rotation = matches!(change, Change::Rotation);
        if !is_rotation && !matches!(change, Change::Key { .. }) {
            return None;
        }
        if let Change::Key { node, key } = change
            && key == Some(node)
        {
            return Some(Problem::new(
                format!("the key of {node} is overwritten with its own"),
                step.place("key"),
                "changes nothing",
                "name another node, or leave `key` out for a stranger's",
            ));
        }
        let state = plan.after(at);
        let mut nodes = step.action.nodes().into_iter();
        nodes.find_map(|(key, node)| {
            let (why, help) = match state.unlisted.contains(node) {
                true => (
                    "its Node is not in the store at this step",
                    "add a step `store-repair` before it",
                ),
                false if is_rotation => in_the_way(&state, node)?,
                // Whoever overwrites it writes into the store alone.
                false => return None,
            };
            let what = format!(
                "`{}` of {node}, whose key cannot be replaced",
                step.action.as_str()
            );
            Some(Problem::new(what, step.place(key), why, help))
        })
    });
    problems.collect()
}

/// Why a node does not replace its key when it is asked to, and what to do about it.
fn in_the_way(state: &State, node: &NodeName) -> Option<(&'static str, &'static str)> {
    if !state.agents.contains(node) {
        Some((
            "no agent runs there at this step",
            "add a step `start-engine` before it, or take another node",
        ))
    } else if !state.reachable {
        Some((
            "agents cannot reach the store at this step",
            "add a step `store-up` or `store-thaw` before it",
        ))
    } else if !state.encrypting.contains(node) {
        Some((
            "it does not encrypt at this step",
            "add a step `enable` before it, or take another node",
        ))
    } else {
        None
    }
}
