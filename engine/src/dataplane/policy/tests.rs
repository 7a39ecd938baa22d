//! Which packets a rule is for, selector by selector, and how a rule reads.

use super::*;

fn net(text: &str) -> IpNet {
    crate::intent::family::network(text).unwrap()
}

fn origins() -> Origins {
    Origins {
        sources: ["10.0.0.1", "10.1.1.0/24", "fd00::1"].map(net).into(),
        inputs: ["lo", "azv1", "wireguard.cali"].map(String::from).into(),
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
    PolicyRule {
        rule,
        to: None,
        from: None,
        input: None,
        some: Vec::new(),
        none: Vec::new(),
        action: Action::LookUp(254),
        suppressed: None,
    }
}

/// What a change makes of a rule, and of the rule for all other packets.
fn selected(network: &str, change: impl Fn(&mut PolicyRule)) -> [Option<(String, bool)>; 2] {
    [false, true].map(|not| {
        let mut rule = all();
        rule.rule.not = not;
        change(&mut rule);
        let selected = rule.selects(net(network), &origins());
        selected.map(|found| (found.part.to_string(), found.all))
    })
}

#[test]
fn each_selector_says_which_packets_to_a_network_a_rule_is_for() {
    let block = "10.1.2.0/26";
    let whole = |all| Some((block.to_owned(), all));
    let of = |change: &dyn Fn(&mut PolicyRule)| selected(block, change);
    assert_eq!(of(&|_| {}), [whole(true), None]);
    // Destinations.
    let part = Some(("10.1.2.5/32".to_owned(), true));
    let to = |to: &'static str| of(&move |rule| rule.to = Some(net(to)));
    assert_eq!(to("10.0.0.0/8"), [whole(true), None]);
    assert_eq!(to(block), [whole(true), None]);
    assert_eq!(to("10.1.2.5"), [part, whole(false)]);
    assert_eq!(to("10.1.3.0/24"), [None, whole(true)]);
    // Sources: this node and its pods, and a socket that has none yet.
    let from = |from: &'static str| of(&move |rule| rule.from = Some(net(from)));
    assert_eq!(from("10.1.1.7"), [whole(false), whole(false)]);
    assert_eq!(from("10.0.0.0/16"), [whole(false), whole(false)]);
    assert_eq!(from("10.9.0.0/16"), [None, whole(false)]);
    // Links.
    let input = |input: &'static str| of(&move |rule| rule.input = Some(input.into()));
    assert_eq!(input("lo"), [whole(false), whole(false)]);
    assert_eq!(input("azv1"), [whole(false), whole(false)]);
    assert_eq!(input("eth0"), [None, whole(false)]);
    // Marks: a packet of ours has none.
    let mark = |mark, mask| of(&move |rule| (rule.rule.mark, rule.rule.mask) = (mark, mask));
    assert_eq!(mark(0x20, 0x20), [None, whole(true)]);
    assert_eq!(mark(0, 0x20), [whole(true), None]);
    // Some packets to anywhere, and none.
    let some = of(&|rule| rule.some.push("ipproto 17".into()));
    assert_eq!(some, [whole(false), whole(false)]);
    let none = of(&|rule| rule.none.push("oif eth0".into()));
    assert_eq!(none, [None, whole(true)]);
}

#[test]
fn a_network_of_the_other_family_is_none_of_a_rule_s() {
    let to = selected("fd00::5", |rule| rule.to = Some(net("10.0.0.0/8")));
    assert_eq!(to[0], None);
    let to = selected("fd00::5", |rule| rule.to = Some(net("fd00::/64")));
    assert_eq!(to, [Some(("fd00::5/128".to_owned(), true)), None]);
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
    rule.input = Some("lo".into());
    rule.some = vec!["dport 443-443".into()];
    rule.action = Action::LookUp(80);
    rule.suppressed = Some(0);
    assert_eq!(
        rule.to_string(),
        "20: not from 10.0.0.0/8 to 10.1.0.0/16 fwmark 0x20/0xf0 iif lo dport 443-443 lookup 80 \
         suppress_prefixlength 0"
    );
    rule = all();
    rule.action = Action::GoTo(32766);
    assert_eq!(rule.to_string(), "20: from all goto 32766");
}
