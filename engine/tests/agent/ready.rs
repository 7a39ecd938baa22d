//! A ClusterInformation whose `datastoreReady` is false, as Calico sets it while it migrates a store: the agent
//! changes nothing and reports why, and goes on when it is true.

use std::path::Path;

use crate::{INSIDE, Node, configuration, in_namespaces, write};

/// A file name and a resource.
const FILE: &str = "information.yaml";

fn information(ready: bool) -> String {
    format!(
        "kind: ClusterInformation\nmetadata: {{name: default}}\nspec: {{datastoreReady: {ready}}}\n"
    )
}

#[test]
fn a_store_that_is_not_ready_changes_nothing_until_it_is() {
    in_namespaces("ready::inside_a_store_is_not_ready");
}

fn has_device() -> bool {
    Path::new("/proc/sys/net/ipv4/conf/wireguard.cali").exists()
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_store_is_not_ready() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (on, not_ready) = (configuration(""), information(false));
    let resources = [("default.yaml", on.as_str()), (FILE, &not_ready)];
    let node = Node::start(folder.path(), &resources);
    let waits = |status: &str| status.contains("`spec.datastoreReady` is false");
    node.until("said that the store is not ready", waits);
    assert!(!has_device());
    assert_eq!(node.keys(), [false, false]);

    write(&node.store, FILE, &information(true));
    let encrypts = |status: &str| status.contains("STATUS=in sync");
    node.until("went on when the store was ready", encrypts);
    assert!(has_device());
    assert_eq!(node.keys(), [true, true]);

    // The second time, and the way back: what changes meanwhile counts when the store is ready.
    write(&node.store, FILE, &information(false));
    node.until("said again that the store is not ready", waits);
    assert!(has_device(), "what was made stays");
    let off = configuration("").replace("true", "false");
    write(&node.store, "default.yaml", &off);
    write(&node.store, FILE, &information(true));
    let over = |status: &str| status.contains("STATUS=") && !waits(status) && !has_device();
    node.until("switched encryption off when the store was ready", over);
    assert_eq!(node.keys(), [false, false]);
}
