//! Agents whose Node is deleted: they need not follow a store in which they are no part of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use wireproof_model::name::NodeName;
use wireproof_model::plan::State;

use crate::cluster::node::NodeState;

use super::Engines;

/// The nodes whose Node is deleted, and what their agent said before that.
#[derive(Debug, Default)]
pub(super) struct Deleted(BTreeMap<NodeName, Option<String>>);

impl Deleted {
    /// Takes note of the nodes whose Node is deleted from here on.
    pub(super) fn note(
        &mut self,
        deleted: &BTreeSet<NodeName>,
        told: &mut BTreeMap<NodeName, NodeState>,
    ) {
        let before = std::mem::take(&mut self.0);
        for (name, node) in told {
            let said = before.get(name);
            if deleted.contains(name) {
                let said = said.unwrap_or(&node.status).clone();
                self.0.insert(name.clone(), said);
            } else if said.is_some() {
                // The store may become again what it was when the agent announced that it followed it.
                node.applied = None;
            }
        }
    }

    /// Whether an agent has said something since its Node is deleted: that it waits for it.
    pub(super) fn has_told(&self, name: &NodeName, node: &NodeState) -> bool {
        let said = self.0.get(name);
        said.is_some_and(|before| node.status.is_some() && node.status != *before)
    }
}

impl Engines<'_> {
    /// Takes note of who is part of the cluster from here on, and of those whose Node is deleted.
    pub(crate) fn expect(&mut self, state: &State) {
        self.present = state.nodes.iter().map(|node| node.name.clone()).collect();
        let deleted = &mut self.deleted;
        self.told.change(|told| deleted.note(&state.deleted, told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_node_has_to_say_something_and_follows_once_it_is_back() {
        let name: NodeName = "a".parse().unwrap();
        let synced = NodeState {
            status: Some("in sync".into()),
            applied: Some("1".into()),
            ..NodeState::default()
        };
        let mut told = BTreeMap::from([(name.clone(), synced)]);
        let (gone, there) = (BTreeSet::from([name.clone()]), BTreeSet::new());
        let mut deleted = Deleted::default();
        let says = |told: &mut BTreeMap<_, NodeState>, status: Option<&str>| {
            told.get_mut(&name).unwrap().status = status.map(str::to_owned);
        };
        // While its Node is there, another word of its is no reason to go on.
        says(&mut told, Some("busy"));
        assert!(!deleted.has_told(&name, &told[&name]));
        deleted.note(&gone, &mut told);
        assert!(!deleted.has_told(&name, &told[&name]));
        says(&mut told, Some("waits"));
        assert!(deleted.has_told(&name, &told[&name]));
        // Nothing new is said in the steps after that.
        deleted.note(&gone, &mut told);
        assert!(deleted.has_told(&name, &told[&name]));
        // One that is started meanwhile has not said anything.
        says(&mut told, None);
        assert!(!deleted.has_told(&name, &told[&name]));
        says(&mut told, Some("waits"));
        // What it announced before it had no Node says nothing of the time after.
        assert_eq!(told[&name].applied.as_deref(), Some("1"));
        deleted.note(&there, &mut told);
        assert!(!deleted.has_told(&name, &told[&name]));
        assert_eq!(told[&name].applied, None);
        told.get_mut(&name).unwrap().applied = Some("2".into());
        deleted.note(&there, &mut told);
        assert_eq!(told[&name].applied.as_deref(), Some("2"));
    }
}
