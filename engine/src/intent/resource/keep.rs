//! What was known before stays, where it cannot be read any more.
//!
//! A mistake in a resource must not take an address out of what is protected: the claim that was made
//! last stays until the field can be read again, or the resource is deleted.

use std::net::IpAddr;

use crate::intent::family::{Family, PerFamily};

use super::{Block, Information, Lost, Node, Resource, Workload};

impl Resource {
    /// Takes what is `lost` from `before`, which is the same resource as it was known.
    pub(crate) fn keep(&mut self, before: &Self, lost: &[Lost]) {
        match (self, before) {
            (Self::Node(now), Self::Node(before)) => keep_node(now, before, lost),
            (Self::Workload(now), Self::Workload(before)) => keep_workload(now, before, lost),
            (Self::Block(now), Self::Block(before)) => keep_block(now, before, lost),
            (Self::Information(now), Self::Information(before)) => {
                keep_information(now, before, lost);
            }
            _ => {}
        }
    }

    /// Takes a Node's addresses from `other`, which is the same Node in another document: one too many is
    /// protected rather than one too few. Of any other resource it takes nothing.
    pub(crate) fn take_addresses(&mut self, other: &Self) {
        if let (Self::Node(node), Self::Node(other)) = (self, other) {
            keep_node(node, other, &Family::ALL.map(Lost::Address));
        }
    }

    /// Whether it names addresses of pods, whatever it is called.
    pub(crate) fn is_of_pods(&self) -> bool {
        matches!(self, Self::Workload(_) | Self::Pool(_) | Self::Block(_))
    }

    /// Whether it is about the same CIDR as `other`, or about none.
    pub(crate) fn has_cidr_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pool(own), Self::Pool(other)) => own == other,
            (Self::Block(own), Self::Block(other)) => own.cidr == other.cidr,
            _ => true,
        }
    }
}

fn keep_node(now: &mut Node, before: &Node, lost: &[Lost]) {
    // They decide which FelixConfigurations are for the node.
    if lost.contains(&Lost::Labels) {
        now.labels.clone_from(&before.labels);
    }
    let is_lost = PerFamily::each(|family| lost.contains(&Lost::Address(family)));
    let keep = |now: &mut Vec<IpAddr>, before: &[IpAddr]| {
        for address in before {
            if is_lost[Family::of(*address)] && !now.contains(address) {
                now.push(*address);
            }
        }
    };
    keep(&mut now.addresses, &before.addresses);
    keep(&mut now.external_addresses, &before.external_addresses);
    keep(&mut now.overlay_addresses, &before.overlay_addresses);
    for family in Family::ALL.into_iter().filter(|family| is_lost[*family]) {
        now.endpoint[family] = now.endpoint[family].or(before.endpoint[family]);
        now.tunnel_address[family] = now.tunnel_address[family].or(before.tunnel_address[family]);
        // What is known is used.
        now.bad_address[family] &= now.endpoint[family].is_none();
    }
}

fn keep_workload(now: &mut Workload, before: &Workload, lost: &[Lost]) {
    if lost.contains(&Lost::Owner) {
        now.node.clone_from(&before.node);
    }
    if lost.contains(&Lost::Network) {
        for network in &before.networks {
            if !now.networks.contains(network) {
                now.networks.push(*network);
            }
        }
    }
}

fn keep_block(now: &mut Block, before: &Block, lost: &[Lost]) {
    if lost.contains(&Lost::Owner) {
        now.affinity.clone_from(&before.affinity);
    }
    if lost.contains(&Lost::Network) {
        for borrowed in &before.borrowed {
            if !now.borrowed.contains(borrowed) {
                now.borrowed.push(borrowed.clone());
            }
        }
    }
}

fn keep_information(now: &mut Information, before: &Information, lost: &[Lost]) {
    if lost.contains(&Lost::ClusterType) {
        now.kind.clone_from(&before.kind);
    }
    if lost.contains(&Lost::Ready) {
        now.ready = before.ready;
    }
}

#[cfg(test)]
mod tests {
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
    fn what_a_misspelt_field_held_stays_as_it_was() {
        let node = json!({
            "spec": {
                "bgp": {
                    "ipv4Address": "10.0.0.1", "ipv6Address": "fd00::1", "ipv4IPIPTunnelAddr": "10.9.1.1",
                },
                "ipv4VXLANTunnelAddr": "10.9.2.1", "ipv6VXLANTunnelAddr": "fd09:2::1",
                "wireguard": {"interfaceIPv4Address": "10.9.0.1", "interfaceIPv6Address": "fd09::1"},
            },
        });
        let listed =
            json!({"spec": {"addresses": [{"address": "10.0.0.3"}, {"address": "fd00::3"}]}});
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
    fn a_field_of_another_name_takes_no_node_from_a_block_that_tells_it() {
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
            let resource = json!({"kind": "ClusterInformation", "metadata": {"name": "default"}, "spec": spec});
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
}
