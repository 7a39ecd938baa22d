//! A UDP port that another program has: the other family goes on, the program is named, the key is
//! withheld, and the port is taken once it is free.

use std::fs;
use std::net::UdpSocket;

use crate::{INSIDE, Node, configuration, in_namespaces, write};

#[test]
fn a_port_that_another_program_has_stops_one_family_and_only_until_it_is_free() {
    in_namespaces("port::inside_a_port_is_taken");
}

fn in_sync(status: &str) -> bool {
    status.contains("STATUS=in sync")
}

fn configure(node: &Node, more: &str) {
    write(&node.store, "default.yaml", &configuration(more));
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_port_is_taken() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let v4 = UdpSocket::bind("0.0.0.0:51820").unwrap();
    let node = Node::start(folder.path(), &[("default.yaml", &configuration(""))]);
    let cannot = |family: &'static str, port: u16| {
        let process = std::process::id();
        move |status: &str| {
            let taken = format!("this node cannot encrypt {family}: UDP port {port} is taken by ");
            in_sync(status)
                && status.contains(&taken)
                && status.contains(&format!("(process {process})"))
        }
    };
    let well = |status: &str| in_sync(status) && !status.contains("cannot encrypt");
    node.until(
        "named the program that has IPv4's port",
        cannot("IPv4", 51820),
    );
    assert_eq!(node.keys(), [false, true]);
    drop(v4);
    node.until("took the port that is free", well);
    assert_eq!(node.keys(), [true, true]);
    // The way back, for the other family, with a socket of the other kind.
    let v6 = UdpSocket::bind("127.0.0.1:6000").unwrap();
    configure(&node, ", wireguardListeningPortV6: 6000");
    node.until(
        "named the program that has IPv6's port",
        cannot("IPv6", 6000),
    );
    assert_eq!(node.keys(), [true, false]);
    drop(v6);
    node.until("took the port that is free again", well);
    assert_eq!(node.keys(), [true, true]);
    // Ports that change places: each is taken by the other family's device at first.
    configure(
        &node,
        ", wireguardListeningPort: 6000, wireguardListeningPortV6: 51820",
    );
    node.until("changed the ports' places", |status| {
        well(status) && node.keys() == [true, true] && has_port(6000) && has_port(51820)
    });
}

/// Whether any socket of this namespace has that port.
fn has_port(port: u16) -> bool {
    let listed = |table| {
        fs::read_to_string(table)
            .unwrap()
            .contains(&format!(":{port:04X} "))
    };
    listed("/proc/net/udp") || listed("/proc/net/udp6")
}
