//! What the fabric did to packets. A fault that never hit one leaves the run open: what was
//! promised in spite of it is not proven.

use std::collections::BTreeMap;

use super::delay::arrivals;
use super::nat::mappings;
use super::weather::Weather;
use crate::evidence::{ANSWERED, Evidence, OVERSIZED, SWALLOWED};
use crate::plan::{Plan, WireFault};

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
