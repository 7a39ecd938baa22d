//! Changes of the store since the agent read it last.

use std::collections::BTreeSet;

use wiremesh_plan::intent::resource::Identity;

use crate::store::Changed;

/// What has changed in the store.
#[derive(Debug)]
pub(super) struct StoreNews {
    /// Whether anything has.
    pub(super) has_changed: bool,
    /// Which resources have; none is any.
    pub(super) resources: Option<BTreeSet<Identity>>,
    /// Why the store cannot be reached, if it cannot.
    pub(super) trouble: Option<String>,
}

impl StoreNews {
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
