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
    /// Incoming ARP is not marked (Calico's BUG-H).
    NoArpMark,
    /// The device's packets carry no mark; the rule stays.
    NoFwmark,
    /// The peers' allowed IPs lack the nodes' own addresses; the routes stay.
    NoHostAllowedIps,
    /// The key is never published, and nothing is announced.
    NeverPublish,
    /// The userspace tunnel ends when the agent does.
    MortalTunnel,
    /// The device's MTU is what the uplink's is.
    NoMtu,
    /// There is no IPv6 mesh.
    NoIpv6,
    /// "Encrypt or drop" is not asked of the kernel.
    NoStrict,
    /// The store's own connections go through the mesh.
    NoStoreBypass,
    /// Borrowed addresses are left to their lenders' routes.
    NoBorrowed,
    /// Calico IPAM's blocks are not looked at.
    NoBlocks,
    /// The addresses of the nodes' tunnels are not looked at.
    NoTunnelAddresses,
    /// A key that two nodes claim takes the peers but leaves their routes (Calico's BUG-A).
    KeyConflictBlackHole,
    /// Requests for a new key are not met.
    NoRotation,
    /// A published key that is not this node's is left (Calico heals it).
    NoRepublish,
    /// What the kernel tells is not listened to: drift waits for the resync.
    NoWatch,
    /// The resync does not look at sysctls.
    NoSysctlRepair,
    /// Every resync writes the peers again (calico#4091).
    RewritesOnResync,
    /// A change of the keepalive does not reach peers that are there (Calico's BUG-D).
    KeepsOldKeepalive,
    /// A change of the uplink's MTU is not followed.
    KeepsOldMtu,
    /// A device of another name keeps the port (Calico's BUG-F).
    KeepsOldDevice,
    /// A node's first address is kept for ever (Calico's BUG-E and BUG-G).
    KeepsOldAddress,
    /// A mark, port, priority or table is set once and never changed.
    KeepsOldSettings,
    /// Pods that go are not forgotten, and pods that move stay where they were.
    KeepsOldPods,
    /// The routes are written before the device and its peers, and the rule first of all.
    WrongOrder,
    /// An agent that starts begins anew: it deletes the device that it finds.
    StartsAnew,
    /// Whatever is in the engine's tables or at its priority is taken for its own.
    TakesForeign,
    /// A configuration of one node is not looked at.
    NoOptOut,
    /// After a break the store is watched from the present on: what changed meanwhile is missed.
    NoWatchResume,
    /// A resource that cannot be read any more counts as deleted.
    ForgetsLastGood,
    /// A resource is written whatever others have written to it meanwhile.
    NoCas,
}

/// What the dataplane should be like, less what the faults leave out.
pub(crate) fn spoil(mut plane: Dataplane, faults: &[Fault]) -> Dataplane {
    for fault in faults {
        match fault {
            Fault::NoThrowRoutes => {
                for family in [&mut plane.planes.v4, &mut plane.planes.v6] {
                    family.routes.retain(|_, target| *target != Target::Throw);
                }
            }
            Fault::NoSrcValidMark => plane.src_valid_mark = false,
            Fault::NoIncomingMark => drop_chain(&mut plane, "inet", "incoming-mark"),
            Fault::NoArpMark => drop_chain(&mut plane, "arp", "incoming-mark"),
            Fault::NoStoreBypass => drop_chain(&mut plane, "inet", "store"),
            Fault::NoStrict => {
                drop_chain(&mut plane, "inet", "strict-in");
                drop_chain(&mut plane, "inet", "strict-out");
            }
            Fault::NoFwmark => devices(&mut plane).for_each(|device| device.fwmark = 0),
            Fault::NoMtu => devices(&mut plane).for_each(|device| device.mtu = 1500),
            Fault::NoHostAllowedIps => {
                for peer in devices(&mut plane).flat_map(|device| device.peers.values_mut()) {
                    let host = peer.endpoint.map(|endpoint| endpoint.ip());
                    peer.allowed_ips
                        .retain(|network| Some(network.addr()) != host);
                }
            }
            Fault::NoIpv6 => plane.planes.v6 = Default::default(),
            _ => {}
        }
    }
    plane
}

fn devices(plane: &mut Dataplane) -> impl Iterator<Item = &mut crate::dataplane::Device> {
    let planes = [&mut plane.planes.v4, &mut plane.planes.v6];
    planes
        .into_iter()
        .flat_map(|plane| plane.devices.values_mut())
}

/// A chain less, with its rules.
fn drop_chain(plane: &mut Dataplane, family: &str, name: &str) {
    plane.firewall.objects.retain(|object| {
        let is = |kind: &str, field: &str| {
            object[kind]["family"] == family && object[kind][field] == name
        };
        !is("chain", "name") && !is("rule", "chain")
    });
}
