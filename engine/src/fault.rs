//! Hand-made faults, for judging the harness; absent from release builds.
//!
//! Each leaves out one thing that the encryption of a cluster needs. A harness that
//! does not notice proves nothing.

use crate::dataplane::{Dataplane, Target};

/// One thing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// No throw routes.
    NoThrowRoutes,
    /// `src_valid_mark` is not set.
    NoSrcValidMark,
    /// Incoming packets are not marked.
    NoIncomingMark,
    /// The device's packets carry no mark; the rule stays.
    NoFwmark,
    /// The peers' allowed IPs lack the nodes' own addresses; the routes stay.
    NoHostAllowedIps,
    /// The key is never published, and nothing is announced.
    NeverPublish,
    /// The userspace tunnel ends when the agent does.
    MortalTunnel,
}

/// What the dataplane should be like, less what the faults leave out.
pub(crate) fn spoil(mut plane: Dataplane, faults: &[Fault]) -> Dataplane {
    for fault in faults {
        match fault {
            Fault::NoThrowRoutes => plane.routes.retain(|_, target| *target != Target::Throw),
            Fault::NoSrcValidMark => plane.src_valid_mark = false,
            Fault::NoIncomingMark => plane.incoming_mark = None,
            Fault::NoFwmark => {
                if let Some(device) = &mut plane.device {
                    device.fwmark = 0;
                }
            }
            Fault::NoHostAllowedIps => {
                let peers = plane
                    .device
                    .iter_mut()
                    .flat_map(|device| device.peers.values_mut());
                for peer in peers {
                    let host = peer.endpoint.map(|endpoint| *endpoint.ip());
                    peer.allowed_ips
                        .retain(|network| Some(network.addr()) != host);
                }
            }
            Fault::NeverPublish | Fault::MortalTunnel => {}
        }
    }
    plane
}
