//! The difference between two dataplanes as an ordered list of changes.
//!
//! The order never leaks: what is routed into the tunnel before and after is routed
//! there throughout. The rule comes last when encryption begins, when all it leads to
//! is there, and goes first when it ends.

use std::fmt;

use ipnet::Ipv4Net;

use crate::dataplane::{Dataplane, Device, IncomingMark, Peer, Rule, Target};
use crate::key::PublicKey;

/// One write to the kernel, the tunnel or nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The reverse-path filter looks at marks from now on. Never undone: others may rely on it.
    SetSrcValidMark,
    /// The table that marks incoming packets, whole.
    SetIncomingMark(IncomingMark),
    /// No incoming packet is marked.
    RemoveIncomingMark,
    /// A device without key or peers.
    CreateDevice { name: String },
    /// A new private key, which never leaves the device.
    GenerateKey { name: String },
    /// The device's UDP port.
    SetListenPort { name: String, port: u16 },
    /// The mark of the device's outgoing packets.
    SetFwmark { name: String, mark: u32 },
    /// In bytes.
    SetMtu { name: String, mtu: u32 },
    /// A new peer, or other properties of one.
    SetPeer {
        name: String,
        key: PublicKey,
        peer: Peer,
    },
    /// A peer less.
    RemovePeer { name: String, key: PublicKey },
    /// An address of the device.
    AddAddress { name: String, address: Ipv4Net },
    /// An address less.
    RemoveAddress { name: String, address: Ipv4Net },
    /// The device is up.
    SwitchOn { name: String },
    /// A route of the engine's table, whatever was there before.
    SetRoute { network: Ipv4Net, target: Target },
    /// A route less.
    RemoveRoute { network: Ipv4Net },
    /// A rule.
    AddRule(Rule),
    /// A rule less.
    RemoveRule(Rule),
    /// The device goes, with its key.
    DeleteDevice { name: String },
}

/// What to do, in order, to get from one dataplane to the other. Empty if nothing is to be done.
pub(crate) fn diff(actual: &Dataplane, desired: &Dataplane) -> Vec<Change> {
    let mut changes = Vec::new();
    let ending = desired.device.is_none();
    let missing_rules = desired.rules.difference(&actual.rules).cloned();
    let extra_rules = actual.rules.difference(&desired.rules).cloned();
    if ending {
        changes.extend(extra_rules.map(Change::RemoveRule));
        routes(actual, desired, &mut changes);
        incoming_mark(actual, desired, &mut changes);
        if let Some(device) = &actual.device {
            let name = device.name.clone();
            changes.push(Change::DeleteDevice { name });
        }
        return changes;
    }
    // First of all, since a node that can make no device must be left as it is.
    if let (None, Some(device)) = (&actual.device, &desired.device) {
        let name = device.name.clone();
        changes.push(Change::CreateDevice { name });
    }
    if desired.src_valid_mark && !actual.src_valid_mark {
        changes.push(Change::SetSrcValidMark);
    }
    incoming_mark(actual, desired, &mut changes);
    if let Some(device) = &desired.device {
        self::device(actual.device.as_ref(), device, &mut changes);
    }
    routes(actual, desired, &mut changes);
    // A new rule is there before an old one goes.
    changes.extend(missing_rules.map(Change::AddRule));
    changes.extend(extra_rules.map(Change::RemoveRule));
    changes
}

fn incoming_mark(actual: &Dataplane, desired: &Dataplane, changes: &mut Vec<Change>) {
    if actual.incoming_mark == desired.incoming_mark {
        return;
    }
    changes.push(match &desired.incoming_mark {
        Some(mark) => Change::SetIncomingMark(mark.clone()),
        None => Change::RemoveIncomingMark,
    });
}

fn device(actual: Option<&Device>, desired: &Device, changes: &mut Vec<Change>) {
    let name = || desired.name.clone();
    let fresh = Device {
        name: name(),
        has_key: false,
        mtu: 0,
        up: false,
        addresses: Default::default(),
        listen_port: 0,
        fwmark: 0,
        peers: Default::default(),
    };
    let actual = actual.unwrap_or(&fresh);
    // The mark first: without it the tunnel's own packets would be routed into the tunnel.
    if actual.fwmark != desired.fwmark {
        changes.push(Change::SetFwmark {
            name: name(),
            mark: desired.fwmark,
        });
    }
    if !actual.has_key {
        changes.push(Change::GenerateKey { name: name() });
    }
    if actual.listen_port != desired.listen_port {
        changes.push(Change::SetListenPort {
            name: name(),
            port: desired.listen_port,
        });
    }
    if actual.mtu != desired.mtu {
        changes.push(Change::SetMtu {
            name: name(),
            mtu: desired.mtu,
        });
    }
    // Removals first: a network that moves to another peer must not be taken from it again.
    for key in actual
        .peers
        .keys()
        .filter(|key| !desired.peers.contains_key(key))
    {
        changes.push(Change::RemovePeer {
            name: name(),
            key: *key,
        });
    }
    for (key, peer) in &desired.peers {
        if actual.peers.get(key) != Some(peer) {
            changes.push(Change::SetPeer {
                name: name(),
                key: *key,
                peer: peer.clone(),
            });
        }
    }
    for address in desired.addresses.difference(&actual.addresses) {
        changes.push(Change::AddAddress {
            name: name(),
            address: *address,
        });
    }
    for address in actual.addresses.difference(&desired.addresses) {
        changes.push(Change::RemoveAddress {
            name: name(),
            address: *address,
        });
    }
    if !actual.up {
        changes.push(Change::SwitchOn { name: name() });
    }
}

/// What must be encrypted comes first, what must not be after it, and what nobody wants last.
fn routes(actual: &Dataplane, desired: &Dataplane, changes: &mut Vec<Change>) {
    for wanted in [Target::Tunnel, Target::Throw] {
        for (network, target) in desired
            .routes
            .iter()
            .filter(|(_, target)| **target == wanted)
        {
            if actual.routes.get(network) != Some(target) {
                changes.push(Change::SetRoute {
                    network: *network,
                    target: *target,
                });
            }
        }
    }
    for network in actual
        .routes
        .keys()
        .filter(|network| !desired.routes.contains_key(network))
    {
        changes.push(Change::RemoveRoute { network: *network });
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSrcValidMark => f.write_str("set net.ipv4.conf.all.src_valid_mark to 1"),
            Self::SetIncomingMark(mark) => write!(f, "mark incoming packets {:#x}", mark.mark),
            Self::RemoveIncomingMark => f.write_str("stop marking incoming packets"),
            Self::CreateDevice { name } => write!(f, "create {name}"),
            Self::GenerateKey { name } => write!(f, "give {name} a new key"),
            Self::SetListenPort { name, port } => write!(f, "let {name} listen on port {port}"),
            Self::SetFwmark { name, mark } => write!(f, "let {name} mark its packets {mark:#x}"),
            Self::SetMtu { name, mtu } => write!(f, "set the mtu of {name} to {mtu}"),
            Self::SetPeer { name, key, peer } => {
                write!(
                    f,
                    "set the peer {key} of {name}, with {} networks",
                    peer.allowed_ips.len()
                )
            }
            Self::RemovePeer { name, key } => write!(f, "remove the peer {key} of {name}"),
            Self::AddAddress { name, address } => write!(f, "add {address} to {name}"),
            Self::RemoveAddress { name, address } => write!(f, "remove {address} from {name}"),
            Self::SwitchOn { name } => write!(f, "switch {name} on"),
            Self::SetRoute { network, target } => match target {
                Target::Throw => write!(f, "leave {network} in clear"),
                Target::Tunnel => write!(f, "route {network} into the tunnel"),
                Target::Foreign => write!(f, "route {network} elsewhere"),
            },
            Self::RemoveRoute { network } => write!(f, "remove the route to {network}"),
            Self::AddRule(rule) => write!(f, "add the rule {rule}"),
            Self::RemoveRule(rule) => write!(f, "remove the rule {rule}"),
            Self::DeleteDevice { name } => write!(f, "delete {name}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.not { "not " } else { "" };
        let Self {
            priority,
            mark,
            mask,
            table,
            ..
        } = self;
        write!(
            f,
            "{priority}: {not}from all fwmark {mark:#x}/{mask:#x} lookup {table}"
        )
    }
}

#[cfg(test)]
mod tests;
