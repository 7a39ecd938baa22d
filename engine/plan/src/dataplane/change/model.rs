//! A model of the kernel: the effect of a change, and the path of a packet, as far as the tests of the order need it.

use std::collections::BTreeMap;

use super::*;
use crate::dataplane::model::Device;
use crate::intent::family::PerFamily;

/// The dataplane once the change has been carried out.
pub(super) fn apply(change: &Change, plane: &mut Dataplane) {
    match change {
        Change::SetSrcValidMark => plane.src_valid_mark = true,
        Change::SetFirewall { to, .. } => plane.firewall = to.clone(),
        Change::CreateDevice { family, name } => {
            let devices = &mut plane.families[*family].devices;
            let before = devices.insert(name.clone(), Device::default());
            assert_eq!(before, None, "{change}: it is there already");
        }
        Change::DeleteDevice { family, name } => {
            let plane = &mut plane.families[*family];
            assert!(plane.devices.remove(name).is_some(), "{change}");
            let target = Target::Tunnel(name.clone());
            plane.routes.retain(|_, found| *found != target);
        }
        Change::SetRoutes {
            family,
            remove,
            set,
        } => {
            let plane = &mut plane.families[*family];
            for slot in remove {
                assert!(plane.routes.remove(slot).is_some(), "{change}");
            }
            for (slot, target) in set {
                if let Target::Tunnel(name) = target {
                    assert!(plane.devices.get(name).is_some_and(|d| d.up), "{change}");
                }
                plane.routes.insert(*slot, target.clone());
            }
        }
        Change::RemoveLeftRoutes { family, routes } => {
            for slot in routes {
                let gone = plane.families[*family].routes.remove(slot);
                assert_eq!(gone, Some(Target::Foreign), "{change}");
            }
        }
        Change::AddRule { family, rule } => {
            assert!(
                plane.families[*family].rules.insert(rule.clone()),
                "{change}"
            );
        }
        Change::RemoveRule { family, rule } => {
            assert!(plane.families[*family].rules.remove(rule), "{change}");
        }
        Change::MoveKey { family, from, to } => {
            let devices = &mut plane.families[*family].devices;
            assert!(devices[from].has_key, "{change}");
            devices.get_mut(to).expect("a device").has_key = true;
        }
        Change::Configure(configuration) => configure(configuration, plane),
        Change::TagDevice { family, name } => device(plane, *family, name).tagged = true,
        Change::GenerateKey { family, name } => device(plane, *family, name).has_key = true,
        Change::SetMtu { family, name, mtu } => device(plane, *family, name).mtu = *mtu,
        Change::SwitchOn { family, name } => device(plane, *family, name).up = true,
        Change::SetThreaded {
            family,
            name,
            threaded,
        } => device(plane, *family, name).threaded = Some(*threaded),
        Change::AddAddress {
            family,
            name,
            address,
        } => {
            device(plane, *family, name).addresses.insert(*address);
        }
        Change::RemoveAddress {
            family,
            name,
            address,
        } => {
            let device = device(plane, *family, name);
            device.addresses.remove(address);
            // With its last address an interface loses its IPv4 routes (kernel: `fib_disable_ip`).
            if *family == Family::V4 && device.addresses.is_empty() {
                let target = Target::Tunnel(name.clone());
                plane.families[*family]
                    .routes
                    .retain(|_, found| *found != target);
            }
        }
    }
}

fn device<'a>(plane: &'a mut Dataplane, family: Family, name: &str) -> &'a mut Device {
    let devices = &mut plane.families[family].devices;
    devices.get_mut(name).expect("the device is there")
}

/// As WireGuard does it: a network belongs to the peer that was given it last.
fn configure(configuration: &Configuration, plane: &mut Dataplane) {
    if let Some(port) = configuration.listen_port {
        let devices = plane.families.iter().flat_map(|(_, plane)| &plane.devices);
        let mut others = devices.filter(|(name, _)| **name != configuration.name);
        assert!(
            others.all(|(_, other)| other.listen_port != port),
            "{configuration}: the port is taken"
        );
    }
    let device = device(plane, configuration.family, &configuration.name);
    device.fwmark = configuration.fwmark.unwrap_or(device.fwmark);
    device.listen_port = configuration.listen_port.unwrap_or(device.listen_port);
    for key in &configuration.remove {
        assert!(device.peers.remove(key).is_some(), "{configuration}");
    }
    for (key, change) in &configuration.set {
        for (other, peer) in &mut device.peers {
            if other != key {
                peer.allowed_ips = &peer.allowed_ips - &change.networks;
            }
        }
        let peer = device.peers.entry(*key).or_default();
        if change.replace {
            peer.allowed_ips.clear();
        }
        peer.allowed_ips.extend(&change.networks);
        peer.endpoint = change.endpoint.or(peer.endpoint);
        peer.keepalive = change.keepalive.unwrap_or(peer.keepalive);
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It leaves in clear.
    Plain,
    /// It leaves encrypted.
    Encrypted,
    /// It does not leave.
    Dropped,
}

/// What becomes of a packet of this node, without a mark, to that address.
pub(super) fn fate(dataplane: &Dataplane, to: IpNet) -> Fate {
    fate_among(dataplane, &PerFamily::default(), to)
}

/// Routes of others: where they are, and whether they end the look-up.
pub(super) type Others = PerFamily<BTreeMap<RouteKey, bool>>;

/// The same where others have routes too. Of two at one place theirs counts.
pub(super) fn fate_among(dataplane: &Dataplane, others: &Others, to: IpNet) -> Fate {
    let others = &others[Family::of_network(to)];
    let plane = &dataplane.families[Family::of_network(to)];
    let mut rules: Vec<_> = plane
        .rules
        .iter()
        .filter(|r| r.not && r.mark != 0)
        .collect();
    rules.sort_by_key(|rule| rule.priority);
    for rule in rules {
        let theirs = others.iter().map(|(slot, ends)| match ends {
            true => (slot, &Target::Foreign),
            false => (slot, &Target::Throw),
        });
        let routes = plane.routes.iter().chain(theirs);
        let routes =
            routes.filter(|(slot, _)| slot.table == rule.table && slot.network.contains(&to));
        match routes.max_by_key(|(slot, _)| slot.network.prefix_len()) {
            Some((_, Target::Tunnel(name))) => {
                let device = plane
                    .devices
                    .get(name)
                    .filter(|device| device.up && device.has_key);
                let peers = device.into_iter().flat_map(|device| device.peers.values());
                let allowed = peers.flat_map(|peer| &peer.allowed_ips);
                let mut allowed = allowed.filter(|network| network.contains(&to));
                return match allowed.next() {
                    Some(_) => Fate::Encrypted,
                    None => Fate::Dropped,
                };
            }
            Some((_, Target::Throw)) | None => {}
            Some((_, Target::Foreign)) => return Fate::Plain,
        }
    }
    let within = |set: &str| {
        let sets = dataplane.firewall.sets.iter();
        let mut sets = sets.filter(|(name, _)| name.starts_with(set));
        sets.any(|(_, networks)| networks.iter().any(|network| network.contains(&to)))
    };
    if within("protected") && !within("plain") {
        Fate::Dropped
    } else {
        Fate::Plain
    }
}
