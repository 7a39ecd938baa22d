//! The wait for a first complete reading of the store: until then the dataplane stays as it is.

use crate::store::Feed;

use super::Agent;

impl Agent {
    /// Whether the store has not been read yet, or holds a `datastoreReady` of false: it must not be acted upon.
    pub(super) fn waits(&mut self, feed: &Feed) -> bool {
        let unready = feed.snapshot().unready();
        if feed.known() && unready.is_none() {
            return false;
        }
        self.put_off();
        let trouble = unready.or_else(|| self.news.trouble.clone());
        let waiting = trouble.as_deref().unwrap_or("waiting for the store");
        self.health.with(|health| health.failed(waiting));
        match &trouble {
            Some(trouble) => self.complain(trouble),
            // It has not answered yet, and nothing is wrong with that.
            None => drop(self.supervisor.struggling(waiting)),
        }
        true
    }
}
