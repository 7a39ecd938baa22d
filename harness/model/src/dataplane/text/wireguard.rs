//! WireGuard devices in the layout of `wg show`, with names for keys.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::dataplane::{Peer, WireGuard};
use crate::name::NodeName;

/// All devices, by name, with an empty line before each peer.
pub(super) fn devices(devices: &[WireGuard], keys: &BTreeMap<String, NodeName>) -> Vec<String> {
    let mut sorted: Vec<_> = devices.iter().collect();
    sorted.sort_by(|a, b| a.interface.cmp(&b.interface));
    let owners = owners(&sorted, keys);
    let mut lines = Vec::new();
    for device in sorted {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("interface: {}", device.interface));
        if let Some(key) = &device.public_key {
            lines.push(format!("  public key: {}", owner(&owners, key)));
        }
        if let Some(port) = device.listen_port {
            lines.push(format!("  listening port: {port}"));
        }
        if device.fwmark != 0 {
            lines.push(format!("  fwmark: {:#x}", device.fwmark));
        }
        let mut peers: Vec<_> = device.peers.iter().collect();
        peers.sort_by_key(|peer| owners.get(peer.public_key.as_str()));
        for peer in peers {
            lines.push(String::new());
            lines.extend(lines_of(peer, &owner(&owners, &peer.public_key)));
        }
    }
    lines
}

/// Whose a key is. Nodes come before strangers, and strangers in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Node(NodeName),
    Unknown(usize),
}

/// Strangers are numbered by where they are and what they may send, since the keys themselves
/// differ from run to run.
fn owners<'a>(
    devices: &[&'a WireGuard],
    keys: &BTreeMap<String, NodeName>,
) -> BTreeMap<&'a str, Owner> {
    let own = devices
        .iter()
        .filter_map(|device| device.public_key.as_deref());
    let mut peers: Vec<_> = devices.iter().flat_map(|device| &device.peers).collect();
    peers.sort_by_cached_key(|peer| (peer.endpoint, sorted(&peer.allowed_ips), &peer.public_key));
    let mut owners = BTreeMap::new();
    let mut strangers = 0;
    for key in own.chain(peers.into_iter().map(|peer| peer.public_key.as_str())) {
        owners.entry(key).or_insert_with(|| match keys.get(key) {
            Some(node) => Owner::Node(node.clone()),
            None => {
                strangers += 1;
                Owner::Unknown(strangers)
            }
        });
    }
    owners
}

fn owner(owners: &BTreeMap<&str, Owner>, key: &str) -> String {
    match owners.get(key) {
        Some(Owner::Node(node)) => node.to_string(),
        Some(Owner::Unknown(number)) => format!("unknown-{number}"),
        None => "unknown".into(),
    }
}

fn lines_of(peer: &Peer, name: &str) -> Vec<String> {
    let mut lines = vec![format!("peer: {name}")];
    if let Some(endpoint) = peer.endpoint {
        lines.push(format!("  endpoint: {endpoint}"));
    }
    let allowed: Vec<_> = sorted(&peer.allowed_ips)
        .iter()
        .map(IpNet::to_string)
        .collect();
    lines.push(if allowed.is_empty() {
        "  allowed ips: (none)".into()
    } else {
        format!("  allowed ips: {}", allowed.join(", "))
    });
    if let Some(seconds) = peer.keepalive {
        lines.push(format!("  persistent keepalive: every {seconds} seconds"));
    }
    lines
}

fn sorted(nets: &[IpNet]) -> Vec<IpNet> {
    let mut nets = nets.to_vec();
    nets.sort_unstable();
    nets
}
