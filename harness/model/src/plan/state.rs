//! What a cluster has become after some of its steps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::name::{EndpointName, IfName, NodeName};

use super::{Action, Cluster, Endpoint, Node, Plan, StoreAction, endpoints_of};

/// A cluster between two steps, as an engine that does its part makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What the engine is told.
    pub cluster: Cluster,
    /// The nodes that exist, with the pods that are on them, in the order of their names.
    pub nodes: Vec<Node>,
    /// The nodes whose agent runs.
    pub agents: BTreeSet<NodeName>,
    /// The nodes whose dataplane encrypts: what is asked for while an agent does not run takes
    /// effect when it is started again.
    pub encrypting: BTreeSet<NodeName>,
    /// Whether agents can reach the store: what is asked for while they cannot takes effect when
    /// they can again.
    pub reachable: bool,
    /// The nodes about whose traffic with others nothing follows from the intent.
    pub unclear: BTreeSet<NodeName>,
}

impl State {
    /// Before the first step, once the engine is in sync.
    fn at_first(plan: &Plan) -> Self {
        let mut state = Self {
            cluster: plan.cluster.clone(),
            nodes: plan.nodes.clone(),
            agents: plan.nodes.iter().map(|node| node.name.clone()).collect(),
            encrypting: BTreeSet::new(),
            reachable: true,
            unclear: BTreeSet::new(),
        };
        state.settle();
        state
    }

    /// What a step makes of it.
    pub fn act(&mut self, action: &Action) {
        match action {
            Action::Enable => self.cluster.wireguard = true,
            Action::Disable => self.cluster.wireguard = false,
            Action::Configure {
                node,
                set,
                annotations,
                unset,
            } => self.configure(node.as_ref(), set, annotations, unset),
            Action::RestartEngine { .. } => {}
            Action::RotateKey { .. } => {}
            Action::Store(StoreAction::Down | StoreAction::Freeze) => self.reachable = false,
            Action::Store(StoreAction::Up | StoreAction::Thaw) => self.reachable = true,
            Action::Store(_) => {}
            Action::OverwriteKey { node, key } => {
                // An agent that runs puts its key right.
                if !self.agents.contains(node) {
                    self.unclear.insert(node.clone());
                    self.unclear.extend(key.clone());
                }
            }
            Action::Tamper { node, .. } => {
                if !self.agents.contains(node) {
                    self.unclear.insert(node.clone());
                }
            }
            Action::StopEngine { node } | Action::KillEngine { node } => {
                for name in self.named(node.as_ref()) {
                    self.agents.remove(&name);
                }
            }
            Action::StartEngine { node } => {
                let started = self.named(node.as_ref());
                self.agents.extend(started);
                if self.agents.len() == self.nodes.len() {
                    self.unclear.clear();
                }
            }
        }
        self.settle();
    }

    /// The node of that name, or all where none is named.
    pub fn named(&self, node: Option<&NodeName>) -> Vec<NodeName> {
        let all = self.nodes.iter().map(|node| node.name.clone());
        all.filter(|name| node.is_none_or(|wanted| wanted == name))
            .collect()
    }

    /// Every endpoint that exists: for each node in order, the node and then its pods.
    pub fn endpoints(&self) -> Vec<Endpoint<'_>> {
        endpoints_of(&self.nodes)
    }

    /// The endpoint of that name, if it exists.
    pub fn endpoint(&self, name: &EndpointName) -> Option<Endpoint<'_>> {
        self.endpoints().into_iter().find(|e| &e.name == name)
    }

    fn configure(
        &mut self,
        node: Option<&NodeName>,
        set: &BTreeMap<String, Value>,
        annotations: &BTreeMap<String, String>,
        unset: &BTreeSet<String>,
    ) {
        let settings = match node {
            None => &mut self.cluster.settings,
            Some(name) => match self.nodes.iter_mut().find(|node| &node.name == name) {
                Some(node) => &mut node.settings,
                None => return,
            },
        };
        settings.fields.retain(|field, _| !unset.contains(field));
        settings.annotations.retain(|name, _| !unset.contains(name));
        settings.fields.extend(set.clone());
        settings.annotations.extend(annotations.clone());
        match node {
            None => self.cluster.read_settings(unset),
            Some(name) => {
                let named = self.nodes.iter_mut().find(|node| &node.name == name);
                named.into_iter().for_each(|node| node.read_settings(unset));
            }
        }
    }

    fn settle(&mut self) {
        if !self.reachable {
            return;
        }
        for node in &self.nodes {
            if !self.agents.contains(&node.name) {
                continue;
            }
            if self.cluster.wireguard && node.wireguard {
                self.encrypting.insert(node.name.clone());
            } else {
                self.encrypting.remove(&node.name);
            }
        }
    }
}

impl Plan {
    /// This plan with the cluster of another moment, for whoever asks what it is then.
    pub fn with(&self, state: State) -> Self {
        Self {
            cluster: state.cluster,
            nodes: state.nodes,
            ..self.clone()
        }
    }

    /// The cluster after the first `steps` steps.
    pub fn after(&self, steps: usize) -> State {
        let mut state = State::at_first(self);
        for step in self.steps.iter().take(steps) {
            state.act(&step.action);
        }
        state
    }

    /// What tunnel devices are called, at any time.
    pub fn tunnels(&self) -> BTreeSet<IfName> {
        (0..=self.steps.len())
            .map(|steps| self.after(steps).cluster.interface)
            .collect()
    }

    /// The cluster after every step, which is the one that the promises are about.
    pub fn at_last(&self) -> State {
        self.after(self.steps.len())
    }
}
