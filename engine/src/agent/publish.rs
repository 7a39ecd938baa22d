//! The node's keys in the store.

use std::time::Instant;

use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::publication::Publication;

use super::{Agent, AgentError};

impl Agent {
    /// Publishes what the devices have, and meets a request for new keys first. Returns whether the store was
    /// written.
    pub(super) async fn publish(&mut self) -> Result<bool, AgentError> {
        if !self.hooks.publishes() {
            // Nobody is to be told that this node is ready.
            return Ok(true);
        }
        let own = &self.cluster.nodes[&self.config.node];
        let rotated = own.rotation.pending().map(str::to_owned);
        let rotated = rotated.filter(|_| self.hooks.rotates());
        if rotated.is_some() {
            for family in Family::ALL {
                let name = self.cluster.settings.tunnel[family].interface.clone();
                if self.kernel.device(&name).is_some() && self.is_encrypting(family) {
                    let change = Change::GenerateKey { family, name };
                    self.executor.apply(&change, &mut self.kernel).await?;
                    self.health.with(|health| health.changed(None));
                    self.log.changed(&change, None, Instant::now());
                }
            }
            let settings = &self.cluster.settings;
            self.kernel
                .refresh(&self.executor.netlink, settings)
                .await?;
        }
        // The key is read from the device itself, so that what is published is what it has.
        let publication = Publication {
            keys: PerFamily::each(|family| {
                let name = &self.cluster.settings.tunnel[family].interface;
                let device = self.kernel.device(name);
                device
                    .and_then(|device| device.public_key)
                    .filter(|_| self.is_encrypting(family))
            }),
            rotated,
        };
        let own = &self.cluster.nodes[&self.config.node];
        if publication.is_published(own) || !self.hooks.publishes_again(own) {
            return Ok(false);
        }
        if let Some(trouble) = &self.news.trouble {
            tracing::debug!("not published yet: {trouble}");
            return Ok(true);
        }
        let node = &self.config.node;
        let written = self.config.store.publish(node, &publication).await?;
        for (family, key) in publication.keys.iter().filter(|_| written) {
            if let Some(key) = key {
                tracing::info!("published this node's {family} key {key}");
            }
        }
        Ok(written)
    }
}
