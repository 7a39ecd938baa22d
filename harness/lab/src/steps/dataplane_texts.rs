//! Nodes' dataplanes as text that is the same for the same dataplane.

use std::collections::BTreeMap;

use wireproof_model::dataplane;
use wireproof_model::name::{IfName, NodeName};

use crate::base::error::LabError;
use crate::cluster::store::Store;
use crate::cluster::topology::Topology;
use crate::observe::snapshot;

/// Each node's dataplane as text.
#[derive(Debug)]
pub(crate) struct DataplaneTexts(BTreeMap<NodeName, String>);

impl DataplaneTexts {
    /// Of these nodes as they are now, whose tunnel devices have that name.
    ///
    /// # Errors
    /// A node cannot be looked at, or the store cannot be read.
    pub(crate) fn read<'n>(
        topology: &Topology,
        store: &Store,
        nodes: impl IntoIterator<Item = &'n NodeName>,
        tunnel: &IfName,
    ) -> Result<Self, LabError> {
        let keys = [store.published_keys()?, store.published_keys6()?];
        let keys = keys.into_iter().flatten();
        let keys = keys.map(|(node, key)| (key, node)).collect();
        let text = |node: &NodeName| {
            let plane = snapshot::dataplane(topology.node(node)?, tunnel)?;
            Ok((node.clone(), dataplane::comparable(&plane, &keys)))
        };
        Ok(Self(
            nodes
                .into_iter()
                .map(text)
                .collect::<Result<_, LabError>>()?,
        ))
    }

    /// The first thing that differs in `after`.
    pub(crate) fn changed(&self, after: &Self) -> Option<String> {
        self.0.iter().find_map(|(node, text)| {
            let now = after.0.get(node).map_or("", String::as_str);
            let difference = dataplane::difference(text, now)?;
            Some(format!("{node} {difference}"))
        })
    }
}
