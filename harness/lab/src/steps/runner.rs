//! Runs the steps one by one: does the action, then waits until the engines have settled or the deadline is over.

/// The crash action: an agent dies before and after each of its kernel writes, and has to recover.
mod crash;

use std::collections::BTreeMap;
use std::time::Duration;

use wireguard_control::Key;
use wireproof_model::evidence::{Nanos, StepEvidence};
use wireproof_model::name::{EndpointName, IfName, NodeName};
use wireproof_model::plan::{
    Action, Family, Flow, Impairment, Plan, Settles, State, Step, StoreAction, Tamper, Timeout,
};
use wireproof_model::tag::Magic;

use crate::base::error::LabError;
use crate::base::wait::Deadline;
use crate::cluster::store::Store;
use crate::cluster::tamper;
use crate::cluster::topology::{Topology, tallies};
use crate::kernel::monitor::Monitor;
use crate::kernel::packet::now;
use crate::observe::snapshot;
use crate::steps::dataplane_texts::DataplaneTexts;
use crate::steps::engine::{Engines, Until};
use crate::traffic::witness::Witness;

/// How much longer than allowed an interruption is waited for on a quick machine, so that one that is too
/// long shows. It is no part of what is allowed.
const OUTAGE_MARGIN: Duration = Duration::from_millis(500);

/// How long flows may take on a quick machine to send one packet each before the store has what has happened.
const FIRST_PACKET_TIMEOUT: Duration = Duration::from_secs(2);

/// All that a step can have an effect on.
#[derive(Debug)]
pub(crate) struct StepRunner<'a, 'e> {
    pub(crate) plan: &'a Plan,
    pub(crate) topology: &'a mut Topology,
    pub(crate) engines: &'a mut Engines<'e>,
    pub(crate) store: &'a Store,
    /// The kernel's own word about what changes.
    pub(crate) monitors: BTreeMap<NodeName, Monitor>,
    pub(crate) witness: &'a mut Witness,
}

impl<'a, 'e> StepRunner<'a, 'e> {
    /// Prepares for the plan's steps.
    pub(crate) fn new(
        plan: &'a Plan,
        topology: &'a mut Topology,
        engines: &'a mut Engines<'e>,
        store: &'a Store,
        witness: &'a mut Witness,
    ) -> Result<Self, LabError> {
        let monitors = topology.nodes.iter().map(|space| {
            let monitor = Monitor::open(&space.namespace)?;
            Ok((space.name.clone(), monitor))
        });
        Ok(Self {
            monitors: monitors.collect::<Result<_, LabError>>()?,
            plan,
            topology,
            engines,
            store,
            witness,
        })
    }

    /// Starts every agent and waits until all are in sync.
    pub(crate) fn start(&mut self) -> Result<StepEvidence, LabError> {
        let state = self.plan.after(0);
        self.engines.expect(&state);
        let deadline = Deadline::of_work(self.plan.deadlines.ready());
        let began = now();
        self.engines.start_agents(&state.named(None))?;
        self.settle(&state, &Until::InSync, deadline)?;
        self.evidence(0, "start".into(), began, &BTreeMap::new())
    }

    /// Starts the plan's flows.
    pub(crate) fn begin_flows(&mut self, magic: Magic) -> Result<(), LabError> {
        self.witness.begin_flows(self.plan, self.topology, magic)
    }

    /// Does one of the plan's steps, counted from 0, and waits until everything has settled.
    pub(crate) fn step(&mut self, number: usize, step: &Step) -> Result<StepEvidence, LabError> {
        let state = self.plan.after(number + 1);
        self.engines.expect(&state);
        let deadline = Deadline::of_work(self.plan.deadlines.of_step(step));
        let before = self.engines.writes();
        self.notifications()?;
        let began = now();
        let mut crash_points = None;
        let done = if let Action::CrashEverywhere { node, provoke } = &step.action {
            self.crash_everywhere(number, step, node, provoke)
                .map(|points| crash_points = Some(points))
        } else {
            self.act(number, &step.action, deadline).and_then(|until| {
                self.witness.follow(self.topology, &state)?;
                self.settle(&state, &until, deadline)
            })
        };
        done.map_err(|error| in_step(error, number, step))?;
        let evidence = self.evidence(number + 1, step.action.describe(), began, &before)?;
        // The next step shall find the flows as this one leaves them, and a broken budget shows.
        let outage = self.plan.deadlines.outage(step).and(OUTAGE_MARGIN);
        self.witness.catch_up(&state, outage);
        Ok(StepEvidence {
            crash_points,
            ..evidence
        })
    }

    fn act(
        &mut self,
        number: usize,
        action: &Action,
        deadline: Deadline,
    ) -> Result<Until, LabError> {
        match action {
            Action::Enable => self.engines.enable(deadline)?,
            Action::Disable => self.engines.disable(deadline)?,
            Action::Configure(_) => self.rewrite_resources(number)?,
            Action::StopEngine { node } => {
                let nodes = self.engines.running(node.as_ref());
                self.engines.stop_agents(&nodes, deadline)?;
            }
            Action::KillEngine { node } => {
                let nodes = self.engines.running(node.as_ref());
                self.engines.kill_agents(&nodes, deadline)?;
            }
            Action::StartEngine { node } => {
                let nodes = self.engines.idle(node.as_ref());
                self.engines.start_agents(&nodes)?;
            }
            Action::RestartEngine { node } => {
                let nodes = self.engines.running(node.as_ref());
                self.engines.stop_agents(&nodes, deadline)?;
                self.engines.start_agents(&nodes)?;
            }
            Action::RotateKey { node } => {
                let before = self.store.published_keys()?.remove(node);
                self.engines.rotate_key(node, deadline)?;
                return Ok(Until::PublishesNot(node.clone(), before));
            }
            Action::Tamper {
                node,
                what,
                settles,
            } => self.tamper(number, node, what, *settles, deadline)?,
            Action::Store(action) => return self.act_on_store(action),
            Action::RemovePod { pod } | Action::MovePod { pod, .. } => {
                self.reshape_links(number)?;
                // What was sent to it before anybody is told meets nobody.
                let pod = EndpointName::from(pod);
                self.witness
                    .wait_until_sent(|flow| flow.to == pod, self.early())?;
                self.rewrite_resources(number)?;
            }
            Action::AddPod { .. } | Action::Partition { .. } | Action::Heal { .. } => {
                self.reshape(number)?
            }
            Action::Fabric(_) => {
                self.reshape(number)?;
                self.wait_for_impairment(number, deadline)?;
            }
            // An address that no engine has been told of cannot be protected by any: the store
            // knows it first.
            Action::ReaddressNode { .. } => {
                self.rewrite_resources(number)?;
                self.reshape(number)?;
            }
            Action::SetMtu { node, .. } => {
                self.reshape(number)?;
                self.wait_for_mtu(&self.plan.after(number + 1), node, deadline)?;
            }
            Action::SetMetric { node, metric } => self.topology.set_metric(node, *metric)?,
            Action::AddNode { node } => {
                self.reshape(number)?;
                self.engines.start_agents(std::slice::from_ref(node))?;
                return Ok(self.publishes_anew(number, node, None));
            }
            Action::RemoveNode { node } => {
                self.engines.restart_node(node, self.topology)?;
                self.reshape(number)?;
            }
            Action::PauseNode { node, millis } => {
                let length = Duration::from_millis((*millis).into());
                self.engines.pause_node(node, length)?;
            }
            Action::RebootNode { node } => return self.reboot(number, node, deadline),
            Action::WaitResyncs { count } => {
                let since = self.engines.resyncs();
                self.engines
                    .wait_for_resyncs(&since, (*count).into(), deadline)?;
            }
            // It settles many times, and has its own evidence.
            Action::CrashEverywhere { .. } => {}
            Action::OverwriteKey { node, key } => return self.overwrite_key(node, key.as_ref()),
        }
        Ok(Until::InSync)
    }

    /// Tampers with a node, and waits until the engine has seen to it.
    fn tamper(
        &mut self,
        number: usize,
        node: &NodeName,
        what: &Tamper,
        settles: Settles,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let tunnel = self.plan.after(number).cluster.interface;
        let before = self.dataplane_texts(&tunnel)?;
        let resyncs = self.engines.resyncs();
        let namespace = self.topology.node(node)?;
        tamper::tamper(namespace, what, &self.tunnels(number)?)?;
        if self.engines.running(Some(node)).is_empty() {
            return Ok(());
        }
        match settles {
            Settles::Repaired => self.wait_for_dataplane_texts(&tunnel, &before, deadline),
            Settles::Compared => self.engines.wait_for_resyncs(&resyncs, 2, deadline),
            Settles::Unchanged => {
                let left = self.dataplane_texts(&tunnel)?;
                self.engines.wait_for_resyncs(&resyncs, 2, deadline)?;
                let (what, now) = (
                    "leave alone what is not its own",
                    self.dataplane_texts(&tunnel)?,
                );
                // It may have gone before the first look.
                if before.changed(&now).is_none() {
                    return Err(LabError::refutation(what, "it is gone"));
                }
                match left.changed(&now) {
                    None => Ok(()),
                    Some(change) => Err(LabError::refutation(what, change)),
                }
            }
        }
    }

    fn early(&self) -> Timeout {
        self.plan.deadlines.patience.allows(FIRST_PACKET_TIMEOUT)
    }

    /// The tunnel devices of the cluster before a step.
    fn tunnels(&self, number: usize) -> Result<Vec<tamper::Tunnel>, LabError> {
        let cluster = self.plan.after(number).cluster;
        let families = cluster.families.iter();
        families
            .map(|family| {
                Ok(tamper::Tunnel {
                    family: *family,
                    name: cluster.tunnel(*family),
                    keys: match family {
                        Family::Ipv4 => self.store.published_keys()?,
                        Family::Ipv6 => self.store.published_keys6()?,
                    },
                })
            })
            .collect()
    }

    /// Waits until every node's dataplane is what it was.
    fn wait_for_dataplane_texts(
        &self,
        tunnel: &IfName,
        wanted: &DataplaneTexts,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        loop {
            let Some(change) = wanted.changed(&self.dataplane_texts(tunnel)?) else {
                return Ok(());
            };
            if deadline.passed() {
                let until = "the dataplane is what it was";
                return Err(self.engines.late(deadline, until, &change));
            }
            self.engines.look_again(deadline)?;
        }
    }

    /// Waits until a node's tunnel device has the MTU that follows from its uplink's. The store
    /// knows nothing of it, so no agent announces that it is done.
    fn wait_for_mtu(
        &self,
        state: &State,
        name: &NodeName,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let follows = state.encrypting.contains(name) && state.agents.contains(name);
        let node = state.nodes.iter().find(|node| &node.name == name);
        let Some(node) = node.filter(|_| follows) else {
            return Ok(());
        };
        let (tunnel, wanted) = (
            &state.cluster.interface,
            u32::from(state.tunnel_mtu(node, Family::Ipv4)),
        );
        loop {
            let plane = snapshot::dataplane(self.topology.node(name)?, tunnel)?;
            let link = plane.links.iter().find(|link| &link.name == tunnel);
            let is = link.map(|link| link.mtu);
            if is == Some(wanted) {
                return Ok(());
            }
            if deadline.passed() {
                let until = format!("{tunnel} of {name} has the MTU {wanted}");
                let seen = is.map_or("no such device".to_owned(), |mtu| format!("MTU {mtu}"));
                return Err(self.engines.late(deadline, &until, &seen));
            }
            self.engines.look_again(deadline)?;
        }
    }

    /// Waits until flows have met what a step makes the fabric do to them. That they never did is for the
    /// report.
    fn wait_for_impairment(&self, number: usize, deadline: Deadline) -> Result<(), LabError> {
        let line = self.plan.steps.get(number).map(|step| step.line);
        let fabric = self.plan.after(number + 1).fabric;
        let mut impairments = fabric.impairments.iter();
        let begun = impairments.find(|impairment| Some(impairment.line) == line);
        let nat = fabric.nat.filter(|nat| nat.lines.last() == line.as_ref());
        let counter = begun
            .map(Impairment::counter)
            .or_else(|| nat.as_ref()?.counter(nat.as_ref()?.generation()));
        let Some(name) = counter.filter(|_| !self.plan.flows.flows.is_empty()) else {
            return Ok(());
        };
        loop {
            let tallies = tallies(&self.topology.fabric)?.into_iter();
            let mut hits = tallies.filter(|tally| tally.name == name && tally.packets > 0);
            if hits.next().is_some() || deadline.passed() {
                return Ok(());
            }
            self.engines.look_again(deadline)?;
        }
    }

    /// The dataplanes of all nodes that are there.
    fn dataplane_texts(&self, tunnel: &IfName) -> Result<DataplaneTexts, LabError> {
        DataplaneTexts::read(self.topology, self.store, &self.engines.present, tunnel)
    }

    /// Makes the cluster what it is after a step, links first, then the store.
    fn reshape(&self, number: usize) -> Result<(), LabError> {
        self.reshape_links(number)?;
        self.rewrite_resources(number)
    }

    fn reshape_links(&self, number: usize) -> Result<(), LabError> {
        let (before, after) = (self.plan.after(number), self.plan.after(number + 1));
        self.topology.reshape(&before, &after)
    }

    fn reboot(
        &mut self,
        number: usize,
        name: &NodeName,
        deadline: Deadline,
    ) -> Result<Until, LabError> {
        let before = self.store.published_keys()?.remove(name);
        self.engines.restart_node(name, self.topology)?;
        let state = self.plan.after(number + 1);
        if let Some(node) = state.nodes.iter().find(|node| &node.name == name) {
            self.topology.power_off(node, &state)?;
            self.engines.boot_node(name, deadline)?;
            self.topology.connect_again(node, &state)?;
            // Whoever is on the node may speak before its agent does.
            let from_there = |flow: &Flow| {
                let from = state.endpoint(&flow.from);
                from.is_some_and(|from| &from.node.name == name)
            };
            self.witness.wait_until_sent(from_there, self.early())?;
        }
        self.engines.start_agents(std::slice::from_ref(name))?;
        Ok(self.publishes_anew(number, name, before))
    }

    /// A node that encrypts after a step publishes another key than it had `before`, if it has a Node.
    fn publishes_anew(&self, number: usize, node: &NodeName, before: Option<String>) -> Until {
        match self.plan.after(number + 1).publishes(node) {
            true => Until::PublishesNot(node.clone(), before),
            false => Until::InSync,
        }
    }

    /// Writes what the operator's tools, or the cluster itself, write in a step.
    fn rewrite_resources(&self, number: usize) -> Result<(), LabError> {
        self.rewrite(self.plan, number, number + 1)
    }

    fn act_on_store(&self, action: &StoreAction) -> Result<Until, LabError> {
        let store = self.store;
        match action {
            StoreAction::Down => {
                let before = self.engines.statuses();
                store.down()?;
                return Ok(Until::StatusesDiffer(before));
            }
            StoreAction::Freeze => {
                let before = self.engines.statuses();
                store.freeze()?;
                return Ok(Until::StatusesDiffer(before));
            }
            StoreAction::Up => store.up()?,
            StoreAction::Thaw => store.thaw()?,
            StoreAction::Compact => store.compact()?,
            StoreAction::Burst { events } => store.burst((*events).into())?,
            StoreAction::Garbage { node, text } => store.spoil(node.as_ref(), text.as_deref())?,
            StoreAction::Repair => store.repair()?,
        }
        Ok(Until::InSync)
    }

    fn overwrite_key(&self, node: &NodeName, other: Option<&NodeName>) -> Result<Until, LabError> {
        let keys = self.store.published_keys()?;
        let key = match other {
            Some(other) => keys.get(other).cloned().ok_or_else(|| {
                LabError::engine("overwrite a published key", format!("{other} has none"))
            })?,
            None => Key::generate_private().get_public().to_base64(),
        };
        self.store.publish_key(node, &key)?;
        Ok(match keys.get(node) {
            // Its agent puts it right.
            Some(own) if !self.engines.running(Some(node)).is_empty() => {
                Until::Publishes(node.clone(), own.clone())
            }
            _ => Until::InSync,
        })
    }

    fn settle(&mut self, state: &State, until: &Until, deadline: Deadline) -> Result<(), LabError> {
        self.engines
            .wait_until_in_sync(self.topology, self.store, state, until, deadline)
    }

    /// The kernel's notifications since the last call, of the nodes with any.
    fn notifications(&self) -> Result<BTreeMap<NodeName, BTreeMap<String, u64>>, LabError> {
        let mut notifications = BTreeMap::new();
        for (node, monitor) in &self.monitors {
            let counts = monitor.count().map_err(|error| error.at(node))?;
            if !counts.is_empty() {
                notifications.insert(node.clone(), counts);
            }
        }
        Ok(notifications)
    }

    fn evidence(
        &self,
        index: usize,
        action: String,
        began: Nanos,
        before: &BTreeMap<NodeName, u64>,
    ) -> Result<StepEvidence, LabError> {
        let settled = now();
        let writes = self.engines.writes().into_iter().map(|(node, writes)| {
            // A new process counts from zero.
            let since = before.get(&node).copied().unwrap_or(0);
            (node, writes.checked_sub(since).unwrap_or(writes))
        });
        Ok(StepEvidence {
            index,
            action,
            began,
            settled,
            writes: writes.collect(),
            notifications: self.notifications()?,
            crash_points: None,
            note: None,
        })
    }
}

/// An error with the step in which it happened.
fn in_step(error: LabError, number: usize, step: &Step) -> LabError {
    let operation = format!(
        "{} (step {}, `{}` in line {})",
        error.operation,
        number + 1,
        step.action.as_str(),
        step.line
    );
    LabError { operation, ..error }
}
