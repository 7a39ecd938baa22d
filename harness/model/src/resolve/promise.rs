//! The pairs of endpoints that are probed, and what is promised about each.
//!
//! Every ordered pair of endpoints is probed with every protocol. What the
//! cluster's intent does not decide is probed without a promise.

use std::collections::BTreeMap;

use crate::plan::{Cluster, Origin, PairPromise, Plan, Probe, ProbeId, PromiseId, Protocol};

use super::statement::Stated;

/// The smallest payload in bytes: room for five whole tags.
const PAYLOAD_MIN: usize = 64;

/// WireGuard pads to this many bytes (`noise`: messages hide their exact length).
const PADDING: usize = 16;

/// A probe for every ordered pair and protocol, with at least `least` bytes of payload; then one for
/// every pair that the author wants to be probed with another payload.
pub(super) fn probes(plan: &Plan, least: Option<u16>, stated: &Stated) -> Vec<Probe> {
    let least = least.map_or(PAYLOAD_MIN, usize::from);
    let state = plan.at_last();
    let endpoints = state.endpoints();
    let pairs = endpoints
        .iter()
        .flat_map(|from| endpoints.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.name != to.name);
    let usual = pairs.flat_map(|(from, to)| {
        let protocols = protocols_of(&plan.cluster).into_iter();
        protocols.map(move |protocol| (&from.name, &to.name, protocol, None))
    });
    let wanted = stated.keys().filter(|(.., payload)| payload.is_some());
    let wanted = wanted.map(|(from, to, protocol, payload)| (from, to, *protocol, *payload));
    usual
        .chain(wanted)
        .zip(0..=u16::MAX)
        .map(|((from, to, protocol, wanted), id)| Probe {
            id: ProbeId(id),
            from: from.clone(),
            to: to.clone(),
            protocol,
            payload: payload(id, wanted.map_or(least, usize::from)),
            wanted,
        })
        .collect()
}

/// A promise for every probe that the author or the cluster's intent covers.
pub(super) fn promises(plan: &Plan, stated: &Stated) -> Vec<PairPromise> {
    let state = plan.at_last();
    let endpoints: BTreeMap<_, _> = state
        .endpoints()
        .into_iter()
        .map(|endpoint| (endpoint.name.clone(), endpoint))
        .collect();
    let expected = plan.probes.iter().filter_map(|probe| {
        let (from, to) = (endpoints.get(&probe.from)?, endpoints.get(&probe.to)?);
        let subject = (
            probe.from.clone(),
            probe.to.clone(),
            probe.protocol,
            probe.wanted,
        );
        let (protection, origin) = match stated.get(&subject) {
            Some((protection, line)) => (*protection, Origin::Stated { line: *line }),
            None if state.are_apart(from, to) => return None,
            None => (
                state.protection(from, to, probe.protocol.family())?,
                Origin::Derived,
            ),
        };
        Some((probe, from.class(to), protection, origin))
    });
    (0..)
        .zip(expected)
        .map(|(id, (probe, class, protection, origin))| PairPromise {
            id: PromiseId(id),
            probe: probe.id,
            from: probe.from.clone(),
            to: probe.to.clone(),
            protocol: probe.protocol,
            payload: probe.wanted,
            class,
            protection,
            origin,
        })
        .collect()
}

/// Bytes of payload. Five steps of the padding between neighbours are more than their headers
/// differ by, so that a neighbour's ciphertext never has the length of one's own.
fn payload(id: u16, least: usize) -> u16 {
    let steps = usize::from(id) * 5 % 16;
    u16::try_from(least + PADDING * steps).unwrap_or(u16::MAX)
}

/// The families of a cluster.
fn protocols_of(cluster: &Cluster) -> Vec<Protocol> {
    let families = cluster.families.iter();
    families.flat_map(|family| Protocol::of(*family)).collect()
}
