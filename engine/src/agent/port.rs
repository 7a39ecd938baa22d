//! The tunnels' ports and names: each family goes on by itself where another program has the other's
//! port, or another link its device's name.

use std::time::Duration;

use tokio::time::Instant;
use wiremesh_plan::dataplane::desired::is_active;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};

use crate::host::kernel::KernelCache;
use crate::host::port::{self, Taken};

use super::Agent;

/// When a port that is taken is tried again, and twice as long after each further time.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// But never longer than this.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What stands in the way of each family's device.
#[derive(Debug, Default)]
pub(super) struct Ports {
    taken: PerFamily<Option<String>>,
    /// When they are looked at again, and after how long.
    next: Option<(Instant, Duration)>,
}

impl Ports {
    /// When the ports are to be looked at again; `otherwise` if that is earlier, or none is taken.
    pub(super) fn wake(&self, otherwise: Instant) -> Instant {
        self.next.map_or(otherwise, |(at, _)| at.min(otherwise))
    }

    /// Takes note of what stands in the way.
    fn note(&mut self, taken: PerFamily<Option<String>>, now: Instant) {
        let again = taken.iter().any(|(_, taken)| taken.is_some());
        self.next = again.then(|| match self.next {
            // Looked at before its time, as when the store has changed.
            Some((at, wait)) if now < at => (at, wait),
            Some((_, wait)) => {
                let wait = (wait * 2).min(LAST_RETRY);
                (now + wait, wait)
            }
            None => (now + FIRST_RETRY, FIRST_RETRY),
        });
        self.taken = taken;
    }

    /// A problem for each port that is taken.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        problems(&self.taken)
    }
}

/// The problems of ports that are taken.
pub(crate) fn problems(taken: &PerFamily<Option<String>>) -> impl Iterator<Item = String> {
    taken.iter().filter_map(|(family, taken)| {
        let taken = taken.as_ref()?;
        Some(format!("this node cannot encrypt {family}: {taken}"))
    })
}

/// Why a family's device cannot be had: another link has its name, or another program its port. A port at
/// which this family's device listens is its own; one at which the other family's does is taken until that
/// has moved away.
pub(crate) async fn taken(
    kernel: &KernelCache,
    cluster: &Cluster,
    node: &str,
) -> PerFamily<Option<String>> {
    PerFamily {
        v4: taken_for(kernel, cluster, node, Family::V4).await,
        v6: taken_for(kernel, cluster, node, Family::V6).await,
    }
}

async fn taken_for(
    kernel: &KernelCache,
    cluster: &Cluster,
    node: &str,
    family: Family,
) -> Option<String> {
    if !is_active(cluster, node, family) {
        return None;
    }
    let settings = &cluster.settings;
    let name = &settings.tunnel[family].interface;
    if kernel.is_foreign(name) {
        let end = match family {
            Family::V4 => "",
            Family::V6 => "V6",
        };
        return Some(format!(
            "another link has the name `{name}`, and is no WireGuard device: rename it, or set another \
             `wireguardInterfaceName{end}`"
        ));
    }
    let port = settings.tunnel[family].listen_port;
    match kernel.listener(port, settings) {
        Some((_, of)) if of == family => None,
        Some((name, _)) => {
            let by = format!("this node's own {name}");
            Some(Taken { port, by }.to_string())
        }
        None => {
            let taken = port::taken(port, &kernel.device_names(settings)).await;
            taken.map(|taken| taken.to_string())
        }
    }
}

impl Agent {
    /// Looks for ports that are taken.
    pub(super) async fn look_at_ports(&mut self) {
        let taken = taken(&self.kernel, &self.cluster, &self.config.node).await;
        self.ports.note(taken, Instant::now());
    }

    /// In which families this node can make a device.
    pub(super) fn supported(&self) -> PerFamily<bool> {
        PerFamily::each(|family| self.can_encrypt(family))
    }

    fn can_encrypt(&self, family: Family) -> bool {
        self.unsupported.is_none() && self.ports.taken[family].is_none() && self.has_table(family)
    }

    /// Whether this node encrypts in that family.
    pub(super) fn is_encrypting(&self, family: Family) -> bool {
        self.can_encrypt(family) && is_active(&self.cluster, &self.config.node, family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_looked_at_again_later_and_later_and_no_longer_once_it_is_free() {
        let start = Instant::now();
        let (mut ports, mut now) = (Ports::default(), start);
        let far = start + Duration::from_secs(1000);
        assert_eq!(ports.wake(far), far);
        let taken = || PerFamily {
            v4: None,
            v6: Some("UDP port 51821 is taken by python3 (process 7)".into()),
        };
        for seconds in [1, 2, 4, 8, 10, 10] {
            ports.note(taken(), now);
            // Other events in between neither put it off nor make it wait longer.
            ports.note(taken(), now + Duration::from_millis(10));
            let next = now + Duration::from_secs(seconds);
            assert_eq!(ports.wake(far), next);
            now = next;
        }
        assert_eq!(
            ports.problems().collect::<Vec<_>>(),
            ["this node cannot encrypt IPv6: UDP port 51821 is taken by python3 (process 7)"]
        );
        ports.note(PerFamily::default(), now);
        assert_eq!(ports.wake(far), far);
        assert_eq!(ports.problems().count(), 0);
    }
}
