//! The agent's reports: to its log, to its supervisor, and to the exporter of its metrics.

use std::time::Instant;

use wiremesh_plan::dataplane::desired::is_active;
use wiremesh_plan::dataplane::networks;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::settings::overhead;

use crate::agent::health::Mesh;
use crate::host::kernel::KernelCache;

use super::{Agent, AgentError};

impl Agent {
    /// How this node reaches the others.
    pub(super) fn look_around(&mut self) {
        self.meshes = PerFamily::each(|family| {
            let name = &self.cluster.settings.tunnel[family].interface;
            let device = self.kernel.backend(name).map(|kind| (name.clone(), kind));
            match self.is_encrypting(family) {
                true => Mesh::of(
                    &self.cluster,
                    &self.config.node,
                    family,
                    device,
                    &self.bypasses[family],
                ),
                false => Mesh {
                    device,
                    ..Mesh::default()
                },
            }
        });
        for (family, mesh) in self.meshes.iter() {
            self.log.peers(family, mesh);
        }
        let settings = &self.cluster.settings;
        self.health.with(|health| {
            health.strict = settings.strict.is_some();
            health.exports_wireguard = settings.metrics.wireguard;
            health.meshes.clone_from(&self.meshes);
            health.conflicts = PerFamily::each(|family| self.conflicts[family].len());
        });
    }

    /// Logs the problems, and leaves their number for the exporter.
    pub(super) fn report_problems(&mut self, problems: &[String]) {
        self.log.stands(problems, Instant::now());
        self.health.with(|health| {
            health.resyncs = self.counts.resyncs;
            health.problems = problems.len();
        });
    }

    /// Keeps what refuses plaintext for the next boot.
    pub(super) fn keep_guard(&mut self) {
        let Some(desired) = self.desired.as_ref().filter(|_| self.hooks.keeps_guard()) else {
            return;
        };
        let kept = self.guard.keep(&desired.firewall);
        if let Ok(true) = kept {
            tracing::warn!(
                "the rules kept for the next boot were changed by another program: they are written again"
            );
        }
        self.unguarded = kept.err().map(|error| error.to_string());
    }

    /// What is worth saying.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.wrong.clone();
        problems.extend(self.news.trouble.clone());
        let unsupported = self.unsupported.iter();
        problems.extend(unsupported.map(|why| format!("this node cannot encrypt: {why}")));
        problems.extend(self.ports.problems());
        problems.extend(self.table_problems());
        let node = &self.config.node;
        problems.extend(too_large_mtus(&self.kernel, &self.cluster, node));
        problems.extend(self.too_narrow());
        problems.extend(self.kernel.prefix_problems(&self.cluster.settings));
        problems.extend(self.bypass_problems());
        problems.extend(self.unguarded.clone());
        problems.extend(self.departed.problems(&self.cluster, node));
        let why = self.doubts.forbid_lifting(true);
        problems.extend(self.departed.doubt(&self.cluster, node, why));
        problems.extend(networks::problems(&self.conflicts));
        problems.extend(self.meshes.iter().flat_map(|(_, mesh)| mesh.problems()));
        problems
    }

    /// Whether the uplink is too narrow for IPv6 inside the tunnel.
    fn too_narrow(&self) -> Option<String> {
        let (family, settings) = (Family::V6, &self.cluster.settings);
        let own = self.cluster.nodes.get(&self.config.node)?.endpoint[family];
        let uplink = self.kernel.uplink_mtu(own, settings);
        let mtu = settings.device_mtu(family, uplink, self.cluster.aks);
        let squeezed = self.is_encrypting(family) && mtu + overhead(family) > uplink;
        squeezed.then(|| {
            format!(
                "{} needs an MTU of {mtu} bytes, which do not fit into the uplink's {uplink} with \
                 WireGuard's {}: its packets are fragmented",
                settings.tunnel[family].interface,
                overhead(family)
            )
        })
    }

    /// Reports to the supervisor that the store's state of that digest has been applied.
    pub(super) fn announce(&mut self, problems: &[String], digest: &str) {
        let peers = Family::ALL.into_iter().filter_map(|family| {
            let name = &self.cluster.settings.tunnel[family].interface;
            self.kernel.device(name).map(|device| device.peers.len())
        });
        let how = format!("in sync: {} peers", peers.sum::<usize>());
        let status = std::iter::once(how.as_str())
            .chain(problems.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("; ");
        if let Err(error) = self.supervisor.in_sync(&status, digest, self.counts) {
            self.complain(&format!("cannot tell the supervisor: {error}"));
        }
    }

    /// Reports a failure.
    pub(super) fn fail(&mut self, error: &AgentError) {
        let why = error.to_string();
        self.health.with(|health| {
            health.failed(&why);
            // A Node that comes later is met from then on.
            if matches!(error, AgentError::NoNode(_)) {
                health.idles();
            }
        });
        if matches!(error, AgentError::Elsewhere(_)) {
            // The peer's own agent sees to it, and nobody else has to.
            tracing::info!("{why}");
            let _ = self.supervisor.struggling(&why);
        } else {
            self.complain(&why);
        }
    }

    /// Reports a problem to the log and the supervisor.
    pub(super) fn complain(&mut self, problem: &str) {
        self.log.failed(problem, Instant::now());
        // If even this fails, the log is all there is.
        let _ = self.supervisor.struggling(problem);
    }
}

/// MTUs that are set and do not fit into the uplink.
pub(crate) fn too_large_mtus(kernel: &KernelCache, cluster: &Cluster, node: &str) -> Vec<String> {
    let families = Family::ALL.into_iter();
    let wrong = families.filter_map(|family| {
        let own = cluster.nodes.get(node)?.endpoint[family];
        let uplink = kernel.uplink_mtu(own, &cluster.settings);
        let active = is_active(cluster, node, family);
        let wrong = cluster.settings.mtu_too_large(family, uplink);
        Some(format!("FelixConfiguration: {}", wrong.filter(|_| active)?))
    });
    wrong.collect()
}
