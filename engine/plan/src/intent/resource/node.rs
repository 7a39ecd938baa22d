//! Nodes: their addresses, and what they have published.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::spelling::meant;

use super::fields::{Fields, host};
use super::{Lost, Node, ROTATE_KEY, ROTATED_KEY, Rotation};

/// A Node as far as it can be read.
pub(super) fn read(fields: &mut Fields<'_>) -> Node {
    let mut node = Node {
        created: fields.created(),
        labels: labels(fields),
        ..Node::default()
    };
    // What is no mapping may hold any address.
    for field in ["spec", "spec.bgp", "spec.wireguard"] {
        if fields.at(field).is_some_and(|found| !found.is_object()) {
            for family in Family::ALL {
                fields.lose(Lost::Address(family), field, "is not a mapping");
            }
        }
    }
    let bgp = [
        (Family::V4, "spec.bgp.ipv4Address"),
        (Family::V6, "spec.bgp.ipv6Address"),
    ];
    for (family, field) in bgp {
        node.endpoint[family] = fields.address(family, field);
        node.addresses.extend(node.endpoint[family]);
    }
    read_listed(fields, &mut node);
    let overlays = [
        (Family::V4, "spec.bgp.ipv4IPIPTunnelAddr"),
        (Family::V4, "spec.ipv4VXLANTunnelAddr"),
        (Family::V6, "spec.ipv6VXLANTunnelAddr"),
    ];
    for (family, field) in overlays {
        node.overlay_addresses.extend(fields.address(family, field));
    }
    let own = [
        (
            Family::V4,
            "spec.wireguard.interfaceIPv4Address",
            "status.wireguardPublicKey",
        ),
        (
            Family::V6,
            "spec.wireguard.interfaceIPv6Address",
            "status.wireguardPublicKeyV6",
        ),
    ];
    for (family, field, key) in own {
        node.tunnel_address[family] = fields.address(family, field);
        // A node with a key that is none is a node that cannot be a peer, not a wrong resource.
        node.public_key[family] = match fields.at(key) {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.parse()),
            Some(other) => Some(other.to_string().parse::<PublicKey>()),
        };
    }
    let mut annotations = fields.texts("metadata.annotations");
    annotations.retain(|_, text| text != "null");
    node.rotation = Rotation {
        asked: annotations.remove(ROTATE_KEY),
        met: annotations.remove(ROTATED_KEY),
    };
    node.bad_address = PerFamily::each(|family| fields.lost.contains(&Lost::Address(family)));
    node
}

/// `metadata.labels`. A number and a truth value are texts that YAML takes for something else.
fn labels(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let field = "metadata.labels";
    let found = match fields.at(field) {
        None => return BTreeMap::new(),
        Some(found) => found.as_object(),
    };
    match found {
        None => fields.lose(Lost::Labels, field, "is not a mapping"),
        Some(found) => {
            let is_text =
                |value: &Value| !value.is_array() && !value.is_object() && !value.is_null();
            if let Some((name, _)) = found.iter().find(|(_, value)| !is_text(value)) {
                fields.lose(Lost::Labels, &format!("{field}.{name}"), "is not a text");
            }
        }
    }
    fields.texts(field)
}

/// Addresses that WireGuard can use, by their type (Calico: `api/pkg/apis/projectcalico/v3`, Kubernetes:
/// `core/v1` `NodeAddressType`).
const ADDRESS_TYPES: [&str; 3] = [DEFAULT_TYPE, "ExternalIP", "CalicoNodeIP"];

/// The type of an address that has none.
const DEFAULT_TYPE: &str = "InternalIP";

/// Names are addresses too, of a type that WireGuard cannot use.
const NAME_TYPES: [&str; 3] = ["Hostname", "InternalDNS", "ExternalDNS"];

/// Whether an entry of `spec.addresses` holds an external address, by its type; none if it holds a name. An
/// unknown type must not take the protection from an address.
fn read_type(fields: &mut Fields<'_>, field: &str, entry: &Value) -> Option<bool> {
    let written = entry.get("type").filter(|kind| !kind.is_null());
    let Some(written) = written.map_or(Some(DEFAULT_TYPE), Value::as_str) else {
        fields.fail(field, "has an entry whose type is not a text");
        return Some(false);
    };
    if NAME_TYPES.contains(&written) {
        return None;
    }
    let counts = meant(written, ADDRESS_TYPES).unwrap_or(DEFAULT_TYPE);
    if !ADDRESS_TYPES.contains(&written) {
        let known = ADDRESS_TYPES.join(", ");
        fields.fail(
            field,
            format!(
                "has an entry of the unknown type `{written}`, which counts as {counts}: known types are \
                 {known}, {}",
                NAME_TYPES.join(", ")
            ),
        );
        let text = entry.get("address").and_then(Value::as_str);
        // It may be another type of names.
        text.and_then(|text| host(text).ok())?;
    }
    Some(counts == "ExternalIP")
}

/// `spec.addresses`: the first internal one is preferred to external ones.
fn read_listed(fields: &mut Fields<'_>, node: &mut Node) {
    let field = "spec.addresses";
    let entries = match fields.at(field) {
        None => return,
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            for family in Family::ALL {
                fields.lose(Lost::Address(family), field, "is not a list");
            }
            return;
        }
    };
    let mut listed = Vec::new();
    for entry in entries {
        let Some(is_external) = read_type(fields, field, entry) else {
            continue;
        };
        if entry.is_string() {
            let what = "has an entry that is a text: write a mapping with `address` and `type`";
            fields.fail(field, what);
        }
        let text = entry.get("address").unwrap_or(entry);
        let Some(text) = text.as_str() else {
            for family in Family::ALL {
                fields.lose(
                    Lost::Address(family),
                    field,
                    "has an entry without an address",
                );
            }
            continue;
        };
        // As the BGP address: a prefix length changes nothing of what the address is.
        match host(text) {
            Ok(address) => listed.push((is_external, address)),
            Err(what) => {
                let what = match what {
                    None => format!("holds `{text}`, which is no IP address"),
                    Some(what) => format!("holds `{text}`: that is {what}"),
                };
                let family = if text.contains(':') {
                    Family::V6
                } else {
                    Family::V4
                };
                fields.lose(Lost::Address(family), field, what);
            }
        }
    }
    // A stable sort: within a kind the order of the list counts.
    listed.sort_by_key(|(is_external, _)| *is_external);
    for (is_external, address) in listed {
        let endpoint = node.endpoint[Family::of(address)].get_or_insert(address);
        if node.addresses.contains(&address) {
            continue;
        }
        if is_external && *endpoint != address {
            node.external_addresses.push(address);
        } else {
            node.addresses.push(address);
        }
    }
}
