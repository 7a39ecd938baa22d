//! Hosts outside the cluster: each by a link of its own to the router that the fabric is or has.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wireproof_model::name::IfName;
use wireproof_model::plan::{Fabric, Family, Node};

use crate::base::error::LabError;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Netlink, VethEnd};
use crate::kernel::sysctl;

use super::{FABRIC_MAC, PORT_MTU, ROUTER, UPLINK, disable_offloads, interface, mac_of};

/// Connects a client. Neither side has to ask where the other is.
pub(super) fn connect(
    fabric: &Namespace,
    fabric_net: &Netlink,
    namespace: &Namespace,
    host: &Node,
    plan: &Fabric,
) -> Result<(), LabError> {
    let (port, uplink) = (IfName::from(&host.name), interface(UPLINK)?);
    if plan.ipv6 {
        sysctl::enable_ipv6(namespace)?;
    }
    fabric_net.add_veth(
        VethEnd {
            name: &port,
            mac: FABRIC_MAC,
            mtu: PORT_MTU,
            namespace: fabric.network(),
        },
        VethEnd {
            name: &uplink,
            mac: mac_of(host.address),
            mtu: host.mtu,
            namespace: namespace.network(),
        },
    )?;
    disable_offloads(fabric, &port)?;
    disable_offloads(namespace, &uplink)?;
    let host_net = Netlink::open(namespace)?;
    host_net.up("lo")?;
    let inside = host_net.up(UPLINK)?;
    let outside = fabric_net.up(port.as_str())?;
    for family in plan.families() {
        let address = family.address(host.address);
        let (gateway, everywhere) = match family {
            Family::Ipv4 => (plan.gateway.into(), IpNet::V4(Ipv4Net::default())),
            Family::Ipv6 => (ROUTER.into(), IpNet::V6(Ipv6Net::default())),
        };
        host_net.add_address(inside, address)?;
        host_net.add_neighbour(inside, gateway, FABRIC_MAC)?;
        host_net.add_route(everywhere, inside, Some(gateway))?;
        fabric_net.lead(address, outside, None, plan.route_mtu())?;
        fabric_net.add_neighbour(outside, address, mac_of(host.address))?;
    }
    Ok(())
}
