//! What the fabric did to packets. A fault that never hit one leaves the run open: what was
//! promised in spite of it is not proven.

use std::collections::BTreeMap;

use super::delay::arrivals;
use super::nat::mappings;
use crate::evidence::{ANSWERED, Evidence, OVERSIZED, SWALLOWED};
use crate::plan::{Plan, WireFault};

/// One thing that the fabric does to packets, and how often it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// The scenario's line that asks for it; none for what goes without saying.
    pub line: Option<u32>,
    /// What it does, in words.
    pub told: String,
    /// To so many packets.
    pub packets: u64,
    /// Why what became of them is not what was asked for.
    pub unlike: Option<String>,
}

impl Weather {
    /// Whether it was asked for and never happened.
    pub fn is_idle(&self) -> bool {
        self.line.is_some() && (self.packets == 0 || self.unlike.is_some())
    }

    /// What shows that it never happened.
    pub fn idleness(&self) -> &str {
        match &self.unlike {
            Some(why) if self.packets > 0 => why,
            Some(_) | None => "there was none to hit",
        }
    }
}

/// Everything that the fabric did or should have done, faults first.
pub fn weather(plan: &Plan, evidence: &Evidence) -> Vec<Weather> {
    if evidence.skipped.is_some() {
        return Vec::new();
    }
    let packets = |name: &str| {
        let tally = evidence.wire.iter().find(|tally| tally.name == name);
        tally.map_or(0, |tally| tally.packets)
    };
    let faults = faults(plan).into_values().map(|fault| Weather {
        line: Some(fault.line),
        told: fault.told(),
        packets: packets(&fault.counter()),
        unlike: arrivals(plan, evidence, &fault).unlike(fault.harm),
    });
    let routers = [
        (OVERSIZED, "packets larger than the fabric carries"),
        (ANSWERED, "answers of the fabric that a packet is too big"),
        (SWALLOWED, "such answers that never left it"),
    ];
    let routers = routers.into_iter().map(|(name, told)| Weather {
        line: None,
        told: told.into(),
        packets: packets(name),
        unlike: None,
    });
    faults
        .chain(mappings(plan, evidence, packets))
        .chain(routers.filter(|one| one.packets > 0))
        .collect()
}

/// Every fault that there is at some time, by its line.
fn faults(plan: &Plan) -> BTreeMap<u32, WireFault> {
    let faults = plan.states().flat_map(|state| state.fabric.faults);
    faults.map(|fault| (fault.line, fault)).collect()
}
