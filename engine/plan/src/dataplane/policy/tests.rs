//! The packets that a rule covers, selector by selector, and the text of a rule.

use super::*;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

fn origins() -> Origins {
    Origins {
        sources: ["10.0.0.1", "10.1.1.0/24", "fd00::1"].map(net).into(),
        outside: ["eth0".to_owned()].into(),
        tunnels: ["wireguard.cali".to_owned()].into(),
        vrfs: BTreeSet::new(),
    }
}

/// `20: from all lookup main`.
fn all() -> PolicyRule {
    let rule = Rule {
        priority: 20,
        not: false,
        mark: 0,
        mask: 0,
        table: 254,
        own: false,
        foreign: false,
    };
    PolicyRule::without_selectors(rule)
}

fn link(name: &str) -> LinkName {
    LinkName {
        name: name.into(),
        detached: false,
    }
}

/// How many packets to a destination a change of a rule makes it for, and the rule for all others.
fn covered(destination: &str, change: impl Fn(&mut PolicyRule)) -> [Covers; 2] {
    [false, true].map(|not| {
        let mut rule = all();
        rule.rule.not = not;
        change(&mut rule);
        rule.covers(net(destination), &origins())
    })
}

#[test]
fn each_selector_narrows_the_packets_that_a_rule_covers() {
    const EACH: [Covers; 2] = [Covers::All, Covers::None];
    const NO: [Covers; 2] = [Covers::None, Covers::All];
    const SOME: [Covers; 2] = [Covers::Some, Covers::Some];
    const UNKNOWN: [Covers; 2] = [Covers::None, Covers::Some];
    let of = |change: &dyn Fn(&mut PolicyRule)| covered("10.1.2.0/26", change);
    assert_eq!(of(&|_| {}), EACH);
    // Destinations.
    let to = |to: &'static str| of(&move |rule| rule.to = Some(net(to)));
    assert_eq!(to("10.0.0.0/8"), EACH);
    assert_eq!(to("10.1.2.0/26"), EACH);
    assert_eq!(to("10.1.3.0/24"), NO);
    // The rest of the network: the part has its turn.
    assert_eq!(to("10.1.2.5"), NO);
    // Sources: this node and its pods.
    let from = |from: &'static str| of(&move |rule| rule.from = Some(net(from)));
    assert_eq!(from("10.1.1.7"), SOME);
    assert_eq!(from("10.0.0.0/16"), SOME);
    assert_eq!(from("10.9.0.0/16"), UNKNOWN);
    // Links.
    let input = |name: &'static str| of(&move |rule| rule.input = Some(link(name)));
    assert_eq!(input("lo"), SOME);
    assert_eq!(input("azv1"), SOME);
    assert_eq!(input("eth0"), UNKNOWN);
    let detached = LinkName {
        detached: true,
        ..link("azv1")
    };
    assert_eq!(of(&|rule| rule.input = Some(detached.clone())), NO);
    // A packet that has to leave by a link asks for its way itself, but for an answer to an IPv6 echo.
    let output = |name: &'static str| move |rule: &mut PolicyRule| rule.output = Some(link(name));
    assert_eq!(of(&output("wireguard.cali")), NO);
    assert_eq!(covered("fd00::5", output("wireguard.cali")), SOME);
    assert_eq!(covered("fd00::5", output("eth0")), NO);
    let gone = |rule: &mut PolicyRule| {
        rule.output = Some(LinkName {
            detached: true,
            ..link("wireguard.cali")
        });
    };
    assert_eq!(covered("fd00::5", gone), NO);
    // Marks: a packet of ours has none.
    let mark = |mark, mask| of(&move |rule| (rule.rule.mark, rule.rule.mask) = (mark, mask));
    assert_eq!(mark(0x20, 0x20), NO);
    assert_eq!(mark(0, 0x20), EACH);
    // Only the mask's bits are compared.
    assert_eq!(mark(0x10, 0x20), EACH);
    // Some packets to anywhere, and none.
    assert_eq!(of(&|rule| rule.some.push("ipproto 17".into())), SOME);
    assert_eq!(of(&|rule| rule.none.push("tun_id 7".into())), NO);
}

#[test]
fn a_rule_for_vrfs_is_for_some_packets_where_they_are_of_one() {
    let rule = PolicyRule {
        of_vrf: true,
        ..all()
    };
    let mut origins = origins();
    let destination = net("10.1.2.0/26");
    assert_eq!(rule.covers(destination, &origins), Covers::None);
    origins.vrfs.insert(10);
    assert_eq!(rule.covers(destination, &origins), Covers::Some);
    assert!(rule.tables(&origins.vrfs).eq([10]));
    assert!(all().tables(&origins.vrfs).eq([254]));
}

#[test]
fn a_rule_suppresses_by_prefix_length_or_group() {
    let suppresses = |most, of, length, group| {
        let rule = PolicyRule {
            suppressed_length: most,
            suppressed_group: of,
            ..all()
        };
        rule.suppresses(length, group)
    };
    for (most, of, length, group, expected) in [
        (None, None, 0, None, false),
        (Some(0), None, 0, Some(0), true),
        (Some(0), None, 1, Some(0), false),
        (Some(32), None, 32, Some(0), true),
        (Some(300), None, 128, Some(0), true),
        (None, Some(0), 32, Some(0), true),
        (None, Some(0), 32, Some(5), false),
        (None, Some(0), 32, None, false),
        (Some(0), Some(5), 32, Some(5), true),
        (Some(0), Some(5), 0, Some(0), true),
    ] {
        let case = format!("{most:?} {of:?} {length} {group:?}");
        assert_eq!(suppresses(most, of, length, group), expected, "{case}");
    }
}

#[test]
fn a_network_of_the_other_family_is_none_of_a_rule_s() {
    let to = covered("fd00::5", |rule| rule.to = Some(net("10.0.0.0/8")));
    assert_eq!(to[0], Covers::None);
    let to = covered("fd00::5", |rule| rule.to = Some(net("fd00::/64")));
    assert_eq!(to, [Covers::All, Covers::None]);
}

#[test]
fn only_this_engine_s_rule_takes_into_the_tunnel() {
    let own = Rule::for_mark(99, 0x10_0000, 1);
    let takes = |rule: Rule| PolicyRule { rule, ..all() }.takes_into_tunnel();
    assert!(takes(own.clone()));
    for other in [
        Rule {
            own: false,
            ..own.clone()
        },
        Rule {
            foreign: true,
            ..own.clone()
        },
        // For marked packets, for all but those with no mark, and for none.
        Rule {
            not: false,
            ..own.clone()
        },
        Rule {
            mark: 0,
            ..own.clone()
        },
        Rule {
            mark: 0,
            mask: 0,
            ..own
        },
    ] {
        assert!(!takes(other.clone()), "{other:?}");
    }
}

#[test]
fn a_rule_reads_as_ip_rule_lists_it() {
    let mut rule = all();
    assert_eq!(rule.to_string(), "20: from all lookup main");
    rule.rule = Rule {
        not: true,
        mark: 0x20,
        mask: 0xf0,
        ..rule.rule
    };
    rule.from = Some(net("10.0.0.0/8"));
    rule.to = Some(net("10.1.0.0/16"));
    rule.input = Some(link("lo"));
    rule.some = vec!["dport 443-443".into()];
    rule.action = Action::LookUp(80);
    rule.suppressed_length = Some(0);
    assert_eq!(
        rule.to_string(),
        "20: not from 10.0.0.0/8 to 10.1.0.0/16 fwmark 0x20/0xf0 iif lo dport 443-443 lookup 80 \
         suppress_prefixlength 0"
    );
    let reads = |change: &dyn Fn(&mut PolicyRule), text: &str| {
        let mut rule = all();
        change(&mut rule);
        assert_eq!(rule.to_string(), text);
    };
    reads(
        &|rule| rule.action = Action::GoTo(32766),
        "20: from all goto 32766",
    );
    reads(
        &|rule| rule.action = Action::Refuse("prohibit"),
        "20: from all prohibit",
    );
    reads(
        &|rule| (rule.of_vrf, rule.action) = (true, Action::LookUp(0)),
        "20: from all lookup [l3mdev-table]",
    );
    reads(
        &|rule| rule.suppressed_group = Some(0),
        "20: from all lookup main suppress_ifgroup default",
    );
    reads(
        &|rule| {
            rule.suppressed_group = Some(5);
            rule.input = Some(LinkName {
                detached: true,
                ..link("azv1")
            });
            rule.output = Some(link("eth0"));
        },
        "20: from all iif azv1 [detached] oif eth0 lookup main suppress_ifgroup 5",
    );
}
