//! Each state of a node and its peers, and whether it is as intended.

use wiremesh_plan::intent::cluster::Plain;

use super::*;
use crate::agent::health::Mesh;

/// `ada` with its peer `bob`; `a-long-name` is as the test has it.
fn check(cluster: &Cluster, device: Option<&State>) -> Vec<String> {
    let actual = dataplane();
    status(cluster, device, &actual).deviations()
}

pub(super) fn of(resources: &[Value]) -> Cluster {
    let resources = resources.iter().map(|resource| read(resource).unwrap());
    Cluster::new("ada", &resources.collect()).0
}

fn enabled() -> Value {
    json!({"wireguardEnabled": true})
}

pub(super) fn peered() -> State {
    state(&["10.0.1.2/32"], Some(75))
}

/// A configuration for all, `ada` and `bob` with keys, and what else there is.
pub(super) fn with(annotations: Value, more: &[Value]) -> Cluster {
    let common = [
        node("ada", 1, Some(1)),
        node("bob", 2, Some(2)),
        configuration("default", enabled(), annotations),
    ];
    of(&[&common, more].concat())
}

#[test]
fn a_mesh_of_nodes_with_keys_is_as_intended() {
    let cluster = with(json!({}), &[]);
    assert_eq!(check(&cluster, Some(&peered())), [""; 0]);
    let (device, actual) = (peered(), dataplane());
    let status = status(&cluster, Some(&device), &actual);
    assert_eq!(status.check_text(), "\nall is as intended\n");
}

#[test]
fn a_cluster_that_is_asked_for_nothing_is_as_intended_in_clear() {
    let nodes = [node("ada", 1, None), node("bob", 2, None)];
    assert_eq!(check(&of(&nodes), None), [""; 0]);
}

/// Strict mode in one family alone leaves the other in clear: `--check` reports that where it has addresses.
#[test]
fn in_strict_mode_a_family_whose_encryption_is_off_is_not_as_intended() {
    let check_with = |v6: Value, networks: &str| {
        let mut annotations = json!({"wiremesh/strict": "true"});
        if !networks.is_empty() {
            annotations["wiremesh/strict-networks"] = json!(networks);
        }
        let spec = json!({"wireguardEnabled": true, "wireguardEnabledV6": v6});
        let nodes = [node("ada", 1, Some(1)), node("bob", 2, Some(2))];
        let configuration = configuration("default", spec, annotations);
        let cluster = of(&[&nodes[..], &[configuration]].concat());
        check(&cluster, Some(&peered()))
    };
    let off = "IPv6: encryption is off, and everything goes in clear, while strict mode is asked for: run \
               `wiremesh enable`";
    assert_eq!(check_with(json!(false), ""), [""; 0]);
    assert_eq!(check_with(json!(false), "10.1.0.0/16"), [""; 0]);
    assert_eq!(check_with(json!(false), "fd00:99::/32"), [off]);
}

#[test]
fn pending_changes_and_problems_are_not_as_intended() {
    let cluster = with(json!({}), &[]);
    let pending = [Change::SwitchOn {
        family: Family::V4,
        name: "wireguard.cali".into(),
    }];
    let problems = ["pod.json: it is not JSON".to_owned()];
    let (device, actual) = (peered(), dataplane());
    let status = Status {
        pending: &pending,
        problems: &problems,
        ..status(&cluster, Some(&device), &actual)
    };
    assert_eq!(
        status.check_text(),
        "\nnot as intended\n  still to be made: switch wireguard.cali on\n  pod.json: it is not JSON\n"
    );
}

#[test]
fn a_peer_that_is_yet_to_be_made_is_not_as_intended() {
    let mut device = peered();
    device.peers.clear();
    assert_eq!(
        check(&with(json!({}), &[]), Some(&device)),
        ["IPv4: bob is yet to be made a peer"]
    );
}

#[test]
fn a_node_without_a_key_is_in_clear_against_the_intent_and_cut_off_in_strict_mode() {
    let keyless = [node("zoe", 4, None)];
    assert_eq!(
        check(&with(json!({}), &keyless), Some(&peered())),
        ["IPv4: zoe is reached in clear: it has published no key"]
    );
    let strict = json!({"wiremesh/strict": "true"});
    assert_eq!(
        check(&with(strict, &keyless), Some(&peered())),
        ["IPv4: zoe is cut off: it has published no key"]
    );
}

#[test]
fn a_node_that_is_listed_or_taken_out_is_in_clear_as_intended() {
    let keyless = [node("zoe", 4, None)];
    let listed = json!({"wiremesh/strict": "true", "wiremesh/plain-nodes": "zoe"});
    assert_eq!(check(&with(listed, &keyless), Some(&peered())), [""; 0]);
    let off = json!({"wireguardEnabled": false});
    let out = [
        node("zoe", 4, None),
        configuration("node.zoe", off, json!({})),
    ];
    assert_eq!(check(&with(json!({}), &out), Some(&peered())), [""; 0]);
}

#[test]
fn two_nodes_with_one_key_are_not_as_intended() {
    let same = [node("zoe", 4, Some(2))];
    assert_eq!(
        check(&with(json!({}), &same), Some(&peered())),
        [
            "IPv4: bob is reached in clear: its key is also zoe's",
            "IPv4: zoe is reached in clear: its key is also bob's",
        ]
    );
}

#[test]
fn a_key_that_is_not_published_is_not_as_intended() {
    let mut device = peered();
    device.public_key = Some(key(9));
    assert_eq!(
        check(&with(json!({}), &[]), Some(&device)),
        ["IPv4: this node's key is not published"]
    );
}

#[test]
fn a_family_in_which_a_node_has_nothing_to_send_is_as_intended() {
    let both = json!({"wireguardEnabled": true, "wireguardEnabledV6": true});
    let nodes = |pods: &[Value]| {
        let common = [
            node("ada", 1, Some(1)),
            node("bob", 2, Some(2)),
            configuration("default", both.clone(), json!({})),
        ];
        of(&[&common, pods].concat())
    };
    assert_eq!(check(&nodes(&[]), Some(&peered())), [""; 0]);
    let pool = json!({
        "kind": "IPAMBlock", "metadata": {"name": "b"},
        "spec": {"cidr": "fd00::/122", "affinity": "host:ada", "allocations": [], "attributes": []},
    });
    assert_eq!(
        check(&nodes(&[pool]), Some(&peered())),
        ["IPv6: this node does not encrypt: this node has no IPv6 address"]
    );
}

#[test]
fn a_peer_that_a_rule_of_others_sends_past_the_tunnel_is_not_as_intended() {
    for (annotations, effect, how, state) in [
        (json!({}), clear(), "reached in clear", "plain"),
        (
            json!({"wiremesh/strict": "true"}),
            clear(),
            "cut off",
            "dropped",
        ),
        (json!({}), Effect::Refused, "cut off", "dropped"),
    ] {
        let cluster = with(annotations, &[]);
        let (device, actual) = (peered(), dataplane());
        let mut bypasses = PerFamily::default();
        let bypass = Bypass {
            network: "10.0.0.2/32".parse().unwrap(),
            owner: "bob".into(),
            rule: "20: from all lookup main".into(),
            effect,
        };
        let what = bypass.to_string();
        bypasses.v4 = vec![bypass];
        let status = Status {
            bypasses: &bypasses,
            ..status(&cluster, Some(&device), &actual)
        };
        assert_eq!(status.deviations(), [format!("IPv4: bob is {how}: {what}")]);
        assert!(!status.text().contains("in sync"), "{}", status.text());
        let json = status.json();
        assert_eq!(json["in_sync"], false);
        let family = &json["families"][0];
        assert_eq!(family["peers"][0]["state"], state);
        assert_eq!(family["peers"][0]["because"], what);
        assert_eq!(family["bypasses"][0]["rule"], "20: from all lookup main");
    }
}

fn clear() -> Effect {
    Effect::Clear("eth0".into())
}

#[test]
fn of_several_rules_status_and_agent_report_the_one_that_sends_traffic_in_clear() {
    let cluster = with(json!({}), &[]);
    let (device, actual) = (peered(), dataplane());
    let of = |priority: u32, effect| Bypass {
        network: "10.0.0.2/32".parse().unwrap(),
        owner: "bob".into(),
        rule: format!("{priority}: from all lookup main"),
        effect,
    };
    let bypasses = PerFamily {
        v4: vec![of(20, Effect::Refused), of(21, clear())],
        v6: Vec::new(),
    };
    let expected = bypasses.v4[1].to_string();
    let status = Status {
        bypasses: &bypasses,
        ..status(&cluster, Some(&device), &actual)
    };
    let json = &status.json()["families"][0]["peers"][0];
    assert_eq!(
        (&json["state"], &json["because"]),
        (&json!("plain"), &json!(expected))
    );
    let mesh = Mesh::of(&cluster, "ada", Family::V4, None, &bypasses.v4);
    let bypassed = BTreeMap::from([("bob".to_owned(), Plain::Bypassed(expected))]);
    assert_eq!((mesh.plain, mesh.dropped), (bypassed, BTreeMap::new()));
}

#[test]
fn settings_that_a_mistake_holds_in_force_are_reported_from_the_kernel() {
    // By what can be read encryption is off; the kernel encrypts to bob and drops the rest.
    let keyless = [node("zoe", 4, None)];
    let off = json!({"wireguardEnabled": false, "routeSource": "WorkloadIPs"});
    let off = configuration("default", off, json!({}));
    let pod = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": "pod"},
        "spec": {"node": "zoe", "ipNetworks": ["10.0.1.4/32"]},
    });
    let nodes = [node("ada", 1, Some(1)), node("bob", 2, Some(2)), off, pod];
    let cluster = of(&[&nodes[..], &keyless].concat());
    let device = peered();
    let drops = |networks: &[&str]| {
        let mut actual = dataplane();
        let networks = networks.iter().map(|network| network.parse().unwrap());
        actual.firewall.sets = BTreeMap::from([("protected4".to_owned(), networks.collect())]);
        actual
    };
    let lines = |actual: &Dataplane, device: Option<&State>| {
        let status = Status {
            held: true,
            ..status(&cluster, device, actual)
        };
        let json = status.json();
        assert_eq!(
            (&json["held"], &json["strict"], &json["in_sync"]),
            (&json!(true), &Value::Null, &json!(false))
        );
        status.text()
    };
    let text = lines(&drops(&["10.0.0.0/24"]), Some(&device));
    for expected in [
        "  state    unchanged: the configuration has a mistake\n",
        "  hosts    unknown: the configuration has a mistake\n",
        "  strict   unknown: the configuration has a mistake; now it is in force\n",
        "  bob      encrypted to 10.0.0.2:51820",
        "  zoe      dropped: it has published no key\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    // An exception goes in clear, though its network is protected.
    let mut exempt = drops(&["10.0.0.0/24"]);
    let plain = ["10.0.0.4/32".parse().unwrap()].into();
    exempt.firewall.sets.insert("plain4".into(), plain);
    let text = lines(&exempt, Some(&device));
    assert!(
        text.contains("  zoe      in clear: it has published no key\n"),
        "{text}"
    );
    // Without host encryption the pods' addresses alone are protected.
    let text = lines(&drops(&["10.0.1.4/32"]), Some(&device));
    assert!(
        text.contains("  zoe      dropped: it has published no key\n"),
        "{text}"
    );
    // What the kernel does not drop goes in clear, and a node with a key need not be a peer.
    let mut lonely = peered();
    lonely.peers.clear();
    let text = lines(&drops(&["10.0.0.2/32"]), Some(&lonely));
    for expected in [
        "  bob      dropped: the device has no such peer\n",
        "  zoe      in clear: it has published no key\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn changes_that_follow_from_resources_with_mistakes_are_those_of_an_agent_that_starts() {
    let cluster = with(json!({}), &[]);
    let pending = [Change::SwitchOn {
        family: Family::V4,
        name: "wireguard.cali".into(),
    }];
    let (device, actual) = (peered(), dataplane());
    let status = Status {
        pending: &pending,
        partly_known: true,
        ..status(&cluster, Some(&device), &actual)
    };
    assert_eq!(
        status.deviations(),
        ["to be made by an agent that starts now: switch wireguard.cali on"]
    );
    let text = status.text();
    assert!(
        text.contains(
            "  state    resources have mistakes: what they held before stays if the agent has read it\n"
        ) && text
            .ends_with("\nto be made by an agent that starts now\n  switch wireguard.cali on\n"),
        "{text}"
    );
}

#[test]
fn a_pod_that_no_block_covers_is_in_clear_against_the_intent() {
    let of_source = |spec: Value, strict: Value| {
        let pods = ["10.0.1.4/32", "10.0.1.5/32", "fd00::5/128"].map(|network| {
            json!({
                "kind": "WorkloadEndpoint", "metadata": {"name": network.replace(['/', ':'], "-")},
                "spec": {"node": "bob", "ipNetworks": [network]},
            })
        });
        let configuration = configuration("default", spec, strict);
        let nodes = [
            node("ada", 1, Some(1)),
            node("bob", 2, Some(2)),
            configuration,
        ];
        of(&[&nodes[..], &pods].concat())
    };
    let device = peered();
    let actual = dataplane();
    let reported = |cluster: &Cluster| -> Vec<_> {
        let deviations = status(cluster, Some(&device), &actual).deviations();
        let outside = deviations.into_iter();
        outside
            .filter(|what| what.contains("no IPAMBlock"))
            .collect()
    };
    let by_block = json!({"wireguardEnabled": true});
    let found = reported(&of_source(by_block.clone(), json!({})));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .starts_with("IPv4: 2 pods of other nodes, 10.0.1.4 among them, are reached in clear"),
        "{found:?}"
    );
    let by_workload = json!({"wireguardEnabled": true, "routeSource": "WorkloadIPs"});
    let strict = json!({"wiremesh/strict": "true"});
    for cluster in [
        of_source(by_workload, json!({})),
        of_source(by_block, strict),
    ] {
        assert_eq!(reported(&cluster), [""; 0]);
    }
}
