//! Strict mode that a FelixConfiguration with a nodeSelector asks for: a mistake in the node's labels, or in the
//! selector, does not lift it.

use std::path::Path;

use crate::{INSIDE, Node, applied, in_namespaces, ruleset_has, write};

const BOB: &str = "kind: Node\nmetadata: {name: bob}\n\
    spec: {bgp: {ipv4Address: 10.0.0.2/24, ipv6Address: 'fd00::2/64'}}\n";
const ADA: &str = "kind: Node\nmetadata:\n  name: ada\n  labels: {zone: a}\n\
    spec: {bgp: {ipv4Address: 10.0.0.1/24, ipv6Address: 'fd00::1/64'}}\n";
const DEFAULT: &str = "kind: FelixConfiguration\nmetadata: {name: default}\n\
    spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true}\n";
const ZONE: &str = "kind: FelixConfiguration\n\
    metadata: {name: zone-a, annotations: {wiremesh/strict: 'true'}}\n\
    spec:\n  nodeSelector: zone == 'a'\n";

/// The file, what is right in it, and the mistake in its place.
const MISTAKES: [(&str, &str, &str); 9] = [
    ("ada.yaml", "labels: {zone: a}", "labels: [zone]"),
    ("ada.yaml", "labels: {zone: a}", "labels: zone"),
    ("ada.yaml", "labels: {zone: a}", "labels: {zone: [a]}"),
    ("ada.yaml", "labels: {zone: a}", "labels: {zone: }"),
    ("ada.yaml", "labels:", "Labels:"),
    ("ada.yaml", "labels:", "lables:"),
    ("zone.yaml", "zone == 'a'", "zone = 'a'"),
    ("zone.yaml", "zone == 'a'", "[zone]"),
    ("zone.yaml", "nodeSelector", "nodeselector"),
];

#[test]
fn a_mistake_in_labels_or_a_selector_does_not_lift_strict_mode() {
    in_namespaces("labels::inside_a_mistake_in_labels");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_mistake_in_labels() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let resources = [
        ("bob.yaml", BOB),
        ("default.yaml", DEFAULT),
        ("zone.yaml", ZONE),
    ];
    let mut node = Node::start(folder.path(), &resources);
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    let drops = || ruleset_has(&["10.0.0.2", "fd00::2", "drop"]);
    let stays = |status: &str| status.contains("what is encrypted and dropped stays as it is");
    // Without labels nobody asks for strict mode.
    let last = applied(&node.until("was in sync", in_sync));
    assert!(!drops());
    write(&node.store, "ada.yaml", ADA);
    node.until("was in sync as one of the zone", |status| {
        in_sync(status) && applied(status) != last && drops()
    });
    for (file, right, mistake) in MISTAKES {
        let text = if file == "ada.yaml" { ADA } else { ZONE };
        assert!(text.contains(right));
        let mistaken = text.replace(right, mistake);
        for restarts in [false, true] {
            let put = |store: &Path| write(store, file, &mistaken);
            if restarts {
                node.restart(put);
            } else {
                put(&node.store);
            }
            // Labels that were known stay so, and the mistake is told.
            let reports_mistake = |status: &str| {
                let place = if file == "ada.yaml" {
                    "metadata."
                } else {
                    "zone-a"
                };
                stays(status) || !restarts && in_sync(status) && status.contains(place)
            };
            node.until("told of the mistake", reports_mistake);
            assert!(drops(), "{mistake}");
            write(&node.store, file, text);
            node.until("went on when the mistake was repaired", |status| {
                in_sync(status) && !status.contains("metadata.")
            });
            assert!(drops(), "{mistake}");
        }
    }
    // Another file that holds the same Node.
    for restarts in [false, true] {
        let unlabelled = ADA.replace("  labels: {zone: a}\n", "");
        let put = |store: &Path| write(store, "a.yaml", &unlabelled);
        if restarts {
            node.restart(put);
        } else {
            put(&node.store);
        }
        node.until("said that it lifts nothing", stays);
        assert!(drops());
        std::fs::remove_file(node.store.join("a.yaml")).unwrap();
        node.until("went on without the other file", in_sync);
        assert!(drops());
    }
    // What is taken out is not asked for.
    write(
        &node.store,
        "ada.yaml",
        &ADA.replace("{zone: a}", "{zone: b}"),
    );
    node.until("was in sync in another zone", |status| {
        in_sync(status) && !drops()
    });
}
