//! Agents whose Node is deleted: they need not follow a store in which they are no part of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use wireproof_model::name::NodeName;
use wireproof_model::plan::State;

use crate::cluster::node::NodeState;

use super::Engines;

/// The nodes whose Node is deleted, and their agent's status before that.
#[derive(Debug, Default)]
pub(super) struct Deleted(BTreeMap<NodeName, Option<String>>);

impl Deleted {
    /// Takes note of the nodes whose Node is deleted from here on.
    pub(super) fn note(
        &mut self,
        deleted: &BTreeSet<NodeName>,
        states: &mut BTreeMap<NodeName, NodeState>,
    ) {
        let before = std::mem::take(&mut self.0);
        for (name, node) in states {
            let previous = before.get(name);
            if deleted.contains(name) {
                let previous = previous.unwrap_or(&node.status).clone();
                self.0.insert(name.clone(), previous);
            } else if previous.is_some() {
                // The store may become again what it was when the agent announced that it followed it.
                node.applied = None;
            }
        }
    }

    /// Whether an agent has changed its status since its Node was deleted: that it waits for it.
    pub(super) fn has_changed_status(&self, name: &NodeName, node: &NodeState) -> bool {
        let previous = self.0.get(name);
        previous.is_some_and(|before| node.status.is_some() && node.status != *before)
    }
}

impl Engines<'_> {
    /// Takes note of who is part of the cluster from here on, and of those whose Node is deleted.
    pub(crate) fn expect(&mut self, state: &State) {
        self.present = state.nodes.iter().map(|node| node.name.clone()).collect();
        let deleted = &mut self.deleted;
        self.states
            .change(|states| deleted.note(&state.deleted, states));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_without_a_node_has_to_change_its_status_and_follows_once_the_node_is_back() {
        let name: NodeName = "a".parse().unwrap();
        let synced = NodeState {
            status: Some("in sync".into()),
            applied: Some("1".into()),
            ..NodeState::default()
        };
        let mut states = BTreeMap::from([(name.clone(), synced)]);
        let (gone, there) = (BTreeSet::from([name.clone()]), BTreeSet::new());
        let mut deleted = Deleted::default();
        let set_status = |states: &mut BTreeMap<_, NodeState>, status: Option<&str>| {
            states.get_mut(&name).unwrap().status = status.map(str::to_owned);
        };
        // While its Node is there, another word of its is no reason to go on.
        set_status(&mut states, Some("busy"));
        assert!(!deleted.has_changed_status(&name, &states[&name]));
        deleted.note(&gone, &mut states);
        assert!(!deleted.has_changed_status(&name, &states[&name]));
        set_status(&mut states, Some("waits"));
        assert!(deleted.has_changed_status(&name, &states[&name]));
        // Nothing new is said in the steps after that.
        deleted.note(&gone, &mut states);
        assert!(deleted.has_changed_status(&name, &states[&name]));
        // One that is started meanwhile has not said anything.
        set_status(&mut states, None);
        assert!(!deleted.has_changed_status(&name, &states[&name]));
        set_status(&mut states, Some("waits"));
        // What it announced before it had no Node says nothing of the time after.
        assert_eq!(states[&name].applied.as_deref(), Some("1"));
        deleted.note(&there, &mut states);
        assert!(!deleted.has_changed_status(&name, &states[&name]));
        assert_eq!(states[&name].applied, None);
        states.get_mut(&name).unwrap().applied = Some("2".into());
        deleted.note(&there, &mut states);
        assert_eq!(states[&name].applied.as_deref(), Some("2"));
    }
}
