//! Effects of the fabric on packets. An impairment that never hit one leaves the run open: what was promised in
//! spite of it is not proven.

use std::collections::BTreeMap;

use super::delay::arrivals;
use super::fabric_effect::FabricEffect;
use super::nat::mappings;
use crate::evidence::{ANSWERED, Evidence, OVERSIZED, SWALLOWED};
use crate::plan::{Impairment, Plan};

/// Everything that the fabric did or should have done, impairments first.
pub fn fabric_effects(plan: &Plan, evidence: &Evidence) -> Vec<FabricEffect> {
    if evidence.skipped.is_some() {
        return Vec::new();
    }
    let packets = |name: &str| {
        let tally = evidence.wire.iter().find(|tally| tally.name == name);
        tally.map_or(0, |tally| tally.packets)
    };
    let impairments = impairments(plan)
        .into_values()
        .map(|impairment| FabricEffect {
            line: Some(impairment.line),
            what: impairment.describe(),
            packets: packets(&impairment.counter()),
            unlike: arrivals(plan, evidence, &impairment).unlike(impairment.kind),
        });
    let routers = [
        (OVERSIZED, "packets larger than the fabric carries"),
        (ANSWERED, "answers of the fabric that a packet is too big"),
        (SWALLOWED, "such answers that never left it"),
    ];
    let routers = routers.into_iter().map(|(name, what)| FabricEffect {
        line: None,
        what: what.into(),
        packets: packets(name),
        unlike: None,
    });
    impairments
        .chain(mappings(plan, evidence, packets))
        .chain(routers.filter(|one| one.packets > 0))
        .collect()
}

/// Every impairment that there is at some time, by its line.
fn impairments(plan: &Plan) -> BTreeMap<u32, Impairment> {
    let impairments = plan.states().flat_map(|state| state.fabric.impairments);
    impairments
        .map(|impairment| (impairment.line, impairment))
        .collect()
}
