//! Changes of the store since the agent read it last.

use std::collections::BTreeSet;

use wiremesh_plan::intent::resource::Identity;

use crate::store::Changed;

/// What has changed in the store.
#[derive(Debug)]
pub(super) struct StoreChanges {
    /// Whether anything has.
    pub(super) has_changed: bool,
    /// Which resources have; none is any.
    pub(super) resources: Option<BTreeSet<Identity>>,
    /// Why the store cannot be reached, if it cannot.
    pub(super) trouble: Option<String>,
}

impl StoreChanges {
    /// Of a store that was never read.
    pub(super) fn everything() -> Self {
        Self {
            has_changed: true,
            resources: None,
            trouble: None,
        }
    }

    /// Adds a change that the feed reports.
    pub(super) fn note(&mut self, changed: Changed) {
        match changed {
            Changed::Trouble(what) => self.trouble = Some(what),
            Changed::Resources(more) => {
                self.trouble = None;
                self.has_changed = true;
                if let Some(resources) = &mut self.resources {
                    resources.extend(more);
                }
            }
            Changed::Everything => {
                self.trouble = None;
                self.has_changed = true;
                self.resources = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Identity {
        Identity {
            kind: "WorkloadEndpoint".into(),
            namespace: String::new(),
            name: name.into(),
        }
    }

    fn resources(names: &[&str]) -> Changed {
        Changed::Resources(names.iter().map(|name| pod(name)).collect())
    }

    /// Otherwise the agent would handle those resources alone and miss the others.
    #[test]
    fn after_a_change_of_everything_no_resource_is_singled_out() {
        let mut news = StoreChanges {
            has_changed: false,
            resources: Some(BTreeSet::new()),
            trouble: None,
        };
        news.note(resources(&["a"]));
        news.note(resources(&["b"]));
        assert_eq!(news.resources, Some([pod("a"), pod("b")].into()));
        news.note(Changed::Everything);
        news.note(resources(&["c"]));
        assert!(news.has_changed && news.resources.is_none());
    }

    #[test]
    fn trouble_lasts_until_the_store_reports_a_change() {
        for change in [Changed::Everything, resources(&[])] {
            let mut news = StoreChanges::everything();
            news.note(Changed::Trouble("no answer".into()));
            assert_eq!(news.trouble.as_deref(), Some("no answer"));
            news.note(change);
            assert_eq!(news.trouble, None);
        }
    }
}
