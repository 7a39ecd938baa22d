//! The rules before this engine's, in the order and with the meaning that the kernel gives them.

use std::collections::BTreeMap;

use wiremesh_plan::dataplane::model::{RouteKey, Rule};
use wiremesh_plan::dataplane::policy::{Action, LinkName};

use super::*;
use crate::hooks::Hooks;
use crate::host::kernel::{Stale, tag};
use crate::host::netlink::nexthop::Nexthop;
use crate::host::netlink::{Hop, Kind, Link};

fn net(text: &str) -> IpNet {
    wiremesh_plan::intent::family::network(text).unwrap()
}

fn rule(priority: u32, table: u32, own: bool) -> PolicyRule {
    let mark = if own { 0x10_0000 } else { 0 };
    PolicyRule::without_selectors(Rule {
        own,
        not: own,
        ..Rule::for_mark(priority, mark, table)
    })
}

fn link(index: u32, name: &str, alias: &str) -> (u32, Link) {
    let link = Link {
        index,
        name: name.into(),
        alias: alias.into(),
        mtu: 1500,
        up: true,
        ..Link::default()
    };
    (index, link)
}

fn hop(link: u32) -> Hop {
    Hop {
        link,
        gateway: false,
        encapsulates: false,
    }
}

fn route(table: u32, network: &str, way: RouteAction, links: &[u32]) -> Route {
    Route {
        slot: RouteKey {
            table,
            network: net(network),
        },
        own: false,
        way,
        kind: Kind::Unicast,
        hops: links.iter().copied().map(hop).collect(),
        nexthop: None,
        some: false,
    }
}

/// A node with an uplink, a pod and a tunnel device that has another name by now.
fn known() -> KernelCache {
    let mut kernel = KernelCache::unknown(&Hooks::default());
    kernel.links = BTreeMap::from([
        link(1, "lo", ""),
        link(2, "eth0", ""),
        link(3, "azv1", ""),
        link(4, "renamed", tag(Family::V4)),
    ]);
    kernel
}

#[test]
fn a_rule_that_is_added_comes_after_all_of_its_priority_and_once() {
    let mut kernel = known();
    kernel.set_rules(Family::V4, vec![rule(0, 255, false), rule(99, 1, true)]);
    for added in [
        rule(99, 80, false),
        rule(20, 80, false),
        rule(20, 80, false),
    ] {
        kernel.add_rule(Family::V4, added);
    }
    let order: Vec<_> = kernel
        .policy
        .v4
        .iter()
        .map(|policy| policy.rule.priority)
        .collect();
    assert_eq!(order, [0, 20, 99, 99]);
    assert!(kernel.policy.v4[2].rule.is_own());
    assert!(kernel.is_followed(Family::V4, 80));
    assert!(!kernel.is_followed(Family::V6, 80));
    assert!(!kernel.is_followed(Family::V4, 1));
}

#[test]
fn the_routes_are_asked_for_where_rules_lead_to_a_table_that_nobody_looked_up() {
    let jump = PolicyRule {
        action: Action::GoTo(200),
        ..rule(10, 0, false)
    };
    for (added, asks) in [
        (rule(20, 80, false), true),
        (rule(20, 255, false), false),
        (rule(150, 80, false), false),
        // Whoever jumps over this engine's rule comes to those behind it.
        (jump, true),
    ] {
        let mut kernel = known();
        let rules = vec![
            rule(0, 255, false),
            rule(99, 1, true),
            rule(200, 254, false),
        ];
        kernel.set_rules(Family::V4, rules.clone());
        kernel.stale.routes = false;
        kernel.set_rules(Family::V4, rules);
        assert!(!kernel.stale.routes);
        let text = added.to_string();
        kernel.add_rule(Family::V4, added);
        assert_eq!(kernel.stale.routes, asks, "{text}");
    }
}

#[test]
fn of_two_routes_at_one_place_of_a_followed_table_the_kernel_is_asked_which_comes_first() {
    for (table, asks) in [(80, true), (81, false)] {
        let mut kernel = known();
        kernel.set_rules(Family::V4, vec![rule(20, 80, false), rule(99, 1, true)]);
        let into_tunnel = route(table, "10.0.0.2/32", RouteAction::Link(4), &[4]);
        let past_it = route(table, "10.0.0.2/32", RouteAction::Link(2), &[2]);
        kernel.set_routes(Family::V4, vec![past_it.clone()]);
        kernel.stale.routes = false;
        kernel.add_route(past_it);
        assert!(!kernel.stale.routes, "the same again");
        kernel.add_route(into_tunnel);
        assert_eq!(kernel.stale.routes, asks, "{table}");
    }
}

#[test]
fn of_two_routes_at_one_place_one_may_go_and_the_other_stays() {
    for (network, family) in [("10.0.0.2/32", Family::V4), ("fd00::2/128", Family::V6)] {
        for (table, asks) in [(80, true), (81, false)] {
            let mut kernel = known();
            kernel.set_rules(family, vec![rule(20, 80, false), rule(99, 1, true)]);
            let into_tunnel = route(table, network, RouteAction::Link(4), &[4]);
            let past_it = route(table, network, RouteAction::Link(2), &[2]);
            kernel.set_routes(family, vec![past_it.clone(), into_tunnel.clone()]);
            kernel.stale.routes = false;
            kernel.remove_route(&into_tunnel);
            assert!(kernel.is_shared(family, table));
            assert_eq!(kernel.stale.routes, asks, "{table}");
            // What comes takes the other's place, as far as netlink tells.
            kernel.add_route(into_tunnel.clone());
            assert_eq!(kernel.routes[family][&past_it.slot], [into_tunnel]);
        }
    }
}

/// Whether a route of the table 80, or 254, makes a look-up of it before this engine's rule a bypass.
fn bypasses(kernel: &mut KernelCache, route: Route) -> bool {
    let rules = vec![rule(0, 255, false), rule(20, 80, false), rule(99, 1, true)];
    kernel.set_rules(Family::V4, rules);
    let family = Family::of_network(route.slot.network);
    kernel.set_routes(family, vec![route]);
    let before = kernel.rules_of_others_before(Family::V4, &Settings::default());
    before.is_some()
}

#[test]
fn a_route_s_destination_decides_and_not_its_link_s_name() {
    let of = |kind, route| Route { kind, ..route };
    let all = |way, links: &[u32]| route(80, "0.0.0.0/0", way, links);
    for (route, expected) in [
        (all(RouteAction::Other, &[2]), true),
        (all(RouteAction::Link(2), &[2]), true),
        (all(RouteAction::Link(3), &[3]), true),
        // One of two next hops.
        (all(RouteAction::Other, &[4, 2]), true),
        (all(RouteAction::Refuse, &[]), true),
        (all(RouteAction::Link(4), &[4]), false),
        (all(RouteAction::Other, &[4, 4]), false),
        (all(RouteAction::Link(1), &[1]), false),
        (of(Kind::Local, all(RouteAction::Other, &[2])), false),
        (all(RouteAction::Throw, &[]), false),
        // It says nothing of where it leads.
        (all(RouteAction::Other, &[]), true),
        (route(81, "0.0.0.0/0", RouteAction::Link(2), &[2]), false),
        (route(80, "::/0", RouteAction::Link(2), &[2]), false),
    ] {
        let text = format!("{route:?}");
        assert_eq!(bypasses(&mut known(), route), expected, "{text}");
    }
}

#[test]
fn a_route_of_a_type_of_its_own_stays_only_at_the_ends_of_this_node_s_subnets() {
    for (kind, network, expected) in [
        (Kind::EndOfSubnet, "10.0.0.255/32", false),
        (Kind::EndOfSubnet, "10.0.0.0/32", false),
        (Kind::EndOfSubnet, "10.0.0.2/32", true),
        (Kind::EndOfSubnet, "10.0.0.0/24", true),
        (Kind::Other, "10.0.0.255/32", true),
    ] {
        let mut kernel = known();
        kernel.addresses = [(2, "10.0.0.1/24".parse().unwrap())].into();
        let route = Route {
            kind,
            ..route(80, network, RouteAction::Other, &[2])
        };
        assert_eq!(bypasses(&mut kernel, route), expected, "{kind:?} {network}");
    }
}

#[test]
fn a_route_leads_where_its_nexthop_object_does_and_nobody_knows_where_without_it() {
    let through = |link| Nexthop::Hop(hop(link));
    let encapsulated = Nexthop::Hop(Hop {
        encapsulates: true,
        ..hop(4)
    });
    for (nexthop, expected) in [
        (Some(through(2)), true),
        (Some(through(4)), false),
        (Some(through(1)), false),
        (Some(encapsulated), true),
        (Some(Nexthop::Refuse), true),
        (Some(Nexthop::Unknown), true),
        (None, true),
        (Some(Nexthop::Group(vec![8, 8])), false),
        (Some(Nexthop::Group(vec![8, 9])), true),
        (Some(Nexthop::Group(vec![8, 10])), true),
        (Some(Nexthop::Group(Vec::new())), true),
    ] {
        let mut kernel = known();
        kernel.nexthops = [(8, through(4)), (9, through(2))].into();
        let text = format!("{nexthop:?}");
        kernel.nexthops.extend(nexthop.map(|nexthop| (7, nexthop)));
        let route = Route {
            nexthop: Some(7),
            ..route(80, "0.0.0.0/0", RouteAction::Other, &[])
        };
        assert_eq!(bypasses(&mut kernel, route), expected, "{text}");
    }
    // A member of which nothing is known may lead anywhere.
    let mut kernel = known();
    kernel.nexthops = [(7, Nexthop::Group(vec![8, 10])), (8, through(4))].into();
    let route = Route {
        nexthop: Some(7),
        ..route(80, "0.0.0.0/0", RouteAction::Other, &[])
    };
    let leads = kernel.leads(&route);
    assert!(
        matches!(leads[..], [Lead::Hop(_), Lead::Unknown]),
        "{leads:?}"
    );
}

#[test]
fn of_several_routes_at_one_place_each_is_followed() {
    let mut kernel = known();
    let rules = vec![rule(20, 80, false), rule(99, 1, true)];
    kernel.set_rules(Family::V4, rules);
    let by_service = Route {
        some: true,
        ..route(80, "0.0.0.0/0", RouteAction::Other, &[4])
    };
    let past = route(80, "0.0.0.0/0", RouteAction::Link(2), &[2]);
    kernel.set_routes(Family::V4, vec![by_service, past]);
    let settings = Settings::default();
    let before = kernel.rules_of_others_before(Family::V4, &settings);
    let origins = kernel.origins(Family::V4, &settings, [].into_iter());
    let wanted = BTreeMap::from([(net("10.0.0.2"), Some("bob"))]);
    assert_eq!(before.unwrap().bypasses(&wanted, &origins).len(), 1);
}

#[test]
fn an_ipv6_gateway_may_be_passed_over() {
    let of = |network, gateway| {
        let mut route = route(80, network, RouteAction::Other, &[4]);
        route.hops[0].gateway = gateway;
        known().followed_route(&route, &BTreeSet::from([4])).some
    };
    assert!(of("::/0", true));
    assert!(!of("::/0", false) && !of("0.0.0.0/0", true));
}

#[test]
fn packets_come_from_this_node_its_pods_and_the_tunnel() {
    let mut kernel = known();
    kernel.addresses = [(2, "10.0.0.1/24".parse().unwrap())].into();
    let settings = Settings {
        pod_interfaces: ["azv".to_owned()].into(),
        ..Settings::default()
    };
    let own = [net("10.1.1.0/26")];
    let origins = kernel.origins(Family::V4, &settings, own.into_iter());
    assert_eq!(origins.outside, set(["eth0"]));
    assert_eq!(origins.tunnels, set(["renamed"]));
    // The uplink's network is not all this node's; and who has no address yet has none.
    assert_eq!(
        origins.sources,
        [net("10.1.1.0/26"), net("10.0.0.1"), net("0.0.0.0")]
    );
    assert_eq!(origins.vrfs, BTreeSet::new());
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

#[test]
fn a_link_with_a_port_of_a_pod_s_brings_its_packets_in_by_every_name() {
    let mut kernel = known();
    let master = |kernel: &mut KernelCache, port: u32, master: u32| {
        kernel.links.get_mut(&port).unwrap().master = Some(master);
    };
    kernel
        .links
        .extend([link(5, "br0", ""), link(6, "blue", ""), link(7, "red", "")]);
    let names = ["enp1".to_owned()];
    kernel.links.get_mut(&2).unwrap().other_names = names.into();
    for (index, table) in [(6, 10), (7, 11)] {
        kernel.links.get_mut(&index).unwrap().vrf = Some(table);
    }
    let settings = Settings {
        pod_interfaces: ["azv".to_owned()].into(),
        ..Settings::default()
    };
    let of = |kernel: &KernelCache| {
        let origins = kernel.origins(Family::V4, &settings, [].into_iter());
        (origins.outside, origins.vrfs)
    };
    let every = set(["eth0", "enp1", "br0", "blue", "red"]);
    assert_eq!(of(&kernel), (every, BTreeSet::new()));
    // The pod and the uplink are ports of a bridge, which is a port of a VRF.
    master(&mut kernel, 3, 5);
    master(&mut kernel, 2, 5);
    master(&mut kernel, 5, 6);
    assert_eq!(of(&kernel), (set(["eth0", "enp1", "red"]), [10].into()));
}

#[test]
fn the_kernel_is_asked_again_where_a_rule_may_have_lost_or_found_its_link() {
    let asks = |rule: PolicyRule, before: Option<Link>, after: Option<Link>| {
        let mut kernel = known();
        kernel.set_rules(Family::V6, vec![rule]);
        kernel.stale = Stale::NOTHING;
        kernel.link_changes(before.as_ref(), after.as_ref());
        (kernel.stale.rules, kernel.stale.routes)
    };
    let names = |name: &str| PolicyRule {
        input: Some(LinkName {
            name: name.into(),
            detached: true,
        }),
        ..rule(20, 80, false)
    };
    let one = |name: &str| Some(link(9, name, "").1);
    assert_eq!(asks(names("azv9"), None, one("azv9")), (true, false));
    assert_eq!(asks(names("azv9"), one("azv9"), None), (true, false));
    assert_eq!(asks(names("azv9"), one("a"), one("azv9")), (true, false));
    assert_eq!(asks(names("azv9"), one("a"), one("a")), (false, false));
    assert_eq!(asks(rule(20, 80, false), None, one("azv9")), (false, false));
    let vrf = one("blue").map(|link| Link {
        vrf: Some(10),
        ..link
    });
    assert_eq!(asks(rule(20, 80, false), None, vrf), (false, true));
}
