//! What the rules and sets refuse and accept.

use super::*;

fn wanted() -> Wanted {
    Wanted {
        mark: 0x10_0000,
        incoming_mark: true,
        devices: BTreeSet::from(["wireguard.cali".into()]),
        pods: BTreeSet::from(["azv".into()]),
        ports: BTreeSet::from([51820]),
        store: vec!["10.0.0.9:2379".parse().unwrap()],
        strict: Some(Protected {
            networks: ["10.0.0.0/24", "10.0.0.7/32", "fd00::/64"]
                .map(|text| text.parse().unwrap())
                .into(),
            ..Protected::default()
        }),
    }
}

#[test]
fn a_set_s_change_touches_nothing_but_the_set() {
    let before = Firewall::new(&wanted());
    let mut more = wanted();
    let strict = more.strict.as_mut().unwrap();
    strict.networks.insert("10.1.0.0/24".parse().unwrap());
    let after = Firewall::new(&more);
    let commands = before.transaction(&after);
    assert_eq!(
        commands.to_string(),
        r#"{"nftables":[{"add":{"element":{"elem":[{"prefix":{"addr":"10.1.0.0","len":24}}],"family":"inet","name":"protected4","table":"wiremesh"}}}]}"#
    );
}

#[test]
fn an_exception_is_not_refused_in_either_family() {
    let networks = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).into();
    let firewall = Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: networks(["10.1.0.0/24", "fd01::/64"]),
            exceptions: networks(["10.1.0.7/32", "fd01::7/128"]),
            ..Protected::default()
        }),
        ..Wanted::default()
    });
    for (address, is_refused) in [
        ("10.1.0.6", true),
        ("10.1.0.7", false),
        ("fd01::6", true),
        ("fd01::7", false),
        ("fd02::6", false),
    ] {
        assert_eq!(
            firewall.refuses(address.parse().unwrap()),
            is_refused,
            "{address}"
        );
    }
}

/// Source and destination ports are easily mixed up; what comes in is for this node's port.
#[test]
fn what_comes_in_for_the_tunnel_s_port_is_accepted_before_everything_else() {
    let firewall = Firewall::new(&wanted());
    let find = |kind: &str, chain: &str| {
        let key = if kind == "chain" { "name" } else { "chain" };
        let of_chain = firewall
            .objects
            .iter()
            .filter(|object| object[kind][key] == chain);
        of_chain
            .map(|object| object[kind].clone())
            .collect::<Vec<_>>()
    };
    let strict = &find("chain", "strict-in")[0];
    assert_eq!(
        (strict["prio"].as_i64(), strict["hook"].as_str()),
        (Some(-310), Some("prerouting"))
    );
    let rules = find("rule", "strict-in");
    let port = rules
        .iter()
        .find(|rule| rule.to_string().contains("51820"))
        .unwrap();
    let matched = &port["expr"][0]["match"]["left"]["payload"];
    assert_eq!(
        (matched["protocol"].as_str(), matched["field"].as_str()),
        (Some("udp"), Some("dport"))
    );
}

#[test]
fn elements_do_not_overlap() {
    let firewall = Firewall::new(&wanted());
    assert_eq!(firewall.sets["protected4"].len(), 1);
    assert_eq!(firewall.sets["protected6"].len(), 1);
}

#[test]
fn without_host_encryption_and_strictness_there_is_no_table() {
    let nothing = Wanted {
        incoming_mark: false,
        strict: None,
        ..wanted()
    };
    assert!(Firewall::new(&nothing).is_empty());
    let commands = Firewall::new(&wanted()).transaction(&Firewall::default());
    assert_eq!(commands["nftables"].as_array().map(Vec::len), Some(4));
}
