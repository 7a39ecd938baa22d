//! Hand-made faults, for judging the harness; absent from release builds.
//!
//! Each leaves out one thing that the encryption of a cluster needs. A harness that
//! does not notice proves nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::cluster::Cluster;
use crate::dataplane::{Dataplane, Device, Plane, Slot, Target};
use crate::family::Family;
use crate::firewall::TABLE;

/// One thing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// No throw routes.
    NoThrowRoutes,
    /// `src_valid_mark` is not set.
    NoSrcValidMark,
    /// The reverse-path filter of every interface is switched off.
    NoRpFilter,
    /// Incoming packets are not marked.
    NoIncomingMark,
    /// Incoming ARP is not marked (Calico's BUG-H).
    NoArpMark,
    /// What nobody is known to have goes into the tunnel.
    RoutesTheWorld,
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
    /// The device's MTU is 20 bytes too large.
    MtuTooLarge,
    /// The device's MTU is 200 bytes too small.
    MtuTooSmall,
    /// The device's MTU is what the uplink's is, and TCP is told of smaller segments.
    MssOnly,
    /// The second device's port is always Calico's.
    KeepsOldPortOfIpv6,
    /// A peer that roamed is sent to where the store says that it is.
    PinsEndpoints,
    /// There is no IPv6 mesh.
    NoIpv6,
    /// What drops plaintext is not kept for the next boot.
    NoGuard,
    /// "Encrypt or drop" is not asked of the kernel.
    NoStrict,
    /// What comes out of the tunnel for somebody who has left goes where everything goes.
    NoStrictThrough,
    /// Nodes that may be spoken to in clear are not let through.
    ForgetsPlainNodes,
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
    /// Of what the kernel tells of a device in several messages, the first is read.
    ReadsFirstParts,
    /// A change of the keepalive does not reach peers that are there (Calico's BUG-D).
    KeepsOldKeepalive,
    /// A change of the uplink's MTU is not followed.
    KeepsOldMtu,
    /// A device of another name keeps the port (Calico's BUG-F).
    KeepsOldDevice,
    /// A node's first address is kept for ever (Calico's BUG-E and BUG-G).
    KeepsOldAddress,
    /// The port and the rule are set once and never changed.
    KeepsOldSettings,
    /// Pods that move stay with the peer that had them.
    KeepsOldPods,
    /// An agent that starts begins anew: it deletes the device that it finds.
    StartsAnew,
    /// Every rule that looks up a table of numbers is taken for the engine's own.
    TakesForeign,
    /// A routing table is taken whoever looks it up or has routes in it.
    SharesTables,
    /// Listed foreign peers are removed all the same.
    RemovesForeignPeers,
    /// The resync does not ask the devices.
    NoPeerRepair,
    /// Once every node has a key, nothing that the store tells is taken in.
    FreezesCluster,
    /// A device that is found is taken for all that there has to be.
    HalfIsWhole,
    /// A configuration of one node is not looked at.
    NoOptOut,
    /// After a break the store is watched from the present on: what changed meanwhile is missed.
    NoWatchResume,
    /// A resource that cannot be read any more counts as deleted.
    ForgetsLastGood,
    /// While the store cannot be reached its configurations count as deleted.
    ForgetsTheAbsent,
    /// After a thousand events of the store nobody listens any more.
    DeafAfterABurst,
    /// A store that says nothing is taken for one in which nothing happens.
    NeverAsksTheStore,
    /// While nothing can be done, what the kernel tells is left lying around.
    DrownsInNews,
    /// A resource is written whatever others have written to it meanwhile.
    NoCas,
    /// Each look at the cluster is worth a warning.
    NoisyLog,
    /// What the agent has read it keeps, over and over.
    HoardsMemory,
    /// Whoever asks the agent to end is not heard.
    IgnoresSigterm,
    /// An agent that was asked to end says that it has failed.
    EndsInFailure,
}

/// How many bytes a hoarder has, all of them written to.
const HOARD: usize = 512 << 20;

/// What is done to the host before anything else.
pub(crate) fn spoil_host(procfs: &Path, faults: &[Fault]) {
    if faults.contains(&Fault::HoardsMemory) {
        std::mem::forget(vec![1_u8; HOARD]);
    }
    if !faults.contains(&Fault::NoRpFilter) {
        return;
    }
    let all = fs::read_dir(procfs.join("sys/net/ipv4/conf"));
    for interface in all.into_iter().flatten().flatten() {
        let _ = fs::write(interface.path().join("rp_filter"), "0");
    }
}

/// The cluster, less what the faults do not look at.
pub(crate) fn spoil_cluster(cluster: &mut Cluster, faults: &[Fault]) {
    for fault in faults {
        match fault {
            Fault::NoBlocks => cluster.blocks.clear(),
            Fault::NoBorrowed => {
                for block in &mut cluster.blocks {
                    block.borrowed.clear();
                }
            }
            Fault::NoTunnelAddresses => {
                for node in cluster.nodes.values_mut() {
                    node.tunnel_address = Default::default();
                    node.overlay_addresses.clear();
                }
            }
            Fault::ForgetsPlainNodes => {
                if let Some(strict) = &mut cluster.settings.strict {
                    strict.plain_nodes.clear();
                }
            }
            Fault::RemovesForeignPeers => cluster.settings.foreign_peers.clear(),
            _ => {}
        }
    }
}

/// What the dataplane should be like, less what the faults leave out. What they keep for
/// too long is in `actual`.
pub(crate) fn spoil(actual: &Dataplane, mut plane: Dataplane, faults: &[Fault]) -> Dataplane {
    for fault in faults {
        match fault {
            Fault::NoSrcValidMark => plane.src_valid_mark = false,
            Fault::NoIncomingMark => drop_chain(&mut plane, "inet", "incoming-mark"),
            Fault::NoArpMark => drop_chain(&mut plane, "arp", "incoming-mark"),
            Fault::NoStoreBypass => drop_chain(&mut plane, "inet", "store"),
            Fault::NoStrictThrough => drop_chain(&mut plane, "inet", "strict-through"),
            Fault::NoStrict => {
                drop_chain(&mut plane, "inet", "strict-through");
                drop_chain(&mut plane, "inet", "strict-in");
                drop_chain(&mut plane, "inet", "strict-out");
            }
            Fault::MssOnly => {
                clamp_segments(&mut plane);
                for family in Family::ALL {
                    spoil_plane(
                        family,
                        &actual.planes[family],
                        &mut plane.planes[family],
                        Fault::NoMtu,
                    );
                }
            }
            Fault::NoIpv6 => plane.planes.v6 = Plane::default(),
            Fault::NoisyLog => tracing::warn!("the cluster was looked at"),
            _ => {
                for family in Family::ALL {
                    spoil_plane(
                        family,
                        &actual.planes[family],
                        &mut plane.planes[family],
                        *fault,
                    );
                }
            }
        }
    }
    plane
}

fn spoil_plane(family: Family, actual: &Plane, plane: &mut Plane, fault: Fault) {
    match fault {
        Fault::NoThrowRoutes => plane.routes.retain(|_, target| *target != Target::Throw),
        Fault::RoutesTheWorld => {
            let mut routes = plane.routes.iter();
            let own = routes.find(|(_, target)| matches!(target, Target::Tunnel(_)));
            if let Some((slot, target)) = own.map(|(slot, target)| (*slot, target.clone())) {
                let network = match slot.network {
                    IpNet::V4(_) => IpNet::V4(Ipv4Net::default()),
                    IpNet::V6(_) => IpNet::V6(Ipv6Net::default()),
                };
                plane.routes.insert(Slot { network, ..slot }, target);
            }
        }
        Fault::KeyConflictBlackHole => {
            for (slot, target) in &mut plane.routes {
                if let Some(kept @ Target::Tunnel(_)) = actual.routes.get(slot) {
                    *target = kept.clone();
                }
            }
        }
        Fault::KeepsOldSettings if !actual.rules.is_empty() => {
            plane.rules.clone_from(&actual.rules)
        }
        _ => {}
    }
    for (name, device) in &mut plane.devices {
        spoil_device(family, actual.devices.get(name), device, fault);
    }
}

fn spoil_device(family: Family, actual: Option<&Device>, device: &mut Device, fault: Fault) {
    match (fault, actual) {
        (Fault::NoFwmark, _) => device.fwmark = 0,
        (Fault::NoMtu, _) => device.mtu = 1500,
        (Fault::MtuTooLarge, _) => device.mtu += 20,
        // The kernel takes IPv6 off a device that is smaller than 1280 bytes.
        (Fault::MtuTooSmall, _) if family == Family::V6 => device.mtu = 1280,
        (Fault::MtuTooSmall, _) => device.mtu -= 200,
        (Fault::NoHostAllowedIps, _) => {
            for peer in device.peers.values_mut() {
                let host = peer.endpoint.map(|endpoint| endpoint.ip());
                peer.allowed_ips
                    .retain(|network| Some(network.addr()) != host);
            }
        }
        (Fault::KeepsOldPortOfIpv6, _) if family == Family::V6 => device.listen_port = 51821,
        (Fault::KeepsOldMtu, Some(actual)) if actual.tagged => device.mtu = actual.mtu,
        (Fault::KeepsOldSettings, Some(actual)) if actual.has_key => {
            device.listen_port = actual.listen_port;
        }
        (Fault::KeepsOldAddress, Some(actual)) => {
            if !actual.addresses.is_empty() {
                device.addresses.clone_from(&actual.addresses);
            }
            for (key, peer) in &mut device.peers {
                let known = actual.peers.get(key).and_then(|known| known.endpoint);
                peer.endpoint = known.or(peer.endpoint);
            }
        }
        (Fault::KeepsOldKeepalive, Some(actual)) => {
            for (key, peer) in &mut device.peers {
                let known = actual.peers.get(key).map(|known| known.keepalive);
                peer.keepalive = known.unwrap_or(peer.keepalive);
            }
        }
        (Fault::KeepsOldPods, Some(actual)) => {
            for (key, known) in &actual.peers {
                if !device.peers.contains_key(key) {
                    continue;
                }
                for (other, peer) in &mut device.peers {
                    match other == key {
                        true => peer.allowed_ips.extend(&known.allowed_ips),
                        false => peer.allowed_ips = &peer.allowed_ips - &known.allowed_ips,
                    }
                }
            }
        }
        _ => {}
    }
}

/// Every segment that is forwarded fits into any tunnel.
fn clamp_segments(plane: &mut Dataplane) {
    const SEGMENT: u16 = 1_000;
    let objects = &mut plane.firewall.objects;
    let of = |object: &Value, kind: &str| object[kind]["family"] == "inet";
    if !objects.iter().any(|object| of(object, "table")) {
        objects.insert(0, json!({"table": {"family": "inet", "name": TABLE}}));
    }
    let chain = json!({"chain": {
        "family": "inet", "table": TABLE, "name": "segments",
        "type": "filter", "hook": "forward", "prio": 0, "policy": "accept",
    }});
    let rule = json!({"rule": {
        "family": "inet", "table": TABLE, "chain": "segments", "expr": [{"mangle": {
            "key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": SEGMENT,
        }}],
    }});
    let after = |objects: &[Value], kinds: &[&str]| {
        let last = objects
            .iter()
            .rposition(|object| kinds.iter().any(|kind| of(object, kind)));
        last.map_or(0, |last| last + 1)
    };
    let at = after(objects, &["table", "set", "chain"]);
    objects.insert(at, chain);
    let at = after(objects, &["table", "set", "chain", "rule"]);
    objects.insert(at, rule);
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
