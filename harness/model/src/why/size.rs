//! Defects of MTUs: packets that are too large for a link.

use super::node_view::NodeView;
use super::{BrokenPair, MAX_CAUSES, device, tunnel};
use crate::evidence::Evidence;
use crate::name::{EndpointName, NodeName};
use crate::plan::{Endpoint, Family, Node, Plan, Protection, State};
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
        let site = NodeView::new(plan, evidence, node, family);
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
    if causes.is_empty() {
        causes = of_the_way(plan, evidence, state, family, nodes);
    }
    if causes.is_empty() {
        causes = too_large(plan, evidence, state, family, nodes);
    }
    causes.sort();
    causes.dedup();
    causes.truncate(MAX_CAUSES);
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

/// Where the MTUs are right: why no packet of the nodes passes, whatever its size.
fn of_the_way(
    plan: &Plan,
    evidence: &Evidence,
    state: &State,
    family: Family,
    nodes: &[&NodeName],
) -> Vec<String> {
    let ends = nodes
        .iter()
        .filter(|name| state.encrypting.contains(**name));
    let ends = ends.filter_map(|name| state.endpoint(&EndpointName::from(*name)));
    let ends: Vec<Endpoint<'_>> = ends.collect();
    let [one, other] = ends.as_slice() else {
        return Vec::new();
    };
    let between = |from, to| {
        let ends: [&Endpoint<'_>; 2] = [from, to];
        let [source, destination] = ends.map(|end| family.address(end.address));
        let question = BrokenPair {
            plan,
            evidence,
            from,
            to,
            addresses: (source, destination),
            protection: Protection::Encrypted,
            stated: false,
            stopped: None,
            payload: None,
        };
        let leg = question.leg(false);
        if !leg.sender.was_seen() || !leg.receiver.was_seen() {
            return Vec::new();
        }
        // Without their own addresses in the mesh, nodes only carry what pods send.
        let found = match state.cluster.host_encryption {
            true => tunnel::defects(&leg),
            false => device::defects(leg.sender),
        };
        found.into_iter().map(|defect| defect.text).collect()
    };
    let mut causes = between(one, other);
    causes.extend(between(other, one));
    causes
}

/// Where the MTUs follow from the uplinks and every way is right: what the largest packets of one
/// node are too large for on their way to the other.
fn too_large(
    plan: &Plan,
    evidence: &Evidence,
    state: &State,
    family: Family,
    nodes: &[&NodeName],
) -> Vec<String> {
    let ends = nodes.iter().filter_map(|name| {
        let mut all = state.nodes.iter();
        all.find(|node| node.name == **name)
    });
    let ends: Vec<&Node> = ends.collect();
    let [one, other] = ends.as_slice() else {
        return Vec::new();
    };
    let encrypted = ends
        .iter()
        .all(|node| state.encrypting.contains(&node.name));
    let too_large = |from: &Node, to: &Node| {
        let site = NodeView::new(plan, evidence, from, family);
        let tunnel = state.cluster.tunnel(family);
        let (link, overhead) = match encrypted {
            true => (tunnel, u32::from(family.wireguard_overhead())),
            false => ("eth0".parse().ok()?, 0),
        };
        let mtu = site.link(&link)?.mtu;
        let largest = mtu + overhead;
        let fabric = (u32::from(state.fabric.mtu), "the fabric".to_owned());
        let uplink = (u32::from(to.mtu), format!("eth0 of {}", to.name));
        let (carries, what) = fabric.min(uplink);
        let adds = match overhead {
            0 => String::new(),
            _ => format!(" and adds {overhead}"),
        };
        let fits = carries.saturating_sub(overhead);
        (largest > carries).then(|| {
            format!(
                "packets of {largest} bytes from {} are too large for {what}, which takes {carries}: \
                 {link} carries {mtu}{adds}, and one of {fits} fits",
                from.name
            )
        })
    };
    let both = [too_large(one, other), too_large(other, one)];
    both.into_iter().flatten().collect()
}
