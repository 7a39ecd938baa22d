//! Calico v3 resources, one at a time: what each file must hold.
//!
//! The shapes are those that `calicoctl get -o yaml` prints. Fields that do not
//! concern WireGuard are not looked at.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value};

use crate::key::{KeyError, PublicKey};

/// What identifies a resource: its kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A resource, read as far as WireGuard needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Resource {
    /// A node of the cluster.
    Node(Node),
    /// A pod's interface.
    Workload(Workload),
    /// FelixConfiguration: the spec as written; [`crate::settings`] reads it.
    Configuration(Map<String, Value>),
    /// ClusterInformation: its type, such as `k8s,aks`.
    Information(String),
    /// An IP pool. Workload IPs need none.
    Pool,
}

/// A node, as far as peers need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    /// Where its tunnel can be reached: the BGP address, else the first internal, else the first external one.
    pub(crate) endpoint: Option<Ipv4Addr>,
    /// All its own addresses (Felix: `calc/l3_route_resolver.go`).
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// The address of its tunnel device where hosts are not encrypted.
    pub(crate) tunnel_address: Option<Ipv4Addr>,
    /// The key it has published; `Err` if it is no key.
    pub(crate) public_key: Option<Result<PublicKey, KeyError>>,
}

/// A pod's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// The node it is on.
    pub(crate) node: String,
    /// Its IPv4 addresses.
    pub(crate) networks: Vec<Ipv4Net>,
}

/// What is wrong with a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {what}")]
pub(crate) struct Wrong {
    /// Where in the resource: `spec.bgp.ipv4Address`.
    pub(crate) field: String,
    /// What is wrong there, as a predicate.
    pub(crate) what: String,
}

impl Wrong {
    /// At `field`.
    pub(crate) fn at(field: &str, what: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            what: what.into(),
        }
    }
}

/// Reads one resource.
///
/// # Errors
/// It has no kind or name, its kind is unknown, or a field that matters does not hold what it must.
pub(crate) fn read(document: &Value) -> Result<(Identity, Resource), Wrong> {
    let kind = required(document, "kind")?;
    let identity = Identity {
        kind: kind.clone(),
        namespace: optional(document, "metadata.namespace")?.unwrap_or_default(),
        name: required(document, "metadata.name")?,
    };
    let resource = match kind.as_str() {
        "Node" => Resource::Node(node(document)?),
        "WorkloadEndpoint" => Resource::Workload(workload(document)?),
        "FelixConfiguration" => Resource::Configuration(match at(document, "spec") {
            None => Map::new(),
            Some(Value::Object(spec)) => spec.clone(),
            Some(_) => return Err(Wrong::at("spec", "is not a mapping")),
        }),
        "ClusterInformation" => {
            Resource::Information(optional(document, "spec.clusterType")?.unwrap_or_default())
        }
        "IPPool" => {
            let cidr = required(document, "spec.cidr")?;
            cidr.parse::<ipnet::IpNet>()
                .map_err(|_| Wrong::at("spec.cidr", format!("holds `{cidr}`, which is no CIDR")))?;
            Resource::Pool
        }
        other => {
            return Err(Wrong::at(
                "kind",
                format!(
                    "is `{other}`; known kinds are Node, WorkloadEndpoint, FelixConfiguration, ClusterInformation and IPPool"
                ),
            ));
        }
    };
    Ok((identity, resource))
}

fn node(document: &Value) -> Result<Node, Wrong> {
    let mut node = Node::default();
    let field = "spec.bgp.ipv4Address";
    if let Some(text) = optional(document, field)? {
        // Felix drops an address without a prefix length silently; it means the same.
        let address = match text.parse::<Ipv4Net>() {
            Ok(network) => network.addr(),
            Err(_) => address(field, &text)?,
        };
        node.endpoint = Some(address);
        node.addresses.push(address);
    }
    let listed = listed_addresses(document)?;
    for kind in ["InternalIP", "ExternalIP"] {
        for (_, address) in listed.iter().filter(|(listed, _)| listed == kind) {
            node.endpoint.get_or_insert(*address);
            if !node.addresses.contains(address) {
                node.addresses.push(*address);
            }
        }
    }
    let field = "spec.wireguard.interfaceIPv4Address";
    node.tunnel_address = optional(document, field)?
        .filter(|text| !text.is_empty())
        .map(|text| address(field, &text))
        .transpose()?;
    // A node with a key that is none is a node that cannot be a peer, not a wrong resource.
    node.public_key = optional(document, "status.wireguardPublicKey")?
        .filter(|text| !text.is_empty())
        .map(|text| text.parse());
    Ok(node)
}

/// `spec.addresses` with each entry's type. IPv6 addresses are left out.
fn listed_addresses(document: &Value) -> Result<Vec<(String, Ipv4Addr)>, Wrong> {
    let field = "spec.addresses";
    let entries = match at(document, field) {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Wrong::at(field, "is not a list")),
    };
    let mut listed = Vec::new();
    for entry in entries {
        let text = required(entry, "address")
            .map_err(|_| Wrong::at(field, "has an entry without an address"))?;
        match text.parse() {
            Ok(std::net::IpAddr::V4(address)) => {
                let kind = optional(entry, "type")?.unwrap_or_else(|| "InternalIP".into());
                listed.push((kind, address));
            }
            Ok(std::net::IpAddr::V6(_)) => {}
            Err(_) => {
                return Err(Wrong::at(
                    field,
                    format!("holds `{text}`, which is no IP address"),
                ));
            }
        }
    }
    Ok(listed)
}

fn workload(document: &Value) -> Result<Workload, Wrong> {
    let field = "spec.ipNetworks";
    let entries = match at(document, field) {
        None => &Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Wrong::at(field, "is not a list")),
    };
    let mut networks = Vec::new();
    for entry in entries {
        let text = entry
            .as_str()
            .ok_or_else(|| Wrong::at(field, "has an entry that is no text"))?;
        match text.parse::<ipnet::IpNet>() {
            Ok(ipnet::IpNet::V4(network)) => networks.push(network.trunc()),
            Ok(ipnet::IpNet::V6(_)) => {}
            Err(_) => networks.push(Ipv4Net::from(address(field, text)?)),
        }
    }
    Ok(Workload {
        node: required(document, "spec.node")?,
        networks,
    })
}

fn address(field: &str, text: &str) -> Result<Ipv4Addr, Wrong> {
    Ipv4Addr::from_str(text)
        .map_err(|_| Wrong::at(field, format!("holds `{text}`, which is no IPv4 address")))
}

fn at<'a>(document: &'a Value, field: &str) -> Option<&'a Value> {
    let found = field
        .split('.')
        .try_fold(document, |value, part| value.get(part))?;
    (!found.is_null()).then_some(found)
}

fn optional(document: &Value, field: &str) -> Result<Option<String>, Wrong> {
    match at(document, field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Wrong::at(field, "is not a text")),
    }
}

fn required(document: &Value, field: &str) -> Result<String, Wrong> {
    match optional(document, field)? {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(Wrong::at(field, "is empty")),
        None => Err(Wrong::at(field, "is missing")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(document: Value) -> String {
        read(&document).unwrap_err().to_string()
    }

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
        assert_eq!(node.endpoint, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(
            node.addresses,
            [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 7)]
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
        assert_eq!(node.endpoint, Some(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        assert_eq!(wrong(json!({})), "`kind` is missing");
        assert_eq!(wrong(json!({"kind": "Node"})), "`metadata.name` is missing");
        assert!(
            wrong(json!({"kind": "Pod", "metadata": {"name": "x"}})).starts_with("`kind` is `Pod`")
        );
        assert_eq!(
            wrong(
                json!({"kind": "Node", "metadata": {"name": "x"}, "spec": {"bgp": {"ipv4Address": "moon"}}})
            ),
            "`spec.bgp.ipv4Address` holds `moon`, which is no IPv4 address"
        );
        assert_eq!(
            wrong(
                json!({"kind": "WorkloadEndpoint", "metadata": {"name": "x"}, "spec": {"ipNetworks": []}})
            ),
            "`spec.node` is missing"
        );
    }
}
