//! The fast path: a pod that is added, removed or moved changes only its own routes and peers' allowed IPs.

use std::time::Instant;

use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::dataplane::pod_change;
use wiremesh_plan::intent::family::{Family, PerFamily};

use crate::host::kernel::Stale;
use crate::store::Feed;

use super::{Agent, AgentError};

impl Agent {
    /// Deals with changed pods alone, if nothing else has changed and all was well before. Returns whether it
    /// has; if not, everything is compared.
    pub(super) async fn shortcut(&mut self, feed: &Feed) -> Result<bool, AgentError> {
        let snapshot = feed.snapshot();
        let well = self.settled
            && self.wrong.is_empty()
            && snapshot.bad.is_empty()
            && self.hooks.allows_shortcut()
            && self.unsupported.is_none()
            && self.conflicts.iter().all(|(_, found)| found.is_empty())
            && self.kernel.stale == Stale::NOTHING;
        let (Some(changed), Some(desired), true) = (&self.news.resources, &mut self.desired, well)
        else {
            return Ok(false);
        };
        let news = self.monitor.drain();
        if !news.is_empty() {
            self.kernel.apply_notifications(news);
            return Ok(false);
        }
        let Some(networks) = self.cluster.advance(changed, &snapshot.resources) else {
            return Ok(false);
        };
        let tables = PerFamily::each(|family| {
            let rule = desired.families[family].rules.first();
            rule.map(|rule| rule.table).unwrap_or_default()
        });
        // Of what several nodes are said to have it is told, which is not done in short.
        let cluster = &self.cluster;
        if networks.iter().any(|network| cluster.is_contested(network)) {
            return Ok(false);
        }
        // Whether others' routes are in the way of new ones is decided on the long way.
        let kernel = &self.kernel;
        if tables
            .iter()
            .any(|(family, table)| kernel.is_shared(family, *table))
        {
            return Ok(false);
        }
        // So is whether rules of others take what goes to them.
        let settings = &cluster.settings;
        if Family::ALL
            .into_iter()
            .any(|family| kernel.rules_of_others_before(family, settings).is_some())
        {
            return Ok(false);
        }
        let node = &self.config.node;
        let here = self.kernel.here(&cluster.settings);
        let advanced = pod_change::advance(cluster, node, &here, &networks, tables, desired);
        let Some(changes) = advanced else {
            return Ok(false);
        };
        for change in &changes {
            self.executor.apply(change, &mut self.kernel).await?;
            self.health.with(|health| health.changed(None));
            self.log.changed(change, None, Instant::now());
            if let Change::Configure(configuration) = change {
                // It is known what it is like now: nobody tells it again.
                self.kernel.configured(configuration);
            }
        }
        self.kernel.apply_notifications(self.monitor.drain());
        Ok(changes.iter().all(|change| self.is_kept(change)))
    }

    /// Whether the kernel has what it was given.
    fn is_kept(&self, change: &Change) -> bool {
        let Change::SetRoutes { set, remove, .. } = change else {
            return true;
        };
        let kept = |slot| self.kernel.target(slot);
        set.iter()
            .all(|(slot, target)| kept(*slot).as_ref() == Some(target))
            && remove.iter().all(|slot| kept(*slot).is_none())
    }
}
