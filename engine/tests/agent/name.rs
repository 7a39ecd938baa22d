//! A device's name that another link has: the other family goes on, the name is reported, the key is withheld,
//! and the device is made once the name is free.

use std::process::Command;

use crate::{INSIDE, Node, configuration, in_namespaces, write};

#[test]
fn a_name_that_another_link_has_stops_one_family_and_only_until_it_is_free() {
    in_namespaces("name::inside_a_name_is_taken");
}

fn configure(node: &Node, more: &str) {
    write(&node.store, "default.yaml", &configuration(more));
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_name_is_taken() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    ip(&["link", "add", "name", "wireguard.cali", "type", "bridge"]);
    let node = Node::start(folder.path(), &[("default.yaml", &configuration(""))]);
    let cannot = |family: &'static str, name: &'static str| {
        move |status: &str| {
            let taken = format!(
                "this node cannot encrypt {family}: another link has the name `{name}`, and is no \
                 WireGuard device"
            );
            status.contains("STATUS=in sync") && status.contains(&taken)
        }
    };
    let well =
        |status: &str| status.contains("STATUS=in sync") && !status.contains("cannot encrypt");
    node.until("told of IPv4's name", cannot("IPv4", "wireguard.cali"));
    assert_eq!(node.keys(), [false, true]);
    ip(&["link", "delete", "wireguard.cali"]);
    node.until("made the device when its name was free", well);
    assert_eq!(node.keys(), [true, true]);
    // The other family, and a link that stays: the loopback, then the uplink.
    for (name, more) in [
        ("lo", ", wireguardInterfaceNameV6: lo"),
        ("outside", ", wireguardInterfaceNameV6: outside"),
    ] {
        configure(&node, more);
        node.until("told of IPv6's name", cannot("IPv6", name));
        assert_eq!(node.keys(), [true, false]);
    }
    configure(&node, "");
    node.until("took its former name again", well);
    assert_eq!(node.keys(), [true, true]);
}
