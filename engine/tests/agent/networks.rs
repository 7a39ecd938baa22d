//! Networks that strict mode protects by a setting: a mistake in the setting takes none out.

use std::fs;
use std::path::Path;

use crate::{INSIDE, Node, applied, in_namespaces, ruleset_has, write};

const BOB: &str = "kind: Node\nmetadata: {name: bob}\nspec: {addresses: [\
    {address: 10.0.0.2, type: InternalIP}, {address: 203.0.113.2, type: ExternalIP}]}\n";
const POD: &str = "kind: WorkloadEndpoint\nmetadata: {name: pod, namespace: x}\n\
    spec: {node: bob, ipNetworks: [10.0.1.5/32]}\n";
const ZOE: &str = "kind: Node\nmetadata: {name: zoe}\nspec: {bgp: {ipv4Address: 10.0.0.4/24}}\n";
const STRICT: &str = "kind: FelixConfiguration\n\
    metadata:\n  name: default\n  annotations:\n    wiremesh/strict: 'true'\n    \
    wiremesh/strict-networks: '10.7.0.0/16,fd77::/64'\n    wiremesh/external-addresses: 'true'\n\
    spec: {wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true, \
    routeSource: WorkloadIPs}\n";

/// What is right, and the mistake in its place.
const MISTAKES: [(&str, &str); 8] = [
    ("10.7.0.0/16,", "10.7.0.0/166,"),
    (",fd77::/64", ",fd77::/x"),
    ("10.7.0.0/16,fd77::/64", "none"),
    ("wiremesh/strict-networks", "wiremesh/strict-network"),
    ("wiremesh/strict-networks", "Strict-Networks"),
    (
        "wiremesh/external-addresses: 'true'",
        "wiremesh/external-addresses: 'ture'",
    ),
    ("routeSource: WorkloadIPs", "routeSource: WorkloadIP"),
    ("routeSource: WorkloadIPs", "RouteSource: WorkloadIPs"),
];

#[test]
fn a_mistake_in_a_setting_takes_no_network_out() {
    in_namespaces("networks::inside_a_mistake_in_a_setting");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_mistake_in_a_setting() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let resources = [
        ("bob.yaml", BOB),
        ("pod.yaml", POD),
        ("default.yaml", STRICT),
    ];
    let mut node = Node::start(folder.path(), &resources);
    let all = ["10.7.0.0/16", "fd77::/64", "203.0.113.2", "10.0.1.5"];
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    let is_reported =
        |status: &str| in_sync(status) && status.contains("protected until this is corrected");
    node.until("was in sync", in_sync);
    assert!(ruleset_has(&all));
    for (right, mistake) in MISTAKES {
        // By blocks a pod that none covers is protected too: the mistake alone is reported.
        let reported = match right.starts_with("routeSource") {
            true => "outeSource` is n",
            false => "protected until this is corrected",
        };
        let is_reported = |status: &str| in_sync(status) && status.contains(reported);
        assert!(STRICT.contains(right));
        let mistaken = STRICT.replace(right, mistake);
        for restarts in [false, true] {
            let put = |store: &Path| write(store, "default.yaml", &mistaken);
            if restarts {
                node.restart(put);
            } else {
                put(&node.store);
            }
            let last = applied(&node.until("told what stays protected", is_reported));
            assert!(ruleset_has(&all), "{mistake}");
            let status = node.status();
            assert!(status.contains(reported), "{status}");
            // Another resource changes, and the mistake is still there.
            write(&node.store, "zoe.yaml", ZOE);
            node.until("was in sync with another Node", |status| {
                in_sync(status) && applied(status) != last
            });
            assert!(ruleset_has(&all), "{mistake}");
            fs::remove_file(node.store.join("zoe.yaml")).unwrap();
            write(&node.store, "default.yaml", STRICT);
            node.until("was in sync without the mistake", |status| {
                in_sync(status) && !is_reported(status)
            });
            assert!(ruleset_has(&all), "{mistake}");
        }
    }
    // One mistake after the other, of which the first is in what asks for strict mode itself.
    let unasked = STRICT.replace("wiremesh/strict:", "Wiremesh/Strict:");
    write(&node.store, "default.yaml", &unasked);
    node.until("left everything as it was", |status| {
        status.contains("stays as it is until this is corrected")
    });
    let mistaken = STRICT.replace("10.7.0.0/16,", "10.7.0.0/166,");
    write(&node.store, "default.yaml", &mistaken);
    node.until("told what stays protected", is_reported);
    assert!(ruleset_has(&all));
    write(&node.store, "default.yaml", STRICT);
    node.until("was in sync without the mistake", |status| {
        in_sync(status) && !is_reported(status)
    });
    // What is taken out without a mistake is out, and what a mistake took out is with the mistake.
    let without = STRICT.replace("10.7.0.0/16,", "");
    let is_out = || !ruleset_has(&["10.7.0.0/16"]) && ruleset_has(&all[1..]);
    let is_well = |status: &str| in_sync(status) && !is_reported(status);
    write(&node.store, "default.yaml", &without);
    let last = applied(&node.until("was in sync without the network", |status| {
        is_well(status) && is_out()
    }));
    write(&node.store, "default.yaml", STRICT);
    node.until("was in sync with the network", |status| {
        is_well(status) && applied(status) != last
    });
    assert!(ruleset_has(&all));
    let mistaken = STRICT.replace("10.7.0.0/16,", "10.7.0.0/166,");
    write(&node.store, "default.yaml", &mistaken);
    node.until("told what stays protected", is_reported);
    write(&node.store, "default.yaml", &without);
    node.until("was in sync without the network", is_well);
    assert!(is_out());
}
