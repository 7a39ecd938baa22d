//! Mistakes that mean another thing than what was intended.

use serde_json::json;

use super::*;

#[test]
fn a_pod_that_has_lost_its_spec_or_a_kind_keeps_its_addresses() {
    let right = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
        "spec": {"node": "a", "ipNetworks": ["10.0.1.1/32", "fd00::1/128"]},
    });
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut pod = right.clone();
        change(&mut pod);
        Content::read(&pod, "here")
    };
    let mistakes: [&dyn Fn(&mut Value); 9] = [
        &|pod| pod["spec"] = json!({}),
        &|pod| pod["spec"] = Value::Null,
        &|pod| pod["spec"] = json!({"a": 1}),
        &|pod| {
            let spec = pod["spec"].take();
            pod["status"] = spec;
        },
        &|pod| {
            let networks = pod["spec"]["ipNetworks"].take();
            pod["spec"]["podIPs"] = networks;
        },
        &|pod| pod["spec"]["ipNetworks"] = json!([]),
        &|pod| pod["kind"] = json!("WEP"),
        &|pod| pod["kind"] = json!("workload-endpoint"),
        &|pod| pod["kind"] = Value::Null,
    ];
    for (number, mistake) in mistakes.iter().enumerate() {
        let mut catalogue = Catalogue::default();
        catalogue.put("1", Some(changed(&|_| {})));
        catalogue.put("1", Some(changed(mistake)));
        let known = ["10.0.1.1/32".to_owned(), "fd00::1/128".to_owned()];
        assert_eq!(only_pod(&catalogue), ("a".into(), known.into()), "{number}");
        assert!(!problems(&catalogue).is_empty(), "{number}");
    }
    // Another resource is in its place.
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(changed(&|_| {})));
    catalogue.put("1", Some(changed(&|pod| pod["kind"] = json!("BGPPeer"))));
    assert_eq!(has(&catalogue).0, [""; 0]);
}

#[test]
fn a_configuration_of_a_kind_or_a_name_that_there_is_not_may_be_the_node_s() {
    let configuration = |kind: &str, metadata: Value| {
        let configuration = json!({"kind": kind, "metadata": metadata});
        Content::read(&configuration, "here")
    };
    let strict = || json!({"name": "default", "annotations": {"wiremesh/strict": "true"}});
    for kind in ["FelixConfig", "Felix", "felix-configuration", "ConfigMap"] {
        let mut catalogue = Catalogue::default();
        catalogue.put("1", Some(configuration("FelixConfiguration", strict())));
        catalogue.put("1", Some(configuration(kind, strict())));
        assert_eq!(has(&catalogue), (vec!["default"], vec!["1"]), "{kind}");
        // An agent that starts knows nothing from before.
        let mut started = Catalogue::default();
        started.put("1", Some(configuration(kind, strict())));
        let doubts = started.snapshot().doubts("ada", &[]);
        assert!(doubts.unread.is_some(), "{kind}");
        assert!(
            started.snapshot().without_configuration().is_some(),
            "{kind}"
        );
    }
    // A setting in the wrong part of the metadata.
    for metadata in [
        json!({"name": "default", "labels": {"wiremesh/strict": "true"}}),
        json!({"name": "default", "labels": {"config.projectcalico.org/x": "true"}}),
        json!({"name": "default", "notes": {"wiremesh/strict": "true"}}),
    ] {
        let mut catalogue = Catalogue::default();
        catalogue.put(
            "1",
            Some(configuration("FelixConfiguration", metadata.clone())),
        );
        let doubts = catalogue.snapshot().doubts("ada", &[]);
        assert!(doubts.mistake.is_some(), "{metadata}");
    }
    let labelled = json!({"name": "default", "labels": {"team": "net"}, "uid": "x"});
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(configuration("FelixConfiguration", labelled)));
    assert_eq!(problems(&catalogue), [""; 0]);
    // The name of a node that there is not.
    for (name, is_own) in [
        ("node.ada", true),
        ("node.adaa", true),
        ("node.aad", true),
        ("node.", true),
        ("node.ada.example.com", true),
        ("node.bob", false),
        ("node.bobb", false),
    ] {
        let mut catalogue = Catalogue::default();
        catalogue.put("1", Some(node("ada", "10.0.0.1")));
        catalogue.put("2", Some(node("bob", "10.0.0.2")));
        catalogue.put(
            "3",
            Some(configuration("FelixConfiguration", json!({"name": name}))),
        );
        let (_, wrong) =
            wiremesh_plan::intent::cluster::Cluster::new("ada", &catalogue.snapshot().resources);
        assert_eq!(
            wrong.is_empty(),
            ["node.ada", "node.bob"].contains(&name),
            "{name}"
        );
        let doubts = catalogue.snapshot().doubts("ada", &wrong);
        let in_doubt = is_own && name != "node.ada";
        assert_eq!(doubts.mistake.is_some(), in_doubt, "{name}");
    }
}

/// A document of the kind that is wrong as a whole, and holds that resource as far as is known.
fn bad(kind: &str, name: &str) -> Content {
    let identity = Identity {
        kind: kind.into(),
        namespace: String::new(),
        name: name.into(),
    };
    Content::Bad(Some(identity), format!("{kind} {name} is wrong").into())
}

#[test]
fn a_node_whose_last_good_state_is_known_is_read() {
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("ada", "10.0.0.1")));
    catalogue.put("1", Some(bad("Node", "ada")));
    catalogue.put("2", Some(bad("Node", "bob")));
    let unread = catalogue.snapshot().unread_nodes();
    assert_eq!(unread, BTreeSet::from(["bob".to_owned()]));
}

#[test]
fn every_configuration_that_may_apply_to_the_node_raises_a_doubt_and_the_first_is_reported() {
    let unread = |names: &[&str]| {
        let mut catalogue = Catalogue::default();
        catalogue.put("0", Some(node("ada", "10.0.0.1")));
        catalogue.put("00", Some(node("bob", "10.0.0.2")));
        for (number, name) in names.iter().enumerate() {
            let document = format!("{}", number + 1);
            catalogue.put(&document, Some(bad("FelixConfiguration", name)));
        }
        catalogue.snapshot().doubts("ada", &[]).unread
    };
    let problem =
        |file: u8, name: &str| Some(format!("{file}: FelixConfiguration {name} is wrong"));
    assert_eq!(unread(&["default"]), problem(1, "default"));
    assert_eq!(unread(&["zone-a"]), problem(1, "zone-a"));
    assert_eq!(unread(&["node.ada"]), problem(1, "node.ada"));
    assert_eq!(unread(&["node.bob"]), None);
    assert_eq!(
        unread(&["node.bob", "zone-a", "default"]),
        problem(2, "zone-a")
    );
}

#[test]
fn an_unreadable_resource_is_reported_before_a_mistake() {
    let both = Doubts {
        unread: Some("unread".into()),
        mistake: Some("mistake".into()),
    };
    assert_eq!(both.forbid_lifting(true).unwrap(), "unread");
    assert_eq!(both.forbid_lifting(false).unwrap(), "unread");
    let mistake = Doubts {
        unread: None,
        ..both
    };
    assert_eq!(mistake.forbid_lifting(true).unwrap(), "mistake");
    assert_eq!(mistake.forbid_lifting(false), None);
}

#[test]
fn of_a_pod_with_a_field_twice_neither_node_is_believed() {
    let of = |node: &str| {
        json!({
            "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
            "spec": {"node": node, "ipNetworks": ["10.0.1.1/32"]},
        })
    };
    let double = Mistake::from("the field `node` is there twice".to_owned());
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(Content::read(&of("a"), "here")));
    catalogue.put("1", Some(Content::ambiguous(&of("b"), "here", double)));
    assert_eq!(
        only_pod(&catalogue),
        ("a".into(), vec!["10.0.1.1/32".into()])
    );
}

#[test]
fn a_label_that_is_nothing_and_tunnels_that_are_no_mapping_stay_as_they_were() {
    let mut catalogue = Catalogue::default();
    let of = |label: Value, wireguard: Value| {
        let node = json!({
            "kind": "Node", "metadata": {"name": "a", "labels": {"zone": label}},
            "spec": {"bgp": {"ipv4Address": "10.0.0.1", "ipv6Address": "fd00::1"}, "wireguard": wireguard},
        });
        Some(Content::read(&node, "here"))
    };
    let tunnels = || json!({"interfaceIPv4Address": "10.9.0.1", "interfaceIPv6Address": "fd09::1"});
    catalogue.put("1", of(json!("a"), tunnels()));
    let known = catalogue.snapshot().resources.clone();
    for (label, wireguard, problem) in [
        (
            Value::Null,
            tunnels(),
            "1: `metadata.labels.zone` is not a text",
        ),
        (
            json!("a"),
            json!("wg0"),
            "1: `spec.wireguard` is not a mapping",
        ),
    ] {
        catalogue.put("1", of(label, wireguard));
        assert_eq!(catalogue.snapshot().resources, known, "{problem}");
        assert_eq!(problems(&catalogue), [problem]);
    }
}
