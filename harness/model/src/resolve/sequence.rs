//! The sequence of the steps: which nodes and pods exist after each, and whether each step is possible when it
//! is its turn.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{EndpointName, NodeName, PodName};
use crate::plan::{AgentChange, Change, NodeChange, PodChange};
use crate::problem::{Problem, Span, known_names};
use crate::scenario::{self, Scenario};

use super::placement::Placement;
use super::store::StoreStage;

/// Who is there when.
pub(super) struct Course {
    /// Those who only come with a step.
    pub(super) later: BTreeSet<EndpointName>,
    /// Those who are there after the last.
    pub(super) last: BTreeSet<EndpointName>,
    /// The nodes that are there at first, and after each step.
    pub(super) nodes: Vec<BTreeSet<NodeName>>,
}

/// Reports each step that cannot happen when it is its turn.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    problems: &mut Vec<Problem>,
) -> Course {
    let later = later(scenario);
    let mut stage = Stage::at_first(placement, &later, StoreStage::at_first(scenario));
    let mut present = vec![stage.nodes.clone()];
    for step in &scenario.steps {
        if let Err(problem) = stage.act(step) {
            problems.push(problem);
        }
        present.push(stage.nodes.clone());
    }
    let nodes = stage.nodes.iter().map(EndpointName::from);
    let clients = scenario.clients.iter();
    let clients = clients.map(|client| EndpointName::from(client.name.get_ref()));
    let last = nodes
        .chain(stage.pods.keys().map(EndpointName::from))
        .chain(clients);
    Course {
        last: last.collect(),
        nodes: present,
        later,
    }
}

/// Whoever is added before anything else happens to them was not there before.
fn later(scenario: &Scenario) -> BTreeSet<EndpointName> {
    let mut met = BTreeMap::<EndpointName, bool>::new();
    for step in &scenario.steps {
        let Some((name, added)) = step.action.change().presence() else {
            continue;
        };
        met.entry(name).or_insert(added);
    }
    let added = met.into_iter().filter(|(_, added)| *added);
    added.map(|(name, _)| name).collect()
}

/// What there is between two steps.
struct Stage {
    /// Everyone who is there at some time, with the pods' first nodes.
    homes: BTreeMap<PodName, NodeName>,
    all_nodes: BTreeSet<NodeName>,
    nodes: BTreeSet<NodeName>,
    pods: BTreeMap<PodName, NodeName>,
    apart: BTreeSet<NodeName>,
    later: BTreeSet<EndpointName>,
    /// Nodes without an agent, and the step that ended it.
    quiet: BTreeMap<NodeName, Span>,
    store: StoreStage,
}

impl Stage {
    fn at_first(placement: &Placement, later: &BTreeSet<EndpointName>, store: StoreStage) -> Self {
        let homes = placement.nodes.iter().flat_map(|(node, pods)| {
            let pair = move |pod: &PodName| (pod.clone(), node.clone());
            pods.iter().map(pair)
        });
        let mut stage = Self {
            homes: homes.collect(),
            all_nodes: placement.nodes.keys().cloned().collect(),
            nodes: BTreeSet::new(),
            pods: BTreeMap::new(),
            apart: BTreeSet::new(),
            later: later.clone(),
            quiet: BTreeMap::new(),
            store,
        };
        for node in placement.nodes.keys() {
            if !later.contains(&EndpointName::from(node)) {
                stage.join(node);
            }
        }
        stage
    }

    fn join(&mut self, node: &NodeName) {
        self.nodes.insert(node.clone());
        let homes = self.homes.iter().filter(|(_, home)| *home == node);
        for (pod, home) in homes {
            let comes_later = self.later.contains(&EndpointName::from(pod));
            if !comes_later && !self.pods.contains_key(pod) {
                self.pods.insert(pod.clone(), home.clone());
            }
        }
    }

    fn act(&mut self, step: &scenario::Step) -> Result<(), Problem> {
        self.store.stay(step)?;
        for (key, node) in step.action.nodes() {
            self.known(step, key, node)?;
        }
        match step.action.change() {
            Change::Nothing { .. }
            | Change::Encryption(_)
            | Change::Configuration(_)
            | Change::Rotation
            | Change::Key { .. }
            | Change::Dataplane { .. }
            | Change::Fabric(_) => Ok(()),
            Change::Agents { node, change } => match change {
                AgentChange::End => self.end_agents(step, node),
                AgentChange::Start => self.start_agents(step, node),
                AgentChange::Restart => self.restart_agents(step, node),
            },
            Change::Store(action) => self.store.act(step, action),
            Change::Link { node, connected } => self.connect(step, node, connected),
            Change::Pod(pod, change) => match change {
                PodChange::Add => self.add_pod(step, pod),
                PodChange::Remove => {
                    self.there(step, pod)?;
                    self.pods.remove(pod);
                    Ok(())
                }
                PodChange::Move(to) => self.move_pod(step, pod, to),
            },
            Change::Node(node, change) => match change {
                NodeChange::Add => self.add_node(step, node),
                NodeChange::Remove => {
                    self.nodes.remove(node);
                    self.quiet.remove(node);
                    self.apart.remove(node);
                    self.pods.retain(|_, on| on != node);
                    Ok(())
                }
                NodeChange::Reboot => {
                    self.quiet.remove(node);
                    Ok(())
                }
                NodeChange::Address(_) | NodeChange::Mtu(_) | NodeChange::Metric => Ok(()),
            },
            Change::Provoked(provoked) if provoked.change().can_be_undone() => Ok(()),
            Change::Provoked(provoked) => Err(Problem::new(
                format!("`{}` provokes nothing that is undone", provoked.as_str()),
                step.place("provoke"),
                "neither a configuration nor something to repair",
                "write `provoke = { action = \"tamper\", node = \"NAME\", delete = \"everything\" }`",
            )),
        }
    }

    fn connect(
        &mut self,
        step: &scenario::Step,
        node: &NodeName,
        connected: bool,
    ) -> Result<(), Problem> {
        let changes = match connected {
            true => self.apart.remove(node),
            false => self.apart.insert(node.clone()),
        };
        if changes {
            return Ok(());
        }
        let (what, why, help) = match connected {
            true => (
                "is not cut off",
                "nothing to heal",
                "add a step `action = \"partition\"` before it, or remove it",
            ),
            false => (
                "is cut off twice",
                "cut off already",
                "add a step `action = \"heal\"` between the two, or remove one",
            ),
        };
        let place = step.place("node");
        Err(Problem::new(format!("`{node}` {what}"), place, why, help))
    }

    fn add_pod(&mut self, step: &scenario::Step, pod: &PodName) -> Result<(), Problem> {
        if self.pods.contains_key(pod) {
            return Err(twice(step, "pod", pod.as_str()));
        }
        let Some(home) = self.homes.get(pod).cloned() else {
            return self.there(step, pod);
        };
        if !self.nodes.contains(&home) {
            return Err(Problem::new(
                format!("`{pod}` appears on a node that is not there"),
                step.place("pod"),
                format!("its node is `{home}`"),
                format!("add a step that adds `{home}` before it"),
            ));
        }
        self.pods.insert(pod.clone(), home);
        Ok(())
    }

    fn move_pod(
        &mut self,
        step: &scenario::Step,
        pod: &PodName,
        to: &NodeName,
    ) -> Result<(), Problem> {
        self.there(step, pod)?;
        if self.pods.insert(pod.clone(), to.clone()).as_ref() != Some(to) {
            return Ok(());
        }
        Err(Problem::new(
            format!("`{pod}` moves to where it is"),
            step.place("to"),
            "the same node",
            "name another node, or remove the step",
        ))
    }

    fn add_node(&mut self, step: &scenario::Step, node: &NodeName) -> Result<(), Problem> {
        if self.nodes.contains(node) {
            return Err(twice(step, "node", node.as_str()));
        }
        if !self.all_nodes.contains(node) {
            return self.known(step, "node", node);
        }
        self.join(node);
        Ok(())
    }

    /// Whether a pod is there.
    fn there(&self, step: &scenario::Step, pod: &PodName) -> Result<(), Problem> {
        if self.pods.contains_key(pod) {
            return Ok(());
        }
        let known: Vec<&str> = self.pods.keys().map(PodName::as_str).collect();
        Err(Problem::new(
            format!("unknown pod `{pod}`"),
            step.place("pod"),
            "no such pod at this step",
            known_names("pod", pod.as_str(), &known),
        ))
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
            known_names("node", node.as_str(), &known),
        ))
    }
}

fn twice(step: &scenario::Step, key: &str, name: &str) -> Problem {
    Problem::new(
        format!("`{name}` is added twice"),
        step.place(key),
        "it is there already",
        "remove the step, or add one before it that removes it",
    )
}
