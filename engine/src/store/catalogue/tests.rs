//! Documents that come, change, turn bad and go.

use serde_json::json;

use super::*;
use crate::store::snapshot::Doubts;

fn node(name: &str, address: &str) -> Content {
    let node = json!({
        "kind": "Node", "metadata": {"name": name},
        "spec": {"bgp": {"ipv4Address": address}},
    });
    Content::read(&node, "here")
}

fn identity(name: &str) -> Identity {
    Identity {
        kind: "Node".into(),
        namespace: String::new(),
        name: name.into(),
    }
}

fn garbage() -> Option<Content> {
    Some(Content::Bad(None, "it is not JSON".to_owned().into()))
}

fn names(changed: &BTreeSet<Identity>) -> Vec<&str> {
    changed
        .iter()
        .map(|changed| changed.name.as_str())
        .collect()
}

/// The resources that a catalogue has, and the documents that are wrong.
fn has(catalogue: &Catalogue) -> (Vec<&str>, Vec<&str>) {
    let snapshot = catalogue.snapshot();
    (
        snapshot
            .resources
            .keys()
            .map(|id| id.name.as_str())
            .collect(),
        snapshot.bad.keys().map(String::as_str).collect(),
    )
}

fn problems(catalogue: &Catalogue) -> Vec<String> {
    catalogue.snapshot().problems().collect()
}

#[test]
fn a_put_returns_only_the_resources_that_it_changes() {
    let mut catalogue = Catalogue::default();
    assert_eq!(
        names(&catalogue.put("1", Some(node("a", "10.0.0.1")))),
        ["a"]
    );
    assert!(catalogue.put("1", Some(node("a", "10.0.0.1"))).is_empty());
    assert_eq!(
        names(&catalogue.put("1", Some(node("a", "10.0.0.2")))),
        ["a"]
    );
    assert_eq!(
        names(&catalogue.put("1", Some(node("b", "10.0.0.2")))),
        ["a", "b"]
    );
    assert_eq!(names(&catalogue.put("1", None)), ["b"]);
    assert_eq!(has(&catalogue), (vec![], vec![]));
}

#[test]
fn a_document_that_turns_bad_keeps_what_it_held() {
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("a", "10.0.0.1")));
    assert!(catalogue.put("1", garbage()).is_empty());
    assert_eq!(has(&catalogue), (vec!["a"], vec!["1"]));
    assert_eq!(catalogue.snapshot().bad["1"].identity, Some(identity("a")));
    // Bad twice is no reason to forget.
    assert!(catalogue.put("1", garbage()).is_empty());
    assert!(catalogue.put("1", Some(node("a", "moon"))).is_empty());
    assert_eq!(has(&catalogue), (vec!["a"], vec!["1"]));
    assert_eq!(
        names(&catalogue.put("1", Some(node("a", "10.0.0.3")))),
        ["a"]
    );
    assert_eq!(has(&catalogue), (vec!["a"], vec![]));
}

#[test]
fn while_a_document_may_be_any_resource_none_goes_away() {
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("a", "10.0.0.1")));
    catalogue.put("2", garbage());
    assert!(catalogue.put("1", None).is_empty());
    assert_eq!(has(&catalogue), (vec!["a"], vec!["2"]));
    // It was another one: what is gone is gone.
    assert_eq!(
        names(&catalogue.put("2", Some(node("b", "10.0.0.2")))),
        ["a", "b"]
    );
    assert_eq!(has(&catalogue), (vec!["b"], vec![]));
}

#[test]
fn of_two_documents_with_one_resource_the_first_counts() {
    let mut catalogue = Catalogue::default();
    catalogue.put("2", Some(node("a", "10.0.0.2")));
    assert_eq!(
        names(&catalogue.put("1", Some(node("a", "10.0.0.1")))),
        ["a"]
    );
    assert_eq!(has(&catalogue), (vec!["a"], vec!["2"]));
    assert_eq!(
        problems(&catalogue),
        [
            "2: holds Node a, as 1 does, which counts, with the addresses of both: delete one of them"
        ]
    );
    // The first turns bad: the second is good, and takes its place.
    assert_eq!(names(&catalogue.put("1", Some(node("a", "moon")))), ["a"]);
    assert_eq!(
        problems(&catalogue),
        [
            "1: `spec.bgp.ipv4Address` holds `moon`, which is no IPv4 address",
            "1: holds Node a, as 2 does, which counts, with the addresses of both: delete one of them"
        ]
    );
    assert_eq!(names(&catalogue.put("1", None)), ["a"]);
    assert_eq!(has(&catalogue), (vec!["a"], vec![]));
}

#[test]
fn a_resource_that_moves_to_another_document_stays() {
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("a", "10.0.0.1")));
    catalogue.put("2", Some(node("a", "10.0.0.1")));
    assert!(catalogue.put("1", None).is_empty());
    assert_eq!(has(&catalogue), (vec!["a"], vec![]));
}

fn pod(name: &str, node: Value, networks: Value) -> Content {
    let pod = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": name},
        "spec": {"node": node, "ipNetworks": networks},
    });
    Content::read(&pod, "here")
}

/// The node and the addresses of the only pod.
fn only_pod(catalogue: &Catalogue) -> (String, Vec<String>) {
    let resources: Vec<_> = catalogue.snapshot().resources.values().collect();
    let [Resource::Workload(pod)] = resources[..] else {
        panic!("{resources:?}");
    };
    let networks = pod.networks.iter().map(ToString::to_string);
    (pod.node.clone(), networks.collect())
}

#[test]
fn an_unreadable_field_of_a_pod_is_kept_and_the_others_count() {
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let mut catalogue = Catalogue::default();
    // An agent that starts knows nothing from before: what is right counts.
    let content = pod("x", json!("a"), json!(["10.0.1.1/32", "moon", "fd00::1"]));
    assert_eq!(names(&catalogue.put("1", Some(content))), ["x"]);
    let right: Vec<String> = all(&["10.0.1.1/32", "fd00::1/128"]);
    assert_eq!(only_pod(&catalogue), ("a".into(), right));
    assert_eq!(
        problems(&catalogue),
        ["1: `spec.ipNetworks` holds `moon`, which is no network"]
    );
    let content = pod("x", json!("b"), json!(["10.0.1.2/32"]));
    catalogue.put("1", Some(content));
    assert_eq!(only_pod(&catalogue).1, ["10.0.1.2/32"]);
    assert_eq!(problems(&catalogue), [""; 0]);
    // From now on something is known.
    for (node, networks, known) in [
        (
            json!("b"),
            json!(["10.0.1.3", "moon"]),
            &["10.0.1.3/32", "10.0.1.2/32"][..],
        ),
        (json!(7), json!(["10.0.1.3"]), &["10.0.1.3/32"]),
        (json!("b"), json!({}), &["10.0.1.3/32"]),
        (json!("b"), json!([]), &["10.0.1.3/32"]),
        (json!("b"), Value::Null, &["10.0.1.3/32"]),
    ] {
        catalogue.put("1", Some(pod("x", node, networks)));
        assert_eq!(only_pod(&catalogue), ("b".into(), all(known)));
        assert_eq!(problems(&catalogue).len(), 1);
    }
    // A resource that is gone is gone.
    assert_eq!(names(&catalogue.put("1", None)), ["x"]);
}

#[test]
fn an_address_of_a_node_that_cannot_be_read_any_more_stays() {
    let node = |v4: &str, v6: &str| {
        let node = json!({
            "kind": "Node", "metadata": {"name": "a"},
            "spec": {
                "bgp": {"ipv4Address": v4, "ipv6Address": v6},
                "wireguard": {"interfaceIPv4Address": "10.9.0.1"},
            },
        });
        Content::read(&node, "here")
    };
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(node("10.0.0.1", "fd00::1")));
    catalogue.put("1", Some(node("10.0.0.1/99", "fd00::2")));
    let Some(Resource::Node(read)) = catalogue.snapshot().resources.get(&identity("a")) else {
        panic!()
    };
    assert_eq!(read.endpoint.v4, "10.0.0.1".parse().ok());
    assert_eq!(read.endpoint.v6, "fd00::2".parse().ok());
    assert_eq!(read.tunnel_address.v4, "10.9.0.1".parse().ok());
    let addresses: Vec<_> = read.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["fd00::2", "10.0.0.1"]);
    assert_eq!(
        problems(&catalogue),
        ["1: `spec.bgp.ipv4Address` holds `10.0.0.1/99`, which is no IPv4 address"]
    );
}

#[test]
fn of_two_configurations_the_stricter_setting_counts_and_both_files_are_named() {
    let configuration = |strict: &str| {
        let configuration = json!({
            "kind": "FelixConfiguration",
            "metadata": {"name": "default", "annotations": {"wiremesh/strict": strict}},
        });
        Content::read(&configuration, "here")
    };
    let mut catalogue = Catalogue::default();
    catalogue.put("a", Some(configuration("false")));
    assert_eq!(
        names(&catalogue.put("b", Some(configuration("true")))),
        ["default"]
    );
    let strict = |catalogue: &Catalogue| match catalogue.snapshot().resources.values().next() {
        Some(Resource::Configuration(found)) => found.annotations["wiremesh/strict"].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(strict(&catalogue), "true");
    assert_eq!(
        problems(&catalogue),
        [
            "b: holds FelixConfiguration default, as a does, which counts, as strictly as either asks \
             for: delete one of them"
        ]
    );
    // The way back.
    assert_eq!(names(&catalogue.put("b", None)), ["default"]);
    assert_eq!(strict(&catalogue), "false");
    assert_eq!(problems(&catalogue), [""; 0]);
}

#[test]
fn a_pod_with_a_field_twice_is_protected_and_another_resource_is_not_used() {
    let double = || Mistake::from("the field `x` is there twice".to_owned());
    let pod = json!({
        "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
        "spec": {"node": "a", "ipNetworks": ["10.0.1.1"]},
    });
    let node = json!({"kind": "Node", "metadata": {"name": "a"}});
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(Content::ambiguous(&pod, "here", double())));
    catalogue.put("2", Some(Content::ambiguous(&node, "here", double())));
    assert_eq!(has(&catalogue), (vec!["x"], vec!["1", "2"]));
    assert_eq!(catalogue.snapshot().bad["2"].identity, Some(identity("a")));
}

#[test]
fn labels_that_cannot_be_read_stay_and_which_configurations_are_for_the_node_is_in_doubt() {
    let labelled = |metadata: Value| {
        let mut node = json!({"kind": "Node", "metadata": {"name": "a"}});
        let fields = node["metadata"].as_object_mut().unwrap();
        fields.extend(metadata.as_object().unwrap().clone());
        Content::read(&node, "here")
    };
    let right = json!({"labels": {"zone": "a", "spot": true, "generation": 3}});
    let configuration = |name: &str| {
        let configuration = json!({"kind": "FelixConfiguration", "metadata": {"name": name}});
        Content::read(&configuration, "here")
    };
    let labels = |catalogue: &Catalogue| match catalogue.snapshot().resources.get(&identity("a")) {
        Some(Resource::Node(node)) => node.labels.clone(),
        other => panic!("{other:?}"),
    };
    let mistakes = [
        (
            json!({"labels": ["zone"]}),
            "1: `metadata.labels` is not a mapping",
        ),
        (
            json!({"labels": "zone"}),
            "1: `metadata.labels` is not a mapping",
        ),
        (
            json!({"labels": {"zone": ["a"]}}),
            "1: `metadata.labels.zone` is not a text",
        ),
        (
            json!({"Labels": {"zone": "a"}}),
            "1: `metadata.Labels` is no field: did you mean `metadata.labels`?",
        ),
    ];
    for (mistake, problem) in mistakes {
        let mut catalogue = Catalogue::default();
        catalogue.put("1", Some(labelled(right.clone())));
        let known = labels(&catalogue);
        assert_eq!(known["spot"], "true");
        assert_eq!(known["generation"], "3");
        catalogue.put("1", Some(labelled(mistake.clone())));
        assert_eq!(labels(&catalogue), known);
        assert_eq!(problems(&catalogue), [problem]);
        let doubts = |catalogue: &Catalogue, node: &str| catalogue.snapshot().doubts(node, &[]);
        // Where labels decide nothing, they are in no doubt; and they are this Node's alone.
        catalogue.put("2", Some(configuration("default")));
        catalogue.put("3", Some(configuration("node.a")));
        assert_eq!(doubts(&catalogue, "a"), Doubts::default());
        catalogue.put("4", Some(configuration("zone-a")));
        assert_eq!(doubts(&catalogue, "a").mistake.as_deref(), Some(problem));
        assert_eq!(doubts(&catalogue, "b"), Doubts::default());
        // An agent that starts knows no labels.
        let mut started = Catalogue::default();
        started.put("1", Some(labelled(mistake)));
        started.put("4", Some(configuration("zone-a")));
        assert_eq!(doubts(&started, "a").mistake.as_deref(), Some(problem));
        // What is put right, or deleted, is.
        catalogue.put("1", Some(labelled(json!({}))));
        assert_eq!(labels(&catalogue), BTreeMap::new());
        assert_eq!(doubts(&catalogue, "a"), Doubts::default());
    }
    // Of two documents nobody knows which labels are meant.
    let mut catalogue = Catalogue::default();
    catalogue.put("1", Some(labelled(json!({}))));
    catalogue.put("2", Some(labelled(right)));
    catalogue.put("4", Some(configuration("zone-a")));
    assert!(catalogue.snapshot().doubts("a", &[]).mistake.is_some());
}

/// Other documents of a resource beside the one that counts.
mod doubles;

/// Mistakes that mean another thing than what was intended.
mod mistakes;
