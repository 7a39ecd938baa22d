//! The effect of rules before this engine's on packets that should enter the tunnel: the look-up as the kernel
//! does it.

use super::*;
use crate::dataplane::model::Rule;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

/// A rule of others for all packets.
fn rule(priority: u32, action: Action) -> PolicyRule {
    let table = match action {
        Action::LookUp(table) => table,
        Action::GoTo(_) | Action::Nothing | Action::Refuse(_) => 0,
    };
    let rule = Rule {
        priority,
        not: false,
        mark: 0,
        mask: 0,
        table,
        own: false,
        foreign: table == 0,
    };
    PolicyRule {
        action,
        ..PolicyRule::without_selectors(rule)
    }
}

fn to(network: &str, rule: PolicyRule) -> PolicyRule {
    PolicyRule {
        to: Some(net(network)),
        ..rule
    }
}

fn own() -> PolicyRule {
    PolicyRule {
        rule: Rule::for_mark(99, 0x10_0000, 1),
        ..rule(99, Action::LookUp(1))
    }
}

/// The networks that bypass the tunnel, with the priority of the rule and what it does: of bob's node,
/// his block, in which ada's node has borrowed an address, and his IPv6 pod.
fn found(before: &[PolicyRule], routes: &[(u32, &str, RouteOutcome)]) -> Vec<String> {
    let after = [own(), rule(32766, Action::LookUp(254))];
    found_by(&[before, &after].concat(), routes)
}

/// A route for all packets to its network.
fn route(hops: Vec<Hop>) -> Route {
    Route { hops, some: false }
}

/// The same with all rules but the first one.
fn found_by(rules: &[PolicyRule], routes: &[(u32, &str, RouteOutcome)]) -> Vec<String> {
    let one = |way: &RouteOutcome| {
        route(vec![Hop {
            way: way.clone(),
            group: None,
        }])
    };
    let routes = routes.iter();
    let routes: Vec<_> = routes
        .map(|(table, network, way)| (*table, *network, one(way)))
        .collect();
    found_in(rules, &routes, &[])
}

/// The same with several next hops, and VRFs that have these tables.
fn found_in(rules: &[PolicyRule], routes: &[(u32, &str, Route)], vrfs: &[u32]) -> Vec<String> {
    let wanted = BTreeMap::from([
        (net("10.0.0.1"), None),
        (net("10.0.0.2"), Some("bob")),
        (net("10.1.2.0/26"), Some("bob")),
        (net("10.1.2.9"), None),
        (net("fd00::2"), Some("bob")),
    ]);
    let origins = Origins {
        sources: vec![net("10.0.0.1"), net("10.1.2.9")],
        outside: BTreeSet::new(),
        tunnels: BTreeSet::new(),
        vrfs: vrfs.iter().copied().collect(),
    };
    let rules = [&[rule(0, Action::LookUp(255))], rules].concat();
    let table = |number| {
        let routes = routes.iter().filter(|(table, ..)| *table == number);
        let routes = routes.map(|(_, network, route)| (net(network), route.clone()));
        routes.collect()
    };
    let Some(before) = Before::of(&rules, &origins.vrfs, table) else {
        return Vec::new();
    };
    let found = before.bypasses(&wanted, &origins).into_iter();
    let found = found.map(|bypass| {
        let (priority, _) = bypass.rule.split_once(':').unwrap();
        format!("{} {priority} {}", bypass.network, bypass.effect)
    });
    found.collect()
}

fn out() -> RouteOutcome {
    RouteOutcome::Link("eth0".into())
}

const MAIN: Action = Action::LookUp(254);

#[test]
fn a_rule_for_everything_takes_everything_that_its_table_has_a_route_for() {
    let past = "past the tunnel through eth0";
    let routes = [
        (254, "0.0.0.0/0", out()),
        (254, "10.1.2.9", RouteOutcome::Link("azv1".into())),
    ];
    assert_eq!(
        found(&[rule(20, MAIN)], &routes),
        [
            format!("10.0.0.2/32 20 {past}"),
            format!("10.1.2.0/26 20 {past}")
        ]
    );
    assert_eq!(
        found(&[rule(20, MAIN)], &[(254, "::/0", out())]),
        [format!("fd00::2/128 20 {past}")]
    );
    // Of the same priority, but asked earlier.
    assert_eq!(found(&[rule(99, MAIN)], &routes).len(), 2);
    // What comes after this engine's has no say.
    assert_eq!(found(&[], &routes), [""; 0]);
    assert_eq!(found(&[rule(20, Action::Nothing)], &routes), [""; 0]);
}

#[test]
fn a_rule_takes_one_address_of_a_network_and_not_what_is_another_s() {
    let routes = [(254, "0.0.0.0/0", out())];
    let one = |network| found(&[to(network, rule(20, MAIN))], &routes);
    assert_eq!(
        one("10.1.2.5"),
        ["10.1.2.0/26 20 past the tunnel through eth0"]
    );
    // This node's own, and nobody's.
    assert_eq!(one("10.1.2.9"), [""; 0]);
    assert_eq!(one("10.7.0.0/16"), [""; 0]);
    // So does a route for one address.
    let routes = [(80, "10.1.2.5", out()), (80, "10.1.2.9", out())];
    let lookup = rule(20, Action::LookUp(80));
    assert_eq!(
        found(std::slice::from_ref(&lookup), &routes),
        ["10.1.2.0/26 20 past the tunnel through eth0"]
    );
    assert_eq!(found(&[lookup], &routes[1..]), [""; 0]);
}

#[test]
fn a_table_is_searched_as_the_kernel_searches_it() {
    let block = |routes: &[(u32, &str, RouteOutcome)], change: &dyn Fn(&mut PolicyRule)| {
        let mut rule = rule(20, Action::LookUp(80));
        change(&mut rule);
        found(&[to("10.1.2.0/26", rule)], routes)
    };
    let all = |_: &mut PolicyRule| {};
    // The longest prefix counts, not the first.
    for (way, bypasses) in [
        (RouteOutcome::Throw, 0),
        (RouteOutcome::Tunnel, 0),
        (RouteOutcome::Stays, 0),
        (RouteOutcome::Refuse, 1),
        (out(), 1),
    ] {
        let routes = [(80, "10.0.0.0/8", out()), (80, "10.1.0.0/16", way.clone())];
        assert_eq!(block(&routes, &all).len(), bypasses, "{way:?}");
    }
    assert_eq!(
        block(&[(80, "10.1.2.0/24", RouteOutcome::Refuse)], &all),
        ["10.1.2.0/26 20 to nowhere"]
    );
    // An empty table and a suppressed route leave the packet to the next rule; a route that drops does not.
    assert_eq!(block(&[], &all), [""; 0]);
    let routes = [(80, "0.0.0.0/0", out()), (80, "10.1.0.0/16", out())];
    let unreachable = [(80, "10.1.0.0/16", RouteOutcome::Refuse)];
    for (suppressed, bypasses) in [(0, 1), (15, 1), (16, 0), (300, 0)] {
        let change = |rule: &mut PolicyRule| rule.suppressed_length = Some(suppressed);
        assert_eq!(block(&routes, &change).len(), bypasses, "{suppressed}");
        assert_eq!(block(&unreachable, &change).len(), 1);
    }
}

#[test]
fn packets_that_a_rule_sends_into_the_tunnel_meet_no_later_rule() {
    let routes = [
        (80, "10.0.0.0/8", RouteOutcome::Tunnel),
        (254, "0.0.0.0/0", out()),
    ];
    let into = rule(10, Action::LookUp(80));
    assert_eq!(found(&[into.clone(), rule(20, MAIN)], &routes), [""; 0]);
    // But one for other packets does.
    let mut some = into;
    some.some.push("ipproto 6".into());
    assert_eq!(found(&[some, rule(20, MAIN)], &routes).len(), 2);
}

#[test]
fn a_rule_that_drops_is_found() {
    assert_eq!(
        found(&[rule(20, Action::Refuse("unreachable"))], &[]).len(),
        3
    );
}

/// The same rule for some packets alone.
fn some(mut rule: PolicyRule) -> PolicyRule {
    rule.some.push("ipproto 6".into());
    rule
}

#[test]
fn a_rule_that_jumps_over_this_engine_s_is_found_whatever_packets_it_is_for() {
    let jump = |priority| rule(20, Action::GoTo(priority));
    let routes = [
        (254, "0.0.0.0/0", out()),
        (80, "0.0.0.0/0", RouteOutcome::Tunnel),
    ];
    let skipped = "20 past the tunnel to the rules from 32766 on";
    let (bob, block) = (
        format!("10.0.0.2/32 {skipped}"),
        format!("10.1.2.0/26 {skipped}"),
    );
    let nowhere = "fd00::2/128 20 to nowhere".to_owned();
    let all = [bob.clone(), block.clone(), nowhere.clone()];
    assert_eq!(found(&[jump(32766)], &routes), all);
    assert_eq!(found(&[some(jump(32766))], &routes), all);
    assert_eq!(found(&[to("10.0.0.2", jump(32766))], &routes), [bob]);
    assert_eq!(found(&[to("10.1.2.5", jump(32766))], &routes), [block]);
    assert_eq!(found(&[to("10.1.2.9", jump(32766))], &routes), [""; 0]);
    // What is behind it counts: a way into the tunnel, no rule, another one of this engine's.
    let behind = |action: &[PolicyRule]| {
        let rules = [&[some(jump(200)), own()], action].concat();
        found_by(&rules, &routes)
    };
    let into = rule(200, Action::LookUp(80));
    assert_eq!(behind(std::slice::from_ref(&into)), [nowhere]);
    assert_eq!(behind(&[rule(200, Action::Nothing)]).len(), 3);
    let second = PolicyRule {
        rule: Rule::for_mark(200, 0x10_0000, 2),
        ..own()
    };
    assert_eq!(behind(&[second]), [""; 0]);
    // A jump to this engine's rule leads to the first one of that priority.
    let both = [jump(99), rule(99, MAIN), own()];
    assert_eq!(found_by(&both, &routes).len(), 2);
    let both = [jump(99), own(), rule(99, MAIN)];
    assert_eq!(found_by(&both, &routes), [""; 0]);
    // Nowhere is where no rule is, and no rule jumps back.
    assert_eq!(found(&[jump(500)], &routes), [""; 0]);
    assert_eq!(found(&[rule(10, MAIN), jump(10)], &[]), [""; 0]);
}

#[test]
fn rules_that_a_jump_skips_do_not_apply_to_its_packets() {
    let jump = rule(20, Action::GoTo(40));
    let target = rule(40, Action::Nothing);
    let refuse = rule(30, Action::Refuse("unreachable"));
    let rules = |first: PolicyRule| [first, refuse.clone(), target.clone()];
    assert_eq!(found(&rules(jump.clone()), &[]), [""; 0]);
    assert_eq!(found(&rules(to("10.0.0.2", jump.clone())), &[]).len(), 2);
    assert_eq!(found(&rules(some(jump.clone())), &[]).len(), 3);
    // Over a way into the tunnel, for some packets or all.
    let routes = [
        (80, "10.0.0.0/8", RouteOutcome::Tunnel),
        (254, "0.0.0.0/0", out()),
    ];
    let into = rule(30, Action::LookUp(80));
    for jump in [jump.clone(), some(jump)] {
        assert_eq!(
            found(&[jump, into.clone(), rule(40, MAIN)], &routes),
            [
                "10.0.0.2/32 40 past the tunnel through eth0",
                "10.1.2.0/26 40 past the tunnel through eth0"
            ]
        );
    }
}

#[test]
fn every_rule_that_takes_packets_is_reported_with_its_worst_effect() {
    let routes = [
        (254, "0.0.0.0/0", out()),
        (80, "10.1.0.0/16", RouteOutcome::Refuse),
        (80, "10.1.2.5", out()),
    ];
    assert_eq!(
        found(
            &[
                some(rule(10, Action::Refuse("unreachable"))),
                to("10.0.0.2", rule(20, MAIN))
            ],
            &routes
        ),
        [
            "10.0.0.2/32 10 to nowhere",
            "10.0.0.2/32 20 past the tunnel through eth0",
            "10.1.2.0/26 10 to nowhere",
            "fd00::2/128 10 to nowhere"
        ]
    );
    assert_eq!(
        found(&[rule(20, Action::LookUp(80))], &routes),
        ["10.1.2.0/26 20 past the tunnel through eth0"]
    );
}

#[test]
fn a_network_whose_parts_are_all_elsewhere_is_nobody_s() {
    // Both halves go into the tunnel, or are told: of the whole nothing is left.
    let halves = [
        (80, "10.1.2.0/27", RouteOutcome::Tunnel),
        (80, "10.1.2.32/27", RouteOutcome::Tunnel),
        (80, "10.1.0.0/16", out()),
    ];
    let lookup = rule(20, Action::LookUp(80));
    assert_eq!(found(std::slice::from_ref(&lookup), &halves), [""; 0]);
    assert_eq!(found(&[lookup], &halves[1..]).len(), 1);
}

#[test]
fn without_a_rule_of_this_engine_s_nobody_comes_before_it() {
    let rules = [
        rule(0, Action::LookUp(255)),
        rule(20, Action::Refuse("unreachable")),
    ];
    assert!(Before::of(&rules, &BTreeSet::new(), |_| Table::default()).is_none());
}

#[test]
fn a_route_through_a_link_of_a_group_is_not_taken_by_a_rule_that_suppresses_it() {
    let hop = |way, group| Hop { way, group };
    let lookup = PolicyRule {
        suppressed_group: Some(5),
        ..rule(20, Action::LookUp(80))
    };
    let refuse = || hop(RouteOutcome::Refuse, None);
    let (same, other) = (|way| hop(way, Some(5)), |way| hop(way, Some(0)));
    // By IPv4 and by IPv6.
    for (hops, bypasses) in [
        (vec![same(out())], [0, 0]),
        (vec![other(out())], [2, 1]),
        // Of a link that nobody knows the group is not known.
        (vec![hop(out(), None)], [2, 1]),
        (vec![refuse()], [2, 1]),
        (vec![same(out()), other(out())], [0, 1]),
        (vec![other(out()), same(out())], [2, 1]),
        (vec![other(RouteOutcome::Tunnel), same(out())], [2, 0]),
        (vec![same(RouteOutcome::Tunnel), other(out())], [0, 1]),
    ] {
        for (network, bypasses) in ["10.0.0.0/8", "fd00::/16"].into_iter().zip(bypasses) {
            let routes = [(80, network, route(hops.clone()))];
            let found = found_in(&[lookup.clone(), own()], &routes, &[]);
            assert_eq!(found.len(), bypasses, "{network} {hops:?}");
        }
    }
    // What is suppressed leaves the packet to the next rule, and not to a wider route.
    let routes = [
        (80, "10.1.0.0/16", route(vec![same(out())])),
        (80, "0.0.0.0/0", route(vec![other(out())])),
    ];
    let block = to("10.1.2.0/26", lookup);
    assert_eq!(found_in(&[block, own()], &routes, &[]), [""; 0]);
}

#[test]
fn a_rule_for_vrfs_looks_up_the_tables_of_those_that_packets_are_of() {
    let rules = [
        PolicyRule {
            of_vrf: true,
            ..rule(20, Action::LookUp(0))
        },
        own(),
    ];
    let past = route(vec![Hop {
        way: out(),
        group: None,
    }]);
    let routes = [(11, "10.0.0.2", past)];
    assert_eq!(found_in(&rules, &routes, &[]), [""; 0]);
    assert_eq!(found_in(&rules, &routes, &[10]), [""; 0]);
    assert_eq!(
        found_in(&rules, &routes, &[10, 11]),
        ["10.0.0.2/32 20 past the tunnel through eth0"]
    );
}

#[test]
fn of_several_routes_to_one_network_the_first_one_counts_that_is_for_all_packets() {
    let to_block = |way, some| {
        let hops = vec![Hop { way, group: None }];
        (80, "10.1.2.0/26", Route { hops, some })
    };
    let wider = |way| {
        let hops = vec![Hop { way, group: None }];
        (80, "10.1.0.0/16", route(hops))
    };
    let lookup = rule(20, Action::LookUp(80));
    let past = ["10.1.2.0/26 20 past the tunnel through eth0"];
    let diverts = |routes: &[(u32, &str, Route)]| {
        let found = found_in(&[lookup.clone(), own()], routes, &[]);
        assert!(found.is_empty() || found == past, "{found:?}");
        !found.is_empty()
    };
    use RouteOutcome::{Throw, Tunnel};
    for (routes, diverted) in [
        (vec![to_block(out(), false), to_block(Tunnel, false)], true),
        (vec![to_block(Tunnel, false), to_block(out(), false)], false),
        // One by type of service, before another one.
        (vec![to_block(Tunnel, true), to_block(out(), false)], true),
        (vec![to_block(out(), true), to_block(Tunnel, false)], true),
        (vec![to_block(Throw, true), to_block(out(), false)], true),
        // The rest goes by a wider one.
        (vec![to_block(Tunnel, true), wider(out())], true),
        (vec![to_block(Tunnel, false), wider(out())], false),
        (vec![to_block(Throw, false), wider(out())], false),
        (vec![to_block(Tunnel, true), wider(Tunnel)], false),
    ] {
        assert_eq!(diverts(&routes), diverted, "{routes:?}");
    }
}
