//! What rules before this engine's do with what should enter the tunnel: the look-up as the kernel does
//! it, and what is told.

use super::*;
use crate::dataplane::model::Rule;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

/// A rule of others for all packets.
fn rule(priority: u32, action: Action) -> PolicyRule {
    let table = match action {
        Action::LookUp(table) => table,
        Action::GoTo(_) | Action::Nothing | Action::Refuse => 0,
    };
    PolicyRule {
        rule: Rule {
            priority,
            not: false,
            mark: 0,
            mask: 0,
            table,
            own: false,
            foreign: table == 0,
        },
        to: None,
        from: None,
        input: None,
        some: Vec::new(),
        none: Vec::new(),
        action,
        suppressed: None,
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
fn found(before: &[PolicyRule], routes: &[(u32, &str, Way)]) -> Vec<String> {
    let wanted = BTreeMap::from([
        (net("10.0.0.1"), None),
        (net("10.0.0.2"), Some("bob")),
        (net("10.1.2.0/26"), Some("bob")),
        (net("10.1.2.9"), None),
        (net("fd00::2"), Some("bob")),
    ]);
    let origins = Origins {
        sources: vec![net("10.0.0.1"), net("10.1.2.9")],
        inputs: vec!["lo".into()],
    };
    let after = [own(), rule(32766, Action::LookUp(254))];
    let rules = [&[rule(0, Action::LookUp(255))], before, &after].concat();
    let table = |number| {
        let routes = routes.iter().filter(|(table, ..)| *table == number);
        let routes = routes.map(|(_, network, way)| (net(network), way.clone()));
        routes.collect()
    };
    let Some(before) = Before::of(&rules, table) else {
        return Vec::new();
    };
    let found = before.bypasses(&wanted, &origins).into_iter();
    let found = found.map(|bypass| {
        let (priority, _) = bypass.rule.split_once(':').unwrap();
        format!("{} {priority} {}", bypass.network, bypass.effect)
    });
    found.collect()
}

fn out() -> Way {
    Way::Link("eth0".into())
}

const MAIN: Action = Action::LookUp(254);

#[test]
fn a_rule_for_everything_takes_everything_that_its_table_has_a_route_for() {
    let past = "past the tunnel through eth0";
    let routes = [
        (254, "0.0.0.0/0", out()),
        (254, "10.1.2.9", Way::Link("azv1".into())),
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
    let block = |routes: &[(u32, &str, Way)], change: &dyn Fn(&mut PolicyRule)| {
        let mut rule = rule(20, Action::LookUp(80));
        change(&mut rule);
        found(&[to("10.1.2.0/26", rule)], routes)
    };
    let all = |_: &mut PolicyRule| {};
    // The longest prefix counts, not the first.
    for (way, bypasses) in [
        (Way::Throw, 0),
        (Way::Tunnel, 0),
        (Way::Stays, 0),
        (Way::Refuse, 1),
        (out(), 1),
    ] {
        let routes = [(80, "10.0.0.0/8", out()), (80, "10.1.0.0/16", way.clone())];
        assert_eq!(block(&routes, &all).len(), bypasses, "{way:?}");
    }
    assert_eq!(
        block(&[(80, "10.1.2.0/24", Way::Refuse)], &all),
        ["10.1.2.0/26 20 to nowhere"]
    );
    // An empty table and a suppressed route leave the packet to the next rule.
    assert_eq!(block(&[], &all), [""; 0]);
    let routes = [(80, "0.0.0.0/0", out()), (80, "10.1.0.0/16", out())];
    for (suppressed, bypasses) in [(0, 1), (15, 1), (16, 0)] {
        let found = block(&routes, &|rule| rule.suppressed = Some(suppressed));
        assert_eq!(found.len(), bypasses, "{suppressed}");
    }
}

#[test]
fn what_a_rule_sends_into_the_tunnel_no_later_one_takes() {
    let routes = [(80, "10.0.0.0/8", Way::Tunnel), (254, "0.0.0.0/0", out())];
    let into = rule(10, Action::LookUp(80));
    assert_eq!(found(&[into.clone(), rule(20, MAIN)], &routes), [""; 0]);
    // But one for other packets does.
    let mut some = into;
    some.some.push("ipproto 6".into());
    assert_eq!(found(&[some, rule(20, MAIN)], &routes).len(), 2);
}

#[test]
fn a_rule_that_jumps_over_this_engine_s_or_drops_is_found() {
    assert_eq!(found(&[rule(20, Action::Refuse)], &[]).len(), 3);
    assert_eq!(
        found(&[rule(20, Action::GoTo(32766))], &[])[0],
        "10.0.0.2/32 20 past the tunnel to the rules from 32766 on"
    );
    // Nowhere is where no rule is.
    assert_eq!(found(&[rule(20, Action::GoTo(500))], &[]), [""; 0]);
    // Over another one: that one has no say.
    let rules = [
        rule(20, Action::GoTo(40)),
        rule(30, Action::Refuse),
        rule(40, Action::Nothing),
    ];
    assert_eq!(found(&rules, &[]), [""; 0]);
    assert_eq!(
        found(
            &[
                to("10.0.0.2", rules[0].clone()),
                rules[1].clone(),
                rules[2].clone()
            ],
            &[]
        )
        .len(),
        2
    );
}

#[test]
fn without_a_rule_of_this_engine_s_nobody_comes_before_it() {
    let rules = [rule(0, Action::LookUp(255)), rule(20, Action::Refuse)];
    assert!(Before::of(&rules, |_| Table::default()).is_none());
}

#[test]
fn a_rule_is_told_once_with_what_becomes_of_the_packets() {
    let bypass = |last: u8, owner: &str, effect| Bypass {
        network: net(&format!("10.0.0.{last}")),
        owner: owner.into(),
        rule: "20: from all lookup main".into(),
        effect,
    };
    let clear = || Effect::Clear("eth0".into());
    let many: Vec<_> = (2..7).map(|last| bypass(last, "bob", clear())).collect();
    let told = |bypasses: &[Bypass], strict: bool| {
        let told: Vec<_> = problems(bypasses, 99, |_| strict).collect();
        told.join("\n")
    };
    assert_eq!(
        told(&many, false),
        "the rule `20: from all lookup main` of another, which comes before this node's of priority 99, \
         sends 10.0.0.2/32, 10.0.0.3/32, 10.0.0.4/32 and 2 more of bob past the tunnel through eth0: \
         what goes there is not encrypted; delete that rule, or give it a priority above 99"
    );
    assert!(told(&many, true).contains("is dropped, since it would be in clear"));
    let of_kernel = [Bypass {
        rule: "0: from all lookup local".into(),
        ..bypass(2, "bob", clear())
    }];
    assert!(
        told(&of_kernel, false)
            .ends_with("delete that route of the table local; the rule is the kernel's")
    );
    let refused = [
        bypass(2, "bob", Effect::Refused),
        bypass(3, "cid", Effect::Refused),
    ];
    let text = told(&refused, false);
    assert!(
        text.contains("10.0.0.2/32 and 10.0.0.3/32 of bob and cid to nowhere: it is cut off"),
        "{text}"
    );
}
