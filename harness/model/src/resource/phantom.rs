//! Resources of phantoms: all that the store would have of a real node.

use serde_json::json;

use crate::name::POD_INTERFACE_PREFIX;
use crate::plan::{Family, Phantom, Plan};

use super::{ResourceFile, node_spec, with_status, workload};

/// Its Node, which has published a key for each family, and its pods.
pub(super) fn files(phantom: &Phantom, plan: &Plan) -> Vec<ResourceFile> {
    let mut status = json!({});
    for family in &plan.cluster.families {
        let field = match family {
            Family::Ipv4 => "wireguardPublicKey",
            Family::Ipv6 => "wireguardPublicKeyV6",
        };
        status[field] = json!(phantom.public_key(*family));
    }
    let name = &phantom.name;
    let node = with_status(
        "Node",
        json!({ "name": name }),
        name.as_str(),
        node_spec(phantom.address, None, plan),
        Some(status),
    );
    let pods = phantom.pods().map(|(pod, address)| {
        let interface = format!("{POD_INTERFACE_PREFIX}{pod}");
        workload(name, &pod, &interface, address, &plan.cluster)
    });
    [node].into_iter().chain(pods).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve;

    #[test]
    fn a_phantom_looks_like_a_node_that_is_there() {
        let text = "title = \"x\"\n[node.a]\n[node.b]\n[phantoms.far]\nnodes = 2\npods = 2\n";
        let plan = resolve::plan("x.toml", text, &["wiremesh".parse().unwrap()]).unwrap();
        let [first, second] = plan.phantoms.as_slice() else {
            panic!("{:?}", plan.phantoms);
        };
        let parse =
            |file: &ResourceFile| serde_json::from_str::<serde_json::Value>(&file.text).unwrap();
        let files: Vec<_> = files(second, &plan).iter().map(parse).collect();
        assert_eq!(files.len(), 3);
        assert_eq!(files[0]["metadata"]["name"], "far-2");
        assert_eq!(files[0]["spec"]["bgp"]["ipv4Address"], "10.240.255.252/16");
        assert_eq!(
            files[0]["status"]["wireguardPublicKey"],
            second.public_key(Family::Ipv4)
        );
        assert_ne!(
            first.public_key(Family::Ipv4),
            second.public_key(Family::Ipv4)
        );
        assert_eq!(files[1]["spec"]["ipNetworks"], json!(["10.240.255.253/32"]));
        assert_eq!(files[2]["spec"]["ipNetworks"], json!(["10.240.255.254/32"]));
        assert_eq!(files[2]["spec"]["node"], "far-2");
        let names: std::collections::BTreeSet<_> = crate::resource::files(&plan)
            .into_iter()
            .map(|file| file.name)
            .collect();
        assert_eq!(names.len(), crate::resource::files(&plan).len());
    }
}
