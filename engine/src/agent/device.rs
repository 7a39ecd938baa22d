//! Tunnel devices that somebody has given another name: their processes take the name back.

use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::intent::family::Family;

use crate::host::tunnel;

use super::{Agent, AgentError};

impl Agent {
    /// Waits for devices that are on their way back to their names, so that none is made in the place
    /// of one that is there. One that does not come back is made anew.
    pub(super) async fn look_for_devices(&mut self) -> Result<(), AgentError> {
        for family in Family::ALL {
            let name = self.cluster.settings.tunnel[family].interface.clone();
            if self.kernel.has_link(&name) || !tunnel::is_running(&name) {
                continue;
            }
            if self.settled {
                let change = Change::CreateDevice {
                    family,
                    name: name.clone(),
                };
                self.health.with(|health| health.repairs(&change));
            }
            if tunnel::gets_device_back(&name).await {
                self.kernel.apply_notifications(self.monitor.drain());
                let settings = &self.cluster.settings;
                self.kernel
                    .refresh(&self.executor.netlink, settings)
                    .await?;
            }
        }
        Ok(())
    }
}
