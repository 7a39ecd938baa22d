//! Promises that pairs are never plaintext on the wire in the whole run.

use serde::{Deserialize, Serialize};

use crate::name::EndpointName;

use super::{Family, PromiseId};

/// Pairs of which not one frame may be readable on the wire, from the first convergence to the last
/// probe: whatever steps do, whatever the cluster's intent is then, and whether anything arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverPlaintext {
    /// Its number among all promises.
    pub id: PromiseId,
    /// Who sends and who receives, of everyone who exists at some time, in the plan's order.
    pub pairs: Vec<(EndpointName, EndpointName)>,
    /// In which families.
    pub families: Vec<Family>,
    /// The scenario's line that states it, counted from 1.
    pub line: u32,
}

impl NeverPlaintext {
    /// Whether it is about the traffic between these two, in either direction.
    pub fn covers(&self, one: &EndpointName, other: &EndpointName) -> bool {
        let named = |(from, to): &(EndpointName, EndpointName)| {
            (from, to) == (one, other) || (from, to) == (other, one)
        };
        self.pairs.iter().any(named)
    }
}
