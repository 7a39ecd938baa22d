//! A node that can make a device only later.

use std::process::Command;

use crate::{INSIDE, Node, configuration, in_namespaces};

#[test]
fn a_node_that_can_make_a_device_later_encrypts_at_the_next_resync() {
    in_namespaces("device::inside_a_node_without_tun");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_node_without_tun() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).status();
        assert!(status.unwrap().success(), "{program} {arguments:?}");
    };
    let folder = tempfile::tempdir().unwrap();
    // In the mount namespace of this test alone.
    run("mount", &["-t", "tmpfs", "none", "/dev/net"]);
    let configuration = configuration(", routeRefreshInterval: 1s");
    let resources = [("default.yaml", configuration.as_str())];
    let node = Node::start_with(folder.path(), &resources, &["--backend", "userspace"]);
    node.until("said that it cannot encrypt", |status| {
        status.contains("this node cannot encrypt: ")
    });
    assert_eq!(node.keys(), [false, false]);
    run("umount", &["/dev/net"]);
    node.until("was in sync with a device", |status| {
        status.contains("STATUS=in sync") && !status.contains("cannot encrypt")
    });
    assert_eq!(node.keys(), [true, true]);
}
