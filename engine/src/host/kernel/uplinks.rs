//! Links that lead out of the node, and prefixes of pods' interfaces that must not begin their names.
//!
//! What leaves by a pod's interface is exempt from encrypt or drop. A prefix that the name of an uplink
//! begins with would exempt everything.

use std::collections::BTreeSet;

use wiremesh_plan::intent::resource::Node;
use wiremesh_plan::intent::settings::Settings;

use super::lead::Lead;
use super::{KernelCache, family_of_tag};
use crate::host::netlink::Link;

/// How long the prefix of a default route may be: some halve it, so that theirs come before another's.
const DEFAULT_ROUTE: u8 = 1;

impl KernelCache {
    /// Takes note of the links that lead out of the node: those with an address of its own, of its Node
    /// `own`, and those that a default route of others leads through. What has been one stays one as long as
    /// it is there: its address may be away for a moment, and be back with the traffic.
    pub(crate) fn look_for_uplinks(&mut self, own: Option<&Node>, settings: &Settings) {
        let own = own.map(|own| own.addresses.iter().chain(&own.overlay_addresses));
        let own: BTreeSet<_> = own.into_iter().flatten().collect();
        let addresses = self.addresses.iter();
        let with_own = addresses.filter(|(_, address)| own.contains(&address.addr()));
        let routes = self.routes.iter();
        let routes = routes.flat_map(|(_, routes)| routes.values().flatten());
        let default = routes.filter(|route| route.slot.network.prefix_len() <= DEFAULT_ROUTE);
        let leads = default.flat_map(|route| self.leads(route));
        let by_default = leads.filter_map(|lead| match lead {
            Lead::Hop(hop) => Some(hop.link),
            Lead::Refuse | Lead::Unknown => None,
        });
        let found: BTreeSet<_> = with_own
            .map(|(index, _)| *index)
            .chain(by_default)
            .collect();
        self.uplinks.extend(found);
        let links = &self.links;
        let is_inner = |link: &Link| {
            let mut tunnels = settings.tunnel.iter().map(|(_, tunnel)| &tunnel.interface);
            link.name == "lo"
                || family_of_tag(link).is_some()
                || tunnels.any(|name| *name == link.name)
        };
        self.uplinks
            .retain(|index| links.get(index).is_some_and(|link| !is_inner(link)));
    }

    /// The prefixes of pods' interfaces that are used: those that no uplink's name begins with.
    pub(crate) fn pod_prefixes(&self, settings: &Settings) -> BTreeSet<String> {
        let prefixes = settings.pod_interfaces.iter();
        let used = prefixes.filter(|prefix| self.uplink_with(prefix).is_none());
        used.cloned().collect()
    }

    /// A problem for each of the others.
    pub(crate) fn prefix_problems(&self, settings: &Settings) -> Vec<String> {
        let problems = settings.pod_interfaces.iter().filter_map(|prefix| {
            let name = &self.uplink_with(prefix)?.name;
            Some(format!(
                "FelixConfiguration: `spec.interfacePrefix` has `{prefix}`, which is not used: {name}, which \
                 leads out of this node, begins with it too, and whatever leaves by a pod's interface may be \
                 in clear; give a prefix that pods' interfaces alone begin with"
            ))
        });
        problems.collect()
    }

    fn uplink_with(&self, prefix: &str) -> Option<&Link> {
        let mut uplinks = self
            .uplinks
            .iter()
            .filter_map(|index| self.links.get(index));
        uplinks.find(|link| link.name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rtnetlink::packet_route::RouteNetlinkMessage;
    use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
    use rtnetlink::packet_route::route::{RouteAttribute, RouteProtocol, RouteType};

    use super::*;
    use crate::hooks::Hooks;
    use crate::host::kernel::tag;
    use crate::host::netlink::message::route_at;
    use wiremesh_plan::dataplane::model::RouteKey;
    use wiremesh_plan::intent::family::Family;

    /// A node whose links are numbered from 1 on.
    fn kernel(links: &[&str]) -> KernelCache {
        let mut kernel = KernelCache::unknown(&Hooks::default());
        for (index, name) in (1..).zip(links) {
            kernel.take(&link(index, name));
        }
        kernel
    }

    fn link(index: u32, name: &str) -> RouteNetlinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::IfName(name.into())];
        RouteNetlinkMessage::NewLink(message)
    }

    fn has(kernel: &mut KernelCache, index: u32, address: &str) {
        let address = address.parse().unwrap();
        kernel.has_address(index, address);
    }

    fn leads(kernel: &mut KernelCache, table: u32, network: &str, through: u32) {
        let network = network.parse().unwrap();
        let mut message = route_at(RouteKey { table, network }, None);
        message.header.kind = RouteType::Unicast;
        message.header.protocol = RouteProtocol::Static;
        message.attributes.push(RouteAttribute::Oif(through));
        kernel.take(&RouteNetlinkMessage::NewRoute(message));
    }

    fn own(addresses: &[&str]) -> Node {
        let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap());
        Node {
            addresses: addresses.collect(),
            ..Node::default()
        }
    }

    fn settings(prefixes: &[&str]) -> Settings {
        Settings {
            pod_interfaces: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..Settings::default()
        }
    }

    /// The prefixes that are used of those that are given, after a check that each of the others is a problem.
    fn used(kernel: &mut KernelCache, own: &Node, given: &[&str]) -> Vec<String> {
        let settings = settings(given);
        kernel.look_for_uplinks(Some(own), &settings);
        let used: Vec<_> = kernel.pod_prefixes(&settings).into_iter().collect();
        let problems = kernel.prefix_problems(&settings);
        assert_eq!(problems.len(), given.len() - used.len(), "{problems:?}");
        used
    }

    #[test]
    fn a_prefix_of_the_uplink_s_name_is_not_used_and_the_others_are() {
        for own_address in ["10.0.0.1", "fd00::1"] {
            let mut kernel = kernel(&["lo", "eth0", "cali1"]);
            has(&mut kernel, 2, &format!("{own_address}/32"));
            let own = own(&[own_address]);
            assert_eq!(used(&mut kernel, &own, &["eth"]), [""; 0]);
            assert_eq!(used(&mut kernel, &own, &["cali", "eth0"]), ["cali"]);
            assert_eq!(used(&mut kernel, &own, &["e", "l"]), ["l"]);
            assert_eq!(
                used(&mut kernel, &own, &["eth1", "eth00"]),
                ["eth00", "eth1"]
            );
            // Renamed, it is covered by another one.
            kernel.take(&link(2, "cali-up"));
            assert_eq!(used(&mut kernel, &own, &["cali", "eth"]), ["eth"]);
        }
    }

    #[test]
    fn a_default_route_makes_an_uplink_without_the_node_s_address() {
        // The node's address is on `lo`, as with BGP to the host; eth1 is a second one, with a table for it.
        let mut kernel = kernel(&["lo", "eth0", "eno1", "eni1", "wireguard.cali"]);
        has(&mut kernel, 1, "10.0.0.1/32");
        has(&mut kernel, 5, "10.0.0.1/32");
        leads(&mut kernel, 254, "0.0.0.0/1", 2);
        leads(&mut kernel, 2, "::/0", 3);
        leads(&mut kernel, 254, "10.0.1.0/24", 4);
        let own = own(&["10.0.0.1"]);
        let given = ["e", "en", "eni", "eno", "eth", "lo", "wire"];
        assert_eq!(used(&mut kernel, &own, &given), ["eni", "lo", "wire"]);
    }

    #[test]
    fn an_uplink_that_loses_its_address_for_a_moment_stays_one() {
        let mut kernel = kernel(&["lo", "eth0"]);
        has(&mut kernel, 2, "10.0.0.1/24");
        let own = own(&["10.0.0.1"]);
        assert_eq!(used(&mut kernel, &own, &["eth"]), [""; 0]);
        kernel.addresses.clear();
        assert_eq!(used(&mut kernel, &own, &["eth"]), [""; 0]);
        kernel.links.remove(&2);
        assert_eq!(used(&mut kernel, &own, &["eth"]), ["eth"]);
    }

    #[test]
    fn an_unused_prefix_is_reported_with_the_link_that_it_matches() {
        let mut kernel = kernel(&["lo", "eth0"]);
        has(&mut kernel, 2, "10.0.0.1/24");
        let settings = settings(&["eth"]);
        kernel.look_for_uplinks(Some(&own(&["10.0.0.1"])), &settings);
        assert_eq!(
            kernel.prefix_problems(&settings),
            [
                "FelixConfiguration: `spec.interfacePrefix` has `eth`, which is not used: eth0, which leads \
                 out of this node, begins with it too, and whatever leaves by a pod's interface may be in \
                 clear; give a prefix that pods' interfaces alone begin with"
            ]
        );
    }

    #[test]
    fn a_link_with_an_address_of_the_node_s_overlay_is_an_uplink() {
        for overlay in ["10.66.0.1", "fd66::1"] {
            let mut kernel = kernel(&["lo", "eth0", "vxlan.calico"]);
            has(&mut kernel, 3, &format!("{overlay}/32"));
            let own = Node {
                overlay_addresses: vec![overlay.parse().unwrap()],
                ..own(&[])
            };
            assert_eq!(used(&mut kernel, &own, &["vx", "eth"]), ["eth"]);
        }
    }

    #[test]
    fn each_default_route_of_whatever_table_makes_an_uplink_and_a_tunnel_s_device_is_none() {
        for default in ["0.0.0.0/0", "::/0"] {
            let mut kernel = kernel(&["lo", "eth0", "ens1", "up0", "tun9"]);
            leads(&mut kernel, 254, default, 2);
            leads(&mut kernel, 7, default, 4);
            // A second one in the same table, of another metric.
            let family = Family::of_network(default.parse().unwrap());
            let known = kernel.routes[family].values_mut().next_back().unwrap();
            let mut second = known[0].clone();
            second.hops[0].link = 3;
            known.push(second);
            // A device of this engine's that has another name by now.
            leads(&mut kernel, 8, default, 5);
            kernel.links.get_mut(&5).unwrap().alias = tag(family).into();
            let given = ["ens", "eth", "tun", "up"];
            assert_eq!(used(&mut kernel, &own(&[]), &given), ["tun"], "{default}");
        }
    }
}
