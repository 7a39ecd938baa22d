//! Packets through rulesets as nft lists them.

use super::*;

/// A tunnel's packet that comes in from the wire.
fn tunnels_packet() -> Header {
    Header {
        family: Family::Ipv4,
        source: "10.240.0.4".parse().unwrap(),
        destination: "10.240.0.64".parse().unwrap(),
        input: Some("eth0".into()),
        output: None,
        udp: Some((51820, 51820)),
        mark: Some(0),
    }
}

fn input(policy: &str, rules: &[&str]) -> String {
    format!(
        "table inet fw {{\n\tset known {{\n\t\ttype ipv4_addr\n\t\telements = {{ 10.240.0.0/24, 192.0.2.1 }}\n\t}}\n\n\tchain sub {{\n\t\tudp dport 51820 drop\n\t}}\n\n\tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n\t\t{}\n\t}}\n}}\n",
        rules.join("\n\t\t")
    )
}

fn fate(policy: &str, rules: &[&str]) -> Fate {
    let ruleset = Ruleset::parse(&input(policy, rules));
    Walk::new(&ruleset, tunnels_packet()).through("input")
}

#[track_caller]
fn drops(policy: &str, rules: &[&str], by: &str, doubts: &[&str]) {
    match fate(policy, rules) {
        Fate::Drops {
            by: found, unless, ..
        } => {
            assert!(found.contains(by), "{found}");
            assert_eq!(unless, doubts, "{rules:?}");
        }
        Fate::Passes => panic!("{policy} {rules:?} lets it pass"),
    }
}

#[track_caller]
fn passes(policy: &str, rules: &[&str]) {
    assert_eq!(fate(policy, rules), Fate::Passes, "{policy} {rules:?}");
}

#[test]
fn a_rule_that_is_for_the_packet_drops_it() {
    for rule in [
        "drop",
        "counter packets 3 bytes 180 drop",
        "iifname \"eth0\" drop",
        "iif \"eth0\" udp dport 51820 drop",
        "iifname { \"eth0\", \"eth1\" } drop",
        "iifname \"eth*\" drop",
        "iifname != \"wg0\" reject with icmp port-unreachable",
        "udp dport { 53, 51000-52000 } drop",
        "ip saddr @known drop",
        "ip saddr 10.240.0.0/16 ip daddr != 10.240.0.4 drop",
        "ip saddr 10.240.0.1-10.240.0.9 drop",
        "meta l4proto { tcp, udp } drop",
        "ip protocol udp drop",
        "meta mark 0x00000000 drop",
        "meta mark != 0x00100000 drop",
        "meta mark & 0x00008000 == 0x00000000 drop",
        "log prefix \"x\" drop",
        "jump sub",
        "goto sub",
    ] {
        let by = if rule.ends_with("sub") {
            "udp dport 51820 drop"
        } else {
            rule
        };
        drops("accept", &[rule], by, &[]);
    }
}

#[test]
fn a_rule_that_is_for_others_does_not() {
    for rule in [
        "iifname \"wg0\" drop",
        "oifname \"eth0\" drop",
        "iif \"lo\" udp dport 51820 drop",
        "udp dport 53 drop",
        "tcp dport 51820 drop",
        "ip6 saddr fd00::/8 drop",
        "meta nfproto ipv6 drop",
        "ip saddr != @known drop",
        "ip daddr 10.240.0.4 drop",
        "meta mark & 0x00008000 == 0x00008000 drop",
        "return",
        "udp dport 51820 accept",
    ] {
        passes("accept", &[rule]);
    }
    passes("accept", &["udp dport 51820 accept", "drop"]);
    passes("drop", &["iifname \"eth0\" accept"]);
}

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    let rules = ["iif \"lo\" accept", "tcp dport { 22, 7007 } accept"];
    drops(
        "drop",
        &rules,
        "the policy of chain input of table inet fw, hook input",
        &[],
    );
}

#[test]
fn a_rule_that_may_match_is_reported_as_a_doubt() {
    let known = "ct state established,related accept";
    drops("drop", &[known], "the policy of", &[known]);
    let map = "iifname vmap { \"eth0\" : accept }";
    drops("drop", &[map], "the policy of", &[map]);
    // What may drop it is not said to.
    passes("accept", &["ct state invalid drop"]);
    passes("accept", &["limit rate over 5/second drop"]);
    passes(
        "accept",
        &["meta mark set ct mark", "meta mark 0x00000001 drop"],
    );
}

#[test]
fn a_mark_that_a_rule_sets_is_seen_by_the_next() {
    drops(
        "accept",
        &[
            "meta mark set meta mark | 0x00100000",
            "meta mark & 0x00100000 == 0x00100000 drop",
        ],
        "meta mark & 0x00100000",
        &[],
    );
    passes(
        "accept",
        &[
            "meta mark set 0x00108000",
            "meta mark set meta mark & 0xffff0000",
            "meta mark & 0x00008000 == 0x00008000 drop",
            "udp dport 51820 meta mark set 0x00000007 accept",
            "drop",
        ][..2],
    );
}

#[test]
fn the_last_rule_that_set_the_mark_is_named() {
    let listing = "table inet engine {\n\tchain first {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\tmeta mark set meta mark | 0x00100000\n\t}\n}\ntable inet guard {\n\tchain in {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\t\tmeta mark set 0x00000001\n\t}\n}\n";
    let ruleset = Ruleset::parse(listing);
    let mut walk = Walk::new(&ruleset, tunnels_packet());
    assert_eq!(walk.through("prerouting"), Fate::Passes);
    assert_eq!(walk.mark(), Some(1));
    let rule = &walk.marked().unwrap().rule;
    assert!(rule.contains("chain in of table inet guard"), "{rule}");
}

#[test]
fn a_jump_in_a_circle_ends() {
    let listing = "table inet fw {\n\tchain a {\n\t\tjump b\n\t}\n\tchain b {\n\t\tjump a\n\t}\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tjump a\n\t}\n}\n";
    let ruleset = Ruleset::parse(listing);
    let fate = Walk::new(&ruleset, tunnels_packet()).through("input");
    assert!(matches!(fate, Fate::Drops { .. }), "{fate:?}");
}

#[test]
fn rules_of_the_other_family_are_for_others() {
    let listing = "table ip6 fw {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
    let ruleset = Ruleset::parse(listing);
    let mut packet = tunnels_packet();
    assert_eq!(
        Walk::new(&ruleset, packet.clone()).through("input"),
        Fate::Passes
    );
    packet.family = Family::Ipv6;
    packet.source = "fd00::4".parse().unwrap();
    packet.destination = "fd00::40".parse().unwrap();
    let fate = Walk::new(&ruleset, packet).through("input");
    assert!(matches!(fate, Fate::Drops { .. }), "{fate:?}");
}
