//! The choice of the uplink, and the owners of the rules and routes that netlink reports.

use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use wiremesh_plan::dataplane::model::Target;
use wiremesh_plan::dataplane::tables::ForeignWay;

use super::*;
use crate::host::netlink::{Kind, RouteAction};

fn link(index: u32, name: &str, mtu: u32, alias: &str) -> (u32, Link) {
    let link = Link {
        index,
        name: name.into(),
        alias: alias.into(),
        mtu,
        up: true,
        ..Link::default()
    };
    (index, link)
}

#[test]
fn the_uplink_is_the_link_with_the_node_s_address() {
    let mut kernel = KernelCache::unknown(&Hooks::default());
    kernel.links = BTreeMap::from([
        link(1, "lo", 65536, ""),
        link(2, "eth0", 1500, ""),
        link(3, "bond0", 9000, ""),
    ]);
    kernel.addresses = BTreeSet::from([(3, "10.0.0.1/24".parse().unwrap())]);
    let own = "10.0.0.1".parse().ok();
    let settings = Settings::default();
    assert_eq!(kernel.uplink_mtu(own, &settings), 9000);
    kernel.addresses.clear();
    assert_eq!(kernel.uplink_mtu(own, &settings), 1500);
    kernel.links.clear();
    assert_eq!(kernel.uplink_mtu(own, &settings), UNKNOWN_UPLINK_MTU);
}

#[test]
fn a_tunnel_device_has_the_node_s_address_too_and_is_no_uplink() {
    let mut kernel = KernelCache::unknown(&Hooks::default());
    kernel.links = BTreeMap::from([
        link(2, "eth0", 1500, ""),
        link(3, "a-tunnel", 1340, tag(Family::V4)),
        link(4, "wireguard.cali", 1300, ""),
    ]);
    let address = "10.0.0.1/32".parse().unwrap();
    kernel.addresses = BTreeSet::from([(3, address), (4, address), (2, address)]);
    let own = "10.0.0.1".parse().ok();
    assert_eq!(kernel.uplink_mtu(own, &Settings::default()), 1500);
}

/// A route as netlink reports it.
fn route(own: bool, table: u32, network: &str, way: RouteAction) -> Route {
    let network = network.parse().unwrap();
    let slot = RouteKey { table, network };
    Route {
        slot,
        own,
        way,
        kind: Kind::Unicast,
        hops: Vec::new(),
        nexthop: None,
        some: false,
    }
}

/// The kernel's notification of a rule, whose selector is an incoming interface.
fn rule_of_another(interface: &str) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(512),
        RuleAttribute::Table(1),
        RuleAttribute::Iifname(interface.into()),
    ];
    message
}

fn known() -> KernelCache {
    let mut kernel = KernelCache::unknown(&Hooks::default());
    let own = PolicyRule::without_selectors(Rule::for_mark(99, 7, 1));
    kernel.set_rules(Family::V4, vec![own]);
    kernel.stale = Stale::NOTHING;
    kernel
}

#[test]
fn a_deleted_rule_does_not_make_another_forgotten_that_differs_by_a_selector() {
    let mut kernel = known();
    for interface in ["eth1", "eth2"] {
        let rule = RouteNetlinkMessage::NewRule(rule_of_another(interface));
        kernel.apply_notifications(vec![News::Message(rule)]);
    }
    assert_eq!(kernel.stale, Stale::NOTHING);
    let gone = RouteNetlinkMessage::DelRule(rule_of_another("eth1"));
    kernel.apply_notifications(vec![News::Message(gone)]);
    let asks = Stale {
        rules: true,
        ..Stale::NOTHING
    };
    assert_eq!(kernel.stale, asks, "the kernel is asked what is left");
    let tables = kernel.tables(Family::V4, &Settings::default());
    assert!(
        tables
            .rules
            .iter()
            .any(|rule| rule.foreign && rule.table == 1)
    );
}

#[test]
fn this_engine_s_routes_and_those_of_others_to_one_prefix_are_distinguished() {
    let both = ["10.9.0.2/32", "fd09::2/128"];
    for (network, family) in both.into_iter().zip(Family::ALL) {
        let mut kernel = known();
        let own = route(true, 1, network, RouteAction::Throw);
        let other = route(false, 1, network, RouteAction::Other);
        kernel.set_routes(family, vec![own.clone(), other.clone()]);
        assert_eq!(kernel.target(own.slot), Some(Target::Throw));
        assert!(kernel.is_shared(family, 1) && !kernel.is_shared(family, 2));
        let tables = kernel.tables(family, &Settings::default());
        assert_eq!((tables.own, tables.foreign.len()), (BTreeSet::from([1]), 1));
        kernel.remove_route(&other);
        assert_eq!(kernel.target(own.slot), Some(Target::Throw));
        assert!(!kernel.is_shared(family, 1));
        kernel.remove_route(&own);
        assert_eq!(kernel.target(own.slot), None);
    }
}

#[test]
fn of_routes_of_others_at_one_place_each_counts() {
    let of = |way| route(false, 5, "10.9.0.2/32", way);
    let foreign = |way| match way {
        RouteAction::Throw => ForeignWay::Throw,
        RouteAction::Link(_) | RouteAction::Refuse | RouteAction::Other => ForeignWay::Elsewhere,
    };
    for ways in [
        [RouteAction::Throw, RouteAction::Other],
        [RouteAction::Other, RouteAction::Throw],
    ] {
        let mut kernel = known();
        kernel.set_routes(Family::V4, ways.map(of).into());
        let tables = kernel.tables(Family::V4, &Settings::default());
        let mut found = tables.foreign[&5].iter().map(|route| route.way);
        assert!(found.clone().eq(ways.map(foreign)));
        assert!(found.any(|way| way == ForeignWay::Elsewhere));
    }
}

#[test]
fn the_kernel_is_read_again_after_a_deletion_that_may_leave_another_route() {
    let asks = |change: &dyn Fn(&mut KernelCache)| {
        let mut kernel = known();
        kernel.set_routes(
            Family::V4,
            vec![
                route(true, 1, "10.9.0.2/32", RouteAction::Throw),
                route(false, 1, "0.0.0.0/0", RouteAction::Other),
                route(false, 5, "0.0.0.0/0", RouteAction::Other),
                route(false, 5, "10.0.0.0/8", RouteAction::Other),
                route(false, 254, "0.0.0.0/0", RouteAction::Other),
            ],
        );
        change(&mut kernel);
        kernel.stale.routes
    };
    let comes = |own, table, network| {
        asks(&move |kernel| kernel.add_route(route(own, table, network, RouteAction::Other)))
    };
    let goes = |own, table, network| {
        asks(&move |kernel| kernel.remove_route(&route(own, table, network, RouteAction::Other)))
    };
    // In this engine's table anything of others may stand before its own, or have taken its place.
    assert!(comes(false, 1, "10.9.0.2/32") && goes(false, 1, "0.0.0.0/0"));
    assert!(comes(true, 1, "0.0.0.0/0"));
    assert!(!comes(true, 1, "10.9.0.3/32") && !goes(true, 1, "10.9.0.2/32"));
    // Elsewhere it matters whether a table is free.
    assert!(!comes(false, 5, "10.1.0.0/16") && !goes(false, 5, "0.0.0.0/0"));
    let last = asks(&|kernel| {
        for network in ["0.0.0.0/0", "10.0.0.0/8"] {
            kernel.remove_route(&route(false, 5, network, RouteAction::Other));
        }
    });
    assert!(last, "there may be another one at its place");
    // In the main table a new pod's route is told in full.
    assert!(!comes(false, 254, "10.9.0.9/32"));
}

#[test]
fn a_bridge_s_message_about_a_port_does_not_change_the_known_link() {
    let mut kernel = known();
    kernel.links = BTreeMap::from([link(2, "eth0", 1500, "")]);
    let before = kernel.links.clone();
    let mut message = LinkMessage::default();
    message.header.index = 2;
    message.header.interface_family = AddressFamily::Bridge;
    for news in [
        RouteNetlinkMessage::NewLink(message.clone()),
        RouteNetlinkMessage::DelLink(message),
    ] {
        kernel.apply_notifications(vec![News::Message(news)]);
        assert_eq!(kernel.links, before);
    }
    assert_eq!(kernel.stale, Stale::NOTHING);
}

#[test]
fn the_kernel_is_asked_for_routes_where_a_nexthop_object_changes_or_a_link_loses_its_other_end() {
    let mut kernel = known();
    kernel.apply_notifications(vec![News::Nexthop]);
    let asks = Stale {
        routes: true,
        ..Stale::NOTHING
    };
    assert_eq!(kernel.stale, asks);
    for (flags, asks) in [
        (LinkFlags::Up | LinkFlags::LowerUp, false),
        (LinkFlags::Up, true),
        (LinkFlags::LowerUp, true),
    ] {
        let mut kernel = known();
        let (index, eth0) = link(2, "eth0", 1500, "");
        let eth0 = Link {
            carrier: true,
            ..eth0
        };
        kernel.links = BTreeMap::from([(index, eth0)]);
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = flags;
        message.attributes = vec![LinkAttribute::IfName("eth0".into())];
        kernel.apply_notifications(vec![News::Message(RouteNetlinkMessage::NewLink(message))]);
        assert_eq!(kernel.stale.routes, asks, "{flags:?}");
    }
}

#[test]
fn a_route_of_others_by_a_nexthop_object_is_none_of_our_kind_in_whatever_table() {
    let mut kernel = known();
    kernel.links = BTreeMap::from([link(4, "wireguard.cali", 1300, "")]);
    for attributes in [
        vec![RouteAttribute::NhId(7)],
        vec![RouteAttribute::NhId(7), RouteAttribute::Oif(4)],
    ] {
        let network = "10.9.0.2/32".parse().unwrap();
        let mut message = message::route_at(RouteKey { table: 1, network }, None);
        message.header.kind = RouteType::Unicast;
        message.attributes.extend(attributes);
        kernel.apply_notifications(vec![News::Message(RouteNetlinkMessage::NewRoute(message))]);
        let tables = kernel.tables(Family::V4, &Settings::default());
        assert_eq!(tables.foreign[&1][0].way, ForeignWay::Elsewhere);
    }
}
