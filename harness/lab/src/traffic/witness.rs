//! Witnesses of the cluster while it changes: the observers, and the flows that they capture.

use wireproof_model::evidence::FlowEvidence;
use wireproof_model::plan::{Flow, Plan, State, Timeout};
use wireproof_model::tag::Magic;

use crate::base::error::LabError;
use crate::cluster::topology::Topology;
use crate::observe::capture::{Capture, Captured};
use crate::traffic::flow::Streams;

/// The observers, and the flows of a plan with steps.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) capture: Capture,
    streams: Option<Streams>,
}

impl Witness {
    /// With observers that are armed, and no flow yet.
    pub(crate) fn new(capture: Capture) -> Self {
        Self {
            capture,
            streams: None,
        }
    }

    /// Starts the plan's flows, if it has any.
    pub(crate) fn begin_flows(
        &mut self,
        plan: &Plan,
        topology: &Topology,
        magic: Magic,
    ) -> Result<(), LabError> {
        if plan.flows.flows.is_empty() {
            return Ok(());
        }
        let mut streams = Streams::new(plan, magic)?;
        streams.begin(topology, &plan.after(0))?;
        self.streams = Some(streams);
        Ok(())
    }

    /// Goes where the cluster has gone: to new namespaces, and away from old ones.
    pub(crate) fn follow(&mut self, topology: &Topology, state: &State) -> Result<(), LabError> {
        self.capture.follow(topology)?;
        match &mut self.streams {
            Some(streams) => streams.follow(topology, state),
            None => Ok(()),
        }
    }

    /// Waits until all flows of `state` arrive again, and each other one is sent, or for as long as `allowed`.
    pub(crate) fn catch_up(&self, state: &State, allowed: Timeout) {
        if let Some(streams) = &self.streams {
            streams.wait_for_packets(state, allowed);
        }
    }

    /// Waits until each of the `chosen` flows has sent a packet more.
    pub(crate) fn wait_until_sent(
        &self,
        chosen: impl Fn(&Flow) -> bool,
        allowed: Timeout,
    ) -> Result<(), LabError> {
        match &self.streams {
            Some(streams) => streams.wait_until_sent(chosen, allowed),
            None => Ok(()),
        }
    }

    /// Ends the flows, of which those of `state` must arrive; the observers go on.
    pub(crate) fn end_flows(&mut self, state: &State) -> Vec<FlowEvidence> {
        let streams = self.streams.take();
        streams
            .map(|streams| streams.end(state))
            .unwrap_or_default()
    }

    /// Ends the observers too, and adds to the flows what they have seen of them.
    pub(crate) fn end(self, flows: &mut [FlowEvidence]) -> Result<Captured, LabError> {
        let captured = self.capture.end()?;
        for flow in flows {
            for (number, packet) in (0..).zip(&mut flow.packets) {
                let form = captured.forms.get(&(flow.id, number));
                packet.form = form.copied().unwrap_or_default();
            }
        }
        Ok(captured)
    }
}
