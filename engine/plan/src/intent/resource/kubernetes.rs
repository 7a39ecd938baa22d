//! Kubernetes' own Nodes, on which Calico keeps what it knows in annotations
//! (Calico: `libcalico-go/lib/backend/k8s/resources/node.go`).

use serde_json::{Value, json};

use crate::intent::family::{Family, network};

use super::fields::Fields;
use super::{Lost, Node, node};

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
pub fn key_annotation(family: Family) -> &'static str {
    match family {
        Family::V4 => "projectcalico.org/WireguardPublicKey",
        Family::V6 => "projectcalico.org/WireguardPublicKeyV6",
    }
}

/// Whether a Node is Kubernetes' own.
pub fn is_one(node: &Value) -> bool {
    node["apiVersion"] == "v1"
}

/// What such an annotation's name begins with.
const PREFIX: &str = "projectcalico.org/";

/// Where Kubernetes has a Node's addresses.
const ADDRESSES: (&str, &str) = ("spec.addresses", "status.addresses");

/// A Node as far as it can be read. An annotation that does not hold what it must is none, as Calico has it,
/// and is reported.
pub(super) fn read(fields: &mut Fields<'_>) -> Node {
    let document = fields.document;
    let mut calico = json!({
        "kind": "Node",
        "metadata": document["metadata"],
        "spec": {"bgp": {}, "wireguard": {}, "addresses": document["status"]["addresses"]},
        "status": {},
    });
    for (name, field, form) in ANNOTATIONS {
        let name = format!("{PREFIX}{name}");
        let Some(text) = document["metadata"]["annotations"][&name].as_str() else {
            continue;
        };
        let fits = match form {
            Form::Interface => text.contains('/') && network(text).is_some(),
            Form::Address => !text.contains('/') && network(text).is_some(),
            Form::Text => true,
        };
        if !fits && !text.is_empty() {
            let wanted = match form {
                Form::Interface => "no address with the length of its prefix",
                _ => "no address",
            };
            let family = if name.contains("IPv6") {
                Family::V6
            } else {
                Family::V4
            };
            let what = format!("holds `{text}`, which is {wanted}, and counts as none");
            fields.lose(Lost::Address(family), &annotation(&name), what);
        }
        if fits
            && let Some((parent, name)) = field.rsplit_once('/')
            && let Some(Value::Object(parent)) = calico.pointer_mut(parent)
        {
            parent.insert(name.to_owned(), json!(text));
        }
    }
    let mut read = Fields::new(&calico);
    read.lost.clone_from(&fields.lost);
    let node = node::read(&mut read);
    for wrong in read.wrong {
        fields.fail(&written(&wrong.field), wrong.what);
    }
    fields.lost = read.lost;
    node
}

fn annotation(name: &str) -> String {
    format!("metadata.annotations.{name}")
}

/// Where Kubernetes has what Calico has in that field.
fn written(field: &str) -> String {
    let (calico, kubernetes) = ADDRESSES;
    if let Some(rest) = field.strip_prefix(calico) {
        return format!("{kubernetes}{rest}");
    }
    let pointer = format!("/{}", field.replace('.', "/"));
    let mut known = ANNOTATIONS.iter();
    let known = known.find(|(_, calico, _)| *calico == pointer);
    known.map_or_else(
        || field.to_owned(),
        |(name, _, _)| annotation(&format!("{PREFIX}{name}")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Resource, read_partly};
    use super::*;
    use crate::intent::family::PerFamily;

    /// A Node, and what is wrong with it.
    fn node(value: &Value) -> (Node, Vec<String>) {
        let read = read_partly(value, "here").unwrap();
        let wrong = read.wrong.iter().map(ToString::to_string);
        match read.resource {
            Resource::Node(node) => (*node, wrong.collect()),
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
        let (read, wrong) = node(&example());
        assert_eq!(read.endpoint.v4, "10.9.0.2".parse().ok());
        assert_eq!(
            read.endpoint.v6, None,
            "a bare address is ignored, as Calico does"
        );
        assert_eq!(read.tunnel_address.v4, "10.65.1.1".parse().ok());
        assert_eq!(read.addresses.len(), 2);
        assert_eq!(read.labels["gpu"], "yes");
        assert_eq!(read.public_key.v4, None);
        assert_eq!(
            wrong,
            [
                "`metadata.annotations.projectcalico.org/IPv6Address` holds `fd00::2`, which is no \
                 address with the length of its prefix, and counts as none"
            ]
        );
    }

    #[test]
    fn an_address_that_no_host_can_have_is_reported_at_its_kubernetes_field() {
        let mut value = example();
        let annotations = &mut value["metadata"]["annotations"];
        annotations["projectcalico.org/IPv6Address"] = json!("fe80::2/64");
        annotations["projectcalico.org/IPv4Address"] = json!("127.0.0.1/8");
        value["status"]["addresses"][0]["address"] = json!("224.0.0.1");
        let (read, wrong) = node(&value);
        assert_eq!(read.endpoint, PerFamily::default());
        assert_eq!(read.bad_address, PerFamily { v4: true, v6: true });
        assert_eq!(
            wrong,
            [
                "`metadata.annotations.projectcalico.org/IPv4Address` holds `127.0.0.1/8`: that is a \
                 loopback address",
                "`metadata.annotations.projectcalico.org/IPv6Address` holds `fe80::2/64`: that is a \
                 link-local address",
                "`status.addresses` holds `224.0.0.1`: that is a multicast address",
            ]
        );
    }
}
