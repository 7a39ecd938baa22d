//! Calico's keys: which resource is where.
//!
//! Resources are kept under their kind's plural, IPAM's blocks in a tree of their own
//! and in a shape of their own. Everything else under `/calico` is not for us.

use serde_json::json;
use wiremesh_plan::intent::resource::{Identity, Reading, identity_of};

use super::super::catalogue::Content;
use super::super::document;

/// What everything of Calico's is below.
pub(super) const ROOT: &str = "/calico/";

/// What resources are below.
pub(super) const RESOURCES: &str = "/calico/resources/v3/projectcalico.org/";

/// What IPAM's blocks are below.
pub(super) const BLOCKS: &str = "/calico/ipam/v2/assignment/";

/// The kinds that concern WireGuard, by the plural that is in the key.
const KINDS: &[(&str, &str)] = &[
    ("clusterinformations", "ClusterInformation"),
    ("felixconfigurations", "FelixConfiguration"),
    ("ippools", "IPPool"),
    ("nodes", "Node"),
    ("workloadendpoints", "WorkloadEndpoint"),
];

/// The kind of IPAM's blocks, as Kubernetes calls them.
const BLOCK: &str = "IPAMBlock";

/// The end of the range of keys that begin with `prefix`.
pub(super) fn end_of(prefix: &str) -> String {
    // `/` is followed by `0`; every prefix here ends with it.
    format!("{}0", prefix.trim_end_matches('/'))
}

/// The key of a resource.
pub(super) fn of(identity: &Identity) -> Option<String> {
    let (plural, _) = KINDS.iter().find(|(_, kind)| *kind == identity.kind)?;
    let namespace = match identity.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    Some(format!("{RESOURCES}{plural}/{namespace}{}", identity.name))
}

/// Which resource is at a key; None if it is none of ours.
pub(super) fn identity(key: &str) -> Option<Identity> {
    if let Some(rest) = key.strip_prefix(RESOURCES) {
        let (plural, rest) = rest.split_once('/')?;
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == plural)?;
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        return Some(Identity {
            kind: (*kind).to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
    }
    let rest = key.strip_prefix(BLOCKS)?;
    let cidr = rest
        .strip_prefix("ipv4/block/")
        .or_else(|| rest.strip_prefix("ipv6/block/"))?;
    Some(Identity {
        kind: BLOCK.to_owned(),
        namespace: String::new(),
        // As the Kubernetes resource of the same block is called.
        name: cidr.replace(['.', ':', '/'], "-"),
    })
}

/// What a value holds, which is at the key of `identity`. None if it counts as deleted.
pub(super) fn content(identity: Identity, value: &[u8]) -> Option<Content> {
    let value = match document::value(value) {
        Ok(value) => value,
        Err(mistake) => return Some(Content::Bad(Some(identity), mistake)),
    };
    if identity.kind == BLOCK {
        if value["deleted"] == true {
            return None;
        }
        let block = json!({
            "kind": BLOCK,
            "metadata": {"name": identity.name},
            "spec": value,
        });
        return Some(Content::read(&block, &identity.name));
    }
    let content = match identity_of(&value) {
        Some(other) if other != identity => {
            let what = format!("it is where {identity} belongs, and holds {other}");
            Content::Bad(Some(identity), what.into())
        }
        _ => match Content::read(&value, &identity.name) {
            Content::Bad(_, what) => Content::Bad(Some(identity), what),
            // Its key says which resource it is.
            Content::Read(reading, mistakes) => {
                let reading = Reading {
                    identity,
                    ..*reading
                };
                Content::Read(Box::new(reading), mistakes)
            }
        },
    };
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_s_key_leads_to_it_and_back() {
        for key in [
            "/calico/resources/v3/projectcalico.org/nodes/a",
            "/calico/resources/v3/projectcalico.org/workloadendpoints/default/a-k8s-web-eth0",
            "/calico/resources/v3/projectcalico.org/felixconfigurations/node.a",
        ] {
            assert_eq!(of(&identity(key).unwrap()).unwrap(), key);
        }
    }

    #[test]
    fn a_block_is_called_as_its_kubernetes_resource() {
        let block = |key| identity(key).unwrap().to_string();
        assert_eq!(
            block("/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-26"),
            "IPAMBlock 10-65-0-0-26"
        );
        assert_eq!(
            block("/calico/ipam/v2/assignment/ipv6/block/dead:beef::-122"),
            "IPAMBlock dead-beef---122"
        );
    }

    #[test]
    fn everything_else_is_not_for_us() {
        for key in [
            "/calico/resources/v3/projectcalico.org/tiers/default",
            "/calico/resources/v3/projectcalico.org/nodes",
            "/calico/ipam/v2/host/a/ipv4/block/10.65.0.0-26",
            "/calico/felix/v2/no-region/host/a/status",
            "/registry/nodes/a",
        ] {
            assert_eq!(identity(key), None, "{key}");
        }
    }

    #[test]
    fn a_mistake_in_a_value_names_the_resource_of_its_key() {
        let node = || identity("/calico/resources/v3/projectcalico.org/nodes/a").unwrap();
        let wrong = |value: &str| match content(node(), value.as_bytes()) {
            Some(Content::Bad(Some(identity), mistake)) => format!("{identity}: {}", mistake.what),
            other => format!("{other:?}"),
        };
        assert!(wrong("{").starts_with("Node a: it is not JSON"));
        assert_eq!(wrong("{}"), "Node a: `kind` is missing");
        assert_eq!(
            wrong(r#"{"kind": "Node", "metadata": {"name": "b"}}"#),
            "Node a: it is where Node a belongs, and holds Node b"
        );
    }

    #[test]
    fn a_range_holds_what_begins_with_its_prefix() {
        assert_eq!(end_of(ROOT), "/calico0");
    }
}
