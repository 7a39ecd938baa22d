//! Mistakes that say another thing than what is meant.

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
            crate::intent::cluster::Cluster::new("ada", &catalogue.snapshot().resources);
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
