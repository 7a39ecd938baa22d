//! The state of a cluster after some of its steps.

use std::collections::BTreeSet;

use crate::name::{EndpointName, IfName, NodeName, PodName};

use super::cluster::{endpoint_of, endpoints_of};
use super::{
    AgentChange, Change, Cluster, Configuration, Endpoint, Fabric, Family, IPV6_MTU_MIN, Node,
    NodeChange, Plan, Pod, PodChange, Step, Store, StoreAction,
};

/// What AKS's network takes of the MTU besides, in bytes (Felix: `wireguard.go`).
const AKS_OVERHEAD: u16 = 100;

/// A cluster between two steps, as an engine that does its part makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What connects the nodes, and what it does to packets now.
    pub fabric: Fabric,
    /// The settings in the store.
    pub cluster: Cluster,
    /// The nodes that exist, with the pods that are on them, in the order of their names.
    pub nodes: Vec<Node>,
    /// Hosts outside the cluster.
    pub clients: Vec<Node>,
    /// The nodes whose agent runs.
    pub agents: BTreeSet<NodeName>,
    /// The nodes whose dataplane encrypts: what is asked for while an agent does not run takes
    /// effect when it is started again.
    pub encrypting: BTreeSet<NodeName>,
    /// Whether agents can reach the store: what is asked for while they cannot takes effect when
    /// they can again.
    pub reachable: bool,
    /// The nodes that the fabric does not serve.
    pub apart: BTreeSet<NodeName>,
    /// The nodes about whose traffic with others nothing follows from the intent.
    pub unclear: BTreeSet<NodeName>,
    /// The nodes whose Node is not in the store, though they are there, and so are the resources of their
    /// pods.
    pub unlisted: BTreeSet<NodeName>,
    /// Those of them that agents know of.
    pub deleted: BTreeSet<NodeName>,
}

impl State {
    /// Before the first step, once the engine is in sync.
    fn at_first(plan: &Plan) -> Self {
        let mut state = Self {
            fabric: plan.fabric.clone(),
            cluster: plan.cluster.clone(),
            nodes: Vec::new(),
            clients: plan.clients.clone(),
            agents: BTreeSet::new(),
            encrypting: BTreeSet::new(),
            reachable: true,
            apart: BTreeSet::new(),
            unclear: BTreeSet::new(),
            unlisted: BTreeSet::new(),
            deleted: BTreeSet::new(),
        };
        for node in &plan.nodes {
            if !plan.later.contains(&EndpointName::from(&node.name)) {
                state.join(plan, &node.name);
            }
        }
        state.settle();
        state
    }

    /// What a step makes of it.
    fn act(&mut self, plan: &Plan, step: &Step) {
        match step.action.change() {
            // What an agent is made to do and dies of is undone; a node's own engine replaces its key.
            Change::Nothing { .. } | Change::Provoked(_) | Change::Rotation => {}
            Change::Encryption(wanted) => self.cluster.wireguard = wanted,
            Change::Configuration(configuration) => self.configure(configuration),
            Change::Agents { node, change } => self.change_agents(node, change),
            Change::Store(StoreAction::Down | StoreAction::Freeze) => self.reachable = false,
            Change::Store(StoreAction::Up | StoreAction::Thaw) => self.reachable = true,
            Change::Store(StoreAction::Repair) => self.unlisted.clear(),
            Change::Store(
                action @ (StoreAction::Compact
                | StoreAction::Burst { .. }
                | StoreAction::Garbage { .. }),
            ) => {
                let deleted = action.deletes().filter(|_| plan.store == Store::Directory);
                self.unlisted.extend(deleted.cloned());
            }
            Change::Fabric(action) => self.fabric.act(action, step.line),
            // An agent that runs puts its key and its dataplane right.
            Change::Key { node, key } => {
                if !self.agents.contains(node) {
                    self.unclear.insert(node.clone());
                    self.unclear.extend(key.cloned());
                }
            }
            Change::Dataplane { node, .. } => {
                if !self.agents.contains(node) {
                    self.unclear.insert(node.clone());
                }
            }
            Change::Pod(pod, PodChange::Add) => self.add_pod(plan, pod),
            Change::Pod(pod, PodChange::Remove) => drop(self.take_pod(pod)),
            Change::Pod(pod, PodChange::Move(to)) => {
                if let Some(pod) = self.take_pod(pod) {
                    self.put_pod(to, pod);
                }
            }
            Change::Node(node, change) => self.change_node(plan, node, change),
            Change::Link {
                node,
                connected: true,
            } => drop(self.apart.remove(node)),
            Change::Link {
                node,
                connected: false,
            } => drop(self.apart.insert(node.clone())),
        }
        self.settle();
    }

    fn change_agents(&mut self, node: Option<&NodeName>, change: AgentChange) {
        let named = self.named(node);
        match change {
            AgentChange::Restart => {}
            AgentChange::End => {
                for name in named {
                    self.agents.remove(&name);
                }
            }
            AgentChange::Start => {
                self.agents.extend(named);
                if self.agents.len() == self.nodes.len() {
                    self.unclear.clear();
                }
            }
        }
    }

    fn change_node(&mut self, plan: &Plan, name: &NodeName, change: NodeChange) {
        let node = self.nodes.iter_mut().find(|known| known.name == *name);
        match change {
            NodeChange::Metric => {}
            NodeChange::Add => self.join(plan, name),
            NodeChange::Remove => {
                self.nodes.retain(|known| known.name != *name);
                for names in [
                    &mut self.agents,
                    &mut self.encrypting,
                    &mut self.apart,
                    &mut self.unlisted,
                ] {
                    names.remove(name);
                }
            }
            NodeChange::Reboot => {
                self.encrypting.remove(name);
                self.agents.insert(name.clone());
            }
            NodeChange::Address(address) => {
                if let Some(node) = node {
                    node.address = address;
                }
            }
            NodeChange::Mtu(mtu) => {
                if let Some(node) = node {
                    node.mtu = mtu;
                }
            }
        }
    }

    /// The same without any node: what a cluster is built from.
    pub fn without_nodes(&self) -> Self {
        Self {
            nodes: Vec::new(),
            ..self.clone()
        }
    }

    /// The node of that name, or all where none is named.
    pub fn named(&self, node: Option<&NodeName>) -> Vec<NodeName> {
        let all = self.nodes.iter().map(|node| node.name.clone());
        all.filter(|name| node.is_none_or(|wanted| wanted == name))
            .collect()
    }

    /// Whether a node publishes a key: it encrypts, and has a Node to publish it in.
    pub fn publishes(&self, node: &NodeName) -> bool {
        self.encrypting.contains(node) && !self.deleted.contains(node)
    }

    /// Whether the fabric carries nothing between two endpoints.
    pub fn are_apart(&self, from: &Endpoint<'_>, to: &Endpoint<'_>) -> bool {
        let cut_off = |end: &Endpoint<'_>| self.apart.contains(&end.node.name);
        from.node.name != to.node.name && (cut_off(from) || cut_off(to))
    }

    /// The MTU that a node's tunnel device of a family must have: the uplink's without what
    /// WireGuard adds to a packet, and on AKS with host encryption without 100 bytes more. A
    /// device that carries IPv6 has no smaller one than IPv6's minimum.
    pub fn tunnel_mtu(&self, node: &Node, family: Family) -> u16 {
        let aks = self.cluster.cluster_type.as_deref() == Some("aks");
        let network = if aks && self.cluster.host_encryption {
            AKS_OVERHEAD
        } else {
            0
        };
        let overhead = family.wireguard_overhead() + network;
        let found = node.mtu.saturating_sub(overhead);
        match family {
            Family::Ipv4 => self.cluster.mtu.unwrap_or(found),
            Family::Ipv6 => {
                let set = self.cluster.mtu_of_ipv6();
                set.unwrap_or(found).max(IPV6_MTU_MIN)
            }
        }
    }

    /// Every endpoint that exists: for each node in order, the node and then its pods.
    pub fn endpoints(&self) -> Vec<Endpoint<'_>> {
        endpoints_of(self.nodes.iter().chain(&self.clients))
    }

    /// The endpoint of that name, if it exists.
    pub fn endpoint(&self, name: &EndpointName) -> Option<Endpoint<'_>> {
        endpoint_of(self.nodes.iter().chain(&self.clients), name)
    }

    /// A node with those of its pods that do not come later.
    fn join(&mut self, plan: &Plan, name: &NodeName) {
        let Some(node) = plan.nodes.iter().find(|node| &node.name == name) else {
            return;
        };
        let mut node = node.clone();
        let elsewhere: BTreeSet<_> = self.endpoints().into_iter().map(|e| e.name).collect();
        node.pods.retain(|pod| {
            let name = EndpointName::from(&pod.name);
            !plan.later.contains(&name) && !elsewhere.contains(&name)
        });
        let position = self.nodes.partition_point(|known| known.name < node.name);
        self.agents.insert(node.name.clone());
        self.nodes.insert(position, node);
        self.note_idle_agents();
    }

    fn add_pod(&mut self, plan: &Plan, name: &PodName) {
        let home = plan.nodes.iter().find_map(|node| {
            let pod = node.pods.iter().find(|pod| &pod.name == name)?;
            Some((node.name.clone(), pod.clone()))
        });
        if let Some((node, pod)) = home {
            self.put_pod(&node, pod);
        }
    }

    fn put_pod(&mut self, node: &NodeName, pod: Pod) {
        for node in self.nodes.iter_mut().filter(|known| &known.name == node) {
            let position = node.pods.partition_point(|known| known.name < pod.name);
            node.pods.insert(position, pod.clone());
        }
        self.note_idle_agents();
    }

    fn take_pod(&mut self, name: &PodName) -> Option<Pod> {
        self.note_idle_agents();
        self.nodes.iter_mut().find_map(|node| {
            let position = node.pods.iter().position(|pod| &pod.name == name)?;
            Some(node.pods.remove(position))
        })
    }

    /// A node without an agent does not follow.
    fn note_idle_agents(&mut self) {
        let idle = self.nodes.iter().map(|node| &node.name);
        let idle = idle.filter(|name| !self.agents.contains(*name)).cloned();
        self.unclear.extend(idle);
    }

    fn configure(&mut self, configuration: &Configuration) {
        let Configuration {
            node,
            set,
            annotations,
            unset,
        } = configuration;
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
        self.deleted.clone_from(&self.unlisted);
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
            fabric: state.fabric,
            cluster: state.cluster,
            nodes: state.nodes,
            later: BTreeSet::new(),
            steps: Vec::new(),
            ..self.clone()
        }
    }

    /// The cluster at first, and after each step.
    pub fn states(&self) -> impl Iterator<Item = State> {
        let mut steps = self.steps.iter();
        std::iter::successors(Some(State::at_first(self)), move |state| {
            let step = steps.next()?;
            let mut state = state.clone();
            state.act(self, step);
            Some(state)
        })
    }

    /// The cluster after the first `steps` steps.
    pub fn after(&self, steps: usize) -> State {
        let mut state = State::at_first(self);
        for step in self.steps.iter().take(steps) {
            state.act(self, step);
        }
        state
    }

    /// What tunnel devices are called, at any time.
    pub fn tunnels(&self) -> BTreeSet<IfName> {
        self.states().map(|state| state.cluster.interface).collect()
    }

    /// The cluster after every step, which is the one that the promises are about.
    pub fn at_last(&self) -> State {
        self.after(self.steps.len())
    }
}
