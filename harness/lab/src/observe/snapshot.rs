//! Snapshots of a node's dataplane, read from the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, route::RouteProtocol, route::RouteType};
use wireguard_control::{Backend, Device};
use wireproof_model::dataplane::{
    self, Address, Dataplane, Link, LinkKind, Peer, Route, RouteKind, Rule, WireGuard,
};
use wireproof_model::name::{IfName, NodeName};
use wireproof_model::plan::State;

use crate::base::error::{Doing, LabError};
use crate::base::program::program;
use crate::cluster::topology::Topology;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Netlink, link_name};
use crate::kernel::sysctl;
use crate::kernel::wireguard::userspace_names;

/// Interfaces by kernel index.
pub(crate) type Names = BTreeMap<u32, IfName>;

/// Everything that decides what a node does with a packet.
pub(crate) fn dataplane(namespace: &Namespace, tunnel: &IfName) -> Result<Dataplane, LabError> {
    let netlink = Netlink::open(namespace)?;
    let mut names = Names::new();
    let mut links = Vec::new();
    for message in netlink.links()? {
        let name = link_name(&message)?;
        names.insert(message.header.index, name.clone());
        let (mut kind, mut mtu) = (LinkKind::Loopback, 0);
        for attribute in &message.attributes {
            if let LinkAttribute::Mtu(value) = attribute {
                mtu = *value;
            } else if let LinkAttribute::LinkInfo(infos) = attribute {
                kind = infos.iter().find_map(kind_of).unwrap_or(kind);
            }
        }
        links.push(Link {
            name,
            kind,
            mtu,
            up: message.header.flags.contains(LinkFlags::Up),
        });
    }
    // Only the sockets are the node's: what an engine mounts over programs is none of the lab's.
    let wireguard = namespace.enter_with_mounts(|| Ok(wireguard_devices()))?;
    let (nftables, sysctls) =
        namespace.enter(|| Ok((ruleset()?, sysctl::read_observed(tunnel.as_str()).collect())))?;
    let addresses = addresses(&netlink, &names)?;
    let ipv6 = addresses.iter().any(|address| {
        let own = address.address.addr();
        own.is_ipv6() && !own.is_loopback()
    });
    let mut messages = netlink.routes()?;
    if ipv6 {
        messages.extend(netlink.routes6()?);
    }
    let routes = messages.iter().filter_map(|message| route(message, &names));
    Ok(Dataplane {
        links,
        addresses,
        rules: netlink.rules()?.iter().map(rule).collect(),
        rules6: match ipv6 {
            true => netlink.rules6()?.iter().map(rule).collect(),
            false => Vec::new(),
        },
        routes: routes.collect(),
        wireguard,
        nftables,
        sysctls,
    })
}

/// The nodes that do not look in sync, of those that have an agent. One that encrypts has a
/// peer for every other one's published key, and a rule with a mark; another has no such rule.
pub(crate) fn nodes_out_of_sync(
    topology: &Topology,
    state: &State,
    keys: &BTreeMap<NodeName, String>,
) -> Result<Vec<String>, LabError> {
    let mut lagging = Vec::new();
    for node in state.agents.difference(&state.deleted) {
        let namespace = topology.node(node)?;
        let marked = Netlink::open(namespace)?
            .rules()?
            .iter()
            .any(|message| rule(message).fwmark.is_some());
        let in_sync = if state.encrypting.contains(node) {
            let devices = namespace.enter_with_mounts(|| Ok(wireguard_devices()))?;
            let known = |key: &String| {
                devices
                    .iter()
                    .flat_map(|device| &device.peers)
                    .any(|peer| &peer.public_key == key)
            };
            // Who has no Node publishes no key.
            let others = state.encrypting.difference(&state.deleted);
            let mut others = others.filter(|other| *other != node);
            marked && others.all(|other| keys.get(other).is_some_and(known))
        } else {
            !marked
        };
        if !in_sync {
            lagging.push(node.to_string());
        }
    }
    Ok(lagging)
}

fn kind_of(info: &LinkInfo) -> Option<LinkKind> {
    match info {
        LinkInfo::Kind(kind) => {
            let kind = kind.to_string();
            Some(kind.parse().unwrap_or(LinkKind::Other(kind)))
        }
        _ => None,
    }
}

fn addresses(netlink: &Netlink, names: &Names) -> Result<Vec<Address>, LabError> {
    let read = |message: &rtnetlink::packet_route::address::AddressMessage| {
        // The local address is the interface's own; on a point-to-point link the other one is the peer's.
        let local = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
        let other = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
        Some(Address {
            interface: names.get(&message.header.index)?.clone(),
            address: IpNet::new(local.or(other)?, message.header.prefix_len).ok()?,
            scope: scope_name(&message.header.scope),
        })
    };
    // The kernel gives every link one by itself, from its random Ethernet address.
    let by_itself = |address: &Address| match address.address {
        IpNet::V6(network) => network.addr().is_unicast_link_local(),
        IpNet::V4(_) => false,
    };
    let messages = netlink.addresses()?;
    let read = messages.iter().filter_map(read);
    Ok(read.filter(|address| !by_itself(address)).collect())
}

fn rule(message: &RuleMessage) -> Rule {
    let mut rule = Rule {
        priority: 0,
        not: message.header.flags.contains(RuleFlags::Invert),
        fwmark: None,
        table: None,
        other: Vec::new(),
    };
    let (mut mark, mut mask) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::Table(table) => rule.table = Some(*table),
            // What the kernel says of every rule, and which says nothing.
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            other => rule.other.push(format!("{other:?}")),
        }
    }
    if mark.is_some() || mask.is_some() {
        rule.fwmark = Some((mark.unwrap_or_default(), mask.unwrap_or(u32::MAX)));
    }
    rule
}

/// A route as the kernel reports it; none of those that it gives every link by itself.
pub(crate) fn route(message: &RouteMessage, names: &Names) -> Option<Route> {
    let destination = match message.header.address_family {
        AddressFamily::Inet => IpNet::V4(Ipv4Net::default()),
        AddressFamily::Inet6 => IpNet::V6(Ipv6Net::default()),
        _ => return None,
    };
    let mut route = Route {
        table: message.header.table.into(),
        destination,
        kind: route_kind(message.header.kind),
        via: None,
        interface: None,
        protocol: protocol_name(message.header.protocol),
        scope: scope_name(&message.header.scope),
        source: None,
        metric: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                let length = message.header.destination_prefix_length;
                route.destination = IpNet::V4(Ipv4Net::new(*address, length).ok()?);
            }
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                let length = message.header.destination_prefix_length;
                route.destination = IpNet::V6(Ipv6Net::new(*address, length).ok()?);
            }
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                route.via = Some(IpAddr::V4(*address));
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => {
                route.via = Some(IpAddr::V6(*address));
            }
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => {
                route.source = Some(IpAddr::V4(*address));
            }
            RouteAttribute::Oif(index) => route.interface = names.get(index).cloned(),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            _ => {}
        }
    }
    // The kernel gives every link one of these by itself, from its random Ethernet address.
    let by_itself = match route.destination {
        IpNet::V6(network) => {
            network.addr().is_unicast_link_local() || network.addr().is_multicast()
        }
        IpNet::V4(_) => false,
    };
    (!by_itself).then_some(route)
}

/// As ip-route(8) prints it: rtnetlink calls the global scope `Universe`.
fn scope_name(scope: &impl std::fmt::Debug) -> String {
    format!("{scope:?}")
        .to_lowercase()
        .replace("universe", "global")
}

fn route_kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        other => RouteKind::Other(other.into()),
    }
}

fn protocol_name(protocol: RouteProtocol) -> String {
    match protocol {
        RouteProtocol::Other(number) => number.to_string(),
        known => format!("{known:?}").to_lowercase(),
    }
}

/// Every WireGuard device of the calling thread's namespaces, kernel and userspace, with its private key.
pub(crate) fn devices() -> impl Iterator<Item = Device> {
    // A kernel without WireGuard has no such devices, and says so with an error.
    let kernel = Device::list(Backend::Kernel).unwrap_or_default();
    let kernel = kernel.into_iter().map(|name| (name, Backend::Kernel));
    kernel
        .chain(userspace_names().map(|name| (name, Backend::Userspace)))
        .filter_map(|(name, backend)| Device::get(&name, backend).ok())
}

fn wireguard_devices() -> Vec<WireGuard> {
    let mut devices: Vec<_> = devices().filter_map(|device| wireguard(&device)).collect();
    devices.sort_by(|a, b| a.interface.cmp(&b.interface));
    devices
}

/// Whether a node's tunnel device is there, and answers.
pub(crate) fn answers(namespace: &Namespace, tunnel: &IfName) -> Result<bool, LabError> {
    let devices = namespace.enter_with_mounts(|| Ok(wireguard_devices()))?;
    Ok(devices.iter().any(|device| device.interface == *tunnel))
}

fn wireguard(device: &Device) -> Option<WireGuard> {
    let peer = |peer: &wireguard_control::PeerInfo| Peer {
        public_key: peer.config.public_key.to_base64(),
        endpoint: peer.config.endpoint,
        allowed_ips: peer
            .config
            .allowed_ips
            .iter()
            .filter_map(|allowed| IpNet::new(allowed.address, allowed.cidr).ok())
            .collect(),
        keepalive: peer
            .config
            .persistent_keepalive_interval
            .filter(|seconds| *seconds > 0),
    };
    Some(WireGuard {
        interface: device.name.as_str_lossy().parse().ok()?,
        public_key: device
            .public_key
            .as_ref()
            .map(wireguard_control::Key::to_base64),
        listen_port: device.listen_port,
        fwmark: device.fwmark.unwrap_or_default(),
        peers: joined(device.peers.iter().map(peer)),
    })
}

/// A peer with many allowed IPs comes in several parts, one after the other (Linux: `get_peer` in
/// `drivers/net/wireguard/netlink.c`).
fn joined(parts: impl Iterator<Item = Peer>) -> Vec<Peer> {
    let mut whole: Vec<Peer> = Vec::new();
    for part in parts {
        match whole.last_mut() {
            Some(last) if last.public_key == part.public_key => {
                last.allowed_ips.extend(part.allowed_ips);
            }
            _ => whole.push(part),
        }
    }
    whole
}

/// The packets that the rules of nftables with a counter have counted so far.
pub(crate) fn rule_counts(namespace: &Namespace) -> Result<BTreeMap<String, u64>, LabError> {
    let listing = namespace.enter(|| listing(&["list", "ruleset"]))?;
    Ok(dataplane::rule_counts(&listing))
}

/// The namespace's nftables rules without counters. Call it inside.
fn ruleset() -> Result<String, LabError> {
    listing(&["--stateless", "list", "ruleset"])
}

fn listing(arguments: &[&str]) -> Result<String, LabError> {
    let output = program("nft")
        .args(arguments)
        .output()
        .doing("list the nftables rules")
        .map_err(|error| error.help("install nftables (Debian: apt-get install nftables)"))?;
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr);
        return Err(LabError::machine("list the nftables rules", cause.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
