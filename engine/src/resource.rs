//! Calico v3 resources, one at a time: what each file must hold.
//!
//! The shapes are those that `calicoctl get -o yaml` prints. Fields that do not
//! concern WireGuard are not looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::family::{Family, PerFamily, network};
use crate::key::{KeyError, PublicKey};

pub(crate) mod block;

/// Nodes as Kubernetes has them.
pub(crate) mod kubernetes;

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
    Node(Box<Node>),
    /// A pod's interface.
    Workload(Workload),
    /// FelixConfiguration, as written; [`crate::settings`] reads it.
    Configuration(Configuration),
    /// ClusterInformation.
    Information(Information),
    /// An IP pool: pods have their addresses from it.
    Pool(IpNet),
    /// A block of Calico IPAM.
    Block(Block),
}

/// What concerns all of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Information {
    /// Its type, such as `k8s,aks`.
    pub(crate) kind: String,
    /// Whether its resources may be acted upon: they may not while Calico migrates them
    /// (`datastoreReady`).
    pub(crate) ready: bool,
}

/// A FelixConfiguration as written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Configuration {
    /// When it was made, as text that sorts by time; empty, if that is not told.
    pub(crate) created: String,
    /// Felix's own fields.
    pub(crate) spec: Map<String, Value>,
    /// What Felix has no field for.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A node, as far as peers need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    /// When it was made, as text that sorts by time; empty, if that is not told.
    pub(crate) created: String,
    /// What selectors are asked of.
    pub(crate) labels: BTreeMap<String, String>,
    /// Where its tunnel can be reached: the BGP address, else the first internal, else the first external one.
    pub(crate) endpoint: PerFamily<Option<IpAddr>>,
    /// All its own addresses (Felix: `calc/l3_route_resolver.go`).
    pub(crate) addresses: Vec<IpAddr>,
    /// Addresses that a gateway outside of the node may translate (`ExternalIP`): the node itself need
    /// not know them, and a tunnel that took their traffic would lead nowhere.
    pub(crate) external_addresses: Vec<IpAddr>,
    /// The address of its tunnel device where hosts are not encrypted.
    pub(crate) tunnel_address: PerFamily<Option<IpAddr>>,
    /// Addresses of its other tunnels (IP in IP, VXLAN), which are its own too.
    pub(crate) overlay_addresses: Vec<IpAddr>,
    /// The key it has published; `Err` if it is no key.
    pub(crate) public_key: PerFamily<Option<Result<PublicKey, KeyError>>>,
    /// The operator's last request for a new key, and the last one that was met.
    pub(crate) rotation: Rotation,
}

impl Node {
    /// The addresses of its tunnels.
    pub(crate) fn tunnels(&self) -> impl Iterator<Item = IpAddr> {
        let tunnels = self.tunnel_address.iter();
        let tunnels = tunnels.filter_map(|(_, address)| *address);
        tunnels.chain(self.overlay_addresses.iter().copied())
    }
}

/// Requests for a new key: any text that differs from the one that was met last is a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rotation {
    pub(crate) asked: Option<String>,
    pub(crate) met: Option<String>,
}

impl Rotation {
    /// The request that has not been met.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.asked
            .as_deref()
            .filter(|asked| self.met.as_deref() != Some(asked))
    }
}

/// Annotation of a Node: a new key is wanted.
pub(crate) const ROTATE_KEY: &str = "wiremesh/rotate-key";

/// Annotation of a Node: the request that was met last.
pub(crate) const ROTATED_KEY: &str = "wiremesh/rotated-key";

/// A pod's interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Workload {
    /// When it was made, as text that sorts by time; empty, if that is not told.
    pub(crate) created: String,
    /// The node it is on.
    pub(crate) node: String,
    /// Its addresses.
    pub(crate) networks: Vec<IpNet>,
}

/// A block of addresses that Calico IPAM has given to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// When it was made, as text that sorts by time; empty, if that is not told, as in etcd.
    pub(crate) created: String,
    pub(crate) cidr: IpNet,
    /// The node that has it; none while it is being given back.
    pub(crate) affinity: Option<String>,
    /// Addresses that other nodes have borrowed from it, with these nodes.
    pub(crate) borrowed: Vec<(IpAddr, String)>,
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
    check_name("metadata.name", &identity.name)?;
    check_name("metadata.namespace", &identity.namespace)?;
    check_version(document, &kind)?;
    let resource = match kind.as_str() {
        "Node" if kubernetes::is_one(document) => {
            Resource::Node(Box::new(node(&kubernetes::as_calico(document))?))
        }
        "Node" => Resource::Node(Box::new(node(document)?)),
        "WorkloadEndpoint" => Resource::Workload(workload(document)?),
        "FelixConfiguration" => Resource::Configuration(Configuration {
            created: created(document),
            spec: match at(document, "spec") {
                None => Map::new(),
                Some(Value::Object(spec)) => spec.clone(),
                Some(_) => return Err(Wrong::at("spec", "is not a mapping")),
            },
            annotations: match at(document, "metadata.annotations") {
                None | Some(Value::Object(_)) => annotations(document),
                Some(_) => return Err(Wrong::at("metadata.annotations", "is not a mapping")),
            },
        }),
        "ClusterInformation" => Resource::Information(Information {
            kind: optional(document, "spec.clusterType")?.unwrap_or_default(),
            ready: at(document, "spec.datastoreReady") != Some(&Value::Bool(false)),
        }),
        "IPPool" => {
            let cidr = required(document, "spec.cidr")?;
            let cidr = cidr
                .parse::<IpNet>()
                .map_err(|_| Wrong::at("spec.cidr", format!("holds `{cidr}`, which is no CIDR")))?;
            Resource::Pool(cidr.trunc())
        }
        "IPAMBlock" => Resource::Block(Block {
            created: created(document),
            ..block::read(at(document, "spec").unwrap_or(&Value::Null))?
        }),
        other => {
            return Err(Wrong::at(
                "kind",
                format!(
                    "is `{other}`; known kinds are Node, WorkloadEndpoint, FelixConfiguration, ClusterInformation, IPPool and IPAMBlock"
                ),
            ));
        }
    };
    Ok((identity, resource))
}

fn node(document: &Value) -> Result<Node, Wrong> {
    let mut node = Node {
        created: created(document),
        labels: texts(document, "metadata.labels"),
        ..Node::default()
    };
    let bgp = [
        (Family::V4, "spec.bgp.ipv4Address"),
        (Family::V6, "spec.bgp.ipv6Address"),
    ];
    for (family, field) in bgp {
        if let Some(text) = optional(document, field)?.filter(|text| !text.is_empty()) {
            // Felix drops an address without a prefix length silently; it means the same.
            let host = text.split_once('/').map_or(text.as_str(), |(host, _)| host);
            let address = address(field, &text, host, family)?;
            node.endpoint[family] = Some(address);
            node.addresses.push(address);
        }
    }
    let listed = listed_addresses(document)?;
    for kind in ["InternalIP", "ExternalIP"] {
        for (_, address) in listed.iter().filter(|(listed, _)| listed == kind) {
            let endpoint = node.endpoint[Family::of(*address)].get_or_insert(*address);
            if node.addresses.contains(address) {
                continue;
            }
            match kind == "InternalIP" || endpoint == address {
                true => node.addresses.push(*address),
                false => node.external_addresses.push(*address),
            }
        }
    }
    let overlays = [
        (Family::V4, "spec.bgp.ipv4IPIPTunnelAddr"),
        (Family::V4, "spec.ipv4VXLANTunnelAddr"),
        (Family::V6, "spec.ipv6VXLANTunnelAddr"),
    ];
    for (family, field) in overlays {
        if let Some(text) = optional(document, field)?.filter(|text| !text.is_empty()) {
            node.overlay_addresses
                .push(address(field, &text, &text, family)?);
        }
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
        node.tunnel_address[family] = optional(document, field)?
            .filter(|text| !text.is_empty())
            .map(|text| address(field, &text, &text, family))
            .transpose()?;
        // A node with a key that is none is a node that cannot be a peer, not a wrong resource.
        node.public_key[family] = optional(document, key)?
            .filter(|text| !text.is_empty())
            .map(|text| text.parse());
    }
    let mut annotations = annotations(document);
    annotations.retain(|_, text| text != "null");
    node.rotation = Rotation {
        asked: annotations.remove(ROTATE_KEY),
        met: annotations.remove(ROTATED_KEY),
    };
    Ok(node)
}

/// `spec.addresses` with each entry's type.
fn listed_addresses(document: &Value) -> Result<Vec<(String, IpAddr)>, Wrong> {
    let field = "spec.addresses";
    let mut listed = Vec::new();
    for entry in list(document, field)? {
        let text = required(entry, "address")
            .map_err(|_| Wrong::at(field, "has an entry without an address"))?;
        // Host names are addresses too, of a kind that WireGuard cannot use.
        let kind = optional(entry, "type")?.unwrap_or_else(|| "InternalIP".into());
        if kind != "InternalIP" && kind != "ExternalIP" {
            continue;
        }
        // As the BGP address: a prefix length changes nothing of what the address is.
        let host = text.split_once('/').map_or(text.as_str(), |(host, _)| host);
        let address = host
            .parse()
            .map_err(|_| Wrong::at(field, format!("holds `{text}`, which is no IP address")))?;
        listed.push((kind, address));
    }
    Ok(listed)
}

fn workload(document: &Value) -> Result<Workload, Wrong> {
    let field = "spec.ipNetworks";
    let mut networks = Vec::new();
    for entry in list(document, field)? {
        let text = entry
            .as_str()
            .ok_or_else(|| Wrong::at(field, "has an entry that is no text"))?;
        let network = network(text)
            .ok_or_else(|| Wrong::at(field, format!("holds `{text}`, which is no network")))?;
        // As Calico's own API: what is wider would take over the traffic of others.
        if network.prefix_len() != network.max_prefix_len() {
            let what =
                format!("holds `{text}`: a workload's network is one address, a /32 or a /128");
            return Err(Wrong::at(field, what));
        }
        networks.push(network);
    }
    Ok(Workload {
        created: created(document),
        node: required(document, "spec.node")?,
        networks,
    })
}

/// `metadata.creationTimestamp`, which Kubernetes and Calico write in UTC and whole seconds, so that its
/// text sorts by time (Kubernetes: `metav1.Time`). What is written otherwise is not told.
fn created(document: &Value) -> String {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let text = at(document, "metadata.creationTimestamp").and_then(Value::as_str);
    let text = text.unwrap_or_default();
    let fits = |(form, byte): (&u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        sign => byte == *sign,
    };
    let is_time = text.len() == FORM.len() && FORM.iter().zip(text.bytes()).all(fits);
    if is_time {
        text.to_owned()
    } else {
        String::new()
    }
}

fn address(field: &str, text: &str, host: &str, family: Family) -> Result<IpAddr, Wrong> {
    let address = host.parse::<IpAddr>().ok();
    address
        .filter(|address| Family::of(*address) == family)
        .ok_or_else(|| {
            Wrong::at(
                field,
                format!("holds `{text}`, which is no {family} address"),
            )
        })
}

/// The longest name that Kubernetes has, in characters.
const LONGEST_NAME: usize = 253;

fn check_name(field: &str, name: &str) -> Result<(), Wrong> {
    let length = name.chars().count();
    if length > LONGEST_NAME {
        let what = format!("has {length} characters; a name has at most {LONGEST_NAME}");
        return Err(Wrong::at(field, what));
    }
    let fits = |c: char| c.is_ascii_graphic() && c != '/';
    match name.chars().find(|c| !fits(*c)) {
        Some(c) => Err(Wrong::at(
            field,
            format!("holds {c:?}, which is in no name"),
        )),
        None => Ok(()),
    }
}

/// Resources of another version may mean something else by the same fields.
fn check_version(document: &Value, kind: &str) -> Result<(), Wrong> {
    let known = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];
    match optional(document, "apiVersion")?.as_deref() {
        None => Ok(()),
        Some("v1") if kind == "Node" => Ok(()),
        Some(version) if known.contains(&version) => Ok(()),
        Some(version) => Err(Wrong::at(
            "apiVersion",
            format!(
                "is `{version}`; known versions are {}, and v1 of a Node",
                known.join(" and ")
            ),
        )),
    }
}

fn annotations(document: &Value) -> BTreeMap<String, String> {
    texts(document, "metadata.annotations")
}

fn texts(document: &Value, field: &str) -> BTreeMap<String, String> {
    let annotations = at(document, field).and_then(Value::as_object);
    let texts = annotations.into_iter().flatten();
    // YAML makes `true` no text, and what is meant by it is clear.
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    texts
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn list<'a>(document: &'a Value, field: &str) -> Result<&'a [Value], Wrong> {
    match at(document, field) {
        None => Ok(&[]),
        Some(Value::Array(entries)) => Ok(entries),
        Some(_) => Err(Wrong::at(field, "is not a list")),
    }
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
    fn a_name_has_at_most_253_characters() {
        let node = |length| json!({"kind": "Node", "metadata": {"name": "n".repeat(length)}});
        assert!(read(&node(253)).is_ok());
        for length in [254, 65536] {
            assert_eq!(
                wrong(node(length)),
                format!("`metadata.name` has {length} characters; a name has at most 253")
            );
        }
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
    fn a_workload_s_network_is_one_address() {
        let pod = |network: &str| {
            read(&json!({
                "kind": "WorkloadEndpoint", "metadata": {"name": "x"},
                "spec": {"node": "a", "ipNetworks": ["10.0.1.1", network]},
            }))
        };
        for network in ["10.0.1.2/32", "fd00::1/128", "fd00::1"] {
            assert!(pod(network).is_ok(), "{network}");
        }
        for network in ["0.0.0.0/0", "::/0", "10.0.1.2/31", "fd00::/127"] {
            assert_eq!(
                pod(network).unwrap_err().to_string(),
                format!(
                    "`spec.ipNetworks` holds `{network}`: a workload's network is one address, a \
                     /32 or a /128"
                )
            );
        }
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
