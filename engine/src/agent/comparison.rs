//! A node's dataplane as it is and as it should be, put together from the kernel's state and the store's resources.

use std::net::SocketAddr;
use std::time::SystemTime;

use wiremesh_plan::dataplane::bypass::Bypass;
use wiremesh_plan::dataplane::desired::{Situation, desired};
use wiremesh_plan::dataplane::model::Dataplane;
use wiremesh_plan::dataplane::networks::Conflict;
use wiremesh_plan::dataplane::retained_protection::RetainedProtection;
use wiremesh_plan::dataplane::roaming::EndpointHistory;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::key::PublicKey;
use wiremesh_plan::intent::settings::Settings;

use super::bypass::find as find_bypasses;
use super::table::Choices;
use crate::host::kernel::KernelCache;

/// Whether settings ask for less than a dataplane has: strict mode, host encryption or a family's encryption ends.
pub(crate) fn lifts(actual: &Dataplane, settings: &Settings) -> bool {
    let strict = actual.firewall.is_strict() && settings.strict.is_none();
    let hosts = actual.firewall.marks_incoming() && !settings.host_encryption;
    let mut families = actual.families.iter();
    let families =
        families.any(|(family, plane)| !plane.rules.is_empty() && !settings.tunnel[family].enabled);
    strict || hosts || families
}

/// Lets what is wanted follow peers that roam.
pub(crate) fn follow(
    history: &mut EndpointHistory,
    kernel: &KernelCache,
    cluster: &Cluster,
    desired: &mut Dataplane,
    actual: &Dataplane,
) {
    let handshake = |family: Family, key: &PublicKey| {
        let device = kernel.device(&cluster.settings.tunnel[family].interface)?;
        let mut peers = device.peers.iter();
        peers.find(|(known, _)| known == key)?.1.handshake
    };
    history.follow(desired, actual, handshake, SystemTime::now());
}

/// The dataplane as it is and as it should be, the conflicts that were decided for that, and what others
/// do about it.
pub(crate) struct Comparison {
    pub(crate) actual: Dataplane,
    pub(crate) desired: Dataplane,
    pub(crate) conflicts: PerFamily<Vec<Conflict>>,
    pub(crate) bypasses: PerFamily<Vec<Bypass>>,
}

impl Comparison {
    /// Of the node `node`, whose machine can make a device in the families that are `supported`, in the
    /// routing tables that have been chosen.
    pub(crate) fn new(
        kernel: &KernelCache,
        cluster: &Cluster,
        node: &str,
        store: &[SocketAddr],
        supported: PerFamily<bool>,
        tables: &Choices,
        departed: &RetainedProtection,
    ) -> Self {
        let settings = &cluster.settings;
        let own = cluster.nodes.get(node);
        let situation = Situation {
            node,
            uplink_mtu: PerFamily::each(|family| {
                kernel.uplink_mtu(own.and_then(|own| own.endpoint[family]), settings)
            }),
            tables: PerFamily::each(|family| {
                let choice = tables[family].as_ref().ok();
                choice.map(|choice| choice.table)
            }),
            store,
            supported,
            here: &kernel.here(settings),
            pods: &kernel.pod_prefixes(settings),
            departed: &departed.networks(cluster, node),
        };
        let actual = kernel.dataplane(settings);
        let (desired, conflicts) = desired(cluster, &situation);
        let bypasses =
            PerFamily::each(|family| find_bypasses(kernel, cluster, node, family, &desired));
        Self {
            actual,
            desired,
            conflicts,
            bypasses,
        }
    }
}
