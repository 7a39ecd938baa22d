//! What happens when, and whether it can.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::NodeName;
use crate::plan::{self, Action, Own, Step, StoreAction, Tamper};
use crate::problem::{Problem, Span, known_words};
use crate::scenario::{self, Scenario};

use super::line;
use super::placement::Placement;
use super::store::StoreStage;

/// Reports each step that cannot happen when it is its turn.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    let mut stage = Stage::at_first(placement, StoreStage::at_first(scenario));
    for step in &scenario.steps {
        if let Err(problem) = stage.act(step) {
            problems.push(problem);
        }
    }
}

/// The steps as meant. `ready` is the deadline of those that have none of their own.
pub(super) fn steps(scenario: &Scenario, text: &str, ready: u32) -> Vec<Step> {
    let step = |written: &scenario::Step| Step {
        action: written.action.clone(),
        deadline: written.deadline.unwrap_or(ready),
        outage: written.outage.unwrap_or(plan::OUTAGE),
        line: line(text, written.place("action").start),
    };
    scenario.steps.iter().map(step).collect()
}

/// What there is between two steps.
struct Stage {
    nodes: BTreeSet<NodeName>,
    /// Nodes without an agent, and the step that ended it.
    quiet: BTreeMap<NodeName, Span>,
    store: StoreStage,
}

impl Stage {
    fn at_first(placement: &Placement, store: StoreStage) -> Self {
        Self {
            nodes: placement.nodes.keys().cloned().collect(),
            quiet: BTreeMap::new(),
            store,
        }
    }

    fn act(&mut self, step: &scenario::Step) -> Result<(), Problem> {
        match &step.action {
            Action::Enable | Action::Disable => Ok(()),
            Action::Configure { node, .. } => node
                .as_ref()
                .map_or(Ok(()), |node| self.known(step, "node", node)),
            Action::StopEngine { node } | Action::KillEngine { node } => {
                self.end_agents(step, node.as_ref())
            }
            Action::RestartEngine { node } => self.restart_agents(step, node.as_ref()),
            Action::Tamper { node, what, .. } => {
                self.known(step, "node", node)?;
                match what {
                    Tamper::Delete(Own::Peer(peer)) => self.known(step, "delete", peer),
                    Tamper::Delete(_) | Tamper::Sysctl(_) | Tamper::Add(_) => Ok(()),
                }
            }
            Action::RotateKey { node } => self.known(step, "node", node),
            Action::OverwriteKey { node, key } => {
                self.known(step, "node", node)?;
                key.as_ref()
                    .map_or(Ok(()), |key| self.known(step, "key", key))
            }
            Action::StartEngine { node } => self.start_agents(step, node.as_ref()),
            Action::Store(action) => {
                if let StoreAction::Garbage {
                    node: Some(node), ..
                } = action
                {
                    self.known(step, "node", node)?;
                }
                self.store.act(step, action)
            }
        }
    }

    fn end_agents(
        &mut self,
        step: &scenario::Step,
        node: Option<&NodeName>,
    ) -> Result<(), Problem> {
        let (running, quiet) = self.agents(step, node)?;
        let place = step.place("action");
        if running.is_empty() {
            let first = quiet.first().and_then(|name| self.quiet.get(name));
            let problem = Problem::new(
                "the engine is killed twice",
                place,
                "no agent runs any more",
                "add a step `action = \"start-engine\"` between the two, or remove one",
            );
            return Err(match first {
                Some(first) => problem.and(first.clone(), "killed here"),
                None => problem,
            });
        }
        for name in running {
            self.quiet.insert(name, place.clone());
        }
        Ok(())
    }

    fn start_agents(
        &mut self,
        step: &scenario::Step,
        node: Option<&NodeName>,
    ) -> Result<(), Problem> {
        let (_, quiet) = self.agents(step, node)?;
        if quiet.is_empty() {
            return Err(Problem::new(
                "the engine is started twice",
                step.place("action"),
                "every agent runs already",
                "add a step `action = \"kill-engine\"` before it, or remove it",
            ));
        }
        for name in quiet {
            self.quiet.remove(&name);
        }
        Ok(())
    }

    fn restart_agents(
        &self,
        step: &scenario::Step,
        node: Option<&NodeName>,
    ) -> Result<(), Problem> {
        let (_, quiet) = self.agents(step, node)?;
        let Some(ended) = quiet.first().and_then(|name| self.quiet.get(name)) else {
            return Ok(());
        };
        let problem = Problem::new(
            "an engine that does not run is restarted",
            step.place("action"),
            "not every agent runs",
            "write `action = \"start-engine\"`",
        );
        Err(problem.and(ended.clone(), "ended here"))
    }

    /// The nodes that a step is about, those with an agent first.
    fn agents(
        &self,
        step: &scenario::Step,
        node: Option<&NodeName>,
    ) -> Result<(Vec<NodeName>, Vec<NodeName>), Problem> {
        if let Some(node) = node {
            self.known(step, "node", node)?;
        }
        let named = self
            .nodes
            .iter()
            .filter(|name| node.is_none_or(|node| node == *name));
        Ok(named
            .cloned()
            .partition(|name| !self.quiet.contains_key(name)))
    }

    fn known(&self, step: &scenario::Step, key: &str, node: &NodeName) -> Result<(), Problem> {
        if self.nodes.contains(node) {
            return Ok(());
        }
        let known: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        Err(Problem::new(
            format!("unknown node `{node}`"),
            step.place(key),
            "no such node at this step",
            known_words("node", node.as_str(), &known),
        ))
    }
}
