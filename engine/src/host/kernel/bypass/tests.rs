//! The rules before this engine's, in the order and with the meaning that the kernel gives them.

use std::collections::BTreeMap;

use super::*;
use crate::dataplane::model::{Rule, Slot};
use crate::hooks::Hooks;
use crate::host::kernel::tag;
use crate::host::netlink::Link;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
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
        kind: String::new(),
        alias: alias.into(),
        master: None,
        mtu: 1500,
        up: true,
    };
    (index, link)
}

fn route(table: u32, network: &str, way: Way, links: &[u32]) -> Route {
    Route {
        slot: Slot {
            table,
            network: net(network),
        },
        own: false,
        way,
        local: false,
        links: links.iter().copied().collect(),
    }
}

/// A node with an uplink, a pod and a tunnel device that has another name by now.
fn known() -> Kernel {
    let mut kernel = Kernel::unknown(&Hooks::default());
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
        let into_tunnel = route(table, "10.0.0.2/32", Way::Link(4), &[4]);
        let past_it = route(table, "10.0.0.2/32", Way::Link(2), &[2]);
        kernel.set_routes(Family::V4, vec![past_it.clone()]);
        kernel.stale.routes = false;
        kernel.add_route(past_it);
        assert!(!kernel.stale.routes, "the same again");
        kernel.add_route(into_tunnel);
        assert_eq!(kernel.stale.routes, asks, "{table}");
    }
}

#[test]
fn where_a_route_leads_decides_and_not_what_its_link_is_called() {
    let settings = Settings::default();
    for (route, bypasses) in [
        (route(80, "0.0.0.0/0", Way::Other, &[2]), true),
        (route(80, "0.0.0.0/0", Way::Link(2), &[2]), true),
        (route(80, "0.0.0.0/0", Way::Link(3), &[3]), true),
        // One of two next hops.
        (route(80, "0.0.0.0/0", Way::Other, &[4, 2]), true),
        (route(80, "0.0.0.0/0", Way::Refuse, &[]), true),
        (route(80, "0.0.0.0/0", Way::Link(4), &[4]), false),
        (route(80, "0.0.0.0/0", Way::Link(1), &[1]), false),
        (route(80, "0.0.0.0/0", Way::Other, &[]), false),
        (route(80, "0.0.0.0/0", Way::Throw, &[]), false),
        (route(81, "0.0.0.0/0", Way::Link(2), &[2]), false),
        (route(80, "::/0", Way::Link(2), &[2]), false),
    ] {
        let mut kernel = known();
        let rules = vec![rule(0, 255, false), rule(20, 80, false), rule(99, 1, true)];
        kernel.set_rules(Family::V4, rules);
        let text = format!("{route:?}");
        let family = Family::of_network(route.slot.network);
        kernel.set_routes(family, vec![route]);
        let before = kernel.rules_of_others_before(Family::V4, &settings);
        assert_eq!(before.is_some(), bypasses, "{text}");
    }
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
    assert_eq!(origins.inputs, ["lo", "azv1", "renamed", "lo"]);
    // The uplink's network is not all this node's.
    assert_eq!(origins.sources, [net("10.1.1.0/26"), net("10.0.0.1")]);
}
