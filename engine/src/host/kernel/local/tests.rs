//! The kernel's routes that lead to this node and its pods.

use ipnet::IpNet;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteLwEnCapType, RouteMessage, RouteNextHop, RouteProtocol,
    RouteType,
};
use wiremesh_plan::dataplane::model::RouteKey;
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::resource::Node;

use super::*;
use crate::hooks::Hooks;
use crate::host::kernel::Stale;
use crate::host::netlink::Hop;
use crate::host::netlink::message::route_at;
use crate::host::netlink::nexthop::Nexthop;

fn net(text: &str) -> IpNet {
    wiremesh_plan::intent::family::network(text).unwrap()
}

fn link(index: u32, name: &str, kind: &str, master: Option<u32>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![
        LinkAttribute::IfName(name.into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.into())]),
    ];
    let master = master.map(LinkAttribute::Controller);
    message.attributes.extend(master);
    RouteNetlinkMessage::NewLink(message)
}

/// A route through these links: one is its only one, several are its next hops.
fn route(table: u32, network: &str, kind: RouteType, links: &[u32]) -> RouteMessage {
    let network = net(network);
    let mut message = route_at(RouteKey { table, network }, None);
    message.header.kind = kind;
    message.header.protocol = RouteProtocol::Static;
    match links {
        [] => {}
        [link] => message.attributes.push(RouteAttribute::Oif(*link)),
        links => {
            let hops = links.iter().map(|link| {
                let mut hop = RouteNextHop::default();
                hop.interface_index = *link;
                hop
            });
            message
                .attributes
                .push(RouteAttribute::MultiPath(hops.collect()));
        }
    }
    message
}

fn through(mut message: RouteMessage, gateway: &str) -> RouteMessage {
    let gateway = RouteAddress::from(gateway.parse::<std::net::IpAddr>().unwrap());
    message.attributes.push(RouteAttribute::Gateway(gateway));
    message
}

fn settings() -> Settings {
    Settings {
        pod_interfaces: ["azv".to_owned()].into(),
        ..Settings::default()
    }
}

fn kernel(routes: Vec<RouteMessage>) -> KernelCache {
    let mut kernel = KernelCache::unknown(&Hooks::default());
    for message in [
        link(1, "lo", "", None),
        link(2, "eth0", "veth", None),
        link(3, "azv1", "veth", None),
        link(4, "cni0", "bridge", None),
        link(5, "azv2", "veth", Some(4)),
        link(6, "br0", "bridge", None),
        link(7, "azv3", "veth", Some(6)),
        link(8, "eth1", "veth", Some(6)),
        link(9, "br1", "bridge", None),
        link(10, "wireguard.cali", "wireguard", None),
    ] {
        kernel.take(&message);
    }
    for message in routes {
        kernel.take(&RouteNetlinkMessage::NewRoute(message));
    }
    kernel
}

#[test]
fn here_is_what_the_kernel_leads_to_this_node_its_pods_and_their_bridges() {
    let (main, local, unicast) = (254, 255, RouteType::Unicast);
    let routes = [
        (route(local, "10.0.0.4", RouteType::Local, &[2]), true),
        (route(local, "fd00::4", RouteType::Local, &[2]), true),
        (
            route(local, "10.0.0.255", RouteType::Broadcast, &[2]),
            false,
        ),
        // What everybody on a pod's link hears is nobody's.
        (
            route(local, "10.0.1.255", RouteType::Broadcast, &[3]),
            false,
        ),
        (route(local, "fd00::1:0", RouteType::Anycast, &[3]), false),
        (route(main, "10.0.0.0/24", unicast, &[2]), false),
        (route(main, "10.0.1.1", unicast, &[3]), true),
        (
            through(route(main, "10.0.1.2", unicast, &[3]), "10.0.1.1"),
            true,
        ),
        (
            through(route(main, "fd00::1:2", unicast, &[3]), "fe80::1"),
            true,
        ),
        (
            through(route(main, "fd00::2:2", unicast, &[2]), "fe80::1"),
            false,
        ),
        (route(main, "10.0.1.3", unicast, &[3, 5]), true),
        // One of two ways leads to the wire.
        (route(main, "10.0.1.4", unicast, &[3, 2]), false),
        (route(main, "10.0.1.5", unicast, &[1]), true),
        (route(main, "10.0.1.6", RouteType::BlackHole, &[]), false),
        (
            route(main, "fd00::1:6", RouteType::Unreachable, &[1]),
            false,
        ),
        (route(main, "10.0.1.7", unicast, &[10]), false),
        (route(main, "10.244.1.0/24", unicast, &[4]), true),
        // A bridge that the wire is a port of leads there too, and one without ports to nobody.
        (route(main, "10.244.2.0/24", unicast, &[6]), false),
        (route(main, "10.244.3.0/24", unicast, &[9]), false),
        // Which packets another table is for, a rule decides that is not the kernel's own.
        (route(100, "10.0.1.8", unicast, &[3]), false),
    ];
    let here = kernel(routes.iter().map(|(route, _)| route.clone()).collect()).here(&settings());
    for (message, expected) in routes {
        let network = crate::host::netlink::message::route(&message)
            .unwrap()
            .slot
            .network;
        assert_eq!(here.has(network), expected, "{network}");
    }
    // The local table is asked first, whatever came first.
    let both = || {
        let elsewhere = route(main, "10.0.1.1", unicast, &[2]);
        vec![route(local, "10.0.1.1", RouteType::Local, &[1]), elsewhere]
    };
    for routes in [both(), both().into_iter().rev().collect()] {
        assert!(kernel(routes).here(&settings()).has(net("10.0.1.1")));
    }
}

#[test]
fn where_several_routes_may_share_a_prefix_the_kernel_is_read() {
    let of_pod = route(254, "10.0.1.1", RouteType::Unicast, &[3]);
    let other = route(254, "10.0.1.1", RouteType::Unicast, &[2]);
    let stale = |kernel: &mut KernelCache, message: RouteNetlinkMessage| {
        kernel.stale = Stale::NOTHING;
        kernel.take(&message);
        kernel.stale.routes
    };
    let mut known = kernel(vec![of_pod.clone()]);
    let new = RouteNetlinkMessage::NewRoute;
    assert!(!stale(&mut known, new(of_pod.clone())), "the same again");
    assert!(stale(&mut known, new(other)));
    assert!(stale(&mut known, RouteNetlinkMessage::DelRoute(of_pod)));
}

#[test]
fn an_address_behind_an_uplink_is_not_local_though_a_pod_prefix_covers_the_link() {
    let unicast = RouteType::Unicast;
    for (own, by_uplink, of_pod) in [
        ("10.0.0.4", "10.0.0.0/24", "10.0.1.1"),
        ("fd00::4", "fd00::/64", "fd00:0:0:1::1"),
    ] {
        let routes = vec![
            route(254, by_uplink, unicast, &[2]),
            route(254, of_pod, unicast, &[3]),
        ];
        let mut kernel = kernel(routes);
        kernel.has_address(2, net(own));
        let settings = Settings {
            pod_interfaces: ["azv", "eth0"].map(String::from).into(),
            ..Settings::default()
        };
        let own = Node {
            addresses: vec![net(own).addr()],
            ..Node::default()
        };
        kernel.look_for_uplinks(Some(&own), &settings);
        let here = kernel.here(&settings);
        assert!(!here.has(net(by_uplink)), "{by_uplink}");
        assert!(here.has(net(of_pod)), "{of_pod}");
    }
}

#[test]
fn a_route_that_encapsulates_or_by_a_nexthop_object_is_here_only_where_it_leads_to_a_pod() {
    let hop = |link, encapsulates| Hop {
        link,
        gateway: false,
        encapsulates,
    };
    for network in ["10.0.1.9", "fd00::1:9"] {
        let mut encapsulated = route(254, network, RouteType::Unicast, &[3]);
        let kind = RouteAttribute::EncapType(RouteLwEnCapType::Seg6);
        encapsulated.attributes.push(kind);
        assert!(
            !kernel(vec![encapsulated])
                .here(&settings())
                .has(net(network))
        );
        for (nexthop, expected) in [
            (Some(Nexthop::Hop(hop(3, false))), true),
            (Some(Nexthop::Hop(hop(3, true))), false),
            (Some(Nexthop::Hop(hop(2, false))), false),
            (Some(Nexthop::Refuse), false),
            (Some(Nexthop::Unknown), false),
            (None, false),
            (Some(Nexthop::Group(vec![8])), true),
            (Some(Nexthop::Group(vec![8, 9])), false),
        ] {
            let mut message = route(254, network, RouteType::Unicast, &[]);
            message.attributes.push(RouteAttribute::NhId(7));
            let mut kernel = kernel(vec![message]);
            let others = [(8, hop(3, false)), (9, hop(2, false))];
            kernel.nexthops = others.map(|(id, hop)| (id, Nexthop::Hop(hop))).into();
            let text = format!("{network} {nexthop:?}");
            kernel.nexthops.extend(nexthop.map(|nexthop| (7, nexthop)));
            assert_eq!(
                kernel.here(&settings()).has(net(network)),
                expected,
                "{text}"
            );
        }
    }
}

#[test]
fn of_two_routes_to_one_network_in_a_table_of_the_kernel_the_first_one_counts() {
    for (network, family) in [("10.0.1.9", Family::V4), ("fd00::1:9", Family::V6)] {
        for links in [[3, 2], [2, 3]] {
            let mut kernel = kernel(Vec::new());
            let both = links.map(|link| route(254, network, RouteType::Unicast, &[link]));
            let both = both.map(|message| crate::host::netlink::message::route(&message).unwrap());
            kernel.set_routes(family, both.into());
            let is_here = kernel.here(&settings()).has(net(network));
            assert_eq!(is_here, links[0] == 3, "{network} {links:?}");
        }
    }
}
