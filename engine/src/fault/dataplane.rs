//! Changes that the faults make to a dataplane before it is compared.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};
use wiremesh_plan::dataplane::firewall::TABLE;
use wiremesh_plan::dataplane::model::{Dataplane, Device, FamilyDataplane, RouteKey, Target};
use wiremesh_plan::intent::family::Family;

use super::Fault;

/// What of a device's peers, and of each peer's allowed IPs, fits into one message of the kernel.
const FIRST_MESSAGE: usize = 64;

/// Leaves out of what the dataplane should be like what the faults leave out. What they keep for too
/// long is in `actual`; what they do not see goes from there.
pub(super) fn spoil(actual: &mut Dataplane, plane: &mut Dataplane, faults: &[Fault]) {
    for fault in faults {
        match fault {
            Fault::ReadsFirstParts => read_first_parts(actual),
            Fault::KeepsOldDevice => {
                for family in Family::ALL {
                    let wanted = &plane.families[family].devices;
                    let found = &mut actual.families[family].devices;
                    found.retain(|name, _| wanted.contains_key(name));
                }
            }
            Fault::NoSrcValidMark => plane.src_valid_mark = false,
            Fault::NoIncomingMark => drop_chain(plane, "inet", "incoming-mark"),
            Fault::NoArpMark => drop_chain(plane, "arp", "incoming-mark"),
            Fault::NoStoreBypass => drop_chain(plane, "inet", "store"),
            Fault::NoStrictThrough => drop_chain(plane, "inet", "strict-through"),
            Fault::NoStrict => {
                drop_chain(plane, "inet", "strict-through");
                drop_chain(plane, "inet", "strict-in");
                drop_chain(plane, "inet", "strict-out");
            }
            Fault::MssOnly => {
                clamp_segments(plane);
                for family in Family::ALL {
                    spoil_plane(
                        family,
                        &actual.families[family],
                        &mut plane.families[family],
                        Fault::NoMtu,
                    );
                }
            }
            Fault::NoIpv6 => plane.families.v6 = FamilyDataplane::default(),
            Fault::NoisyLog => tracing::warn!("the cluster was looked at"),
            _ => {
                for family in Family::ALL {
                    spoil_plane(
                        family,
                        &actual.families[family],
                        &mut plane.families[family],
                        *fault,
                    );
                }
            }
        }
    }
}

/// Of each device as many peers as fit into one message, and of each peer as many allowed IPs.
fn read_first_parts(actual: &mut Dataplane) {
    for family in Family::ALL {
        for device in actual.families[family].devices.values_mut() {
            let peers = std::mem::take(&mut device.peers).into_iter();
            device.peers = peers.take(FIRST_MESSAGE).collect();
            for peer in device.peers.values_mut() {
                let networks = std::mem::take(&mut peer.allowed_ips).into_iter();
                peer.allowed_ips = networks.take(FIRST_MESSAGE).collect();
            }
        }
    }
}

fn spoil_plane(
    family: Family,
    actual: &FamilyDataplane,
    plane: &mut FamilyDataplane,
    fault: Fault,
) {
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
                plane.routes.insert(RouteKey { network, ..slot }, target);
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
