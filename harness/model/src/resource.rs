//! The Calico v3 resources of a plan, in the shapes that `calicoctl get -o json` prints.

use serde_json::{Value, json};

use crate::name::POD_INTERFACE_PREFIX;
use crate::plan::{Cluster, Node, Plan, Pod};

/// Calico's word for who runs a workload. Kubernetes' own word would promise a Pod resource.
const ORCHESTRATOR: &str = "wireproof";

/// A resource and the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceFile {
    /// The file's name: kind and name of the resource, as `node.ada.json`.
    pub name: String,
    /// Its content, JSON.
    pub text: String,
}

/// Everything that an engine is told about the planned cluster, before any step.
pub fn files(plan: &Plan) -> Vec<ResourceFile> {
    let mut files = vec![
        cluster_information(&plan.cluster),
        configuration(&plan.cluster),
        pool(plan),
    ];
    for node in &plan.nodes {
        files.push(node_resource(node, plan));
        if !node.wireguard {
            files.push(opted_out(node));
        }
        files.extend(node.pods.iter().map(|pod| workload(node, pod)));
    }
    files
}

fn cluster_information(cluster: &Cluster) -> ResourceFile {
    let mut spec = json!({ "datastoreReady": true });
    if let Some(kind) = &cluster.cluster_type {
        spec["clusterType"] = json!(kind);
    }
    file(
        "ClusterInformation",
        json!({ "name": "default" }),
        "default",
        spec,
    )
}

/// FelixConfiguration for all nodes, with the field names of Calico's API.
fn configuration(cluster: &Cluster) -> ResourceFile {
    let mut spec = json!({
        "interfacePrefix": POD_INTERFACE_PREFIX,
        "mtuIfacePattern": "^eth0$",
        "routeSource": "WorkloadIPs",
        "wireguardEnabled": cluster.wireguard,
        "wireguardHostEncryptionEnabled": cluster.host_encryption,
        "wireguardInterfaceName": cluster.interface,
        "wireguardListeningPort": cluster.listen_port,
    });
    if let Some(mtu) = cluster.mtu {
        spec["wireguardMTU"] = json!(mtu);
    }
    if cluster.keepalive > 0 {
        spec["wireguardKeepAlive"] = json!(format!("{}s", cluster.keepalive));
    }
    file(
        "FelixConfiguration",
        json!({ "name": "default" }),
        "default",
        spec,
    )
}

/// FelixConfiguration of one node, which overrides the one for all.
fn opted_out(node: &Node) -> ResourceFile {
    let name = format!("node.{}", node.name);
    let spec = json!({ "wireguardEnabled": false });
    file("FelixConfiguration", json!({ "name": name }), &name, spec)
}

fn pool(plan: &Plan) -> ResourceFile {
    let spec = json!({ "cidr": plan.fabric.subnet, "ipipMode": "Never", "vxlanMode": "Never" });
    file("IPPool", json!({ "name": "fabric" }), "fabric", spec)
}

/// Felix reads the endpoint of a node's tunnel from the BGP address, and drops one that has no
/// prefix length.
fn node_resource(node: &Node, plan: &Plan) -> ResourceFile {
    let prefix = plan.fabric.subnet.prefix_len();
    let spec = json!({
        "addresses": [{ "address": node.address, "type": "InternalIP" }],
        "bgp": { "ipv4Address": format!("{}/{prefix}", node.address) },
    });
    file(
        "Node",
        json!({ "name": node.name }),
        node.name.as_str(),
        spec,
    )
}

fn workload(node: &Node, pod: &Pod) -> ResourceFile {
    let parts = [node.name.as_str(), ORCHESTRATOR, pod.name.as_str(), "eth0"];
    // The name is split again at single hyphens, so those inside a part are doubled.
    let name = parts.map(|part| part.replace('-', "--")).join("-");
    let spec = json!({
        "endpoint": "eth0",
        "interfaceName": pod.interface,
        "ipNetworks": [format!("{}/32", pod.address)],
        "node": node.name,
        "orchestrator": ORCHESTRATOR,
        "workload": pod.name,
    });
    let metadata = json!({ "name": name, "namespace": "default" });
    file("WorkloadEndpoint", metadata, pod.name.as_str(), spec)
}

fn file(kind: &str, metadata: Value, stem: &str, spec: Value) -> ResourceFile {
    let resource = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    });
    ResourceFile {
        name: format!("{}.{stem}.json", kind.to_lowercase()),
        text: format!("{resource:#}\n"),
    }
}
