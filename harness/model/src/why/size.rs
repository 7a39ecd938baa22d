//! What the sizes of packets need.

use super::device;
use super::site::Site;
use crate::evidence::Evidence;
use crate::name::NodeName;
use crate::plan::{Family, Plan, State};
use crate::verdict::Explanation;

/// Why a promise about sizes was broken: the MTUs of the tunnel devices between `nodes`.
pub(crate) fn of_size(
    plan: &Plan,
    evidence: &Evidence,
    state: &State,
    family: Family,
    nodes: &[&NodeName],
    fact: &str,
) -> Explanation {
    let mut causes = Vec::new();
    let mut moved = Vec::new();
    for name in nodes {
        let Some(node) = state.nodes.iter().find(|node| node.name == **name) else {
            continue;
        };
        let site = Site::new(plan, evidence, node, family);
        let counters = site.seen.into_iter().flat_map(|seen| &seen.moved);
        moved.extend(counters.map(|(counter, count)| format!("{name}: {counter} +{count}")));
        if !state.encrypting.contains(*name) {
            continue;
        }
        let tunnel = state.cluster.tunnel(family);
        match site.link(&tunnel) {
            None => causes.push(format!("{tunnel} is missing on {name}")),
            Some(_) => causes.extend(device::mtu(site)),
        }
    }
    causes.sort();
    causes.dedup();
    let cause = match causes.is_empty() {
        false => causes.join("; and "),
        true => "unknown: the tunnel devices have the MTUs that follow from the uplinks".into(),
    };
    Explanation {
        stopped_at: fact.to_owned(),
        lookup: None,
        won: None,
        expected: None,
        moved,
        cause,
    }
}
