//! Documents that come, change, turn bad and go.

use serde_json::json;

use super::*;

fn node(name: &str, address: &str) -> Content {
    Content::read(&json!({
        "kind": "Node", "metadata": {"name": name},
        "spec": {"bgp": {"ipv4Address": address}},
    }))
}

fn identity(name: &str) -> Identity {
    Identity {
        kind: "Node".into(),
        namespace: String::new(),
        name: name.into(),
    }
}

fn garbage() -> Option<Content> {
    Some(Content::Bad(None, "it is not JSON".into()))
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

#[test]
fn only_what_a_document_changes_is_told() {
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
        catalogue.snapshot().bad["2"].what,
        "another file holds Node a already"
    );
    // The first turns bad: the second is good, and takes its place.
    assert_eq!(names(&catalogue.put("1", Some(node("a", "moon")))), ["a"]);
    assert_eq!(has(&catalogue), (vec!["a"], vec!["1"]));
    assert!(catalogue.put("1", None).is_empty());
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
