//! Changes of the cluster's links, addresses and routes between two steps. Namespaces stay: everyone who is
//! there at some time has one from the beginning.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv6Net};
use rtnetlink::packet_route::link::LinkMessage;
use wireproof_model::name::{EndpointName, NodeName};
use wireproof_model::plan::{Fabric, FabricKind, Family, Node, Pod, State};

use crate::base::error::LabError;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Netlink, link_name};
use crate::kernel::sysctl;

use super::{
    ROUTER, SWITCH, Topology, UPLINK, address_uplink, connect_node, enter_rack, introduce,
    lead_to_node, lead_to_pod, mac_of, networks, nft, pod::connect_pod, wire,
};

impl Topology {
    /// Makes links, addresses and routes those of `after`, where they were those of `before`.
    pub(crate) fn reshape(&self, before: &State, after: &State) -> Result<(), LabError> {
        let fabric = &after.fabric;
        let fabric_net = Netlink::open(&self.fabric)?;
        if before.fabric != after.fabric {
            wire::set(&self.fabric, fabric)?;
            narrow(&fabric_net, before, fabric)?;
            wire::slow_down(&fabric_net, &before.nodes, &before.fabric, fabric)?;
        }
        for (node, pod) in pods_only_in(before, after) {
            self.disconnect_pod(&fabric_net, fabric, node, pod)?;
        }
        for node in nodes_only_in(before, after) {
            fabric_net.delete_link(node.name.as_str())?;
            wipe(self.node(&node.name)?)?;
        }
        for node in nodes_only_in(after, before) {
            let namespace = self.node(&node.name)?;
            connect_node(&self.fabric, &fabric_net, namespace, node, fabric)?;
            introduce(namespace, node, &self.given, fabric)?;
        }
        for (old, new) in nodes_in_both(before, after) {
            if old.address != new.address {
                self.readdress(&fabric_net, old, new, fabric)?;
                // With another Ethernet address of its own an interface forgets all others.
                introduce(self.node(&new.name)?, new, &self.given, fabric)?;
            }
            if old.mtu != new.mtu {
                Netlink::open(self.node(&new.name)?)?.set_mtu(UPLINK, new.mtu)?;
            }
        }
        for (node, pod) in pods_only_in(after, before) {
            let inside = self.endpoint(&EndpointName::from(&pod.name))?;
            connect_pod(
                &fabric_net,
                self.node(&node.name)?,
                inside,
                node,
                pod,
                fabric,
            )?;
        }
        if fabric.kind == FabricKind::Flat {
            self.set_pod_routes_of_nodes(fabric, before, after)?;
            self.set_pod_routes_of_router(fabric, before, after)?;
        }
        if before.apart != after.apart {
            wire::cut_off(&self.fabric, fabric.kind, &after.apart)?;
        }
        Ok(())
    }

    /// Gives the routes through a node's uplink another metric.
    pub(crate) fn set_metric(&self, node: &NodeName, metric: u32) -> Result<(), LabError> {
        Netlink::open(self.node(node)?)?.set_metric(UPLINK, metric)
    }

    /// Takes everything from a node that a boot takes, its network among it.
    pub(crate) fn power_off(&self, node: &Node, state: &State) -> Result<(), LabError> {
        let fabric = &state.fabric;
        let fabric_net = Netlink::open(&self.fabric)?;
        // At once, or a kernel's WireGuard goes on while its pods go, and what it decrypts for them
        // is sent back to where everything goes.
        Netlink::open(self.node(&node.name)?)?.down(UPLINK)?;
        for pod in &node.pods {
            self.disconnect_pod(&fabric_net, fabric, node, pod)?;
        }
        fabric_net.delete_link(node.name.as_str())?;
        wipe(self.node(&node.name)?)
    }

    /// Connects a node that has booted, and its pods.
    pub(crate) fn connect_again(&self, node: &Node, state: &State) -> Result<(), LabError> {
        let fabric = &state.fabric;
        let fabric_net = Netlink::open(&self.fabric)?;
        let namespace = self.node(&node.name)?;
        connect_node(&self.fabric, &fabric_net, namespace, node, fabric)?;
        introduce(namespace, node, &self.given, fabric)?;
        for pod in &node.pods {
            let inside = self.endpoint(&EndpointName::from(&pod.name))?;
            connect_pod(&fabric_net, namespace, inside, node, pod, fabric)?;
        }
        if fabric.kind == FabricKind::Flat {
            let net = Netlink::open(namespace)?;
            let uplink = net.index(UPLINK)?;
            for (there, pod) in ways(state, node) {
                for family in fabric.families() {
                    let gateway = family.address(there);
                    net.add_route(family.address(pod), uplink, Some(gateway))?;
                }
            }
        }
        Ok(())
    }

    /// The router beside a switch has to know it too, for clients.
    fn set_pod_routes_of_router(
        &self,
        fabric: &Fabric,
        before: &State,
        after: &State,
    ) -> Result<(), LabError> {
        let (known, wanted) = (all_ways(before), all_ways(after));
        let net = Netlink::open(&self.fabric)?;
        let switch = net.index(SWITCH)?;
        for family in fabric.families() {
            for (node, pod) in known.difference(&wanted) {
                let gateway = family.address(*node);
                net.remove_route(family.address(*pod), switch, Some(gateway))?;
            }
            for (node, pod) in wanted.difference(&known) {
                let gateway = family.address(*node);
                net.lead(family.address(*pod), switch, Some(gateway), None)?;
            }
        }
        Ok(())
    }

    /// On a switch every node has to know by which node each pod is reached.
    fn set_pod_routes_of_nodes(
        &self,
        fabric: &Fabric,
        before: &State,
        after: &State,
    ) -> Result<(), LabError> {
        for here in &after.nodes {
            let old = before.nodes.iter().find(|node| node.name == here.name);
            // With its last address an uplink has lost its routes.
            let kept = old.filter(|old| old.address == here.address);
            let known: BTreeSet<_> = kept
                .into_iter()
                .flat_map(|here| ways(before, here))
                .collect();
            let wanted: BTreeSet<_> = ways(after, here).collect();
            let net = Netlink::open(self.node(&here.name)?)?;
            let uplink = net.index(UPLINK)?;
            for family in fabric.families() {
                for (node, pod) in known.difference(&wanted) {
                    let gateway = family.address(*node);
                    net.remove_route(family.address(*pod), uplink, Some(gateway))?;
                }
                for (node, pod) in wanted.difference(&known) {
                    let gateway = family.address(*node);
                    net.add_route(family.address(*pod), uplink, Some(gateway))?;
                }
            }
        }
        Ok(())
    }

    fn disconnect_pod(
        &self,
        fabric_net: &Netlink,
        fabric: &Fabric,
        node: &Node,
        pod: &Pod,
    ) -> Result<(), LabError> {
        let node_net = Netlink::open(self.node(&node.name)?)?;
        node_net.delete_link(pod.interface.as_str())?;
        if fabric.kind == FabricKind::Flat {
            return Ok(());
        }
        let port = fabric_net.index(node.name.as_str())?;
        for family in fabric.families() {
            let gateway = family.address(node.address);
            fabric_net.remove_route(family.address(pod.address), port, Some(gateway))?;
        }
        Ok(())
    }

    /// Gives a node's uplink another address. Its pods keep theirs, and are now behind the new one.
    fn readdress(
        &self,
        fabric_net: &Netlink,
        old: &Node,
        new: &Node,
        fabric: &Fabric,
    ) -> Result<(), LabError> {
        let port = fabric_net.index(new.name.as_str())?;
        let routed = fabric.kind.is_routed();
        for family in fabric.families().into_iter().filter(|_| routed) {
            let gateway = family.address(old.address);
            let pods = old.pods.iter().map(|pod| family.address(pod.address));
            let blocks = networks(old).map(|block| family.network(block));
            for behind in pods.map(IpNet::from).chain(blocks) {
                fabric_net.remove_route(behind, port, Some(gateway))?;
            }
            fabric_net.remove_route(gateway, port, None)?;
        }

        let node_net = Netlink::open(self.node(&new.name)?)?;
        let uplink = node_net.index(UPLINK)?;
        let mac = mac_of(new.address);
        node_net.set_mac(uplink, mac)?;
        // With its last address an interface loses its routes.
        node_net.remove_address(uplink, old.address.into())?;
        if fabric.ipv6 {
            node_net.remove_address(uplink, Family::Ipv6.address(old.address))?;
            let router = match fabric.kind {
                FabricKind::Vnet => ROUTER.into(),
                FabricKind::Flat | FabricKind::Routed => {
                    Family::Ipv6.address(fabric.gateway_of(old.address))
                }
            };
            node_net.remove_route(Ipv6Net::default(), uplink, Some(router))?;
        }
        address_uplink(&node_net, uplink, new, fabric)?;

        if !routed {
            return Ok(());
        }
        let moves = fabric.link_of(old.address) != fabric.link_of(new.address);
        if fabric.kind == FabricKind::Routed && moves {
            for family in fabric.families() {
                let gateway = family.address(fabric.gateway_of(old.address));
                fabric_net.remove_address(port, gateway)?;
            }
            enter_rack(fabric_net, port, new, fabric)?;
        }
        lead_to_node(fabric_net, port, new, fabric)?;
        let mut pods = old.pods.iter();
        pods.try_for_each(|pod| lead_to_pod(fabric_net, port, new, pod, fabric))
    }
}

/// Sets the fabric's routes for what it carries now.
fn narrow(fabric_net: &Netlink, state: &State, fabric: &Fabric) -> Result<(), LabError> {
    if fabric.kind == FabricKind::Flat {
        return Ok(());
    }
    for node in &state.nodes {
        let port = fabric_net.index(node.name.as_str())?;
        lead_to_node(fabric_net, port, node, fabric)?;
        for pod in &node.pods {
            lead_to_pod(fabric_net, port, node, pod, fabric)?;
        }
    }
    Ok(())
}

/// The addresses of the pods of the other nodes, each after its node's.
fn ways<'a>(state: &'a State, here: &'a Node) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + 'a {
    let others = state
        .nodes
        .iter()
        .filter(move |node| node.name != here.name);
    others.flat_map(|node| node.pods.iter().map(move |pod| (node.address, pod.address)))
}

/// The addresses of all pods, each after its node's.
fn all_ways(state: &State) -> BTreeSet<(Ipv4Addr, Ipv4Addr)> {
    let nodes = state.nodes.iter();
    let ways = |node: &Node| {
        let (here, pods) = (node.address, node.pods.clone());
        pods.into_iter().map(move |pod| (here, pod.address))
    };
    nodes.flat_map(ways).collect()
}

/// Leaves a namespace without anything that a boot does not bring: every link but the loopback
/// device, with its addresses and routes; rules, nftables and kernel parameters.
fn wipe(namespace: &Namespace) -> Result<(), LabError> {
    let netlink = Netlink::open(namespace)?;
    let name_of = |link: &LinkMessage| link_name(link).map(|name| name.to_string());
    for link in netlink.links()? {
        let name = name_of(&link)?;
        if name != "lo" {
            // The other end of a pair may have taken it along.
            let _ = netlink.delete_link(&name);
        }
    }
    netlink.delete_rules_of_others()?;
    netlink.delete_routes_of_others()?;
    namespace.enter(|| nft("flush ruleset\n"))?;
    sysctl::reset(namespace)
}

/// The nodes of one moment that are not there at another.
fn nodes_only_in<'a>(here: &'a State, there: &'a State) -> impl Iterator<Item = &'a Node> {
    let known = |name: &NodeName| there.nodes.iter().any(|node| &node.name == name);
    here.nodes.iter().filter(move |node| !known(&node.name))
}

fn nodes_in_both<'a>(
    before: &'a State,
    after: &'a State,
) -> impl Iterator<Item = (&'a Node, &'a Node)> {
    after.nodes.iter().filter_map(|new| {
        let old = before.nodes.iter().find(|old| old.name == new.name)?;
        Some((old, new))
    })
}

/// The pods of one moment that are not on the same node at another.
fn pods_only_in<'a>(here: &'a State, there: &'a State) -> Vec<(&'a Node, &'a Pod)> {
    let on = |node: &NodeName, pod: &Pod| {
        let mut nodes = there.nodes.iter().filter(|known| &known.name == node);
        nodes.any(|node| node.pods.iter().any(|known| known.name == pod.name))
    };
    let all = here
        .nodes
        .iter()
        .flat_map(|node| node.pods.iter().map(move |pod| (node, pod)));
    all.filter(|(node, pod)| !on(&node.name, pod)).collect()
}
