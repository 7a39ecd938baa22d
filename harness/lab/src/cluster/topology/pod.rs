//! Pods, and how their nodes connect them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wireproof_model::plan::{BRIDGE, Fabric, FabricKind, Family, Node, Pod, gateway_of};

use crate::base::error::LabError;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Mac, Netlink, VethEnd};
use crate::kernel::sysctl;

use super::{ROUTER, UPLINK, disable_offloads, interface, lead_to_pod, mac_of};

/// The Ethernet address of the node's end of every pod's veth, as Azure CNI sets it.
const POD_GATEWAY_MAC: Mac = [0xaa; 6];

/// The pods' default gateway, which no interface has (Azure CNI in transparent mode).
const POD_GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Connects a pod to its node, and leads the fabric to it.
pub(super) fn connect_pod(
    fabric_net: &Netlink,
    node_space: &Namespace,
    namespace: &Namespace,
    node: &Node,
    pod: &Pod,
    plan: &Fabric,
) -> Result<(), LabError> {
    let node_net = Netlink::open(node_space)?;
    if plan.ipv6 {
        sysctl::enable_ipv6(namespace)?;
    }
    let uplink = interface(UPLINK)?;
    node_net.add_veth(
        VethEnd {
            name: &pod.interface,
            mac: match node.bridge {
                None => POD_GATEWAY_MAC,
                Some(_) => port_mac(pod.address),
            },
            mtu: pod.mtu,
            namespace: node_space.network(),
        },
        VethEnd {
            name: &uplink,
            mac: mac_of(pod.address),
            mtu: pod.mtu,
            namespace: namespace.network(),
        },
    )?;
    sysctl::make_pod_link(node_space, pod)?;
    disable_offloads(node_space, &pod.interface)?;
    disable_offloads(namespace, &uplink)?;

    let pod_net = Netlink::open(namespace)?;
    pod_net.up("lo")?;
    let inside = pod_net.up(UPLINK)?;
    let outside = node_net.up(pod.interface.as_str())?;
    match node.bridge {
        None => route_veth(&node_net, outside, &pod_net, inside, pod, plan)?,
        Some(subnet) => {
            node_net.plug(outside, node_net.index(BRIDGE)?)?;
            for (address, gateway) in on_bridge(subnet, pod.address, plan)? {
                pod_net.add_address(inside, address)?;
                let everywhere = match gateway {
                    IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
                    IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
                };
                pod_net.add_route(everywhere, inside, Some(gateway))?;
            }
        }
    }
    match plan.kind {
        FabricKind::Vnet | FabricKind::Routed => {
            let port = fabric_net.index(node.name.as_str())?;
            lead_to_pod(fabric_net, port, node, pod, plan)
        }
        // The other nodes are told once all are there.
        FabricKind::Flat => Ok(()),
    }
}

/// The Ethernet address that a node's pods send to what is not on their link.
pub(crate) fn gateway_mac(node: &Node) -> Mac {
    match node.bridge {
        None => POD_GATEWAY_MAC,
        Some(subnet) => mac_of(gateway_of(subnet)),
    }
}

/// A route and a neighbour for each end of a pod's veth: nobody has to ask.
fn route_veth(
    node_net: &Netlink,
    outside: u32,
    pod_net: &Netlink,
    inside: u32,
    pod: &Pod,
    plan: &Fabric,
) -> Result<(), LabError> {
    pod_net.add_address(inside, Ipv4Net::from(pod.address))?;
    pod_net.add_route(Ipv4Net::from(POD_GATEWAY), inside, None)?;
    pod_net.add_neighbour(inside, POD_GATEWAY, POD_GATEWAY_MAC)?;
    pod_net.add_route(Ipv4Net::default(), inside, Some(POD_GATEWAY.into()))?;
    if plan.ipv6 {
        pod_net.add_address(inside, Family::Ipv6.address(pod.address))?;
        pod_net.add_neighbour(inside, ROUTER, POD_GATEWAY_MAC)?;
        pod_net.add_route(Ipv6Net::default(), inside, Some(ROUTER.into()))?;
    }
    for family in plan.families() {
        let address = family.address(pod.address);
        node_net.add_route(address, outside, None)?;
        node_net.add_neighbour(outside, address, mac_of(pod.address))?;
    }
    Ok(())
}

/// A node's bridge, where its pods have one, with the first address of their subnet.
pub(super) fn build_bridge(node_net: &Netlink, node: &Node, plan: &Fabric) -> Result<(), LabError> {
    let Some(subnet) = node.bridge else {
        return Ok(());
    };
    let gateway = gateway_of(subnet);
    node_net.add_empty_bridge(&interface(BRIDGE)?)?;
    let index = node_net.index(BRIDGE)?;
    // Its own choice would change with its ports, and the pods would not know (the plugin sets it too).
    node_net.set_mac(index, mac_of(gateway))?;
    for (address, _) in on_bridge(subnet, gateway, plan)? {
        node_net.add_address(index, address)?;
    }
    node_net.up(BRIDGE)?;
    Ok(())
}

/// An address on a bridge with the bridge's own, in each family.
fn on_bridge(
    subnet: Ipv4Net,
    address: Ipv4Addr,
    plan: &Fabric,
) -> Result<Vec<(IpNet, IpAddr)>, LabError> {
    let families = plan.families().into_iter();
    let with_length = |family: Family| {
        let length = family.network(subnet).prefix_len();
        let address = IpNet::new(family.address(address), length)
            .map_err(|error| LabError::machine(format!("read the address {address}"), error))?;
        Ok((address, family.address(gateway_of(subnet))))
    };
    families.map(with_length).collect()
}

/// The Ethernet address of a bridge's port, to which nobody sends.
fn port_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x02, a, b, c, d]
}
