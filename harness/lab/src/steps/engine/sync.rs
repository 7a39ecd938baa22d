//! The wait until the agents are in sync with the store, and their last statuses if they are not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use wireproof_model::engine::Ready;
use wireproof_model::name::NodeName;
use wireproof_model::plan::State;
use wireproof_model::text::shown_path;

use crate::base::error::{Blame, LabError};
use crate::base::wait::{Deadline, Wait};
use crate::cluster::init::Ended;
use crate::cluster::node::NodeState;
use crate::cluster::store::Store;
use crate::cluster::topology::Topology;
use crate::observe::snapshot;

use super::{AGENT, Engines, Until, tail};

/// How often a dataplane is looked at, when the engine does not report that it is done.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The signal that an agent ends itself with, at its crash point.
const SIGKILL: i32 = 9;

/// The exit status of a program whose arguments are wrong, as most have it.
const WRONG_USAGE: i32 = 2;

/// The engine's agents do not know the fault that they were asked for.
fn unknown_fault(fault: &str, log: &Path) -> LabError {
    let operation = format!("ask the engine for the fault `{fault}`");
    let cause = format!("its arguments are wrong, it says{}", tail(log));
    let error = LabError {
        blame: Blame::Request,
        ..LabError::engine(operation, cause)
    };
    error.help("name a fault that the engine's log lists")
}

/// What became of an agent that may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It died at its crash point.
    Died,
    /// It got to the end of its work.
    InSync,
}

impl Engines<'_> {
    /// Waits until the dataplane of every node with an agent follows the store as it is. `state` is what the
    /// cluster should be by now.
    pub(crate) fn wait_until_in_sync(
        &self,
        topology: &Topology,
        store: &Store,
        state: &State,
        until: &Until,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        if self.running.is_empty() {
            return Ok(());
        }
        match self.descriptor.ready {
            Ready::None => Ok(()),
            Ready::Notify => self.wait_for_notifications(store, until, deadline),
            Ready::Peers => self.wait_for_peers(topology, state, deadline),
        }
    }

    fn wait_for_notifications(
        &self,
        store: &Store,
        until: &Until,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        self.states
            .wait_until(
                self.wait(
                    "every node's engine is in sync with the store",
                    &self.look(),
                ),
                deadline,
                |states| self.in_sync(states, store, until),
                |states| self.last_seen(states),
            )
            .map_err(|error| self.blame(error))?
    }

    /// Whether every running agent follows the store as it is; an error if one has ended.
    fn in_sync(
        &self,
        states: &BTreeMap<NodeName, NodeState>,
        store: &Store,
        until: &Until,
    ) -> Option<Result<(), LabError>> {
        if let Some(error) = self.fallen(states) {
            return Some(Err(error));
        }
        let mut running = states
            .iter()
            .filter(|(name, _)| self.running.contains(*name));
        if !store.is_reachable() {
            // There is nothing to be in sync with: an agent says that it waits.
            let before = |name| match until {
                Until::StatusesDiffer(before) => before.get(name).unwrap_or(&None),
                _ => &None,
            };
            let noticed = running.all(|(name, node)| node.status != *before(name));
            return noticed.then_some(Ok(()));
        }
        let followers = running.filter(|(name, node)| !self.deleted.has_changed_status(name, node));
        let applied: Vec<_> = followers.map(|(_, node)| node.applied.as_deref()).collect();
        if !store.may_be_at(&applied) {
            return None;
        }
        // Read after the announcements, so that an agent's own writes count.
        let position = match store.position() {
            Ok(position) => position,
            Err(error) => return Some(Err(error)),
        };
        applied
            .into_iter()
            .all(|applied| position.is_reached(applied))
            .then(|| until.reached(store))
            .filter(|reached| !matches!(reached, Ok(false)))
            .map(|reached| reached.map(drop))
    }

    fn wait_for_peers(
        &self,
        topology: &Topology,
        state: &State,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let until = match state.encrypting.is_empty() {
            false => "every node's device has a peer for each published key",
            true => "no node has a rule with a mark",
        };
        let mut looks = 0;
        loop {
            if let Some(error) = self.fallen(&self.states.lock()) {
                return Err(error);
            }
            let keys = self.store.published_keys()?;
            let lagging = snapshot::nodes_out_of_sync(topology, state, &keys)?;
            // Twice in a row: an engine's last routes come after its last peer.
            looks = if lagging.is_empty() { looks + 1 } else { 0 };
            if looks == 2 {
                return Ok(());
            }
            if deadline.passed() {
                let seen = format!("not yet so: {}", lagging.join(", "));
                return Err(self.late(deadline, until, &seen));
            }
            // An engine that announces nothing can only be looked at again; an ending agent wakes this at once.
            let soon = deadline.sooner(POLL_INTERVAL);
            self.states.wait_for(soon, |states| self.fallen(states));
        }
    }

    /// Waits until every running agent has announced `more` comparisons with the kernel since
    /// it had announced those of `since`.
    pub(crate) fn wait_for_resyncs(
        &self,
        since: &BTreeMap<NodeName, u64>,
        more: u64,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let wanted = |name: &NodeName| since.get(name).copied().unwrap_or(0) + more;
        self.states
            .wait_until(
                self.wait(
                    &format!("every agent has compared its dataplane {more} times more"),
                    &self.look(),
                ),
                deadline,
                |states| {
                    if let Some(error) = self.fallen(states) {
                        return Some(Err(error));
                    }
                    states
                        .iter()
                        .filter(|(name, _)| self.running.contains(*name))
                        .all(|(name, node)| node.resyncs.unwrap_or(0) >= wanted(name))
                        .then_some(Ok(()))
                },
                |states| {
                    let counts = states.iter().map(|(name, node)| match node.resyncs {
                        Some(count) => format!("{name}: {count}"),
                        None => format!("{name} counts none"),
                    });
                    counts.collect::<Vec<_>>().join(", ")
                },
            )
            .map_err(|error| self.blame(error))?
    }

    /// Waits until a node's agent has died, or is in sync with every other one.
    pub(crate) fn wait_for_fate(
        &mut self,
        node: &NodeName,
        store: &Store,
        deadline: Deadline,
    ) -> Result<Fate, LabError> {
        let died = self.states.wait_until(
            self.wait("the agent dies, or is in sync", &self.look()),
            deadline,
            |states| match states.get(node)?.ended.get(&AGENT) {
                Some(Ended::Signal(SIGKILL)) => Some(Ok(Fate::Died)),
                Some(_) => self.fallen(states).map(Err),
                None => self
                    .in_sync(states, store, &Until::InSync)
                    .map(|synced| synced.map(|()| Fate::InSync)),
            },
            |states| self.last_seen(states),
        );
        let fate = died.map_err(|error| self.blame(error))??;
        if fate == Fate::Died {
            self.running.remove(node);
        }
        Ok(fate)
    }

    /// Returns after a moment, for another look at what announces nothing; at once, with its
    /// error, where an agent has ended.
    pub(crate) fn look_again(&self, deadline: Deadline) -> Result<(), LabError> {
        let soon = deadline.sooner(POLL_INTERVAL);
        let ended = self.states.wait_for(soon, |states| self.fallen(states));
        ended.map_or(Ok(()), Err)
    }

    /// An agent that is not running any more, or never was.
    pub(super) fn fallen(&self, states: &BTreeMap<NodeName, NodeState>) -> Option<LabError> {
        let followed = |name: &NodeName| self.running.contains(name);
        states
            .iter()
            .filter(|(name, _)| followed(name))
            .find_map(|(name, node)| {
                if let Some(cause) = node.not_started.get(&AGENT) {
                    return Some(LabError::machine("start the engine", cause).at(name));
                }
                let how = node.ended.get(&AGENT)?;
                let log = self.directory.engine_log(name);
                if let (Some(fault), Ended::Status(WRONG_USAGE)) = (self.fault, how) {
                    return Some(unknown_fault(fault, &log).at(name));
                }
                Some(
                    LabError::engine(
                        "keep the engine running",
                        format!("it ended: {how}{}", tail(&log)),
                    )
                    .at(name)
                    .help(format!("the whole log is {}", shown_path(&log))),
                )
            })
    }

    fn last_seen(&self, states: &BTreeMap<NodeName, NodeState>) -> String {
        let keys = self.store.published_keys().unwrap_or_default();
        let nodes: Vec<_> = states
            .iter()
            .map(|(name, node)| {
                let key = if keys.contains_key(name) {
                    ""
                } else {
                    "no key published, "
                };
                match &node.status {
                    Some(status) => format!("{name}: {key}{status}"),
                    None => format!("{name}: {key}not a word from the engine"),
                }
            })
            .collect();
        nodes.join("; ")
    }

    /// What the agents were waited for, and did not come: `seen` is what there was instead.
    pub(crate) fn late(&self, deadline: Deadline, until: &str, seen: &str) -> LabError {
        self.blame(deadline.missed(self.wait(until, &self.look()), seen))
    }

    fn wait<'w>(&self, until: &'w str, look: &'w str) -> Wait<'w> {
        Wait {
            who: "agents",
            until,
            look,
        }
    }

    /// Where to look if agents do not do what they are waited for.
    pub(super) fn look(&self) -> String {
        let logs = self.directory.path().join("*.engine.log");
        format!(
            "read the engines' logs ({}), or allow more time with `[deadline] ready` or the step's `deadline`",
            shown_path(&logs)
        )
    }

    /// A missed deadline is the engine's fault.
    pub(super) fn blame(&self, error: LabError) -> LabError {
        LabError {
            blame: Blame::Engine,
            ..error
        }
    }
}
