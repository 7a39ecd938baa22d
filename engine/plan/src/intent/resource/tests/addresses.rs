//! Addresses of a Node, and the one at which it is reached.

use serde_json::json;

use super::*;

#[test]
fn a_node_is_reached_at_its_bgp_address_and_has_all_the_others() {
    let (identity, resource) = read(&json!({
        "kind": "Node", "metadata": {"name": "a"},
        "spec": {
            "bgp": {"ipv4Address": "10.0.0.1/24"},
            "addresses": [
                {"address": "10.0.0.1", "type": "InternalIP"},
                {"address": "192.0.2.7", "type": "ExternalIP"},
                {"address": "2001:db8::1", "type": "InternalIP"},
            ],
        },
    }))
    .unwrap();
    assert_eq!(identity.to_string(), "Node a");
    let Resource::Node(node) = resource else {
        panic!()
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(node.endpoint.v4, Some(address("10.0.0.1")));
    assert_eq!(node.endpoint.v6, Some(address("2001:db8::1")));
    assert_eq!(node.addresses, ["10.0.0.1", "2001:db8::1"].map(address));
    assert_eq!(node.external_addresses, ["192.0.2.7"].map(address));
}

#[test]
fn an_external_address_is_a_node_s_own_where_it_is_the_only_one_of_its_family() {
    let (_, resource) = read(&json!({
        "kind": "Node", "metadata": {"name": "a"},
        "spec": {"addresses": [
            {"address": "192.0.2.7", "type": "ExternalIP"},
            {"address": "192.0.2.8", "type": "ExternalIP"},
            {"address": "fd00::1", "type": "InternalIP"},
            {"address": "2001:db8::1", "type": "ExternalIP"},
        ]},
    }))
    .unwrap();
    let Resource::Node(node) = resource else {
        panic!()
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(node.addresses, ["fd00::1", "192.0.2.7"].map(address));
    assert_eq!(
        node.external_addresses,
        ["192.0.2.8", "2001:db8::1"].map(address)
    );
}

#[test]
fn an_internal_address_is_preferred_to_an_external_one() {
    let (_, resource) = read(&json!({
        "kind": "Node", "metadata": {"name": "a"},
        "spec": {"addresses": [
            {"address": "192.0.2.7", "type": "ExternalIP"},
            {"address": "10.0.0.1", "type": "InternalIP"},
        ]},
    }))
    .unwrap();
    let Resource::Node(node) = resource else {
        panic!()
    };
    assert_eq!(node.endpoint.v4, "10.0.0.1".parse().ok());
}

#[test]
fn a_node_keeps_its_good_addresses_beside_those_that_no_host_has() {
    for text in [
        "10.9.0.3/99",
        "10.9.0.3 banana",
        "10.9.0.3/24 banana",
        "10.9.0.3\u{1b}[31m",
        "010.9.0.3",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::",
        "169.254.1.1",
        "fd00::1",
        "::ffff:10.9.0.3",
    ] {
        let node = json!({
            "kind": "Node", "metadata": {"name": "a"},
            "spec": {
                "bgp": {"ipv4Address": text, "ipv6Address": "fd00::7/64"},
                "addresses": [{"address": "10.9.0.4", "type": "InternalIP"}, {"address": "a", "type": "Hostname"}],
                "wireguard": {"interfaceIPv4Address": text},
                "ipv4VXLANTunnelAddr": text,
            },
        });
        let (Resource::Node(read), wrong) = partly(&node) else {
            panic!()
        };
        assert_eq!(read.endpoint.v4, "10.9.0.4".parse().ok(), "{text}");
        assert_eq!(read.endpoint.v6, "fd00::7".parse().ok(), "{text}");
        assert_eq!(read.tunnel_address.v4, None, "{text}");
        assert!(read.overlay_addresses.is_empty(), "{text}");
        assert_eq!(
            read.bad_address,
            PerFamily {
                v4: true,
                v6: false
            },
            "{text}"
        );
        let fields = [
            "spec.bgp.ipv4Address",
            "spec.ipv4VXLANTunnelAddr",
            "spec.wireguard.interfaceIPv4Address",
        ];
        assert_eq!(wrong.len(), fields.len(), "{wrong:?}");
        for (wrong, field) in wrong.iter().zip(fields) {
            assert!(
                wrong.starts_with(&format!("`{field}` holds `{text}`")),
                "{wrong}"
            );
        }
    }
}

#[test]
fn an_address_of_an_unknown_type_counts() {
    let types = |types: &[Option<&str>]| {
        let entries = types
            .iter()
            .enumerate()
            .map(|(at, kind)| json!({"address": format!("10.0.0.{at}"), "type": kind}));
        let document = json!({
            "kind": "Node", "metadata": {"name": "a"},
            "spec": {"addresses": entries.collect::<Vec<_>>()},
        });
        let (Resource::Node(node), wrong) = partly(&document) else {
            panic!();
        };
        let texts = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect();
        let (own, external): (Vec<_>, Vec<_>) =
            (texts(&node.addresses), texts(&node.external_addresses));
        (own.join(" "), external.join(" "), wrong.len())
    };
    let names = ["Hostname", "InternalDNS", "ExternalDNS"].map(Some);
    assert_eq!(types(&names), (String::new(), String::new(), 0));
    let known = [
        None,
        Some("InternalIP"),
        Some("CalicoNodeIP"),
        Some("ExternalIP"),
    ];
    assert_eq!(
        types(&known),
        ("10.0.0.0 10.0.0.1 10.0.0.2".into(), "10.0.0.3".into(), 0)
    );
    let unknown = [Some("INTERNALIP"), Some("externalip"), Some("Private")];
    assert_eq!(
        types(&unknown),
        ("10.0.0.0 10.0.0.2".into(), "10.0.0.1".into(), 3)
    );
    let document = json!({
        "kind": "Node", "metadata": {"name": "a"},
        "spec": {"addresses": [
            {"address": "fd00::1", "type": "internalIP"}, {"address": "a.example.com", "type": "Name"},
        ]},
    });
    let (Resource::Node(node), wrong) = partly(&document) else {
        panic!();
    };
    assert_eq!(
        (
            node.addresses.len(),
            node.bad_address.v4,
            node.bad_address.v6
        ),
        (1, false, false)
    );
    let types =
        "known types are InternalIP, ExternalIP, CalicoNodeIP, Hostname, InternalDNS, ExternalDNS";
    assert_eq!(
        wrong,
        ["internalIP", "Name"].map(|written| format!(
            "`spec.addresses` has an entry of the unknown type `{written}`, which counts as InternalIP: {types}"
        ))
    );
}

#[test]
fn an_address_whose_type_is_no_text_counts_as_an_internal_one() {
    let (resource, wrong) = partly(&json!({
        "apiVersion": "projectcalico.org/v3", "kind": "Node", "metadata": {"name": "a"},
        "spec": {"addresses": [{"address": "10.0.0.9", "type": 7}]},
    }));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let Resource::Node(node) = resource else {
        panic!("{resource:?}");
    };
    assert_eq!(node.endpoint.v4, Some("10.0.0.9".parse().unwrap()));
}
