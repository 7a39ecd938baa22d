//! The Calico v3 resources of a plan, in the shapes that `calicoctl get -o json` prints.

/// Resources of phantoms: all that the store would have of a real node.
mod phantom;

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::name::NodeName;
use crate::plan::{
    Addressing, BLOCK_PREFIX, BLOCK_SIZE, BRIDGED, Block, Cluster, Family, Node, POOL, Plan,
    RouteSource, Settings,
};

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

/// Kinds by the plural that is in their keys in Calico's etcd.
const PLURALS: &[(&str, &str)] = &[
    ("ClusterInformation", "clusterinformations"),
    ("FelixConfiguration", "felixconfigurations"),
    ("IPPool", "ippools"),
    ("Node", "nodes"),
    ("WorkloadEndpoint", "workloadendpoints"),
];

/// What all of Calico's keys begin with.
pub const ETCD_ROOT: &str = "/calico/";

/// What the keys of Nodes begin with.
pub const ETCD_NODES: &str = "/calico/resources/v3/projectcalico.org/nodes/";

impl ResourceFile {
    /// Its key and value in Calico's etcd; none for what Calico does not keep there.
    pub fn in_etcd(&self) -> Option<(String, String)> {
        let resource: Value = serde_json::from_str(&self.text).ok()?;
        let kind = resource["kind"].as_str()?;
        if kind == "IPAMBlock" {
            // IPAM keeps its blocks apart, and bare.
            let cidr = resource["spec"]["cidr"].as_str()?;
            let family = if cidr.contains(':') { "ipv6" } else { "ipv4" };
            let name = cidr.replace('/', "-");
            let key = format!("{ETCD_ROOT}ipam/v2/assignment/{family}/block/{name}");
            return Some((key, resource["spec"].to_string()));
        }
        let (_, plural) = PLURALS.iter().find(|(known, _)| *known == kind)?;
        let name = resource["metadata"]["name"].as_str()?;
        let namespace = match resource["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/"),
            None => String::new(),
        };
        let key = format!("{ETCD_ROOT}resources/v3/projectcalico.org/{plural}/{namespace}{name}");
        Some((key, resource.to_string()))
    }
}

/// Every resource of the planned cluster, before any step.
pub fn files(plan: &Plan) -> Vec<ResourceFile> {
    files_after(plan, 0)
}

/// The same after the first `steps` steps, less what engines write themselves.
pub fn files_after(plan: &Plan, steps: usize) -> Vec<ResourceFile> {
    let plan = &plan.with(plan.after(steps));
    let mut files = vec![
        cluster_information(&plan.cluster),
        configuration(&plan.cluster),
        pool(plan),
    ];
    if plan.cluster.route_source == RouteSource::CalicoIpam {
        for family in &plan.cluster.families {
            files.extend(plan.blocks().iter().map(|taken| block(taken, *family)));
        }
    }
    for node in &plan.nodes {
        files.push(node_resource(node, plan));
        files.extend(override_of(node, &plan.cluster));
        let pods = node.pods.iter();
        files.extend(pods.map(|pod| {
            let interface = pod.interface.as_str();
            let name = pod.name.as_str();
            workload(&node.name, name, interface, pod.address, &plan.cluster)
        }));
    }
    for phantom in &plan.phantoms {
        files.extend(phantom::files(phantom, plan));
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
        "interfacePrefix": cluster.addressing.interface_prefix(cluster.route_source),
        "mtuIfacePattern": "^eth0$",
        "routeSource": cluster.route_source.calico(),
        "wireguardEnabled": cluster.wireguard && cluster.has_family(Family::Ipv4),
        "wireguardHostEncryptionEnabled": cluster.host_encryption,
        "wireguardInterfaceName": cluster.interface,
        "wireguardListeningPort": cluster.listen_port,
    });
    if cluster.has_family(Family::Ipv6) {
        spec["wireguardEnabledV6"] = json!(cluster.wireguard);
    }
    if let Some(mtu) = cluster.mtu {
        spec["wireguardMTU"] = json!(mtu);
    }
    if cluster.keepalive > 0 {
        spec["wireguardKeepAlive"] = json!(format!("{}s", cluster.keepalive));
    }
    configuration_file("default", &cluster.settings, spec)
}

/// FelixConfiguration of one node, which overrides the one for all.
fn override_of(node: &Node, cluster: &Cluster) -> Option<ResourceFile> {
    let mut spec = json!({});
    if !node.wireguard {
        spec["wireguardEnabled"] = json!(false);
        if cluster.has_family(Family::Ipv6) {
            spec["wireguardEnabledV6"] = json!(false);
        }
    } else if node.settings == Settings::default() {
        return None;
    }
    let name = format!("node.{}", node.name);
    Some(configuration_file(&name, &node.settings, spec))
}

/// What the author writes goes before what follows from other keys.
fn configuration_file(name: &str, settings: &Settings, mut spec: Value) -> ResourceFile {
    for (field, value) in &settings.fields {
        spec[field] = value.clone();
    }
    let mut metadata = json!({ "name": name });
    if !settings.annotations.is_empty() {
        metadata["annotations"] = json!(settings.annotations);
    }
    file("FelixConfiguration", metadata, name, spec)
}

fn pool(plan: &Plan) -> ResourceFile {
    let (name, cidr) = match (plan.cluster.route_source, plan.cluster.addressing) {
        (RouteSource::WorkloadIps, Addressing::Veth) => ("fabric", plan.fabric.subnet),
        (RouteSource::WorkloadIps, Addressing::Bridge) => ("pods", BRIDGED),
        (RouteSource::CalicoIpam, _) => ("pods", POOL),
    };
    let mut spec = json!({ "cidr": cidr, "ipipMode": "Never", "vxlanMode": "Never" });
    if plan.cluster.route_source == RouteSource::CalicoIpam {
        spec["blockSize"] = json!(BLOCK_PREFIX);
    }
    file("IPPool", json!({ "name": name }), name, spec)
}

/// A block, in the shape that Calico keeps it in Kubernetes; in etcd its spec is bare.
pub fn block(block: &Block<'_>, family: Family) -> ResourceFile {
    let place = |place: u32| usize::try_from(place).unwrap_or(usize::MAX);
    let mut allocations = vec![Value::Null; place(BLOCK_SIZE)];
    let mut attributes = Vec::new();
    for (number, node) in &block.allocations {
        if let Some(allocation) = allocations.get_mut(place(*number)) {
            *allocation = json!(attributes.len());
        }
        attributes.push(json!({ "secondary": { "node": node.name } }));
    }
    let free = allocations.iter().enumerate();
    let free: Vec<_> = free
        .filter_map(|(number, taken)| taken.is_null().then_some(number))
        .collect();
    let spec = json!({
        "affinity": format!("host:{}", block.node.name),
        "allocations": allocations,
        "attributes": attributes,
        "cidr": family.network(block.cidr),
        "deleted": false,
        "unallocated": free,
    });
    let cidr = family.network(block.cidr).to_string();
    let name = cidr.replace(['.', '/', ':'], "-");
    file("IPAMBlock", json!({ "name": name }), &name, spec)
}

fn node_resource(node: &Node, plan: &Plan) -> ResourceFile {
    let spec = node_spec(node.address, node.tunnel_address, plan);
    let metadata = json!({ "name": node.name });
    file("Node", metadata, node.name.as_str(), spec)
}

/// Felix reads the endpoint of a node's tunnel from the BGP address, and drops one that has no
/// prefix length.
fn node_spec(own: Ipv4Addr, tunnel: Option<Ipv4Addr>, plan: &Plan) -> Value {
    let mut spec = json!({ "addresses": [], "bgp": {} });
    for family in &plan.cluster.families {
        let address = family.address(own);
        let link = plan.fabric.link_of(own);
        let prefix = family.network(link).prefix_len();
        let version = match family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        if let Some(addresses) = spec["addresses"].as_array_mut() {
            addresses.push(json!({ "address": address, "type": "InternalIP" }));
        }
        spec["bgp"][format!("ipv{version}Address")] = json!(format!("{address}/{prefix}"));
        if let Some(address) = tunnel {
            let address = family.address(address);
            spec["wireguard"][format!("interfaceIPv{version}Address")] = json!(address);
        }
    }
    spec
}

fn workload(
    node: &NodeName,
    pod: &str,
    interface: &str,
    address: Ipv4Addr,
    cluster: &Cluster,
) -> ResourceFile {
    let networks = cluster.families.iter().map(|family| {
        let address = family.address(address);
        ipnet::IpNet::from(address).to_string()
    });
    let parts = [node.as_str(), ORCHESTRATOR, pod, "eth0"];
    // The name is split again at single hyphens, so those inside a part are doubled.
    let name = parts.map(|part| part.replace('-', "--")).join("-");
    let spec = json!({
        "endpoint": "eth0",
        "interfaceName": interface,
        "ipNetworks": networks.collect::<Vec<_>>(),
        "node": node,
        "orchestrator": ORCHESTRATOR,
        "workload": pod,
    });
    let metadata = json!({ "name": name, "namespace": "default" });
    file("WorkloadEndpoint", metadata, pod, spec)
}

fn file(kind: &str, metadata: Value, stem: &str, spec: Value) -> ResourceFile {
    with_status(kind, metadata, stem, spec, None)
}

fn with_status(
    kind: &str,
    metadata: Value,
    stem: &str,
    spec: Value,
    status: Option<Value>,
) -> ResourceFile {
    let mut resource = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    });
    if let Some(status) = status {
        resource["status"] = status;
    }
    ResourceFile {
        name: format!("{}.{stem}.json", kind.to_lowercase()),
        text: format!("{resource:#}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve;

    const SCENARIO: &str = r#"
title = "resources"
[node.node-4]
address = "10.240.0.4"
pods = ["pod-5"]
[node.node-33]
wireguard = false
[cluster]
"#;

    /// The content of one of the files for [`SCENARIO`] and more lines of its cluster.
    fn resource(name: &str, cluster: &str) -> Value {
        let engines = ["wiremesh".parse().unwrap()];
        let plan = resolve::plan("x.toml", &format!("{SCENARIO}{cluster}"), &engines).unwrap();
        let file = files(&plan)
            .into_iter()
            .find(|file| file.name == name)
            .unwrap();
        serde_json::from_str(&file.text).unwrap()
    }

    #[test]
    fn every_resource_has_a_key_of_its_own_in_etcd() {
        let plan = resolve::plan("x.toml", SCENARIO, &["wiremesh".parse().unwrap()]).unwrap();
        let keys: Vec<_> = files(&plan)
            .iter()
            .map(|file| file.in_etcd().unwrap().0)
            .collect();
        let root = "/calico/resources/v3/projectcalico.org";
        for key in [
            format!("{root}/felixconfigurations/node.node-33"),
            format!("{root}/nodes/node-4"),
            format!("{root}/workloadendpoints/default/node--4-wireproof-pod--5-eth0"),
        ] {
            assert!(keys.contains(&key), "{key} is not in {keys:#?}");
        }
    }

    #[test]
    fn a_block_is_bare_in_etcd() {
        let file = ResourceFile {
            name: "x".into(),
            text: json!({"kind": "IPAMBlock", "spec": {"cidr": "10.65.0.0/26"}}).to_string(),
        };
        assert_eq!(
            file.in_etcd().unwrap(),
            (
                "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-26".into(),
                r#"{"cidr":"10.65.0.0/26"}"#.into()
            )
        );
    }

    #[test]
    fn every_resource_has_a_file_of_its_own() {
        let plan = resolve::plan("x.toml", SCENARIO, &["wiremesh".parse().unwrap()]).unwrap();
        let names: Vec<_> = files(&plan).into_iter().map(|file| file.name).collect();
        assert_eq!(
            names,
            [
                "clusterinformation.default.json",
                "felixconfiguration.default.json",
                "ippool.fabric.json",
                "node.node-33.json",
                "felixconfiguration.node.node-33.json",
                "node.node-4.json",
                "workloadendpoint.pod-5.json",
            ]
        );
    }

    #[test]
    fn the_intent_is_in_the_configuration_for_all() {
        let spec = resource("felixconfiguration.default.json", "")["spec"].take();
        assert_eq!(
            spec,
            json!({
                "interfacePrefix": "azv",
                "mtuIfacePattern": "^eth0$",
                "routeSource": "WorkloadIPs",
                "wireguardEnabled": true,
                "wireguardHostEncryptionEnabled": true,
                "wireguardInterfaceName": "wireguard.cali",
                "wireguardListeningPort": 51820,
            })
        );
        let spec = resource(
            "felixconfiguration.default.json",
            "wireguard = false\nhost-encryption = false\ninterface = \"wg0\"\nlisten-port = 28150\nmtu = 1380\nkeepalive = 25\n",
        )["spec"]
            .take();
        assert_eq!(
            spec,
            json!({
                "interfacePrefix": "azv",
                "mtuIfacePattern": "^eth0$",
                "routeSource": "WorkloadIPs",
                "wireguardEnabled": false,
                "wireguardHostEncryptionEnabled": false,
                "wireguardInterfaceName": "wg0",
                "wireguardKeepAlive": "25s",
                "wireguardListeningPort": 28150,
                "wireguardMTU": 1380,
            })
        );
    }

    #[test]
    fn a_node_that_opts_out_overrides_the_configuration_for_all() {
        let resource = resource("felixconfiguration.node.node-33.json", "");
        assert_eq!(resource["metadata"]["name"], "node.node-33");
        assert_eq!(resource["spec"], json!({ "wireguardEnabled": false }));
    }

    #[test]
    fn a_node_has_its_address_with_the_subnet_s_prefix() {
        let spec = resource("node.node-4.json", "")["spec"].take();
        assert_eq!(spec["bgp"]["ipv4Address"], "10.240.0.4/16");
        assert_eq!(
            spec["addresses"],
            json!([{ "address": "10.240.0.4", "type": "InternalIP" }])
        );
    }

    #[test]
    fn hyphens_inside_the_parts_of_a_workload_s_name_are_doubled() {
        let resource = resource("workloadendpoint.pod-5.json", "");
        assert_eq!(resource["apiVersion"], "projectcalico.org/v3");
        assert_eq!(
            resource["metadata"],
            json!({ "name": "node--4-wireproof-pod--5-eth0", "namespace": "default" })
        );
        assert_eq!(
            resource["spec"],
            json!({
                "endpoint": "eth0",
                "interfaceName": "azvpod-5",
                "ipNetworks": ["10.240.0.5/32"],
                "node": "node-4",
                "orchestrator": "wireproof",
                "workload": "pod-5",
            })
        );
    }

    #[test]
    fn cluster_information_has_the_cluster_s_type_where_it_is_set() {
        let spec = |cluster| resource("clusterinformation.default.json", cluster)["spec"].take();
        assert_eq!(spec(""), json!({ "datastoreReady": true }));
        let aks = json!({ "datastoreReady": true, "clusterType": "aks" });
        assert_eq!(spec("type = \"aks\"\n"), aks);
    }

    #[test]
    fn resources_have_racks_and_bridges_and_no_client() {
        let text = r#"
title = "racks"
[fabric]
kind = "routed"
[cluster]
addressing = "bridge"
[node.ada]
pods = ["web"]
[node.bob]
[client.office]
"#;
        let plan = resolve::plan("racks.toml", text, &["wiremesh".parse().unwrap()]).unwrap();
        let files = files(&plan);
        let text = |name: &str| &files.iter().find(|file| file.name == name).unwrap().text;
        assert!(text("node.ada.json").contains("10.240.0.4/25"));
        assert!(text("felixconfiguration.default.json").contains("\"cni\""));
        assert!(!files.iter().any(|file| file.text.contains("198.51.100")));
    }
}
