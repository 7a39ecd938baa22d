//! Values that a resource keeps of its last good state.

use serde_json::{Value, json};

use super::super::read_partly;
use super::*;

/// What a right resource has become by a mistake in it.
fn kept(kind: &str, before: Value, now: Value) -> Resource {
    let read = |mut resource: Value| {
        resource["kind"] = json!(kind);
        resource["metadata"]["name"] = json!("x");
        read_partly(&resource, "here").unwrap()
    };
    let (before, now) = (read(before), read(now));
    assert_eq!(before.lost, []);
    assert_ne!(now.lost, []);
    let mut resource = now.resource;
    resource.keep(&before.resource, &now.lost);
    resource
}

#[test]
fn a_block_keeps_its_node_and_what_was_borrowed_from_it() {
    let spec = |affinity: Value, allocations: Value| {
        let attributes = json!([{"secondary": {"node": "b"}}]);
        json!({"spec": {
            "cidr": "10.65.1.0/26", "affinity": affinity, "allocations": allocations, "attributes": attributes,
        }})
    };
    let right = || spec(json!("host:a"), json!([null, 0]));
    let borrowed = ("10.65.1.1".parse().unwrap(), "b".to_owned());
    let Resource::Block(block) = kept("IPAMBlock", right(), spec(json!(7), json!([null, 0])))
    else {
        panic!();
    };
    assert_eq!(block.affinity.as_deref(), Some("a"));
    assert_eq!(block.borrowed, std::slice::from_ref(&borrowed));
    let Resource::Block(block) = kept("IPAMBlock", right(), spec(json!("host:c"), json!({})))
    else {
        panic!();
    };
    assert_eq!(block.affinity.as_deref(), Some("c"));
    assert_eq!(block.borrowed, [borrowed]);
}

#[test]
fn a_node_keeps_its_addresses_of_the_family_that_cannot_be_read() {
    let spec = |v4: Value, tunnel: Value, v6: &str| {
        json!({"spec": {
            "bgp": {"ipv4Address": v4, "ipv6Address": v6},
            "wireguard": {"interfaceIPv4Address": tunnel, "interfaceIPv6Address": v6},
        }})
    };
    let right = spec(json!("10.0.0.1"), json!("10.9.0.1"), "fd00::1");
    let wrong = spec(json!("10.0.0.2/99"), json!(7), "fd00::2");
    let Resource::Node(node) = kept("Node", right, wrong) else {
        panic!();
    };
    assert_eq!(node.endpoint.v4, "10.0.0.1".parse().ok());
    assert_eq!(node.tunnel_address.v4, "10.9.0.1".parse().ok());
    assert_eq!(node.endpoint.v6, "fd00::2".parse().ok());
    assert_eq!(node.tunnel_address.v6, "fd00::2".parse().ok());
    // What is known is used.
    assert!(!node.bad_address.v4);
    let without = json!({"spec": {"bgp": {"ipv6Address": "fd00::1"}}});
    let wrong = spec(json!("moon"), Value::Null, "fd00::2");
    let Resource::Node(node) = kept("Node", without, wrong) else {
        panic!();
    };
    assert!(node.bad_address.v4 && !node.bad_address.v6);
}

#[test]
fn a_cluster_keeps_its_type() {
    let spec = |kind: Value| json!({"spec": {"clusterType": kind}});
    let kept = kept(
        "ClusterInformation",
        spec(json!("aks,typha")),
        spec(json!(7)),
    );
    let Resource::Information(information) = kept else {
        panic!();
    };
    assert_eq!(information.kind, "aks,typha");
}

/// What a field of another name takes away, in a resource that is right otherwise.
#[test]
fn the_value_of_a_field_that_became_misspelt_is_kept() {
    let node = json!({
        "spec": {
            "bgp": {
                "ipv4Address": "10.0.0.1", "ipv6Address": "fd00::1", "ipv4IPIPTunnelAddr": "10.9.1.1",
            },
            "ipv4VXLANTunnelAddr": "10.9.2.1", "ipv6VXLANTunnelAddr": "fd09:2::1",
            "wireguard": {"interfaceIPv4Address": "10.9.0.1", "interfaceIPv6Address": "fd09::1"},
        },
    });
    let listed = json!({"spec": {"addresses": [{"address": "10.0.0.3"}, {"address": "fd00::3"}]}});
    let annotated = json!({
        "apiVersion": "v1",
        "metadata": {"annotations": {
            "projectcalico.org/IPv4Address": "10.0.0.1/24",
            "projectcalico.org/IPv6Address": "fd00::1/64",
        }},
    });
    let kubernetes = json!({
        "apiVersion": "v1",
        "status": {"addresses": [{"address": "10.0.0.3"}, {"address": "fd00::3"}]},
    });
    let pod = json!({"spec": {"node": "a", "ipNetworks": ["10.0.1.1/32", "fd00::1/128"]}});
    let block = json!({"spec": {
        "cidr": "10.65.1.0/26", "affinity": "host:a", "allocations": [0],
        "attributes": [{"secondary": {"node": "b"}}],
    }});
    let cluster = json!({"spec": {"clusterType": "aks", "datastoreReady": false}});
    for (kind, right, fields) in [
        (
            "Node",
            node,
            &[
                "/spec",
                "/spec/bgp",
                "/spec/bgp/ipv4Address",
                "/spec/bgp/ipv6Address",
                "/spec/bgp/ipv4IPIPTunnelAddr",
                "/spec/ipv4VXLANTunnelAddr",
                "/spec/ipv6VXLANTunnelAddr",
                "/spec/wireguard",
                "/spec/wireguard/interfaceIPv4Address",
                "/spec/wireguard/interfaceIPv6Address",
            ][..],
        ),
        ("Node", listed, &["/spec/addresses"]),
        ("Node", annotated, &["/metadata/annotations"]),
        ("Node", kubernetes, &["/status", "/status/addresses"]),
        (
            "WorkloadEndpoint",
            pod,
            &["/spec", "/spec/ipNetworks", "/spec/node"],
        ),
        (
            "IPAMBlock",
            block,
            &["/spec/affinity", "/spec/allocations", "/spec/attributes"],
        ),
        (
            "ClusterInformation",
            cluster,
            &["/spec", "/spec/clusterType", "/spec/datastoreReady"],
        ),
    ] {
        for field in fields {
            let mut wrong = right.clone();
            let (parent, name) = field.rsplit_once('/').unwrap();
            let fields = wrong
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
                .unwrap();
            let held = fields.remove(name).unwrap();
            // The last letter is missing.
            fields.insert(name[..name.len() - 1].to_owned(), held);
            let read = |mut resource: Value| {
                resource["kind"] = json!(kind);
                resource["metadata"]["name"] = json!("x");
                read_partly(&resource, "here").unwrap()
            };
            let (before, now) = (read(right.clone()), read(wrong));
            assert_eq!(before.wrong, [], "{kind} {field}");
            assert_ne!(now.wrong, [], "{kind} {field}");
            let mut kept = now.resource;
            kept.keep(&before.resource, &now.lost);
            assert_eq!(sorted(kept), sorted(before.resource), "{kind} {field}");
        }
    }
}

/// In which order a Node's addresses were read does not count.
fn sorted(mut resource: Resource) -> Resource {
    if let Resource::Node(node) = &mut resource {
        node.addresses.sort();
        node.overlay_addresses.sort();
    }
    resource
}

#[test]
fn an_unknown_field_takes_no_node_from_a_block() {
    let block = |name: &str, node: &str| json!({"spec": {"cidr": "10.65.1.0/26", "affinity": node}, name: 7});
    let Resource::Block(block) = kept(
        "IPAMBlock",
        block("status", "host:a"),
        block("foo", "host:b"),
    ) else {
        panic!();
    };
    assert_eq!(block.affinity.as_deref(), Some("b"));
}

#[test]
fn a_cluster_whose_readiness_is_misspelt_is_not_ready_until_it_is_known() {
    let read = |spec: Value| {
        let resource =
            json!({"kind": "ClusterInformation", "metadata": {"name": "default"}, "spec": spec});
        match read_partly(&resource, "here").unwrap().resource {
            Resource::Information(information) => information.ready,
            other => panic!("{other:?}"),
        }
    };
    assert!(!read(json!({"datastoreredy": true})));
    assert!(read(json!({"clusterTyp": "aks"})));
    assert!(read(
        json!({"datastoreReady": true, "datastoreRead": false})
    ));
}

#[test]
fn every_kind_of_address_is_kept_of_the_family_that_cannot_be_read_and_of_no_other() {
    let spec = |n: u8, listed_v4: &str, listed_v6: &str| {
        json!({"spec": {
            "bgp": {
                "ipv4Address": format!("10.0.0.{n}"), "ipv6Address": format!("fd00::{n}"),
                "ipv4IPIPTunnelAddr": format!("10.5.0.{n}"),
            },
            "ipv6VXLANTunnelAddr": format!("fd05::{n}"),
            "addresses": [
                {"address": listed_v4, "type": "ExternalIP"},
                {"address": listed_v6, "type": "ExternalIP"},
            ],
        }})
    };
    let right = || spec(1, "203.0.113.1", "fd03::1");
    let texts = |addresses: &[IpAddr]| {
        let mut texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    };
    for (wrong, addresses, external, overlay) in [
        (
            spec(2, "203.0.113.x", "fd03::2"),
            &["10.0.0.1", "10.0.0.2", "fd00::2"],
            &["203.0.113.1", "fd03::2"],
            &["10.5.0.1", "10.5.0.2", "fd05::2"],
        ),
        (
            spec(2, "203.0.113.2", "fd03::x"),
            &["10.0.0.2", "fd00::1", "fd00::2"],
            &["203.0.113.2", "fd03::1"],
            &["10.5.0.2", "fd05::1", "fd05::2"],
        ),
    ] {
        let Resource::Node(node) = kept("Node", right(), wrong) else {
            panic!();
        };
        assert_eq!(texts(&node.addresses), addresses);
        assert_eq!(texts(&node.external_addresses), external);
        assert_eq!(texts(&node.overlay_addresses), overlay);
    }
}

#[test]
fn a_workload_keeps_the_networks_and_the_node_that_cannot_be_read() {
    let spec =
        |node: Value, networks: &[&str]| json!({"spec": {"node": node, "ipNetworks": networks}});
    let right = || spec(json!("a"), &["10.0.1.1", "fd00::1"]);
    for (wrong, node, networks) in [
        (spec(json!("b"), &["10.0.1.2", "fd00::x"]), "b", 3),
        (spec(json!(7), &["10.0.1.2"]), "a", 1),
    ] {
        let Resource::Workload(workload) = kept("WorkloadEndpoint", right(), wrong) else {
            panic!();
        };
        assert_eq!((&*workload.node, workload.networks.len()), (node, networks));
    }
}
