//! Encrypt or drop where `interfacePrefix` covers the uplink, which is called `outside`.

use std::path::Path;

use crate::{INSIDE, Node, in_namespaces, ip, ruleset_has, write};

const BOB: &str = "kind: Node\nmetadata: {name: bob}\n\
    spec: {bgp: {ipv4Address: 10.0.0.2/24, ipv6Address: 'fd00::2/64'}}\n";
const ADA_OF_IPV6: &str = "kind: Node\nmetadata: {name: ada}\n\
    spec: {bgp: {ipv6Address: 'fd00::1/64'}}\n";

fn strict(prefixes: &str) -> String {
    format!(
        "kind: FelixConfiguration\nmetadata: {{name: default, annotations: {{wiremesh/strict: 'true'}}}}\n\
         spec: {{wireguardEnabled: true, wireguardEnabledV6: true, wireguardHostEncryptionEnabled: true, \
         interfacePrefix: '{prefixes}'}}\n"
    )
}

#[test]
fn a_prefix_that_covers_the_uplink_exempts_nothing() {
    in_namespaces("prefix::inside_a_prefix_that_covers_the_uplink");
}

/// Whether packets that leave or come by links whose names begin so are exempt.
fn exempts(prefix: &str) -> bool {
    ["oifname", "iifname"].map(|way| ruleset_has(&[&format!("{way} \"{prefix}*\"")])) != [false; 2]
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_prefix_that_covers_the_uplink() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let resources = [("default.yaml", strict("out")), ("bob.yaml", BOB.into())];
    let resources = resources
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    let mut node = Node::start(folder.path(), &resources);
    let in_sync = |status: &str| status.contains("X_WIREMESH_APPLIED=");
    let reports_prefix = |prefix: &str| {
        let what = format!("`{prefix}`, which is not used: ");
        move |status: &str| in_sync(status) && status.contains(&what)
    };
    let drops = || ruleset_has(&["10.0.0.2", "fd00::2", "drop"]);
    node.until("told of the prefix", reports_prefix("out"));
    assert!(drops() && !exempts("out"));
    let status = node.status();
    assert!(status.contains("`out`, which is not used: "), "{status}");
    // One that is whole, or one letter, beside one that is right.
    for (prefixes, wrong) in [("cali,outside", "outside"), ("o, cali", "o")] {
        write(&node.store, "default.yaml", &strict(prefixes));
        node.until("told of the prefix", reports_prefix(wrong));
        assert!(drops() && exempts("cali") && !exempts(wrong), "{prefixes}");
    }
    // The uplink gets a name that the right one covers, and its own again.
    write(&node.store, "default.yaml", &strict("cali"));
    let is_well = |status: &str| in_sync(status) && !status.contains("not used");
    node.until("used the prefix", is_well);
    assert!(drops() && exempts("cali"));
    let rename = |from: &str, to: &str| {
        ip(&format!("link set {from} down"));
        ip(&format!("link set {from} name {to}"));
        ip(&format!("link set {to} up"));
        ip(&format!("address replace fd00::1/64 dev {to} nodad"));
    };
    rename("outside", "cali-up");
    node.until("told of the default's prefix", reports_prefix("cali"));
    assert!(drops() && !exempts("cali"));
    rename("cali-up", "outside");
    node.until("used the prefix again", is_well);
    assert!(drops() && exempts("cali"));
    // A node of IPv6 alone.
    ip("address del 10.0.0.1/24 dev outside");
    node.restart(|store: &Path| {
        write(store, "ada.yaml", ADA_OF_IPV6);
        write(store, "default.yaml", &strict("out"));
    });
    node.until("told of the prefix", reports_prefix("out"));
    assert!(drops() && !exempts("out"));
}
