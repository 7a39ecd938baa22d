//! FelixConfigurations for the nodes that a selector selects (Calico 3.32, `felix/calc/config_batcher.go`).
//!
//! They beat `default`, and `node.<name>` beats them. Of several that select a node the one that was
//! made first counts, as in Felix: what works is not disturbed by what comes later.

use std::collections::BTreeMap;

use crate::intent::resource::{Configuration, Identity, Wrong};
use crate::intent::selector::Selector;

const FIELD: &str = "spec.nodeSelector";

/// The name of the one that counts for a node with these labels. What is wrong with any is reported.
pub(super) fn matching<'a>(
    node: &str,
    labels: Option<&BTreeMap<String, String>>,
    configurations: &BTreeMap<&'a str, (&Identity, &Configuration)>,
    wrong: &mut Vec<(Identity, Wrong)>,
) -> Option<&'a str> {
    let mut selecting = Vec::new();
    for (name, (identity, configuration)) in configurations {
        let mut fail = |field: &str, what: String| {
            wrong.push(((*identity).clone(), Wrong::at(field, what)));
        };
        let selector = configuration.spec.get("nodeSelector");
        let selector = selector.filter(|selector| !selector.is_null() && *selector != "");
        let by_name = *name == "default" || name.starts_with("node.");
        match (selector, by_name) {
            (None, true) => {}
            (Some(_), true) => fail(
                FIELD,
                "has no effect on `default` and `node.NAME`, which are for the nodes of their names"
                    .into(),
            ),
            (None, false) => {
                let help = match name.eq_ignore_ascii_case("default") {
                    true => "did you mean `default`?",
                    false => "it must be `default` or `node.NAME`, or there must be a `spec.nodeSelector`",
                };
                fail("metadata.name", format!("is `{name}`, which is for no node: {help}"));
            }
            (Some(selector), false) => match selector.as_str().map(Selector::parse) {
                Some(Ok(selector)) => {
                    if labels.is_some_and(|labels| selector.selects(labels)) {
                        // Those that do not say when they were made come last.
                        let created = &configuration.created;
                        selecting.push((created.is_empty(), created, *name, *identity));
                    }
                }
                Some(Err(what)) => fail(FIELD, what),
                None => fail(FIELD, "is not a text".into()),
            },
        }
    }
    selecting.sort();
    let (_, _, first, _) = *selecting.first()?;
    for (_, _, _, identity) in selecting.iter().skip(1) {
        let what = format!("selects {node} as `{first}` does, which was made first and counts");
        wrong.push(((*identity).clone(), Wrong::at(FIELD, what)));
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Cluster;
    use crate::intent::resource::read;

    fn configuration(name: &str, created: &str, spec: Value) -> Value {
        json!({
            "kind": "FelixConfiguration",
            "metadata": {"name": name, "creationTimestamp": created}, "spec": spec,
        })
    }

    /// The keepalive that node `a` has, and what is wrong.
    fn keepalive(configurations: &[Value]) -> (u16, Vec<String>) {
        let node = json!({"kind": "Node", "metadata": {"name": "a", "labels": {"gpu": "yes"}}});
        let documents = configurations.iter().chain([&node]);
        let resources = documents.map(|value| read(value).unwrap()).collect();
        let (cluster, wrong) = Cluster::new("a", &resources);
        let wrong = wrong
            .iter()
            .map(|(identity, wrong)| format!("{identity}: {wrong}"));
        (cluster.settings.keepalive, wrong.collect())
    }

    #[test]
    fn the_cluster_s_is_beaten_by_the_selected_and_that_by_the_node_s() {
        let default = configuration("default", "", json!({"wireguardKeepAlive": "1s"}));
        let gpu = json!({"nodeSelector": "has(gpu)", "wireguardKeepAlive": "2s"});
        let gpu = configuration("gpu", "2026-02-01T00:00:00Z", gpu);
        let other = json!({"nodeSelector": "!has(gpu)", "wireguardKeepAlive": "3s"});
        let other = configuration("other", "2026-01-01T00:00:00Z", other);
        let own = configuration("node.a", "", json!({"wireguardKeepAlive": "4s"}));
        let all = [default, gpu, other, own];
        assert_eq!(keepalive(&all[..1]), (1, vec![]));
        assert_eq!(keepalive(&all[..3]), (2, vec![]));
        assert_eq!(keepalive(&all), (4, vec![]));
    }

    #[test]
    fn of_several_the_one_that_was_made_first_counts_and_the_others_are_reported() {
        let spec = |seconds: &str| json!({"nodeSelector": "all()", "wireguardKeepAlive": seconds});
        let (seconds, wrong) = keepalive(&[
            configuration("a", "", spec("1s")),
            configuration("b", "2026-02-01T00:00:00Z", spec("2s")),
            configuration("c", "2026-01-01T00:00:00Z", spec("3s")),
        ]);
        assert_eq!(seconds, 3);
        let problem = "selects a as `c` does, which was made first and counts";
        assert_eq!(
            wrong,
            ["b", "a"]
                .map(|name| format!("FelixConfiguration {name}: `spec.nodeSelector` {problem}"))
        );
    }

    #[test]
    fn a_configuration_for_no_node_is_reported() {
        let wrong = |name: &str, spec| keepalive(&[configuration(name, "", spec)]).1.join("; ");
        assert!(wrong("Default", json!({})).contains("did you mean `default`?"));
        assert!(wrong("gpu", json!({})).contains("is for no node"));
        assert!(wrong("node.A", json!({})).contains("no Node `A`: did you mean `node.a`?"));
        // A Node may come later.
        assert_eq!(wrong("node.b", json!({})), "");
        assert!(wrong("gpu", json!({"nodeSelector": "gpu ="})).contains("`spec.nodeSelector` has"));
        assert!(wrong("default", json!({"nodeSelector": "all()"})).contains("has no effect"));
    }

    /// What is foreign on a device is never looked at: a Node's peer that counted as foreign would be set for ever.
    #[test]
    fn the_key_of_a_node_is_no_foreign_peer() {
        let key = "mYgJpqAK5sOuVbmRyUjhkYB3OjgvL+0xw8rh+xgFuVo=";
        let foreign = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
        let documents = [
            json!({"kind": "Node", "metadata": {"name": "b"}, "status": {"wireguardPublicKeyV6": key}}),
            json!({
                "kind": "FelixConfiguration",
                "metadata": {
                    "name": "default",
                    "annotations": {"wiremesh/foreign-peers": format!("{key},{foreign}")},
                },
                "spec": {},
            }),
        ];
        let resources = documents.iter().map(|value| read(value).unwrap()).collect();
        let (cluster, wrong) = Cluster::new("a", &resources);
        let foreign = [foreign.parse().unwrap()].into();
        assert_eq!(cluster.settings.foreign_peers, foreign);
        let wrong: Vec<_> = wrong.iter().map(|(_, wrong)| wrong.to_string()).collect();
        let expected = "`metadata.annotations.wiremesh/foreign-peers` holds the key of the Node `b`, which is no \
                        foreign peer";
        assert_eq!(wrong, [expected]);
    }

    /// Of a node's addresses and of the networks that strict mode names; a configuration of the node's own counts.
    #[test]
    fn in_strict_mode_a_family_that_is_there_is_stated() {
        let wrong = |address: &str, networks: &str, own: Value| {
            let documents = [
                json!({"kind": "Node", "metadata": {"name": "a"}, "spec": {"bgp": {"ipv6Address": address}}}),
                json!({
                    "kind": "FelixConfiguration",
                    "metadata": {
                        "name": "default",
                        "annotations": {"wiremesh/strict": "true", "wiremesh/strict-networks": networks},
                    },
                    "spec": {"wireguardEnabled": true},
                }),
                json!({"kind": "FelixConfiguration", "metadata": {"name": "node.a"}, "spec": own}),
            ];
            let resources = documents.iter().map(|value| read(value).unwrap()).collect();
            let (_, wrong) = Cluster::new("a", &resources);
            wrong
                .into_iter()
                .map(|(_, wrong)| wrong.field)
                .collect::<Vec<_>>()
        };
        let (v6, v4) = ("spec.wireguardEnabledV6", "10.1.0.0/16");
        let hosts = "spec.wireguardHostEncryptionEnabled";
        assert_eq!(wrong("fd00::1/64", v4, json!({})), [v6, hosts]);
        assert_eq!(wrong("", "fd00:9::/64", json!({})), [v6, hosts]);
        assert_eq!(wrong("", v4, json!({})), [hosts]);
        let own = json!({"wireguardEnabledV6": true, "wireguardHostEncryptionEnabled": false});
        assert_eq!(wrong("fd00::1/64", v4, own), [""; 0]);
    }
}
