//! The desired dataplane of this node, computed from the cluster.
//!
//! Felix decides the same in `wireguard/wireguard.go`, `calc/l3_route_resolver.go` and
//! `dataplane/linux/wireguard_mgr.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::dataplane::firewall::{Firewall, Protected, Wanted};
use crate::dataplane::local_routes::{LocalRoutes, without};
use crate::dataplane::model::{Dataplane, Device, FamilyDataplane, Peer, RouteKey, Rule, Target};
use crate::dataplane::networks::{self, Conflict, Networks};
use crate::intent::cluster::{Cluster, Plain};
use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::settings::Strict;

/// What the answer depends on besides the cluster.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// This node's name.
    pub node: &'a str,
    /// MTU of the uplink, in bytes.
    pub uplink_mtu: PerFamily<u32>,
    /// The routing tables that have been chosen; none where none is free.
    pub tables: PerFamily<Option<u32>>,
    /// Where the store is.
    pub store: &'a [SocketAddr],
    /// Whether this machine can make a WireGuard device, in each family.
    pub supported: PerFamily<bool>,
    /// What is really on this node.
    pub here: &'a LocalRoutes,
    /// The prefixes of pods' interfaces that no uplink's name begins with.
    pub pods: &'a BTreeSet<String>,
    /// What stays protected though no resource names it any more.
    pub departed: &'a BTreeSet<IpNet>,
}

/// What this node should be like, and the conflicts that were decided for that.
pub fn desired(
    cluster: &Cluster,
    situation: &Situation<'_>,
) -> (Dataplane, PerFamily<Vec<Conflict>>) {
    let settings = &cluster.settings;
    let networks =
        PerFamily::each(|family| networks::of(cluster, situation.node, family, situation.here));
    let active = PerFamily::each(|family| {
        situation.supported[family]
            && situation.tables[family].is_some()
            && is_active(cluster, situation.node, family)
    });
    let families = PerFamily::each(|family| match situation.tables[family] {
        Some(table) if active[family] => {
            plane(cluster, situation, family, table, &networks[family])
        }
        _ => FamilyDataplane::default(),
    });
    let actives = || Family::ALL.into_iter().filter(|family| active[*family]);
    let tunnels = || actives().map(|family| &settings.tunnel[family]);
    let firewall = Firewall::new(&Wanted {
        mark: settings.mark,
        incoming_mark: settings.host_encryption && actives().next().is_some(),
        devices: tunnels().map(|tunnel| tunnel.interface.clone()).collect(),
        pods: situation.pods.clone(),
        ports: tunnels().map(|tunnel| tunnel.listen_port).collect(),
        store: situation.store.to_vec(),
        strict: settings
            .strict
            .as_ref()
            .and_then(|strict| protected(cluster, situation, strict, &networks, active)),
    });
    let dataplane = Dataplane {
        families,
        firewall,
        src_valid_mark: settings.host_encryption && active[Family::V4],
    };
    let conflicts = PerFamily::each(|family| {
        let conflicts = networks[family].conflicts.values();
        // Nobody cares whose an address is where nothing is encrypted.
        let asked = settings.tunnel[family].enabled || cluster.wanted[family];
        conflicts.filter(|_| asked).cloned().collect()
    });
    (dataplane, conflicts)
}

/// Whether a node encrypts in that family: it is asked to, and has an address that peers can send to.
pub fn is_active(cluster: &Cluster, node: &str, family: Family) -> bool {
    let reachable = cluster
        .nodes
        .get(node)
        .is_some_and(|node| node.endpoint[family].is_some());
    reachable && cluster.settings.tunnel[family].enabled
}

/// The key under which a node can be this node's peer, or why it is none. While another
/// node claims this node's key, nobody takes this node for a peer, so it has none either.
pub fn peer_key(
    cluster: &Cluster,
    own: &str,
    name: &str,
    family: Family,
) -> Result<PublicKey, Plain> {
    if let Err(Plain::SharedKey(others)) = cluster.key_of(own, family) {
        return Err(Plain::OwnKeyShared(others));
    }
    cluster.key_of(name, family)
}

fn plane(
    cluster: &Cluster,
    situation: &Situation<'_>,
    family: Family,
    table: u32,
    networks: &Networks<'_>,
) -> FamilyDataplane {
    let settings = &cluster.settings;
    let tunnel = &settings.tunnel[family];
    let peers = peers(cluster, situation.node, family, networks);
    let own = cluster.nodes.get(situation.node);
    let address = own.and_then(|own| match settings.host_encryption {
        true => own.endpoint[family],
        false => own.tunnel_address[family],
    });
    let device = Device {
        has_key: true,
        tagged: true,
        mtu: settings.device_mtu(family, situation.uplink_mtu[family], cluster.aks),
        up: true,
        addresses: address.map(IpNet::from).into_iter().collect(),
        listen_port: tunnel.listen_port,
        fwmark: settings.mark,
        // Before there is a peer, the kernel refuses to say or to set it.
        threaded: (!peers.is_empty()).then_some(settings.threaded),
        peers,
    };
    FamilyDataplane {
        devices: BTreeMap::from([(tunnel.interface.clone(), device)]),
        routes: routes(cluster, situation.node, family, networks)
            .map(|(network, target)| (RouteKey { table, network }, target))
            .collect(),
        rules: BTreeSet::from([Rule::for_mark(settings.rule_priority, settings.mark, table)]),
    }
}

/// The routes of this node's table, wherever that is.
pub fn wanted_routes(
    cluster: &Cluster,
    node: &str,
    family: Family,
    here: &LocalRoutes,
) -> BTreeMap<IpNet, Target> {
    let networks = networks::of(cluster, node, family, here);
    routes(cluster, node, family, &networks).collect()
}

/// Each other node that can be one.
fn peers(
    cluster: &Cluster,
    own: &str,
    family: Family,
    networks: &Networks<'_>,
) -> BTreeMap<PublicKey, Peer> {
    let settings = &cluster.settings;
    let mut allowed = BTreeMap::<_, BTreeSet<_>>::new();
    for (network, owner) in &networks.owners {
        allowed.entry(*owner).or_default().insert(*network);
    }
    cluster
        .nodes
        .iter()
        .filter(|(name, _)| *name != own)
        .filter_map(|(name, node)| {
            let key = peer_key(cluster, own, name, family).ok()?;
            let port = settings.tunnel[family].listen_port;
            let peer = Peer {
                endpoint: Some(SocketAddr::new(node.endpoint[family]?, port)),
                allowed_ips: allowed.remove(name.as_str()).unwrap_or_default(),
                keepalive: settings.keepalive,
            };
            Some((key, peer))
        })
        .collect()
}

/// A throw for each of the node's own networks, so that these stay in clear; for each
/// network of another node the tunnel if it is a peer, and a throw if not.
fn routes<'a>(
    cluster: &'a Cluster,
    own: &'a str,
    family: Family,
    networks: &'a Networks<'_>,
) -> impl Iterator<Item = (IpNet, Target)> + 'a {
    let owners: BTreeSet<_> = networks.owners.values().copied().collect();
    let peers: BTreeSet<_> = owners
        .into_iter()
        .filter(|owner| *owner != own && peer_key(cluster, own, owner, family).is_ok())
        .collect();
    let interface = &cluster.settings.tunnel[family].interface;
    networks.owners.iter().map(move |(network, owner)| {
        let target = match peers.contains(owner) {
            true => Target::Tunnel(interface.clone()),
            false => Target::Throw,
        };
        (*network, target)
    })
}

/// What must be encrypted or dropped: everything that any node claims, and whole networks, but for what
/// is really on this node and for what may be reached in clear. No claim makes an exception of what
/// another node claims too.
fn protected(
    cluster: &Cluster,
    situation: &Situation<'_>,
    strict: &Strict,
    networks: &PerFamily<Networks<'_>>,
    active: PerFamily<bool>,
) -> Option<Protected> {
    let settings = &cluster.settings;
    let own = situation.node;
    // A node that does not encrypt refuses the others just as they refuse it: what it sends
    // in clear would be readable, though nobody takes it.
    let listed = strict.plain_nodes.contains(own);
    let refuses = |family: &Family| {
        active[*family] || !listed && (settings.tunnel[*family].enabled || cluster.wanted[*family])
    };
    let families: Vec<_> = Family::ALL.into_iter().filter(refuses).collect();
    if families.is_empty() {
        return None;
    }
    // A name of no Node exempts nothing.
    let is_plain =
        |name: &str| strict.plain_nodes.contains(name) && cluster.nodes.contains_key(name);
    // Where hosts are not encrypted they speak in clear, whatever network they are in.
    let may_be_plain =
        |name: &str, is_host: bool| is_plain(name) || is_host && !settings.host_encryption;
    let mut protected = Protected::default();
    let pods = networks::of_pods(cluster);
    for family in &families {
        let networks = &networks[*family];
        for (network, owner) in &networks.owners {
            if *owner == own {
                protected.local.insert(*network);
            }
            if is_plain(owner) && networks.all_may_be_plain(network, may_be_plain) {
                protected.exceptions.insert(*network);
                continue;
            }
            // Where a resource does not tell whose a network is, the kernel does.
            let parts = match *owner == own || owner.is_empty() {
                true => situation.here.parts(*network),
                false => Vec::new(),
            };
            if parts != [*network] {
                protected.networks.insert(*network);
            }
            // What is nearer to another claim is that one's.
            let parts = parts.into_iter();
            let parts = parts.filter(|part| networks.nearest(*part) == Some((*network, *owner)));
            protected.exceptions.extend(parts);
        }
        // What several nodes claim is nobody's exception, whatever it lies inside of.
        let contested = networks.conflicts.keys().filter(|network| {
            !situation.here.has(**network) && !networks.all_may_be_plain(network, may_be_plain)
        });
        protected.networks.extend(contested);
        for (name, node) in &cluster.nodes {
            let addresses = node.addresses.iter().copied().map(IpNet::from);
            let exempt = addresses.filter(|address| {
                let outer = networks.nearest(*address);
                Family::of_network(*address) == *family
                    && may_be_plain(name, true)
                    && networks.all_may_be_plain(address, may_be_plain)
                    && outer.is_none_or(|(_, owner)| owner == name || is_plain(owner))
            });
            protected.exceptions.extend(exempt);
        }
        let whole = strict
            .networks
            .iter()
            .chain(&pods)
            .chain(situation.departed);
        let whole = whole.filter(|network| Family::of_network(**network) == *family);
        protected.networks.extend(whole.copied());
    }
    // A borrowed address is inside of its lender's block: what is most specific must win.
    let (networks, exceptions) = (&protected.networks, &protected.exceptions);
    let exceptions = exceptions
        .iter()
        .flat_map(|exception| without(*exception, networks))
        .collect();
    Some(Protected {
        exceptions,
        ..protected
    })
}

#[cfg(test)]
mod tests;
