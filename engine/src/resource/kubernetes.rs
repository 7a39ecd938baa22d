//! Kubernetes' own Nodes, on which Calico keeps what it knows in annotations
//! (Calico: `libcalico-go/lib/backend/k8s/resources/node.go`).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::family::Family;

/// What an annotation must hold.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// An address with the length of its network's prefix.
    Interface,
    Address,
    Text,
}

/// The annotations, and the fields of Calico's Node that they stand for.
const ANNOTATIONS: &[(&str, &str, Form)] = &[
    ("IPv4Address", "/spec/bgp/ipv4Address", Form::Interface),
    ("IPv6Address", "/spec/bgp/ipv6Address", Form::Interface),
    (
        "IPv4IPIPTunnelAddr",
        "/spec/bgp/ipv4IPIPTunnelAddr",
        Form::Address,
    ),
    (
        "IPv4VXLANTunnelAddr",
        "/spec/ipv4VXLANTunnelAddr",
        Form::Address,
    ),
    (
        "IPv6VXLANTunnelAddr",
        "/spec/ipv6VXLANTunnelAddr",
        Form::Address,
    ),
    (
        "IPv4WireguardInterfaceAddr",
        "/spec/wireguard/interfaceIPv4Address",
        Form::Address,
    ),
    (
        "IPv6WireguardInterfaceAddr",
        "/spec/wireguard/interfaceIPv6Address",
        Form::Address,
    ),
    (
        "WireguardPublicKey",
        "/status/wireguardPublicKey",
        Form::Text,
    ),
    (
        "WireguardPublicKeyV6",
        "/status/wireguardPublicKeyV6",
        Form::Text,
    ),
];

/// The annotation that holds a node's public key.
pub(crate) fn key_annotation(family: Family) -> &'static str {
    match family {
        Family::V4 => "projectcalico.org/WireguardPublicKey",
        Family::V6 => "projectcalico.org/WireguardPublicKeyV6",
    }
}

/// Whether a Node is Kubernetes' own.
pub(crate) fn is_one(node: &Value) -> bool {
    node["apiVersion"] == "v1"
}

/// A Node as Calico has it. An annotation that does not hold what it must is none, as Calico has it.
pub(super) fn as_calico(node: &Value) -> Value {
    let mut calico = json!({
        "kind": "Node",
        "metadata": node["metadata"],
        "spec": {"bgp": {}, "wireguard": {}, "addresses": node["status"]["addresses"]},
        "status": {},
    });
    for (name, field, form) in ANNOTATIONS {
        let text = node["metadata"]["annotations"][format!("projectcalico.org/{name}")].as_str();
        let fits = |text: &&str| match form {
            Form::Interface => text.contains('/') && text.parse::<IpNet>().is_ok(),
            Form::Address => text.parse::<IpAddr>().is_ok(),
            Form::Text => true,
        };
        let Some(text) = text.filter(fits) else {
            continue;
        };
        if let Some((parent, name)) = field.rsplit_once('/')
            && let Some(Value::Object(parent)) = calico.pointer_mut(parent)
        {
            parent.insert(name.to_owned(), json!(text));
        }
    }
    calico
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Resource, read};
    use super::*;

    fn node(value: &Value) -> Node {
        match read(value).unwrap().1 {
            Resource::Node(node) => *node,
            other => panic!("{other:?}"),
        }
    }

    fn example() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "b", "labels": {"gpu": "yes"},
                "annotations": {
                    "projectcalico.org/IPv4Address": "10.9.0.2/24",
                    "projectcalico.org/IPv6Address": "fd00::2",
                    "projectcalico.org/IPv4WireguardInterfaceAddr": "10.65.1.1",
                },
            },
            "spec": {"podCIDR": "10.65.1.0/24"},
            "status": {"addresses": [
                {"address": "10.9.0.3", "type": "InternalIP"},
                {"address": "b", "type": "Hostname"},
            ]},
        })
    }

    #[test]
    fn a_node_of_kubernetes_is_read_by_its_annotations() {
        let read = node(&example());
        assert_eq!(read.endpoint.v4, "10.9.0.2".parse().ok());
        assert_eq!(
            read.endpoint.v6, None,
            "a bare address is ignored, as Calico does"
        );
        assert_eq!(read.tunnel_address.v4, "10.65.1.1".parse().ok());
        assert_eq!(read.addresses.len(), 2);
        assert_eq!(read.labels["gpu"], "yes");
        assert_eq!(read.public_key.v4, None);
    }
}
