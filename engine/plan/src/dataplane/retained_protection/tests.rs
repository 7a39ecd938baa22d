//! Addresses that stay protected of a Node that is not there, or has them no more.

use serde_json::{Value, json};

use super::*;
use crate::dataplane::firewall::{Protected, Wanted};
use crate::intent::resource::read;
use crate::intent::settings::RouteSource;

fn node(name: &str, last: u8) -> Value {
    json!({
        "kind": "Node", "metadata": {"name": name},
        "spec": {
            "addresses": [{"address": format!("10.0.0.{last}")}, {"address": format!("fd00::{last}")}],
            "wireguard": {"interfaceIPv4Address": format!("10.9.0.{last}")},
        },
    })
}

fn pod(node: &str, last: u8) -> Value {
    json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": format!("{node}-{last}")},
        "spec": {"node": node, "ipNetworks": [format!("10.0.1.{last}/32")]},
    })
}

fn cluster(host_encryption: bool, resources: &[Value]) -> Cluster {
    let configuration = json!({
        "kind": "FelixConfiguration", "metadata": {"name": "default"},
        "spec": {
            "routeSource": "WorkloadIPs", "wireguardEnabled": true,
            "wireguardHostEncryptionEnabled": host_encryption,
        },
    });
    let resources = resources.iter().chain([&configuration]);
    let resources = resources.map(|value| read(value).unwrap()).collect();
    Cluster::new("ada", &resources).0
}

fn texts(departed: &RetainedProtection) -> Vec<String> {
    departed
        .of_nodes()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_node_that_goes_before_its_pods_stays_protected_until_they_go_or_it_is_back() {
    let (ada, bob) = (node("ada", 1), node("bob", 2));
    let all = cluster(true, &[ada.clone(), bob, pod("bob", 5)]);
    let gone = cluster(true, &[ada.clone(), pod("bob", 5)]);
    let neither = cluster(true, &[ada]);
    let own = ["10.0.0.2/32", "10.9.0.2/32", "fd00::2/128"];
    for end in [&all, &neither] {
        let mut departed = RetainedProtection::default();
        departed.follow(&Cluster::empty(), &all, "ada", true);
        assert_eq!(texts(&departed), [""; 0]);
        // Once, and each further time that the store changes.
        departed.follow(&all, &gone, "ada", true);
        assert_eq!(texts(&departed), own);
        departed.follow(&gone, &gone, "ada", true);
        assert_eq!(texts(&departed), own);
        departed.follow(&gone, end, "ada", true);
        assert_eq!(texts(&departed), [""; 0]);
    }
    // With its last pod it is really gone.
    let mut departed = RetainedProtection::default();
    departed.follow(&all, &neither, "ada", true);
    assert_eq!(texts(&departed), [""; 0]);
}

#[test]
fn hosts_that_are_not_encrypted_are_not_protected_when_they_go() {
    let all = cluster(false, &[node("ada", 1), node("bob", 2), pod("bob", 5)]);
    let gone = cluster(false, &[node("ada", 1), pod("bob", 5)]);
    let mut departed = RetainedProtection::default();
    departed.follow(&all, &gone, "ada", true);
    assert_eq!(texts(&departed), ["10.9.0.2/32"]);
}

#[test]
fn an_agent_that_starts_later_recalls_what_no_resource_accounts_for() {
    let net = |text: &str| crate::intent::family::network(text).unwrap();
    let protected = ["10.0.0.2", "10.0.1.4", "10.0.1.5", "10.0.1.6", "fd00::2"];
    let found = Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: protected.map(net).into(),
            exceptions: [net("10.7.0.1")].into(),
            local: [net("10.7.0.1")].into(),
        }),
        ..Wanted::default()
    });
    let pods = [pod("bob", 5), pod("ada", 4)];
    let [of_bob, of_ada] = pods;
    let gone = cluster(true, &[node("ada", 1), of_bob.clone(), of_ada.clone()]);
    let mut departed = RetainedProtection::default();
    departed.recall(&gone, "ada", &found, true);
    // 10.0.1.4 and 10.0.1.5 are one network in the set.
    let recalled = ["10.0.0.2/32", "10.0.1.6/32", "fd00::2/128"];
    assert_eq!(texts(&departed), recalled);
    departed.follow(&gone, &gone, "ada", true);
    assert_eq!(texts(&departed), recalled);
    let whole = cluster(true, &[node("ada", 1), node("bob", 2), of_bob, of_ada]);
    departed.follow(&gone, &whole, "ada", true);
    assert_eq!(texts(&departed), [""; 0]);
    // Where every Node is there, nothing is recalled.
    departed.recall(&whole, "ada", &found, true);
    assert_eq!(texts(&departed), [""; 0]);
}

#[test]
fn a_host_s_retained_protection_outlives_host_encryption() {
    let all = |hosts| cluster(hosts, &[node("ada", 1), node("bob", 2), pod("bob", 5)]);
    let gone = |hosts| cluster(hosts, &[node("ada", 1), pod("bob", 5)]);
    let mut departed = RetainedProtection::default();
    departed.follow(&all(true), &gone(false), "ada", true);
    assert_eq!(
        texts(&departed),
        ["10.0.0.2/32", "10.9.0.2/32", "fd00::2/128"]
    );
    let mut departed = RetainedProtection::default();
    departed.follow(&all(false), &gone(true), "ada", true);
    assert_eq!(texts(&departed), ["10.9.0.2/32"]);
}

#[test]
fn a_network_of_a_setting_is_not_recalled_from_the_kernel() {
    let net = |text: &str| crate::intent::family::network(text).unwrap();
    let found = Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: ["10.0.0.2", "10.7.0.0/24"].map(net).into(),
            ..Protected::default()
        }),
        ..Wanted::default()
    });
    let mut gone = cluster(true, &[node("ada", 1), pod("bob", 5)]);
    gone.settings.strict = Some(crate::intent::settings::Strict {
        networks: [net("10.7.0.0/24")].into(),
        ..crate::intent::settings::Strict::default()
    });
    let mut departed = RetainedProtection::default();
    departed.recall(&gone, "ada", &found, true);
    assert_eq!(texts(&departed), ["10.0.0.2/32"]);
}

#[test]
fn while_something_cannot_be_read_what_is_protected_stays_so() {
    let net = |text: &str| crate::intent::family::network(text).unwrap();
    let found = Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: ["10.0.0.2", "fd00::2"].map(net).into(),
            ..Protected::default()
        }),
        ..Wanted::default()
    });
    let (alone, both) = (
        cluster(true, &[node("ada", 1)]),
        cluster(true, &[node("ada", 1), node("bob", 2)]),
    );
    let mut departed = RetainedProtection::default();
    departed.recall(&alone, "ada", &found, true);
    assert_eq!(texts(&departed), [""; 0]);
    departed.recall(&alone, "ada", &found, false);
    departed.follow(&alone, &alone, "ada", false);
    assert_eq!(texts(&departed), ["10.0.0.2/32", "fd00::2/128"]);
    departed.follow(&alone, &both, "ada", true);
    assert_eq!(texts(&departed), [""; 0]);
}

/// Bob's Node as it is before anything has written an address to it.
fn bare(spec: Value) -> Value {
    json!({"kind": "Node", "metadata": {"name": "bob"}, "spec": spec})
}

#[test]
fn a_node_that_is_there_without_an_address_stays_protected_until_it_has_one_or_is_deleted() {
    let all = cluster(true, &[node("ada", 1), node("bob", 2)]);
    let kubernetes = |annotations: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bob", "annotations": annotations}});
    let (host4, host6, tunnel) = ("10.0.0.2/32", "fd00::2/128", "10.9.0.2/32");
    let v4 = json!([{"address": "10.0.0.2"}]);
    let v6 = json!([{"address": "fd00::2"}]);
    let wireguard = json!({"interfaceIPv4Address": "10.9.0.2"});
    for (now, kept) in [
        (bare(json!({})), vec![host4, tunnel, host6]),
        (kubernetes(json!({})), vec![host4, tunnel, host6]),
        (bare(json!({"addresses": v4})), vec![tunnel, host6]),
        (
            bare(json!({"addresses": v4, "wireguard": wireguard})),
            vec![host6],
        ),
        (
            bare(json!({"addresses": v6, "wireguard": wireguard})),
            vec![host4],
        ),
        (
            kubernetes(json!({"projectcalico.org/IPv4Address": "10.0.0.3/24"})),
            vec![tunnel, host6],
        ),
        (node("bob", 3), vec![]),
    ] {
        let now = cluster(true, &[node("ada", 1), now]);
        let mut departed = RetainedProtection::default();
        departed.follow(&all, &now, "ada", true);
        assert_eq!(texts(&departed), kept);
        departed.follow(&now, &now, "ada", true);
        assert_eq!(texts(&departed), kept, "the second time");
        // It goes, and is there again as bare as before.
        let gone = cluster(true, &[node("ada", 1), pod("bob", 5)]);
        departed.follow(&now, &gone, "ada", true);
        departed.follow(
            &gone,
            &cluster(true, &[node("ada", 1), bare(json!({}))]),
            "ada",
            true,
        );
        let again = texts(&departed);
        assert!(kept.iter().all(|kept| again.contains(&(*kept).to_owned())));
        for end in [
            cluster(true, &[node("ada", 1), node("bob", 2)]),
            cluster(true, &[node("ada", 1)]),
        ] {
            let mut departed = RetainedProtection::default();
            departed.follow(&all, &now, "ada", true);
            departed.follow(&now, &end, "ada", true);
            assert_eq!(texts(&departed), [""; 0]);
        }
        // The node itself knows what it has.
        let mut departed = RetainedProtection::default();
        departed.follow(&all, &now, "bob", true);
        assert_eq!(texts(&departed), [""; 0]);
    }
    // Of its own no host speaks encrypted, and its tunnel does.
    let hosts_in_clear = |bob: Value| cluster(false, &[node("ada", 1), bob]);
    let (all, now) = (
        hosts_in_clear(node("bob", 2)),
        hosts_in_clear(bare(json!({}))),
    );
    let mut departed = RetainedProtection::default();
    departed.follow(&all, &now, "ada", true);
    assert_eq!(texts(&departed), [tunnel]);
    // Tunnels' addresses that all Nodes have lost are not missing.
    let mut without = node("bob", 2);
    without["spec"]["wireguard"] = json!({});
    let mut other = node("ada", 1);
    other["spec"]["wireguard"] = json!({});
    departed.follow(&now, &cluster(false, &[other, without]), "ada", true);
    assert_eq!(texts(&departed), [""; 0]);
}

#[test]
fn an_agent_that_starts_beside_a_node_without_an_address_recalls_what_it_had() {
    let net = |text: &str| crate::intent::family::network(text).unwrap();
    let found = Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: ["10.0.0.2", "10.9.0.2", "fd00::2"].map(net).into(),
            ..Protected::default()
        }),
        ..Wanted::default()
    });
    let (v4, v6) = ("10.0.0.2/32", "fd00::2/128");
    let whole = cluster(true, &[node("ada", 1), node("bob", 2)]);
    for (spec, kept) in [
        (json!({}), vec![v4, "10.9.0.2/32", v6]),
        (
            json!({"addresses": [{"address": "10.0.0.2"}], "wireguard": {"interfaceIPv4Address": "10.9.0.2"}}),
            vec![v6],
        ),
        (
            json!({"addresses": [{"address": "10.0.0.2"}, {"address": "fd00::2"}]}),
            vec!["10.9.0.2/32"],
        ),
    ] {
        let now = cluster(true, &[node("ada", 1), bare(spec)]);
        let mut departed = RetainedProtection::default();
        departed.recall(&now, "ada", &found, true);
        assert_eq!(texts(&departed), kept);
        departed.follow(&now, &now, "ada", true);
        assert_eq!(texts(&departed), kept);
        departed.follow(&now, &whole, "ada", true);
        assert_eq!(texts(&departed), [""; 0]);
    }
}

#[test]
fn protected_addresses_of_a_node_without_an_address_are_reported_in_strict_mode() {
    let all = cluster(true, &[node("ada", 1), node("bob", 2)]);
    let mut now = cluster(true, &[node("ada", 1), bare(json!({}))]);
    let mut departed = RetainedProtection::default();
    departed.follow(&all, &now, "ada", true);
    assert_eq!(departed.problems(&now, "ada"), [""; 0]);
    now.settings.strict = Some(crate::intent::settings::Strict::default());
    assert_eq!(
        departed.problems(&now, "ada"),
        [
            "10.0.0.2, 10.9.0.2 stay protected, though no resource names them: Node bob has no IPv4 address \
             of a host or of a tunnel; give it one, or delete it and what names it",
            "fd00::2 stays protected, though no resource names it: Node bob has no IPv6 address of a host or \
             of a tunnel; give it one, or delete it and what names it",
        ]
    );
}

/// What an agent has protected of bob.
fn protected_of_bob() -> Firewall {
    let net = |text: &str| crate::intent::family::network(text).unwrap();
    Firewall::new(&Wanted {
        strict: Some(Protected {
            networks: ["10.0.0.2", "fd00::2"].map(net).into(),
            ..Protected::default()
        }),
        ..Wanted::default()
    })
}

#[test]
fn a_pool_accounts_for_what_is_recalled_only_where_the_addresses_of_pods_are_its() {
    let pools = [("v4", "10.0.0.0/16"), ("v6", "fd00::/64")].map(|(name, cidr)| {
        json!({"kind": "IPPool", "metadata": {"name": name}, "spec": {"cidr": cidr}})
    });
    let [v4, v6] = pools;
    let mut gone = cluster(true, &[node("ada", 1), pod("bob", 5), v4, v6]);
    for (source, kept) in [
        (
            RouteSource::WorkloadIps,
            &["10.0.0.2/32", "fd00::2/128"][..],
        ),
        (RouteSource::CalicoIpam, &[]),
    ] {
        gone.settings.route_source = source;
        let mut departed = RetainedProtection::default();
        departed.recall(&gone, "ada", &protected_of_bob(), true);
        assert_eq!(texts(&departed), kept);
    }
}

#[test]
fn a_host_that_is_not_encrypted_misses_no_address() {
    let bob = bare(json!({"wireguard": {"interfaceIPv4Address": "10.9.0.2"}}));
    for (hosts, kept) in [(true, &["10.0.0.2/32", "fd00::2/128"][..]), (false, &[])] {
        let mut now = cluster(hosts, &[node("ada", 1), bob.clone()]);
        now.settings.strict = Some(crate::intent::settings::Strict::default());
        let mut departed = RetainedProtection::default();
        departed.recall(&now, "ada", &protected_of_bob(), true);
        assert_eq!(texts(&departed), kept);
        assert_eq!(departed.problems(&now, "ada").len(), kept.len());
    }
}

#[test]
fn addresses_that_a_mistake_may_have_removed_are_reported_in_strict_mode_with_the_mistake() {
    let mut now = cluster(true, &[node("ada", 1)]);
    let mut departed = RetainedProtection::default();
    departed.recall(&now, "ada", &protected_of_bob(), false);
    let why = "bob.yaml: no".to_owned();
    assert_eq!(departed.doubt(&now, "ada", Some(&why)), None);
    now.settings.strict = Some(crate::intent::settings::Strict::default());
    assert_eq!(departed.doubt(&now, "ada", None), None);
    let problem = "10.0.0.2, fd00::2 stay protected until this is corrected: \
                bob.yaml: no";
    assert_eq!(
        departed.doubt(&now, "ada", Some(&why)).as_deref(),
        Some(problem)
    );
}
