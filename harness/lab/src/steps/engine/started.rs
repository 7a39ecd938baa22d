//! The wait until the program of every agent runs.

use std::collections::BTreeMap;
use std::time::Duration;

use wireproof_model::name::NodeName;

use crate::base::error::LabError;
use crate::base::wait::{Deadline, Wait};
use crate::cluster::node::NodeState;

use super::{AGENT, Engines};

/// How long the first process of a node may take to start a program.
const START_TIMEOUT: Duration = Duration::from_secs(30);

impl Engines<'_> {
    /// A program that cannot be executed is an error at once: a descriptor need not define when its agent is ready.
    pub(super) fn wait_until_started(&self, nodes: &[&NodeName]) -> Result<(), LabError> {
        let runs = |states: &mut BTreeMap<NodeName, NodeState>| {
            let mut of_nodes = nodes
                .iter()
                .filter_map(|name| Some((*name, states.get(name)?)));
            let cause = of_nodes
                .clone()
                .find_map(|(name, node)| Some((name, node.not_started.get(&AGENT)?)));
            if let Some((name, cause)) = cause {
                return Some(Err(LabError::machine("start the engine", cause).at(name)));
            }
            of_nodes
                .all(|(_, node)| node.started.contains(&AGENT))
                .then_some(Ok(()))
        };
        let wait = Wait {
            who: "nodes",
            until: "the program of every agent has been started",
            look: "fewer labs at once leave it more of the processors",
        };
        let deadline = Deadline::after(self.patience.allows(START_TIMEOUT));
        self.states
            .wait_until(wait, deadline, runs, |_| "not yet so".to_owned())?
    }
}
