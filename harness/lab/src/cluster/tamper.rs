//! Changes to a node's dataplane behind the engine's back.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use ipnet::IpNet;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::RuleAttribute;
use wireguard_control::{Backend, Device, DeviceUpdate, InterfaceName, Key, PeerConfigBuilder};
use wireproof_model::name::{IfName, NodeName};
use wireproof_model::plan::{Family, Foreign, Own, Tamper};

use crate::base::error::{Doing, LabError};
use crate::cluster::topology::nft;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Netlink, link_name};
use crate::kernel::sysctl;
use crate::kernel::wireguard::{SOCKETS, userspace_names};

/// The tables that every Linux has: `default`, `main` and `local`.
const USUAL_TABLES: [u32; 3] = [253, 254, 255];

/// The table that a foreign rule looks up; nothing is in it.
const FOREIGN_TABLE: u32 = 77;

/// The mark of the packets that a foreign rule is about; no program sets it.
const FOREIGN_MARK: u32 = 0x7;

/// The tunnel device of one family.
pub(crate) struct Tunnel {
    pub(crate) family: Family,
    pub(crate) name: IfName,
    /// The keys that the nodes have published for it.
    pub(crate) keys: BTreeMap<NodeName, String>,
}

/// Does it. A change to a device is made to those of all families that the cluster uses.
pub(crate) fn tamper(
    namespace: &Namespace,
    what: &Tamper,
    tunnels: &[Tunnel],
) -> Result<(), LabError> {
    match what {
        Tamper::Delete(own) => delete(namespace, own, tunnels),
        Tamper::Sysctl(settings) => sysctl::overwrite(namespace, settings),
        Tamper::Add(foreign) => add(namespace, foreign, tunnels),
    }
}

fn delete(namespace: &Namespace, own: &Own, tunnels: &[Tunnel]) -> Result<(), LabError> {
    let each = |work: &dyn Fn(&Tunnel) -> Result<(), LabError>| tunnels.iter().try_for_each(work);
    match own {
        Own::Route(destination) => delete_route(namespace, *destination),
        Own::Rule => delete_rules(namespace),
        Own::RulesOf(priority) => delete_rules_of(namespace, *priority),
        Own::Peer(node) => each(&|tunnel| {
            let key = tunnel.keys.get(node);
            let key = key.ok_or_else(|| missing(own, &tunnel.name))?;
            let key = Key::from_base64(key).map_err(|_| {
                LabError::engine("read a published key", format!("{node}'s is none"))
            })?;
            update(namespace, &tunnel.name, |device| {
                device.remove_peer_by_key(&key)
            })
        }),
        Own::Nft => namespace.enter(|| nft("flush ruleset\n")),
        Own::Address => each(&|tunnel| delete_addresses(namespace, &tunnel.name)),
        Own::Device => delete_devices(&Netlink::open(namespace)?, tunnels),
        Own::TunnelProcess => each(&|tunnel| end_tunnel(namespace, &tunnel.name)),
        Own::Everything => delete_everything(namespace, tunnels),
    }
}

fn delete_devices(netlink: &Netlink, tunnels: &[Tunnel]) -> Result<(), LabError> {
    tunnels
        .iter()
        .try_for_each(|tunnel| netlink.delete_link(tunnel.name.as_str()))
}

fn add(namespace: &Namespace, foreign: &Foreign, tunnels: &[Tunnel]) -> Result<(), LabError> {
    match foreign {
        Foreign::Route(destination) => Netlink::open(namespace)?.add_black_hole(*destination, None),
        Foreign::RouteIn { destination, table } => {
            Netlink::open(namespace)?.add_black_hole(*destination, Some(*table))
        }
        Foreign::RuleFor { priority, table } => {
            let netlink = Netlink::open(namespace)?;
            tunnels.iter().try_for_each(|tunnel| {
                netlink.add_rule_of_loopback(tunnel.family, *priority, FOREIGN_MARK, *table)
            })
        }
        Foreign::RuleTo {
            priority,
            destination,
            table,
        } => Netlink::open(namespace)?.add_rule_to(*priority, *destination, *table),
        Foreign::Rule(priority) => {
            Netlink::open(namespace)?.add_rule(*priority, FOREIGN_MARK, FOREIGN_TABLE)
        }
        Foreign::Peer { key } => {
            let stranger = match key {
                None => Key::generate_private().get_public(),
                Some(key) => Key::from_base64(key)
                    .map_err(|_| LabError::machine("add a peer", "its key is no base64"))?,
            };
            tunnels.iter().try_for_each(|tunnel| {
                update(namespace, &tunnel.name, |device| {
                    device.add_peer(PeerConfigBuilder::new(&stranger))
                })
            })
        }
        Foreign::Table => {
            let table = "table inet foreign { chain count { type filter hook input priority 10; counter; }; }\n";
            namespace.enter(|| nft(table))
        }
    }
}

/// All that makes a node part of a mesh.
fn delete_everything(namespace: &Namespace, tunnels: &[Tunnel]) -> Result<(), LabError> {
    // First, for the kernel tells nobody of it; of the rest it does.
    let parameter = ("net.ipv4.conf.all.src_valid_mark".into(), "0".into());
    sysctl::overwrite(namespace, &BTreeMap::from([parameter]))?;
    let netlink = Netlink::open(namespace)?;
    delete_devices(&netlink, tunnels)?;
    let routes = netlink.all_routes()?.into_iter();
    routes
        .filter(|route| !USUAL_TABLES.contains(&table_of(route)))
        .try_for_each(|route| netlink.delete_route(route))?;
    delete_rules(namespace)?;
    namespace.enter(|| nft("flush ruleset\n"))
}

fn delete_route(namespace: &Namespace, destination: IpNet) -> Result<(), LabError> {
    let netlink = Netlink::open(namespace)?;
    let routes = netlink.all_routes()?.into_iter();
    let own: Vec<_> = routes
        .filter(|route| !USUAL_TABLES.contains(&table_of(route)))
        .filter(|route| destination_of(route) == Some(destination))
        .collect();
    if own.is_empty() {
        return Err(LabError::engine(
            format!("delete the route to {destination}"),
            "there is none outside the main table",
        ));
    }
    own.into_iter()
        .try_for_each(|route| netlink.delete_route(route))
}

fn table_of(route: &RouteMessage) -> u32 {
    let attribute = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    attribute.unwrap_or(route.header.table.into())
}

fn destination_of(route: &RouteMessage) -> Option<IpNet> {
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
            _ => None,
        })?;
    IpNet::new(address, route.header.destination_prefix_length).ok()
}

fn delete_rules(namespace: &Namespace) -> Result<(), LabError> {
    let netlink = Netlink::open(namespace)?;
    let marked = |attribute: &RuleAttribute| matches!(attribute, RuleAttribute::FwMark(_));
    let rules = netlink.all_rules()?.into_iter();
    let own: Vec<_> = rules
        .filter(|rule| rule.attributes.iter().any(marked))
        .collect();
    if own.is_empty() {
        let cause = "no rule has a mark";
        return Err(LabError::engine("delete the engine's rules", cause));
    }
    own.into_iter()
        .try_for_each(|rule| netlink.delete_rule(rule))
}

fn delete_rules_of(namespace: &Namespace, priority: u32) -> Result<(), LabError> {
    let netlink = Netlink::open(namespace)?;
    let rules = netlink.all_rules()?.into_iter();
    let wanted = RuleAttribute::Priority(priority);
    let found: Vec<_> = rules
        .filter(|rule| rule.attributes.contains(&wanted))
        .collect();
    if found.is_empty() {
        let doing = format!("delete the rules of priority {priority}");
        return Err(LabError::engine(doing, "there is none"));
    }
    found
        .into_iter()
        .try_for_each(|rule| netlink.delete_rule(rule))
}

fn delete_addresses(namespace: &Namespace, tunnel: &IfName) -> Result<(), LabError> {
    let netlink = Netlink::open(namespace)?;
    let links = netlink.links()?;
    let named = links
        .iter()
        .find(|link| link_name(link).is_ok_and(|name| &name == tunnel));
    let index = named.map(|link| link.header.index);
    let own: Vec<_> = netlink
        .addresses()?
        .into_iter()
        .filter(|address| Some(address.header.index) == index)
        // What the kernel gives every interface of its own accord.
        .filter(|address| {
            !address.attributes.iter().any(|attribute| {
                matches!(attribute, AddressAttribute::Address(IpAddr::V6(ip)) if ip.is_unicast_link_local())
            })
        })
        .collect();
    if own.is_empty() {
        let cause = format!("{tunnel} has none");
        return Err(LabError::engine("delete the device's addresses", cause));
    }
    own.into_iter()
        .try_for_each(|address| netlink.delete_address(address))
}

/// Changes the tunnel device, whoever implements it.
fn update(
    namespace: &Namespace,
    tunnel: &IfName,
    change: impl FnOnce(DeviceUpdate) -> DeviceUpdate + Send,
) -> Result<(), LabError> {
    let doing = || format!("change {tunnel}");
    namespace.enter_with_mounts(|| {
        let name: InterfaceName = tunnel
            .as_str()
            .parse()
            .map_err(|error| LabError::machine(doing(), format!("{error:?}")))?;
        let backend = if userspace_names().any(|known| known == name) {
            Backend::Userspace
        } else {
            Backend::Kernel
        };
        // A device that is not there would be made.
        Device::get(&name, backend).map_err(|error| LabError::engine(doing(), error))?;
        change(DeviceUpdate::new())
            .apply(&name, backend)
            .doing(doing())
    })
}

/// Ends the process behind a userspace device: it has the other end of the device's socket.
fn end_tunnel(namespace: &Namespace, tunnel: &IfName) -> Result<(), LabError> {
    let doing = || format!("end the process of {tunnel}");
    namespace.enter_with_mounts(|| {
        let socket = UnixStream::connect(format!("{SOCKETS}/{tunnel}.sock"))
            .map_err(|error| LabError::machine(doing(), error))
            .map_err(|error| error.help("a kernel device has no process: delete the device"))?;
        let peer = getsockopt(&socket.as_fd(), PeerCredentials)
            .map_err(io::Error::from)
            .doing(doing())?;
        kill(Pid::from_raw(peer.pid()), Signal::SIGKILL)
            .map_err(io::Error::from)
            .doing(doing())
    })
}

fn missing(own: &Own, tunnel: &IfName) -> LabError {
    LabError::engine(
        format!("delete {own}"),
        format!("{tunnel} has no such part"),
    )
}
