//! Snapshots of nodes' dataplanes between the steps, where a scenario has checks of them.

use std::collections::BTreeMap;

use wireproof_model::evidence::StateEvidence;
use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;

use crate::base::error::LabError;
use crate::cluster::store::Store;
use crate::cluster::topology::Topology;
use crate::observe::snapshot;

/// What the nodes look like that facts are about when `after` steps have settled.
pub(crate) fn look(
    plan: &Plan,
    topology: &Topology,
    store: &Store,
    after: usize,
) -> Result<Vec<StateEvidence>, LabError> {
    let mut nodes: Vec<_> = plan
        .facts
        .iter()
        .filter(|fact| fact.after.map(usize::from) == Some(after))
        .map(|fact| &fact.node)
        .collect();
    nodes.sort();
    nodes.dedup();
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let tunnel = plan.after(after).cluster.interface;
    let keys = store.published_keys()?.into_iter();
    let keys = keys.chain(store.published_keys6()?);
    let keys: BTreeMap<_, _> = keys.map(|(node, key)| (key, node)).collect();
    let look = |name: &NodeName| {
        Ok(StateEvidence {
            node: name.clone(),
            after: u16::try_from(after).unwrap_or(u16::MAX),
            dataplane: snapshot::dataplane(topology.node(name)?, &tunnel)?,
            keys: keys.clone(),
        })
    };
    nodes.into_iter().map(look).collect()
}
