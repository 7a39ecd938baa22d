//! A node's dataplane as it is and as it should be, put together from what the kernel and the store say.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::bypass::find as find_bypasses;
use super::table::Choices;
use crate::dataplane::bypass::Bypass;
use crate::dataplane::departed::Departed;
use crate::dataplane::desired::{Situation, desired};
use crate::dataplane::model::Dataplane;
use crate::dataplane::networks::Conflict;
use crate::dataplane::roam::Told;
use crate::host::kernel::Kernel;
use crate::intent::cluster::Cluster;
use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;

/// Whether something is encrypted or dropped in a dataplane.
pub(crate) fn is_in_force(actual: &Dataplane) -> bool {
    let mut planes = actual.planes.iter();
    actual.firewall.is_strict() || planes.any(|(_, plane)| !plane.rules.is_empty())
}

/// Lets what is wanted follow peers that roam.
pub(crate) fn follow(
    told: &mut Told,
    kernel: &Kernel,
    cluster: &Cluster,
    desired: &mut Dataplane,
    actual: &Dataplane,
) {
    let handshake = |family: Family, key: &PublicKey| {
        let device = kernel.device(&cluster.settings.tunnel[family].interface)?;
        let mut peers = device.peers.iter();
        peers.find(|(known, _)| known == key)?.1.handshake
    };
    told.follow(desired, actual, handshake, SystemTime::now());
}

/// The dataplane as it is and as it should be, the conflicts that were decided for that, and what others
/// do about it.
pub(crate) struct Planes {
    pub(crate) actual: Dataplane,
    pub(crate) desired: Dataplane,
    pub(crate) conflicts: PerFamily<Vec<Conflict>>,
    pub(crate) bypasses: PerFamily<Vec<Bypass>>,
}

impl Planes {
    /// Of the node `node`, whose machine can make a device in the families that are `supported`, in the
    /// routing tables that have been chosen.
    pub(crate) fn new(
        kernel: &Kernel,
        cluster: &Cluster,
        node: &str,
        store: &[SocketAddr],
        supported: PerFamily<bool>,
        tables: &Choices,
        departed: &Departed,
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
            departed: &departed.networks(),
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
