//! Parsers of Calico v3 resources, one at a time.
//!
//! The shapes are those that `calicoctl get -o yaml` prints. Fields that do not
//! concern WireGuard are not looked at.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::intent::address::unusable_network;
use crate::intent::family::{Family, PerFamily, network};
use crate::intent::key::{KeyError, PublicKey};

/// The identity of a document's resource: its kind, namespace and name.
mod identity;

/// Typed access to a resource's fields.
mod fields;

/// Blocks of Calico IPAM.
mod block;

/// Nodes.
mod node;

/// Nodes as Kubernetes has them.
pub mod kubernetes;

/// WorkloadEndpoints: pods' interfaces, with their addresses and nodes.
mod workload;

/// Names of fields, and the right one for a misspelt one.
mod names;

/// Values kept from a resource's last good state while a field cannot be read.
mod keep;

use fields::Fields;
pub use identity::{Identity, identity_of};
use identity::{KINDS, KNOWN_VERSIONS, check_name, read_kind};

/// A resource, read as far as WireGuard needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A node of the cluster.
    Node(Box<Node>),
    /// A pod's interface.
    Workload(Workload),
    /// FelixConfiguration, as written; [`crate::intent::settings`] reads it.
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
pub struct Information {
    /// Its type, such as `k8s,aks`.
    pub kind: String,
    /// Whether its resources may be acted upon: they may not while Calico migrates them
    /// (`datastoreReady`).
    pub ready: bool,
}

/// A FelixConfiguration as written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configuration {
    /// When it was made, as text that sorts by time; empty, if it has no creation time.
    pub created: String,
    /// Felix's own fields.
    pub spec: Map<String, Value>,
    /// What Felix has no field for.
    pub annotations: BTreeMap<String, String>,
}

/// A node, as far as peers need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Whether an address of that family is given that cannot be used.
    pub bad_address: PerFamily<bool>,
    /// When it was made, as text that sorts by time; empty, if it has no creation time.
    pub created: String,
    /// What selectors are asked of.
    pub labels: BTreeMap<String, String>,
    /// Where its tunnel can be reached: the BGP address, else the first internal, else the first external one.
    pub endpoint: PerFamily<Option<IpAddr>>,
    /// All its own addresses (Felix: `calc/l3_route_resolver.go`).
    pub addresses: Vec<IpAddr>,
    /// Addresses that a gateway outside of the node may translate (`ExternalIP`): the node itself need
    /// not know them, and a tunnel that took their traffic would lead nowhere.
    pub external_addresses: Vec<IpAddr>,
    /// The address of its tunnel device where hosts are not encrypted.
    pub tunnel_address: PerFamily<Option<IpAddr>>,
    /// Addresses of its other tunnels (IP in IP, VXLAN), which are its own too.
    pub overlay_addresses: Vec<IpAddr>,
    /// The key it has published; `Err` if it is no key.
    pub public_key: PerFamily<Option<Result<PublicKey, KeyError>>>,
    /// The operator's last request for a new key, and the last one that was met.
    pub rotation: Rotation,
}

impl Node {
    /// The addresses of its tunnels.
    pub fn tunnels(&self) -> impl Iterator<Item = IpAddr> {
        let tunnels = self.tunnel_address.iter();
        let tunnels = tunnels.filter_map(|(_, address)| *address);
        tunnels.chain(self.overlay_addresses.iter().copied())
    }
}

/// Requests for a new key: any text that differs from the one that was met last is a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// The request: annotation `wiremesh/rotate-key`.
    pub asked: Option<String>,
    /// The request that was met last: annotation `wiremesh/rotated-key`.
    pub met: Option<String>,
}

impl Rotation {
    /// The request that has not been met.
    pub fn pending(&self) -> Option<&str> {
        self.asked
            .as_deref()
            .filter(|asked| self.met.as_deref() != Some(asked))
    }
}

/// Annotation of a Node: a new key is wanted.
pub const ROTATE_KEY: &str = "wiremesh/rotate-key";

/// Annotation of a Node: the request that was met last.
pub const ROTATED_KEY: &str = "wiremesh/rotated-key";

/// A pod's interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// When it was made, as text that sorts by time; empty, if it has no creation time.
    pub created: String,
    /// The node it is on; empty, if that cannot be read.
    pub node: String,
    /// Its addresses, as networks.
    pub networks: Vec<IpNet>,
}

/// A block of addresses that Calico IPAM has given to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// When it was made, as text that sorts by time; empty, if it has no creation time, as in etcd.
    pub created: String,
    /// Its addresses: `spec.cidr`.
    pub cidr: IpNet,
    /// The node that has it; none while it is being given back, and empty if it cannot be read.
    pub affinity: Option<String>,
    /// Whether its addresses are those of load balancers, and of no pod.
    pub is_virtual: bool,
    /// Addresses that other nodes have borrowed from it, with these nodes.
    pub borrowed: Vec<(IpAddr, String)>,
}

/// What is wrong with a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {what}")]
pub struct Wrong {
    /// Where in the resource: `spec.bgp.ipv4Address`.
    pub field: String,
    /// What is wrong there, as a predicate.
    pub what: String,
}

impl Wrong {
    /// A mistake at `field`.
    pub fn at(field: &str, what: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            what: what.into(),
        }
    }
}

/// What cannot be read of a resource, and stays as it was known if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// A Node's address of that family.
    Address(Family),
    /// A pod's address, or what has been borrowed from a block.
    Network,
    /// The node of a pod or a block.
    Owner,
    /// A Node's labels.
    Labels,
    /// The type of the cluster.
    ClusterType,
    /// Whether a cluster's resources may be acted upon.
    Ready,
}

/// A resource as far as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which resource it is.
    pub identity: Identity,
    /// What can be read of it.
    pub resource: Resource,
    /// What is wrong with it; the rest counts.
    pub wrong: Vec<Wrong>,
    /// What is missing for it.
    pub lost: Vec<Lost>,
}

/// The kinds whose resources count whatever they are called: their addresses are protected.
const NAMELESS: &[&str] = &["WorkloadEndpoint", "IPPool", "IPAMBlock"];

/// Reads one resource, which is at `place`, as far as that can be done: a mistake in one field must not
/// take the protection from the addresses in another one.
///
/// # Errors
/// It has no kind or name, its kind or version is unknown, or nothing of it can be used.
pub fn read_partly(document: &Value, place: &str) -> Result<Reading, Wrong> {
    let mut fields = Fields::new(document);
    let written = fields.required("kind")?;
    let kind = read_kind(&written).ok_or_else(|| unknown_kind(&written))?;
    if kind != written {
        fields.fail("kind", format!("is `{written}`: did you mean `{kind}`?"));
    }
    let named = name(&fields);
    let identity = Identity {
        kind: kind.to_owned(),
        namespace: namespace(&mut fields),
        name: match &named {
            Ok(name) => name.clone(),
            Err(wrong) if NAMELESS.contains(&kind) => {
                fields.wrong.push(wrong.clone());
                place.to_owned()
            }
            Err(wrong) => return Err(wrong.clone()),
        },
    };
    check_version(&fields, kind)?;
    names::check(&mut fields, kind);
    let resource = match kind {
        "Node" => Resource::Node(Box::new(if kubernetes::is_one(document) {
            kubernetes::read(&mut fields)
        } else {
            node::read(&mut fields)
        })),
        "WorkloadEndpoint" => match workload::read(&mut fields) {
            // Nothing of it can be used, and it may be any resource.
            pod if pod.networks.is_empty() => named.map(|_| Resource::Workload(pod))?,
            pod => Resource::Workload(pod),
        },
        "FelixConfiguration" => Resource::Configuration(Configuration {
            created: fields.created(),
            spec: match fields.at("spec") {
                None => Map::new(),
                Some(Value::Object(spec)) => spec.clone(),
                Some(_) => return Err(Wrong::at("spec", "is not a mapping")),
            },
            annotations: match fields.at("metadata.annotations") {
                None | Some(Value::Object(_)) => fields.texts("metadata.annotations"),
                Some(_) => return Err(Wrong::at("metadata.annotations", "is not a mapping")),
            },
        }),
        "ClusterInformation" => Resource::Information(information(&mut fields)),
        "IPPool" => Resource::Pool(cidr(&mut fields)?),
        _ => Resource::Block(block::read(&mut fields)?),
    };
    let Fields { wrong, lost, .. } = fields;
    Ok(Reading {
        identity,
        resource,
        wrong,
        lost,
    })
}

/// Reads one resource that has no mistake.
#[cfg(test)]
pub fn read(document: &Value) -> Result<(Identity, Resource), Wrong> {
    let reading = read_partly(document, "here")?;
    match reading.wrong.into_iter().next() {
        None => Ok((reading.identity, reading.resource)),
        Some(wrong) => Err(wrong),
    }
}

fn unknown_kind(kind: &str) -> Wrong {
    if kind.ends_with("List") {
        let what = "whose `items` are no list, or which is inside of too many lists";
        return Wrong::at("kind", format!("is `{kind}`, {what}"));
    }
    let known = KINDS.join(", ");
    Wrong::at("kind", format!("is `{kind}`; known kinds are {known}"))
}

fn name(fields: &Fields<'_>) -> Result<String, Wrong> {
    let field = "metadata.name";
    let name = fields.required(field)?;
    check_name(field, &name)?;
    Ok(name)
}

/// A namespace distinguishes pods of one name, and nothing else.
fn namespace(fields: &mut Fields<'_>) -> String {
    let field = "metadata.namespace";
    let namespace = fields.text(field).unwrap_or_default();
    if let Err(wrong) = check_name(field, &namespace) {
        fields.wrong.push(wrong);
    }
    namespace
}

fn information(fields: &mut Fields<'_>) -> Information {
    let field = "spec.clusterType";
    if fields.at(field).is_some_and(|found| !found.is_string()) {
        fields.lost.push(Lost::ClusterType);
    }
    Information {
        kind: fields.text(field).unwrap_or_default(),
        ready: is_ready(fields),
    }
}

/// Whether resources may be acted upon. What is neither true nor false counts as false, as does a name that is
/// near to the field's: then nothing is changed, and the reason is reported.
fn is_ready(fields: &mut Fields<'_>) -> bool {
    let field = "spec.datastoreReady";
    let (counts, what) = match fields.at(field) {
        // It may be there by another name.
        None => return !fields.lost.contains(&Lost::Ready),
        Some(Value::Bool(true)) => return true,
        Some(Value::Bool(false)) => return false,
        Some(Value::String(text)) => (text == "true", format!("is the text `{text}`")),
        Some(_) => (false, "is neither true nor false".to_owned()),
    };
    fields.fail(
        field,
        format!("{what}, and counts as {counts}: write true or false without quotes"),
    );
    counts
}

/// The network of a pool.
fn cidr(fields: &mut Fields<'_>) -> Result<IpNet, Wrong> {
    let field = "spec.cidr";
    let text = fields.required(field)?;
    let cidr = network(&text).filter(|_| text.contains('/'));
    let cidr = cidr.ok_or_else(|| Wrong::at(field, format!("holds `{text}`, which is no CIDR")))?;
    match unusable_network(cidr) {
        Some(what) => Err(Wrong::at(field, format!("holds `{text}`: that is {what}"))),
        None => {
            if cidr != cidr.trunc() {
                let whole = cidr.trunc();
                let what =
                    format!("holds `{text}`, an address within a network, and counts as `{whole}`");
                fields.fail(field, what);
            }
            Ok(cidr.trunc())
        }
    }
}

/// Resources of another version may mean something else by the same fields.
fn check_version(fields: &Fields<'_>, kind: &str) -> Result<(), Wrong> {
    let known = KNOWN_VERSIONS;
    match fields.optional("apiVersion")?.as_deref() {
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

#[cfg(test)]
mod tests;
