//! The end of agents: how they end, and how long it takes when they are asked to.

use std::collections::BTreeMap;
use std::time::Instant;

use wireproof_model::evidence::End;
use wireproof_model::name::NodeName;

use crate::base::error::LabError;
use crate::base::wait::Deadline;
use crate::cluster::init::{Ended, ProcessSignal};

use super::{AGENT, Engines};

/// What was noted of each node's agents.
pub(crate) type Ends = BTreeMap<NodeName, Vec<End>>;

impl Engines<'_> {
    /// Asks the agents of these nodes to end, and waits until they have.
    pub(crate) fn stop_agents(
        &mut self,
        nodes: &[NodeName],
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let began = Instant::now();
        self.end_agents(nodes, ProcessSignal::Terminate, deadline)
            .map_err(|error| self.blame(error))?;
        self.note_ends(nodes, began);
        Ok(())
    }

    /// As [`stop_agents`](Self::stop_agents), for every agent; one that does not end is noted as
    /// such. What has ended by itself is noted too.
    pub(crate) fn stop_all(&mut self, deadline: Deadline) -> Result<(), LabError> {
        self.note_fallen();
        let alive = self.running(None);
        let began = Instant::now();
        match self.end_agents(&alive, ProcessSignal::Terminate, deadline) {
            // Which of them have not is in what is noted.
            Err(error) if !error.refuted => return Err(error),
            Ok(()) | Err(_) => self.note_ends(&alive, began),
        }
        Ok(())
    }

    /// Notes the agents that have ended by themselves.
    pub(crate) fn note_fallen(&mut self) {
        let running = self.running(None);
        let states = self.states.lock();
        let gone = |name: &NodeName| Some(states.get(name)?.ended.get(&AGENT)?.to_owned());
        let fallen: Vec<_> = running
            .iter()
            .filter_map(|name| Some((name.clone(), gone(name)?)))
            .collect();
        drop(states);
        for (name, how) in &fallen {
            self.running.remove(name);
            let ends = self.ends.entry(name.clone()).or_default();
            ends.push(end(Some(*how), false, 0));
        }
    }

    fn note_ends(&mut self, nodes: &[NodeName], began: Instant) {
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let states = self.states.lock();
        for name in nodes {
            let how = states.get(name).and_then(|node| node.ended.get(&AGENT));
            let ends = self.ends.entry(name.clone()).or_default();
            ends.push(end(how.copied(), true, micros));
        }
    }
}

fn end(how: Option<Ended>, asked: bool, micros: u64) -> End {
    End {
        how: how.map(|how| how.to_string()),
        clean: how == Some(Ended::Status(0)),
        asked,
        micros,
    }
}
