//! Encrypt or drop where a Node has lost its addresses: what was protected stays so.

use std::path::Path;

use crate::{INSIDE, Node, in_namespaces, ruleset_has, write};

const STRICT: &str = "kind: FelixConfiguration\n\
    metadata: {name: default, annotations: {wiremesh/strict: 'true'}}\n\
    spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true}\n";
const BOB: &str = "kind: Node\nmetadata: {name: bob}\n\
    spec: {bgp: {ipv4Address: 10.0.0.2/24, ipv6Address: 'fd00::2/64'}}\n";

/// As `calicoctl` and Kubernetes leave it; the last one has lost one family's.
const BARE: [&str; 4] = [
    "kind: Node\nmetadata: {name: bob}\nspec: {}\n",
    "kind: Node\nmetadata: {name: bob}\n",
    "apiVersion: v1\nkind: Node\nmetadata: {name: bob}\nstatus: {addresses: [{type: Hostname, address: bob}]}\n",
    "kind: Node\nmetadata: {name: bob}\nspec: {bgp: {ipv4Address: 10.0.0.2/24}}\n",
];

#[test]
fn a_node_that_lost_its_addresses_is_protected_until_it_is_deleted() {
    in_namespaces("bare::inside_a_node_without_addresses");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_node_without_addresses() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let resources = [("default.yaml", STRICT), ("bob.yaml", BOB)];
    let mut node = Node::start(folder.path(), &resources);
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    let reports_protection =
        |status: &str| in_sync(status) && status.contains("protected, though no resource names");
    let drops = || ruleset_has(&["10.0.0.2", "fd00::2"]);
    node.until("was in sync", in_sync);
    assert!(drops());
    for bare in BARE {
        for restarts in [false, true] {
            let put = |store: &Path| write(store, "bob.yaml", bare);
            if restarts {
                node.restart(put);
            } else {
                put(&node.store);
            }
            node.until("told what stays protected", reports_protection);
            assert!(drops(), "{bare}");
            let status = node.status();
            assert!(
                status.contains("protected, though no resource names"),
                "{status}"
            );
            write(&node.store, "bob.yaml", BOB);
            node.until("was in sync with the Node", |status| {
                in_sync(status) && !reports_protection(status)
            });
            assert!(drops(), "{bare}");
        }
    }
    // Deleted, it is gone.
    write(&node.store, "bob.yaml", BARE[0]);
    node.until("told what stays protected", reports_protection);
    std::fs::remove_file(node.store.join("bob.yaml")).unwrap();
    node.until("was in sync without the Node", |status| {
        in_sync(status) && !reports_protection(status)
    });
    assert!(!ruleset_has(&["10.0.0.2"]) && !ruleset_has(&["fd00::2"]));
}
