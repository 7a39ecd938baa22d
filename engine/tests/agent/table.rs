//! A routing table that a rule of another looks up: the family goes without a tunnel while no other is
//! free, in log, status and metrics, and has one again when it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::{DEADLINE, INSIDE, Node, configuration, in_namespaces};

/// Where the agent of this namespace serves its metrics.
const METRICS: &str = "127.0.0.1:9091";

#[test]
fn without_a_free_table_one_family_has_no_tunnel_and_only_until_one_is_free() {
    in_namespaces("table::inside_tables_are_taken");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

fn status(node: &Node) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .args(["status", "--check", "--node", "ada", "--store"])
        .arg(format!("dir:{}", node.store.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_well = text.contains("all is as intended");
    assert_eq!(output.status.success(), is_well, "{text}");
    text
}

/// The sample of a metric, once the exporter has the agent's last report.
fn wait_for_sample(wanted: &str) {
    let deadline = Instant::now() + DEADLINE;
    let mut page = String::new();
    while Instant::now() < deadline {
        let mut stream = TcpStream::connect(METRICS).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: ada\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        page.clear();
        stream.read_to_string(&mut page).unwrap();
        if page.lines().any(|line| line == wanted) {
            return;
        }
    }
    panic!("never `{wanted}`: {page}");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_tables_are_taken() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = ", routeTableRanges: [{min: 77, max: 77}], prometheusMetricsEnabled: true, \
                    prometheusMetricsHost: 127.0.0.1";
    let on = configuration(settings);
    ip("rule add pref 512 from 10.98.0.7 lookup 77");
    let node = Node::start(folder.path(), &[("default.yaml", &on)]);
    let why = |family: &str| {
        format!(
            "this node cannot encrypt {family}: no routing table of routeTableRanges (77) is free: the rule of \
             priority 512 looks up 77"
        )
    };
    let cannot = |family: &'static str| {
        let why = why(family);
        move |status: &str| status.contains("STATUS=in sync") && status.contains(&why)
    };
    let well =
        |status: &str| status.contains("STATUS=in sync") && !status.contains("cannot encrypt");

    node.until("said that IPv4 has no table", cannot("IPv4"));
    assert_eq!(node.keys(), [false, true]);
    assert!(status(&node).contains(&why("IPv4")));
    wait_for_sample("wiremesh_encrypting{family=\"ipv4\"} 0");
    wait_for_sample("wiremesh_encrypting{family=\"ipv6\"} 1");
    wait_for_sample("wiremesh_problems 1");

    ip("rule del pref 512");
    node.until("took the table that is free", well);
    assert_eq!(node.keys(), [true, true]);
    assert!(!status(&node).contains("routeTableRanges"));
    wait_for_sample("wiremesh_encrypting{family=\"ipv4\"} 1");

    // The second time, for the other family, when the table has been taken; and for one of two rules
    // that differ by a selector.
    ip("-6 rule add pref 512 from fd98::7 lookup 77");
    ip("-6 rule add pref 512 from fd98::8 lookup 77");
    node.until("said that IPv6 has no table", cannot("IPv6"));
    assert_eq!(node.keys(), [true, false]);
    ip("-6 rule del pref 512 from fd98::7 lookup 77");
    ip("link set outside mtu 1400");
    node.until("was still without a table for IPv6", cannot("IPv6"));
    assert!(status(&node).contains(&why("IPv6")));
    assert_eq!(node.keys(), [true, false]);
    ip("-6 rule del pref 512");
    node.until("took the table that is free again", well);
    assert_eq!(node.keys(), [true, true]);
}
