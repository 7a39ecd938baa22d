//! Owners of addresses, the effect of a pod's change, and what is missing in strict mode.

use serde_json::{Value, json};

use super::*;
use crate::intent::resource::read;

fn resources(documents: &[Value]) -> BTreeMap<Identity, Resource> {
    let resources = documents.iter().map(|document| read(document).unwrap());
    resources.collect()
}

fn node(name: &str, more: Value) -> Value {
    json!({
        "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}},
        "spec": {"addresses": more},
    })
}

fn configuration(name: &str, annotations: Value, spec: Value) -> Value {
    json!({
        "kind": "FelixConfiguration", "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    })
}

#[test]
fn an_external_address_that_is_encrypted_is_a_node_s_address() {
    let of = |external: &str| {
        let documents = [
            node(
                "bob",
                json!([{"address": "10.0.0.2"}, {"address": "203.0.113.1", "type": "ExternalIP"}]),
            ),
            configuration(
                "default",
                json!({"wiremesh/external-addresses": external}),
                json!({}),
            ),
        ];
        let (cluster, _) = Cluster::new("ada", &resources(&documents));
        cluster.is_node_address("203.0.113.1".parse().unwrap())
    };
    assert!(of("true"));
    assert!(!of("false"));
}

/// A pod of a node that is not there may be what keeps that node's addresses protected.
#[test]
fn a_pod_that_leaves_a_node_which_is_not_there_is_no_shortcut() {
    let pod = |node: &str| {
        json!({
            "kind": "WorkloadEndpoint", "metadata": {"name": "web"},
            "spec": {"node": node, "ipNetworks": ["10.0.1.2/32"]},
        })
    };
    let identity = read(&pod("bob")).unwrap().0;
    for (before, is_shortcut) in [("bob", true), ("gone", false)] {
        let all = [node("bob", json!([])), pod(before)];
        let (mut cluster, _) = Cluster::new("ada", &resources(&all));
        let after = resources(&[node("bob", json!([])), pod("bob")]);
        let changed = BTreeSet::from([identity.clone()]);
        assert_eq!(
            cluster.advance(&changed, &after).is_some(),
            is_shortcut,
            "{before}"
        );
    }
}

#[test]
fn an_unstated_setting_is_reported_in_default_unless_some_node_states_it() {
    let wrong = |more: &[Value]| -> Vec<_> {
        let nodes = [node("ada", json!([{"address": "10.0.0.1"}]))];
        let strict = json!({"wiremesh/strict": "true"});
        let default = configuration(
            "default",
            strict,
            json!({"wireguardHostEncryptionEnabled": true}),
        );
        let documents = [&nodes[..], &[default], more].concat();
        let (_, wrong) = Cluster::new("ada", &resources(&documents));
        let wrong = wrong.into_iter();
        wrong
            .map(|(identity, wrong)| (identity.name, wrong.field))
            .collect()
    };
    let own = configuration("node.ada", json!({}), json!({"wireguardMTU": 1400}));
    let missed = [("default".to_owned(), "spec.wireguardEnabled".to_owned())];
    assert_eq!(wrong(&[]), missed);
    assert_eq!(wrong(&[own]), missed);
    let of_zone = json!({"nodeSelector": "zone == 'a'", "wireguardEnabled": true});
    assert_eq!(wrong(&[configuration("zone-a", json!({}), of_zone)]), []);
}
