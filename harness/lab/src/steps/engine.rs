//! The engine under test, as processes.
//!
//! Every node has a first process of its own ([`crate::cluster::init`]); the engine's agent
//! and the operator's commands are started by it, inside the node.

/// Conditions on the store that must hold before a step has settled.
mod until;

/// The wait until the agents are in sync with the store, and their last statuses if they are not.
mod sync;

/// Agents whose Node is deleted.
mod deleted;

/// The wait until the program of every agent runs.
mod started;

/// The end of agents: how they end, and how long it takes when they are asked to.
mod end;

/// Paths of the host that the engine's processes see.
mod paths;

/// The commands of the operator, and what a node runs when it boots.
mod operator;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wireproof_model::engine::{Descriptor, expand};
use wireproof_model::name::NodeName;
use wireproof_model::plan::Patience;

use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::base::program::search_path;
use crate::base::wait::{Deadline, Wait, some_of};
use crate::cluster::init::{self, CommandId, Order, ProcessSignal, Receiver};
use crate::cluster::node::{Init, NodeState, NodeStates, start_init, wait_until_set_up};
use crate::cluster::store::Store;
use crate::cluster::topology::{NodeSpace, Topology};

use deleted::Deleted;
use end::Ends;
pub(crate) use sync::Fate;
pub(crate) use until::Until;

/// How much of an engine's log an error shows, in lines.
const LOG_TAIL: usize = 8;

/// Sets the write at which an agent dies.
const CRASH: &str = "WIREMESH_CRASH";

/// The number of every node's agent; operator's commands count from here.
const AGENT: CommandId = 0;

/// The engine under test: how to run it, and where its programs are.
#[derive(Debug, Clone)]
pub struct EngineCommand {
    /// As written in `fixtures/engines/*.toml`.
    pub descriptor: Descriptor,
    /// Each program that the descriptor names, as an absolute path.
    pub programs: BTreeMap<String, PathBuf>,
    /// The fault that its agents are asked to have, for judging the harness.
    pub fault: Option<String>,
    /// The WireGuard that its agents are asked to use.
    pub wireguard: Option<String>,
}

/// All nodes' processes. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Engines<'a> {
    patience: Patience,
    engine: &'a EngineCommand,
    descriptor: &'a Descriptor,
    /// Programs named by the descriptor, found.
    programs: &'a BTreeMap<String, PathBuf>,
    /// What its agents leave out or do wrong, to see whether anybody notices.
    fault: Option<&'a str>,
    /// The WireGuard that they are asked to use.
    wireguard: Option<&'a str>,
    directory: &'a RunDirectory,
    store: &'a Store,
    states: Arc<NodeStates>,
    nodes: Vec<Init>,
    commands: CommandId,
    /// The nodes whose agent has been started, and not ended since.
    running: BTreeSet<NodeName>,
    /// How agents have ended that were asked to.
    pub(crate) ends: Ends,
    /// The nodes that are part of the cluster now.
    pub(crate) present: BTreeSet<NodeName>,
    deleted: Deleted,
}

impl<'a> Engines<'a> {
    /// Starts every node's first process and waits until all nodes are set up.
    pub(crate) fn boot(
        topology: &mut Topology,
        engine: &'a EngineCommand,
        directory: &'a RunDirectory,
        store: &'a Store,
        patience: Patience,
    ) -> Result<Self, LabError> {
        let states = Arc::new(NodeStates::default());
        let mut nodes = Vec::with_capacity(topology.nodes.len());
        for space in &mut topology.nodes {
            let paths = paths::of(engine, directory, store, &space.name)?;
            let init = start_init(&space.name, &mut space.namespace, paths, &states)?;
            nodes.push(init);
        }
        wait_until_set_up(&states, patience)?;
        Ok(Self {
            patience,
            engine,
            descriptor: &engine.descriptor,
            programs: &engine.programs,
            fault: engine.fault.as_deref(),
            wireguard: engine.wireguard.as_deref(),
            directory,
            store,
            states,
            nodes,
            commands: AGENT,
            running: BTreeSet::new(),
            ends: Ends::new(),
            present: BTreeSet::new(),
            deleted: Deleted::default(),
        })
    }

    /// Which node each process namespace is.
    pub(crate) fn process_namespaces(&self) -> BTreeMap<u64, NodeName> {
        let states = self.states.lock();
        let nodes = states.iter();
        nodes
            .map(|(name, node)| (node.processes, name.clone()))
            .collect()
    }

    /// The number of the open file of a node's first process that leads to what the node's processes have written
    /// to the host's filesystems; none where they are not contained.
    pub(crate) fn overlays(&self, node: &NodeName) -> Option<i32> {
        self.states.lock().get(node)?.overlays
    }

    /// What its commands may write of the host.
    pub(crate) fn writable(&self) -> &[PathBuf] {
        &self.descriptor.writable
    }

    /// Whether a node's processes have another root directory than when it was set up.
    pub(crate) fn has_hidden_root(&self, space: &NodeSpace) -> Result<bool, LabError> {
        let states = self.states.lock();
        let before = states.get(&space.name).and_then(|node| node.root);
        drop(states);
        let now = space.namespace.enter_with_mounts(|| Ok(init::root()))?;
        Ok(before.is_some() && before != now)
    }

    /// The status of every agent.
    pub(crate) fn statuses(&self) -> BTreeMap<NodeName, Option<String>> {
        let states = self.states.lock();
        let statuses = states
            .iter()
            .map(|(name, node)| (name.clone(), node.status.clone()));
        statuses.collect()
    }

    /// Starts the agent on these nodes. What earlier ones have reported counts no more.
    pub(crate) fn start_agents(&mut self, nodes: &[NodeName]) -> Result<(), LabError> {
        self.start_agents_with(nodes, None)
    }

    /// Starts a node's agent, which dies at a point that it knows: `before:3`.
    pub(crate) fn start_agent_to_crash(
        &mut self,
        node: &NodeName,
        point: &str,
    ) -> Result<(), LabError> {
        self.start_agents_with(std::slice::from_ref(node), Some(point))
    }

    fn start_agents_with(
        &mut self,
        nodes: &[NodeName],
        crash: Option<&str>,
    ) -> Result<(), LabError> {
        let words = match self.fault.is_some() || crash.is_some() {
            true => self.descriptor.asked_agent(),
            false => self.descriptor.agent.as_ref(),
        };
        let Some(words) = words else {
            return Ok(());
        };
        self.states.change(|states| {
            let started = states.iter_mut().filter(|(name, _)| nodes.contains(name));
            for (_, node) in started {
                node.ended.remove(&AGENT);
                node.started.remove(&AGENT);
                node.not_started.remove(&AGENT);
                (node.status, node.applied) = (None, None);
                (node.writes, node.resyncs) = (None, None);
            }
        });
        for position in 0..self.nodes.len() {
            let name = self.nodes[position].name.clone();
            if !nodes.contains(&name) {
                continue;
            }
            let mut words = self.command(words, Some(&name))?;
            if let (Some(fault), Some(more)) = (self.fault, &self.descriptor.fault) {
                words.extend(more.iter().map(|word| word.replace("{fault}", fault)));
            }
            if let (Some(wireguard), Some(more)) = (self.wireguard, &self.descriptor.wireguard) {
                words.extend(
                    more.iter()
                        .map(|word| word.replace("{wireguard}", wireguard)),
                );
            }
            let log = self.directory.engine_log(&name);
            self.order_with(position, AGENT, words, &log, crash)?;
            self.running.insert(name);
        }
        let there = self.nodes.iter().map(|node| &node.name);
        let started: Vec<_> = there.filter(|name| nodes.contains(name)).collect();
        self.wait_until_started(&started)
    }

    /// Of the node named, or of all if none is, those whose agent runs.
    pub(crate) fn running(&self, node: Option<&NodeName>) -> Vec<NodeName> {
        self.chosen(node, true)
    }

    /// Of the node named, or of all if none is, those whose agent does not run.
    pub(crate) fn idle(&self, node: Option<&NodeName>) -> Vec<NodeName> {
        self.chosen(node, false)
    }

    fn chosen(&self, node: Option<&NodeName>, running: bool) -> Vec<NodeName> {
        let names = self.nodes.iter().map(|init| &init.name);
        names
            .filter(|name| self.present.contains(*name))
            .filter(|name| node.is_none_or(|node| node == *name))
            .filter(|name| self.running.contains(*name) == running)
            .cloned()
            .collect()
    }

    /// Kernel writes that each agent has announced so far, where it counts them.
    pub(crate) fn writes(&self) -> BTreeMap<NodeName, u64> {
        let states = self.states.lock();
        let counted = states
            .iter()
            .filter_map(|(name, node)| Some((name.clone(), node.writes?)));
        counted.collect()
    }

    /// Comparisons with the kernel that each agent has announced so far, where it counts them.
    pub(crate) fn resyncs(&self) -> BTreeMap<NodeName, u64> {
        let states = self.states.lock();
        let counted = states
            .iter()
            .filter_map(|(name, node)| Some((name.clone(), node.resyncs?)));
        counted.collect()
    }

    /// Ends every process of a node, as a power cut does, and starts its first one again.
    pub(crate) fn restart_node(
        &mut self,
        name: &NodeName,
        topology: &mut Topology,
    ) -> Result<(), LabError> {
        self.running.remove(name);
        let space = topology.nodes.iter_mut().find(|space| &space.name == name);
        let init = self.nodes.iter_mut().find(|init| &init.name == name);
        if let (Some(space), Some(init)) = (space, init) {
            init.end();
            let paths = paths::of(self.engine, self.directory, self.store, name)?;
            *init = start_init(name, &mut space.namespace, paths, &self.states)?;
        }
        wait_until_set_up(&self.states, self.patience)
    }

    /// Lets every process of a node stand still for so long, or until one of them is ended by somebody.
    pub(crate) fn pause_node(&self, name: &NodeName, length: Duration) -> Result<(), LabError> {
        let Some(init) = self.nodes.iter().find(|init| &init.name == name) else {
            return Ok(());
        };
        let ended = |states: &BTreeMap<NodeName, NodeState>| {
            states.get(name).map_or(0, |node| node.ended.len())
        };
        let before = ended(&self.states.lock());
        init.signal(Receiver::All, ProcessSignal::Stop)?;
        self.states
            .wait_for(Deadline::after(self.patience.watches(length)), |states| {
                (ended(states) > before).then_some(())
            });
        init.signal(Receiver::All, ProcessSignal::Continue)
    }

    /// Ends the agents of these nodes without warning.
    pub(crate) fn kill_agents(
        &mut self,
        nodes: &[NodeName],
        deadline: Deadline,
    ) -> Result<(), LabError> {
        self.end_agents(nodes, ProcessSignal::Kill, deadline)
    }

    fn end_agents(
        &mut self,
        nodes: &[NodeName],
        signal: ProcessSignal,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        for node in self.nodes.iter().filter(|init| nodes.contains(&init.name)) {
            node.signal(Receiver::Command(AGENT), signal)?;
            self.running.remove(&node.name);
        }
        let look = self.look();
        self.states.wait_until(
            Wait {
                who: "agents",
                until: "every agent that was asked to has ended",
                look: &look,
            },
            deadline,
            |states| {
                let gone = |name| {
                    let node = states.get(name);
                    node.is_some_and(|node| node.ended.contains_key(&AGENT))
                };
                nodes.iter().all(gone).then_some(())
            },
            |states| {
                let runs = |name: &&NodeName| {
                    let node = states.get(*name);
                    node.is_none_or(|node| !node.ended.contains_key(&AGENT))
                };
                let left: Vec<_> = nodes.iter().filter(runs).collect();
                let all = nodes.len();
                format!(
                    "{} of {all} have; not on {}",
                    all - left.len(),
                    some_of(&left)
                )
            },
        )
    }

    fn command(&self, words: &[String], node: Option<&NodeName>) -> Result<Vec<String>, LabError> {
        let mut words = expand(words, node, &self.store.argument());
        if let Some(program) = words.first_mut() {
            let path = self.programs.get(program).ok_or_else(|| {
                LabError::machine(
                    format!("find the program `{program}`"),
                    "it was not looked up",
                )
            })?;
            *program = path.display().to_string();
        }
        Ok(words)
    }

    fn order(
        &self,
        position: usize,
        id: CommandId,
        words: Vec<String>,
        log: &Path,
    ) -> Result<(), LabError> {
        self.order_with(position, id, words, log, None)
    }

    fn order_with(
        &self,
        position: usize,
        id: CommandId,
        words: Vec<String>,
        log: &Path,
        crash: Option<&str>,
    ) -> Result<(), LabError> {
        let node = &self.nodes[position];
        let mut environment = self.descriptor.env.clone();
        environment
            .entry("PATH".into())
            .or_insert_with(|| paths::search(&search_path(), self.programs.values()));
        // As systemd says it (systemd.exec(5), `StateDirectory=`).
        let state = self.directory.engine_state(&node.name);
        environment
            .entry("STATE_DIRECTORY".into())
            .or_insert_with(|| state.display().to_string());
        environment.extend(crash.map(|point| (CRASH.to_owned(), point.to_owned())));
        let order = Order::Start {
            id,
            words,
            environment,
            log: log.to_owned(),
        };
        node.order(&order)
    }
}

/// The last lines of a log, on lines of their own.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_TAIL);
    lines[from..]
        .iter()
        .map(|line| format!("\n  | {line}"))
        .collect()
}
