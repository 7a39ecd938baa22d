//! Flows: packets that are sent throughout every step.

use serde::{Deserialize, Serialize};

use crate::name::EndpointName;

use super::{Family, PromiseId};

/// For how long a step may interrupt flows if its author does not set it, in milliseconds.
pub(crate) const OUTAGE: u32 = 5_000;

pub(super) fn outage() -> u32 {
    OUTAGE
}

/// The flows of a scenario with steps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flows {
    /// Between two packets of a flow, in microseconds.
    pub every: u32,
    /// `flows[i].id == FlowId(i)`.
    pub flows: Vec<Flow>,
    /// What is promised of each step, in the order of the steps; their numbers follow those of
    /// [`Plan::promises`](super::Plan::promises).
    pub promises: Vec<StepPromise>,
}

/// Numbered packets from one endpoint to another, from the first convergence until every step
/// has settled, whenever both exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its index in [`Flows::flows`].
    pub id: FlowId,
    /// The sender.
    pub from: EndpointName,
    /// The receiver.
    pub to: EndpointName,
    /// The IP family of the packets.
    #[serde(default)]
    pub family: Family,
}

impl Flow {
    /// Between whom it goes: `pod-1 → pod-2`, with the family where that is not IPv4.
    pub(crate) fn describe(&self) -> String {
        match self.family {
            Family::Ipv4 => format!("{} → {}", self.from, self.to),
            Family::Ipv6 => format!("{} → {} in ipv6", self.from, self.to),
        }
    }
}

/// Index of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowId(pub u16);

/// An expectation about all flows during one step: from its beginning until the next one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPromise {
    /// Its number among all promises.
    pub id: PromiseId,
    /// Which step, counted from 1; 0 is the time before.
    pub step: usize,
    /// What is promised.
    pub kind: StepKind,
}

/// What is promised about the flows of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Not one frame of a pair that stays protected is readable on the wire.
    Leak,
    /// No flow that both the cluster before and the one after the step deliver is interrupted for
    /// longer than the step may.
    Outage,
}
