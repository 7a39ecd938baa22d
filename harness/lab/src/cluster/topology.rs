//! The namespaces, links and addresses of a plan.
//!
//! ```text
//! pod eth0 -- azv<pod> [node] eth0 -- <node> [fabric] <node> -- eth0 [node] azv<pod> -- eth0 pod
//! ```

/// Pods, and how their nodes connect them.
mod pod;

/// Hosts outside the cluster.
mod client;

/// The NAT in front of a node.
mod nat;

/// Impairments of the fabric, and their counters.
mod wire;

/// Changes of the cluster's links, addresses and routes between two steps.
mod reshape;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::Stdio;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use wireproof_model::evidence::Place;
use wireproof_model::name::{EndpointName, IfName, NodeName, PodName};
use wireproof_model::plan::{Fabric, FabricKind, Family, Node, Plan, Pod};

use crate::base::error::{Doing, LabError};
use crate::base::program::program;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Mac, Netlink, VethEnd};
use crate::kernel::sys::{Offload, disable_offload};
use crate::kernel::sysctl;

pub(crate) use wire::tallies;

pub(crate) use pod::gateway_mac;

/// What every endpoint calls its own interface.
pub(crate) const UPLINK: &str = "eth0";

/// The fabric's switch, where it is one.
pub(crate) const SWITCH: &str = "switch";

/// The fabric's device for packets to addresses that nobody has.
const VOID: &str = "void";

/// The Ethernet address that Azure's network answers every ARP request with.
const FABRIC_MAC: Mac = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];

/// The Ethernet address that the harness's own frames are from; no interface of the lab has it.
pub(crate) const HARNESS_MAC: Mac = [0x02, 0xbe, 0xac, 0, 0, 2];

/// The link-local address that is the way out of every link (RFC 4291); nobody is asked
/// where it is.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// MTU of the fabric's ports, in bytes: what the fabric carries is decided by its rule, not by its ports.
const PORT_MTU: u16 = u16::MAX;

/// The planned cluster, built.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) fabric: Namespace,
    /// In the plan's order.
    pub(crate) nodes: Vec<NodeSpace>,
    /// Hosts outside the cluster, in the plan's order.
    pub(crate) clients: Vec<(NodeName, Namespace)>,
    /// The host of an etcd that is on no node.
    pub(crate) store: Option<Namespace>,
    /// Whose Ethernet addresses every node is given; none where nodes ask.
    given: BTreeSet<Ipv4Addr>,
}

/// A node's namespace, and those of its pods in the plan's order.
#[derive(Debug)]
pub(crate) struct NodeSpace {
    pub(crate) name: NodeName,
    pub(crate) namespace: Namespace,
    pub(crate) pods: Vec<(PodName, Namespace)>,
}

impl Topology {
    /// Builds the plan's cluster, as it is before the first step. When it fails, everything made so far
    /// vanishes with its descriptors.
    pub(crate) fn build(plan: &Plan) -> Result<Self, LabError> {
        let fabric = Namespace::create("fabric")?;
        sysctl::reset(&fabric)?;
        sysctl::make_fabric(&fabric)?;
        if plan.fabric.ipv6 {
            sysctl::enable_ipv6(&fabric)?;
            sysctl::forward_ipv6(&fabric)?;
        }
        let fabric_net = Netlink::open(&fabric)?;
        fabric_net.up("lo")?;
        wire::set(&fabric, &plan.fabric)?;
        match plan.fabric.kind {
            FabricKind::Vnet => answer_for_all(&fabric_net, &plan.fabric)?,
            FabricKind::Flat => switch(&fabric_net, &plan.fabric)?,
            // A router has an address in each rack, once that is there.
            FabricKind::Routed => {}
        }

        let mut nodes = Vec::with_capacity(plan.nodes.len());
        for node in &plan.nodes {
            let pods = node.pods.iter().map(|pod| {
                let inside = empty(pod.name.as_str())?;
                Ok((pod.name.clone(), inside))
            });
            nodes.push(NodeSpace {
                name: node.name.clone(),
                namespace: empty(node.name.as_str())?,
                pods: pods.collect::<Result<_, LabError>>()?,
            });
        }
        let mut store = None;
        if let Some(host) = plan.store_host() {
            let namespace = empty(host.name.as_str())?;
            connect_node(&fabric, &fabric_net, &namespace, &host, &plan.fabric)?;
            store = Some(namespace);
        }
        let clients = plan.clients.iter().map(|host| {
            let namespace = empty(host.name.as_str())?;
            client::connect(&fabric, &fabric_net, &namespace, host, &plan.fabric)?;
            Ok((host.name.clone(), namespace))
        });
        let clients = clients.collect::<Result<_, LabError>>()?;
        let topology = Self {
            fabric,
            nodes,
            clients,
            store,
            given: plan.given_neighbours(),
        };
        let first = plan.after(0);
        topology.reshape(&first.without_nodes(), &first)?;
        Ok(topology)
    }

    /// The namespace that an endpoint's sockets are opened in.
    pub(crate) fn endpoint(&self, name: &EndpointName) -> Result<&Namespace, LabError> {
        let found = self.nodes.iter().find_map(|node| {
            if &EndpointName::from(&node.name) == name {
                return Some(&node.namespace);
            }
            let mut pods = node.pods.iter();
            pods.find_map(|(pod, inside)| (&EndpointName::from(pod) == name).then_some(inside))
        });
        let mut clients = self.clients.iter();
        let outside = clients.find(|(client, _)| &EndpointName::from(client) == name);
        found
            .or(outside.map(|(_, namespace)| namespace))
            .ok_or_else(|| LabError::machine(format!("find `{name}`"), "it was not built"))
    }

    /// A node's namespace.
    pub(crate) fn node(&self, name: &NodeName) -> Result<&Namespace, LabError> {
        self.endpoint(&EndpointName::from(name))
    }

    /// Every namespace with its place, the fabric first.
    pub(crate) fn places(&self) -> Vec<(Place, &Namespace)> {
        let mut places = vec![(Place::Fabric, &self.fabric)];
        for node in &self.nodes {
            places.push((Place::Node(node.name.clone()), &node.namespace));
            for (pod, inside) in &node.pods {
                places.push((Place::Pod(pod.clone()), inside));
            }
        }
        for (client, inside) in &self.clients {
            places.push((Place::Node(client.clone()), inside));
        }
        places
    }
}

/// A namespace without anything, and with the kernel's own settings.
fn empty(label: &str) -> Result<Namespace, LabError> {
    let namespace = Namespace::create(label)?;
    sysctl::reset(&namespace)?;
    Ok(namespace)
}

/// Runs `nft` on `rules` in one transaction. Call it inside the namespace.
pub(crate) fn nft(rules: &str) -> Result<(), LabError> {
    let doing = "set nftables rules";
    let mut child = program("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing("start nft")
        .map_err(|error| error.help("install nftables (Debian: apt-get install nftables)"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(rules.as_bytes()).doing(doing)?;
    }
    let output = child.wait_with_output().doing(doing)?;
    if !output.status.success() {
        return Err(LabError::machine(
            doing,
            String::from_utf8_lossy(&output.stderr).trim(),
        ));
    }
    Ok(())
}

/// Proxy ARP answers for what the namespace has a route to, so it gets a route to everything.
fn answer_for_all(fabric: &Netlink, plan: &Fabric) -> Result<(), LabError> {
    let void = interface(VOID)?;
    fabric.add_empty_bridge(&void)?;
    let index = fabric.up(VOID)?;
    fabric.add_route(Ipv4Net::default(), index, None)?;
    if plan.beyond_mtu.is_routers() {
        // Whom its ICMP errors are from.
        for family in plan.families() {
            fabric.add_address(index, family.address(plan.gateway))?;
        }
    }
    Ok(())
}

/// One switch for all ports, which has the gateway's address itself.
fn switch(fabric: &Netlink, plan: &Fabric) -> Result<(), LabError> {
    let switch = interface(SWITCH)?;
    fabric.add_empty_bridge(&switch)?;
    let index = fabric.up(SWITCH)?;
    let mut families = plan.families().into_iter();
    families.try_for_each(|family| {
        let gateway = on_link(family, plan.gateway, plan)?;
        fabric.add_address(index, gateway)
    })
}

fn connect_node(
    fabric: &Namespace,
    fabric_net: &Netlink,
    namespace: &Namespace,
    node: &Node,
    plan: &Fabric,
) -> Result<(), LabError> {
    let port = IfName::from(&node.name);
    let uplink = interface(UPLINK)?;
    let node_mac = mac_of(node.address);
    if plan.ipv6 {
        sysctl::enable_ipv6(namespace)?;
        sysctl::forward_ipv6(namespace)?;
    }
    fabric_net.add_veth(
        VethEnd {
            name: &port,
            mac: match plan.kind {
                FabricKind::Vnet => FABRIC_MAC,
                // A switch's port has an address of its own, which nobody speaks to.
                FabricKind::Flat | FabricKind::Routed => port_mac(node.address),
            },
            mtu: PORT_MTU,
            namespace: fabric.network(),
        },
        VethEnd {
            name: &uplink,
            mac: node_mac,
            mtu: node.mtu,
            namespace: namespace.network(),
        },
    )?;
    disable_offloads(fabric, &port)?;
    disable_offloads(namespace, &uplink)?;
    if plan.kind == FabricKind::Vnet {
        sysctl::make_port(fabric, &port)?;
    }
    sysctl::make_node(namespace, node)?;

    let node_net = Netlink::open(namespace)?;
    node_net.up("lo")?;
    let index = node_net.up(UPLINK)?;
    address_uplink(&node_net, index, node, plan)?;
    pod::build_bridge(&node_net, node, plan)?;

    let index = fabric_net.up(port.as_str())?;
    if let Some(delay) = wire::delay(plan, &node.name) {
        fabric_net.delay(index, delay)?;
    }
    match plan.kind {
        // The cloud knows which NIC holds which address: it never asks.
        FabricKind::Vnet => lead_to_node(fabric_net, index, node, plan),
        FabricKind::Flat => fabric_net.plug(index, fabric_net.index(SWITCH)?),
        FabricKind::Routed => {
            enter_rack(fabric_net, index, node, plan)?;
            lead_to_node(fabric_net, index, node, plan)
        }
    }
}

/// Gives the router its addresses in a node's rack.
fn enter_rack(fabric_net: &Netlink, port: u32, node: &Node, plan: &Fabric) -> Result<(), LabError> {
    let gateway = plan.gateway_of(node.address);
    let mut families = plan.families().into_iter();
    families.try_for_each(|family| {
        let address = on_link(family, gateway, plan)?;
        fabric_net.add_address(port, address)
    })
}

/// An address with the length of the prefix of the link that it is on.
fn on_link(family: Family, address: Ipv4Addr, plan: &Fabric) -> Result<IpNet, LabError> {
    let length = family.network(plan.link_of(address)).prefix_len();
    IpNet::new(family.address(address), length)
        .map_err(|error| LabError::machine(format!("read the address {address}"), error))
}

/// Gives a node the Ethernet addresses of others on its link.
fn introduce(
    namespace: &Namespace,
    node: &Node,
    given: &BTreeSet<Ipv4Addr>,
    plan: &Fabric,
) -> Result<(), LabError> {
    if given.is_empty() {
        return Ok(());
    }
    let node_net = Netlink::open(namespace)?;
    let uplink = node_net.index(UPLINK)?;
    for address in given.iter().filter(|address| **address != node.address) {
        match plan.kind {
            // What the cloud answers for every address, and for IPv6 there is a router.
            FabricKind::Vnet => node_net.add_neighbour(uplink, *address, FABRIC_MAC)?,
            FabricKind::Flat | FabricKind::Routed => {
                for family in plan.families() {
                    let mac = mac_of(*address);
                    node_net.add_neighbour(uplink, family.address(*address), mac)?;
                }
            }
        }
    }
    Ok(())
}

/// Gives an uplink its node's addresses and its ways out.
fn address_uplink(
    node_net: &Netlink,
    index: u32,
    node: &Node,
    plan: &Fabric,
) -> Result<(), LabError> {
    let gateway = plan.gateway_of(node.address);
    let address = on_link(Family::Ipv4, node.address, plan)?;
    node_net.add_address(index, address)?;
    node_net.add_route(Ipv4Net::default(), index, Some(gateway.into()))?;
    if !plan.ipv6 {
        return Ok(());
    }
    match plan.kind {
        FabricKind::Vnet => {
            node_net.add_address(index, Family::Ipv6.address(node.address))?;
            node_net.add_neighbour(index, ROUTER, FABRIC_MAC)?;
            node_net.add_route(Ipv6Net::default(), index, Some(ROUTER.into()))
        }
        FabricKind::Flat | FabricKind::Routed => {
            let address = on_link(Family::Ipv6, node.address, plan)?;
            node_net.add_address(index, address)?;
            let gateway = Family::Ipv6.address(gateway);
            node_net.add_route(Ipv6Net::default(), index, Some(gateway))
        }
    }
}

/// Leads the fabric to a pod by its node.
pub(super) fn lead_to_pod(
    fabric_net: &Netlink,
    port: u32,
    node: &Node,
    pod: &Pod,
    plan: &Fabric,
) -> Result<(), LabError> {
    for family in plan.families() {
        let (gateway, pod) = (family.address(node.address), family.address(pod.address));
        fabric_net.lead(pod, port, Some(gateway), plan.route_mtu())?;
    }
    Ok(())
}

/// Leads the fabric to a node.
fn lead_to_node(
    fabric_net: &Netlink,
    port: u32,
    node: &Node,
    plan: &Fabric,
) -> Result<(), LabError> {
    for family in plan.families() {
        let address = family.address(node.address);
        fabric_net.lead(address, port, None, plan.route_mtu())?;
        // The cloud knows who is there; a router asks.
        if plan.kind == FabricKind::Vnet {
            fabric_net.add_neighbour(port, address, mac_of(node.address))?;
        }
        for block in networks(node) {
            let block = family.network(block);
            fabric_net.lead(block, port, Some(address), plan.route_mtu())?;
        }
    }
    Ok(())
}

/// The networks that a node's pods have to themselves.
fn networks(node: &Node) -> impl Iterator<Item = Ipv4Net> {
    node.blocks.iter().copied().chain(node.bridge)
}

/// Otherwise a sniffer sees frames that never existed: larger than the MTU, and with checksums still to be made.
fn disable_offloads(namespace: &Namespace, interface: &IfName) -> Result<(), LabError> {
    namespace.enter(|| {
        let control = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .doing("open a control socket")?;
        for offload in [
            Offload::GenericReceive,
            Offload::GenericSegmentation,
            Offload::TcpSegmentation,
            Offload::ScatterGather,
            Offload::TransmitChecksum,
            Offload::ReceiveChecksum,
        ] {
            disable_offload(control.as_fd(), interface.as_str(), offload)
                .doing(format!("switch {offload:?} of {interface} off"))?;
        }
        Ok(())
    })
}

/// The same of the tunnel devices that are there now. Their makers may have given them none, or have
/// offloads that no program can switch off.
pub(crate) fn disable_offloads_of_tunnels(namespace: &Namespace) -> Result<(), LabError> {
    for link in Netlink::open(namespace)?.link_summaries()? {
        if link.no_header {
            let _ = disable_offloads(namespace, &link.name);
        }
    }
    Ok(())
}

/// The Ethernet address of a switch's port.
fn port_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x01, a, b, c, d]
}

/// A locally administered address made of the IPv4 address, so that captures read well.
pub(crate) fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x00, a, b, c, d]
}

pub(crate) fn interface(name: &str) -> Result<IfName, LabError> {
    name.parse()
        .map_err(|error| LabError::machine(format!("name an interface {name}"), error))
}
