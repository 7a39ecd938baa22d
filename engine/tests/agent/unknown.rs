//! `status` on a node whose agent has ended: its Node is gone, or a setting is not set.

use std::fs;
use std::path::Path;

use crate::{INSIDE, Node, configuration, in_namespaces, write};

const STRICT: &str = "kind: FelixConfiguration\n\
    metadata: {name: default, annotations: {wiremesh/strict: 'true'}}\n\
    spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true}\n";

#[test]
fn a_node_that_waits_for_its_node_changes_nothing_and_a_setting_that_is_not_set_is_named() {
    in_namespaces("unknown::inside_a_node_that_waits");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_node_that_waits() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::start(folder.path(), &[("default.yaml", STRICT)]);
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    node.until("was in sync", in_sync);
    node.agent.kill().unwrap();
    node.agent.wait().unwrap();
    let own = fs::read_to_string(node.store.join("ada.yaml")).unwrap();
    fs::remove_file(node.store.join("ada.yaml")).unwrap();
    // A mistake that would hold what is in force makes no difference.
    for text in [STRICT, &STRICT.replace("spec:", "Spec:")] {
        write(&node.store, "default.yaml", text);
        let status = node.status();
        assert!(status.contains("waiting for its Node"), "{status}");
        assert!(!status.contains("to be made"), "{status}");
    }
    let put = |store: &Path, more: &str| {
        write(store, "ada.yaml", &own);
        write(store, "default.yaml", &configuration(more));
    };
    for (field, mtu) in [("wireguardMTU", 1501), ("wireguardMTUV6", 1502)] {
        put(&node.store, &format!(", {field}: {mtu}"));
        let status = node.status();
        let problem =
            format!("`spec.{field}` is {mtu}, more than the uplink's 1500, and is not set");
        assert!(status.contains(&problem), "{status}");
    }
}
