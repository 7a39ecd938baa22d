//! The difference between two dataplanes as an ordered list of changes.
//!
//! The order never leaks: what is routed into the tunnel before and after is routed
//! there throughout, and what is refused in clear is refused throughout. The rule comes
//! last when encryption begins, when all it leads to is there, and goes first when it
//! ends. What can go in one message goes in one: a device's configuration, the routes of
//! a family, the firewall.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::dataplane::firewall::Firewall;
use crate::dataplane::model::{Dataplane, Device, FamilyDataplane, Peer, RouteKey, Rule, Target};
use crate::intent::family::Family;
use crate::intent::key::PublicKey;

/// Changes as the log and `status` name them.
mod text;

/// One write to the kernel, the tunnel or nftables. `family` is that of the mesh, `name` the device's.
#[expect(
    missing_docs,
    reason = "each variant says what its fields are, but for `family` and `name`"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The reverse-path filter looks at marks from now on. Never undone: others may rely on it.
    SetSrcValidMark,
    /// The firewall, in one transaction.
    SetFirewall { from: Firewall, to: Firewall },
    /// A device without key or peers.
    CreateDevice { family: Family, name: String },
    /// The name tag by which this engine knows its own.
    TagDevice { family: Family, name: String },
    /// A new private key, which never leaves the device.
    GenerateKey { family: Family, name: String },
    /// The private key of a device whose place the other takes.
    MoveKey {
        family: Family,
        from: String,
        to: String,
    },
    /// Mark, port and peers of a device, in one message.
    Configure(Configuration),
    /// The MTU in bytes.
    SetMtu {
        family: Family,
        name: String,
        mtu: u32,
    },
    /// An address of the device.
    AddAddress {
        family: Family,
        name: String,
        address: IpNet,
    },
    /// Removes an address.
    RemoveAddress {
        family: Family,
        name: String,
        address: IpNet,
    },
    /// The device is up.
    SwitchOn { family: Family, name: String },
    /// Whether kernel threads do the device's work.
    SetThreaded {
        family: Family,
        name: String,
        threaded: bool,
    },
    /// Routes of one family, in one batch: first what goes, then what comes, whatever was
    /// there before.
    SetRoutes {
        family: Family,
        remove: Vec<RouteKey>,
        set: Vec<(RouteKey, Target)>,
    },
    /// Remove routes that an engine of this one's kind has left behind.
    RemoveLeftRoutes {
        family: Family,
        routes: Vec<RouteKey>,
    },
    /// Adds a policy rule.
    AddRule { family: Family, rule: Rule },
    /// Removes a rule.
    RemoveRule { family: Family, rule: Rule },
    /// The device goes, with its key.
    DeleteDevice { family: Family, name: String },
}

impl Change {
    /// Whether it is made because something else is wanted than before: what is really here decides what is
    /// exempt and what is routed, so that news of the kernel's change what is wanted, and repair nothing.
    pub fn follows(&self, before: &Dataplane, now: &Dataplane) -> bool {
        match self {
            Self::SetFirewall { .. } => before.firewall != now.firewall,
            Self::SetRoutes { family, .. } => {
                before.families[*family].routes != now.families[*family].routes
            }
            Self::SetSrcValidMark
            | Self::CreateDevice { .. }
            | Self::TagDevice { .. }
            | Self::GenerateKey { .. }
            | Self::MoveKey { .. }
            | Self::Configure(_)
            | Self::SetMtu { .. }
            | Self::AddAddress { .. }
            | Self::RemoveAddress { .. }
            | Self::SwitchOn { .. }
            | Self::SetThreaded { .. }
            | Self::RemoveLeftRoutes { .. }
            | Self::AddRule { .. }
            | Self::RemoveRule { .. }
            | Self::DeleteDevice { .. } => false,
        }
    }

    /// Whether it only sets peers' endpoints: which a roaming peer undoes, however often they are set
    /// (WireGuard answers to the endpoint of the last valid packet).
    fn is_of_endpoints(&self) -> bool {
        let Self::Configure(what) = self else {
            return false;
        };
        let places = |(_, peer): &(PublicKey, PeerChange)| {
            let only = PeerChange {
                endpoint: peer.endpoint,
                ..PeerChange::default()
            };
            peer.endpoint.is_some() && *peer == only
        };
        let device = what.fwmark.is_none() && what.listen_port.is_none() && what.remove.is_empty();
        device && !what.set.is_empty() && what.set.iter().all(places)
    }
}

/// Whether what was just done has to be done again only because peers roam.
pub fn is_undone_by_peers(done: &[Change], again: &[Change]) -> bool {
    done == again && again.iter().all(Change::is_of_endpoints)
}

/// Settings of a device to write; `None` leaves one unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The family of the device's mesh.
    pub family: Family,
    /// The device's name.
    pub name: String,
    /// Mark of its outgoing packets; 0 is none.
    pub fwmark: Option<u32>,
    /// The UDP port to listen at; none leaves it.
    pub listen_port: Option<u16>,
    /// Peers to remove.
    pub remove: BTreeSet<PublicKey>,
    /// Peers more, or other properties of them. Those that lose networks come first, so
    /// that a network that moves is not taken from its new peer again.
    pub set: Vec<(PublicKey, PeerChange)>,
}

/// A peer's new configuration. A field of none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerChange {
    /// Where it is sent to.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between two keepalives; 0 is none.
    pub keepalive: Option<u16>,
    /// Whether the networks are all that there are, or come to those that are there.
    pub replace: bool,
    /// Allowed IPs: those to add, or all of them if `replace`.
    pub networks: BTreeSet<IpNet>,
}

/// What to do, in order, to get from one dataplane to the other. Empty if nothing is to be done.
pub fn diff(actual: &Dataplane, desired: &Dataplane) -> Vec<Change> {
    let mut changes = Vec::new();
    // First of all, since a node that can make no device must be left as it is.
    for (family, plane) in desired.families.iter() {
        let there = &actual.families[family].devices;
        let missing = plane
            .devices
            .keys()
            .filter(|name| !there.contains_key(*name));
        changes.extend(missing.map(|name| Change::CreateDevice {
            family,
            name: name.clone(),
        }));
    }
    if desired.src_valid_mark && !actual.src_valid_mark {
        changes.push(Change::SetSrcValidMark);
    }
    let (firewall, rest) = firewalls(&actual.firewall, &desired.firewall);
    changes.extend(firewall);
    for (family, plane) in desired.families.iter() {
        let actual = &actual.families[family];
        match plane.devices.iter().next() {
            Some((name, device)) => encrypting(family, actual, plane, name, device, &mut changes),
            None => ending(family, actual, plane, &mut changes),
        }
    }
    changes.extend(rest);
    changes
}

/// Splits the update of the firewall in two, so that nothing leaks in between: first the union of the old and the new
/// drop sets, then, once routes and peers are in place, the new ones alone.
fn firewalls(actual: &Firewall, desired: &Firewall) -> (Option<Change>, Option<Change>) {
    let step = |from: &Firewall, to: &Firewall| {
        (from != to).then(|| Change::SetFirewall {
            from: from.clone(),
            to: to.clone(),
        })
    };
    if desired.is_empty() || !desired.is_strict() && actual.is_strict() {
        return (None, step(actual, desired));
    }
    let midway = desired.with_all_that_is_refused_by(actual);
    (step(actual, &midway), step(&midway, desired))
}

fn ending(
    family: Family,
    actual: &FamilyDataplane,
    desired: &FamilyDataplane,
    changes: &mut Vec<Change>,
) {
    remove_left_routes(family, actual, desired, changes);
    remove_rules(family, actual, desired, changes);
    routes(
        family,
        added(actual, desired),
        removed(actual, desired),
        changes,
    );
    delete_devices(family, actual, desired, changes);
}

fn encrypting(
    family: Family,
    actual: &FamilyDataplane,
    desired: &FamilyDataplane,
    name: &str,
    device: &Device,
    changes: &mut Vec<Change>,
) {
    // A device of another name is one whose place this one takes.
    let old = actual.devices.iter().find(|(other, _)| *other != name);
    let fresh = Device::default();
    let current = actual.devices.get(name).unwrap_or(&fresh);
    let owned = || name.to_owned();
    if !current.tagged {
        let name = owned();
        changes.push(Change::TagDevice { family, name });
    }
    if !current.has_key {
        changes.push(match old {
            Some((old, state)) if state.has_key => Change::MoveKey {
                family,
                from: old.clone(),
                to: owned(),
            },
            _ => Change::GenerateKey {
                family,
                name: owned(),
            },
        });
    }
    let mut configuration = configuration(family, name, current, device);
    // Two devices cannot listen on one port: the new one gets it when the old one is gone.
    let taken = old.is_some_and(|(_, old)| Some(old.listen_port) == configuration.listen_port);
    let port = configuration.listen_port.take_if(|_| taken);
    configure(configuration, changes);
    if current.mtu != device.mtu {
        changes.push(Change::SetMtu {
            family,
            name: owned(),
            mtu: device.mtu,
        });
    }
    for address in device.addresses.difference(&current.addresses) {
        changes.push(Change::AddAddress {
            family,
            name: owned(),
            address: *address,
        });
    }
    // With its last address an interface loses its IPv4 routes, and what they led into the
    // tunnel would go in clear: the last one stays, where it does no harm.
    let removable = family == Family::V6 || !device.addresses.is_empty();
    let unwanted = current.addresses.difference(&device.addresses);
    for address in unwanted.filter(|_| removable) {
        changes.push(Change::RemoveAddress {
            family,
            name: owned(),
            address: *address,
        });
    }
    if !current.up {
        let name = owned();
        changes.push(Change::SwitchOn { family, name });
    }
    routes(family, added(actual, desired), Vec::new(), changes);
    // A new rule is there before an old one goes.
    for rule in desired.rules.difference(&actual.rules) {
        let rule = rule.clone();
        changes.push(Change::AddRule { family, rule });
    }
    remove_left_routes(family, actual, desired, changes);
    remove_rules(family, actual, desired, changes);
    routes(family, Vec::new(), removed(actual, desired), changes);
    delete_devices(family, actual, desired, changes);
    if let Some(port) = port {
        let nothing = self::configuration(family, name, device, device);
        // Until now it has sent from whatever port there was, and so may have its peers: where
        // both sides have learnt such a port of each other, neither would be heard again.
        let set = device.peers.iter().filter_map(|(key, peer)| {
            let endpoint = Some(peer.endpoint?);
            let change = PeerChange {
                endpoint,
                ..PeerChange::default()
            };
            Some((*key, change))
        });
        configure(
            Configuration {
                listen_port: Some(port),
                set: set.collect(),
                ..nothing
            },
            changes,
        );
    }
    if let (Some(threaded), Some(now)) = (device.threaded, current.threaded)
        && threaded != now
    {
        changes.push(Change::SetThreaded {
            family,
            name: owned(),
            threaded,
        });
    }
}

fn configure(configuration: Configuration, changes: &mut Vec<Change>) {
    let Configuration {
        fwmark,
        listen_port,
        remove,
        set,
        ..
    } = &configuration;
    let empty = remove.is_empty() && set.is_empty();
    if fwmark.is_some() || listen_port.is_some() || !empty {
        changes.push(Change::Configure(configuration));
    }
}

fn configuration(family: Family, name: &str, actual: &Device, desired: &Device) -> Configuration {
    let gone = actual.peers.keys();
    let mut set: Vec<_> = desired
        .peers
        .iter()
        .filter_map(|(key, peer)| Some((*key, peer_change(actual.peers.get(key), peer)?)))
        .collect();
    set.sort_by_key(|(_, change)| !change.replace);
    Configuration {
        family,
        name: name.to_owned(),
        fwmark: (actual.fwmark != desired.fwmark).then_some(desired.fwmark),
        listen_port: (actual.listen_port != desired.listen_port).then_some(desired.listen_port),
        remove: gone
            .filter(|key| !desired.peers.contains_key(key))
            .copied()
            .collect(),
        set,
    }
}

/// What makes a peer of `actual` the peer `desired`; none if it is that already.
pub fn peer_change(actual: Option<&Peer>, desired: &Peer) -> Option<PeerChange> {
    let fresh = Peer::default();
    let before = actual.unwrap_or(&fresh);
    if actual == Some(desired) {
        return None;
    }
    let loses = !before.allowed_ips.is_subset(&desired.allowed_ips);
    let networks = match loses {
        true => desired.allowed_ips.clone(),
        false => &desired.allowed_ips - &before.allowed_ips,
    };
    Some(PeerChange {
        endpoint: desired
            .endpoint
            .filter(|_| desired.endpoint != before.endpoint),
        keepalive: (desired.keepalive != before.keepalive).then_some(desired.keepalive),
        replace: loses,
        networks,
    })
}

/// What must be encrypted comes first, what must not be after it.
fn added(actual: &FamilyDataplane, desired: &FamilyDataplane) -> Vec<(RouteKey, Target)> {
    let differs = |(slot, target): &(&RouteKey, &Target)| actual.routes.get(slot) != Some(*target);
    let differing = || desired.routes.iter().filter(differs);
    let is_throw = |target: &Target| *target == Target::Throw;
    let tunnels = differing().filter(|(_, target)| !is_throw(target));
    let throws = differing().filter(|(_, target)| is_throw(target));
    tunnels
        .chain(throws)
        .map(|(slot, target)| (*slot, target.clone()))
        .collect()
}

/// Own routes that are there and not desired.
fn removed(actual: &FamilyDataplane, desired: &FamilyDataplane) -> Vec<RouteKey> {
    let unwanted = unwanted(actual, desired);
    let own = unwanted.filter(|(_, target)| **target != Target::Foreign);
    own.map(|(slot, _)| *slot).collect()
}

fn unwanted<'a>(
    actual: &'a FamilyDataplane,
    desired: &'a FamilyDataplane,
) -> impl Iterator<Item = (&'a RouteKey, &'a Target)> {
    let routes = actual.routes.iter();
    routes.filter(|(slot, _)| !desired.routes.contains_key(slot))
}

/// Routes that another engine has left go before its rule, by which they are known.
fn remove_left_routes(
    family: Family,
    actual: &FamilyDataplane,
    desired: &FamilyDataplane,
    changes: &mut Vec<Change>,
) {
    let left = unwanted(actual, desired).filter(|(_, target)| **target == Target::Foreign);
    let routes: Vec<_> = left.map(|(slot, _)| *slot).collect();
    if !routes.is_empty() {
        changes.push(Change::RemoveLeftRoutes { family, routes });
    }
}

fn routes(
    family: Family,
    set: Vec<(RouteKey, Target)>,
    remove: Vec<RouteKey>,
    changes: &mut Vec<Change>,
) {
    if !set.is_empty() || !remove.is_empty() {
        changes.push(Change::SetRoutes {
            family,
            remove,
            set,
        });
    }
}

fn remove_rules(
    family: Family,
    actual: &FamilyDataplane,
    desired: &FamilyDataplane,
    changes: &mut Vec<Change>,
) {
    for rule in actual.rules.difference(&desired.rules) {
        let rule = rule.clone();
        changes.push(Change::RemoveRule { family, rule });
    }
}

fn delete_devices(
    family: Family,
    actual: &FamilyDataplane,
    desired: &FamilyDataplane,
    changes: &mut Vec<Change>,
) {
    let unwanted = |name: &&String| !desired.devices.contains_key(*name);
    for name in actual.devices.keys().filter(unwanted) {
        let name = name.clone();
        changes.push(Change::DeleteDevice { family, name });
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod tests;
