//! The identity of a document's resource: its kind, namespace and name.

use std::fmt;

use serde_json::Value;

use crate::intent::spelling::edits;

use super::Wrong;

/// What identifies a resource: its kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// As in `kind`: `FelixConfiguration`.
    pub kind: String,
    /// Empty of kinds without namespaces.
    pub namespace: String,
    /// As in `metadata.name`.
    pub name: String,
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

/// The kinds that are read.
pub(super) const KINDS: &[&str] = &[
    "Node",
    "WorkloadEndpoint",
    "FelixConfiguration",
    "ClusterInformation",
    "IPPool",
    "IPAMBlock",
];

/// Calico's versions of its resources: its own, and that of their Kubernetes resources.
pub(super) const KNOWN_VERSIONS: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];

/// The longest name that Kubernetes has, in characters.
const LONGEST_NAME: usize = 253;

/// The kind that is read of one that is written in any case.
pub(super) fn read_kind(written: &str) -> Option<&'static str> {
    let mut kinds = KINDS.iter();
    kinds
        .find(|kind| kind.eq_ignore_ascii_case(written))
        .copied()
}

/// # Errors
/// No resource has that name.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Wrong> {
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

/// Calico's kinds that are not read (the API's `v3` and libcalico-go's `backend/k8s/resources`).
const OTHER_KINDS: &[&str] = &[
    "BGPConfiguration",
    "BGPFilter",
    "BGPPeer",
    "BlockAffinity",
    "CalicoNodeStatus",
    "GlobalNetworkPolicy",
    "GlobalNetworkSet",
    "HostEndpoint",
    "IPAMConfig",
    "IPAMConfiguration",
    "IPAMHandle",
    "IPReservation",
    "KubeControllersConfiguration",
    "NetworkPolicy",
    "NetworkSet",
    "Profile",
    "StagedGlobalNetworkPolicy",
    "StagedKubernetesNetworkPolicy",
    "StagedNetworkPolicy",
    "Tier",
];

/// Whether that is a kind that is none of [`KINDS`]: Calico's, or one of another API.
fn is_other_kind(written: &str, document: &Value) -> bool {
    let version = document["apiVersion"].as_str();
    let is_calico_s = |version: &str| KNOWN_VERSIONS.contains(&version);
    OTHER_KINDS.contains(&written) || version.is_some_and(|version| !is_calico_s(version))
}

/// The identity of a document of which nothing else can be read; None where it may be any resource. A mistake
/// in the kind must not make another resource of it, or what it held before would count as deleted: one edit
/// away from a kind it is that one (a BGPConfiguration is no FelixConfiguration), and a kind that there is not
/// may be any.
pub fn identity_of(document: &Value) -> Option<Identity> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let written = text(&document["kind"]);
    let metadata = &document["metadata"];
    let name = text(&metadata["name"]);
    let is_name = !name.is_empty() && check_name("metadata.name", &name).is_ok();
    // A list holds resources and is none.
    if written.is_empty() || written.ends_with("List") || !is_name {
        return None;
    }
    let slip = || {
        let mut kinds = KINDS.iter();
        kinds.find(|kind| edits(&written, kind, 1).is_some())
    };
    let kind = read_kind(&written).or_else(|| slip().copied());
    let other = || Some(written.as_str()).filter(|written| is_other_kind(written, document));
    Some(Identity {
        kind: kind.or_else(other)?.to_owned(),
        namespace: text(&metadata["namespace"]),
        name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn describe(document: Value) -> String {
        identity_of(&document).map_or("any".into(), |identity| identity.to_string())
    }

    #[test]
    fn a_document_without_kind_or_name_may_be_any_resource() {
        let named =
            |kind: Value, name: Value| describe(json!({"kind": kind, "metadata": {"name": name}}));
        assert_eq!(named(json!("Node"), json!("a")), "Node a");
        assert_eq!(named(json!("Tier"), json!("a")), "Tier a");
        for (kind, name) in [
            (json!("Node"), json!("")),
            (json!("Node"), json!(7)),
            (json!("Node"), Value::Null),
            (json!("Node"), json!("a/b")),
            (json!("Node"), json!("a b")),
            (json!("Node"), json!("a".repeat(LONGEST_NAME + 1))),
            (json!(""), json!("a")),
            (json!(7), json!("a")),
            (Value::Null, json!("a")),
            (json!("List"), json!("a")),
            (json!("NodeList"), json!("a")),
        ] {
            assert_eq!(named(kind.clone(), name.clone()), "any", "{kind} {name}");
        }
        for document in [
            json!({}),
            json!([]),
            json!("Node a"),
            json!({"metadata": 7}),
        ] {
            assert_eq!(describe(document.clone()), "any", "{document}");
        }
    }

    #[test]
    fn a_slip_in_a_kind_makes_no_other_resource() {
        let of_kind = |kind: &str| describe(json!({"kind": kind, "metadata": {"name": "a"}}));
        for slip in ["node", "NODE", "Noed", "Nodes", "ode"] {
            assert_eq!(of_kind(slip), "Node a", "{slip}");
        }
        assert_eq!(of_kind("felixconfiguration"), "FelixConfiguration a");
        assert_eq!(of_kind("FelixConfigurations"), "FelixConfiguration a");
        // Kinds of Calico that are not read.
        for other in ["BGPConfiguration", "HostEndpoint", "IPReservation"] {
            assert_eq!(of_kind(other), format!("{other} a"));
        }
        // Kinds that Calico has not may be any.
        for mistake in [
            "FelixConfig",
            "Felix",
            "felix-configuration",
            "\"FelixConfiguration\"",
            "Workloadendpionts",
            "WEP",
            " WorkloadEndpoint ",
            "ConfigMap",
            "Pod",
            "null",
        ] {
            assert_eq!(of_kind(mistake), "any", "{mistake}");
        }
        for (version, expected) in [
            ("v1", "Pod a"),
            ("apps/v1", "Pod a"),
            ("projectcalico.org/v3", "any"),
            ("crd.projectcalico.org/v1", "any"),
        ] {
            let pod = json!({"kind": "Pod", "apiVersion": version, "metadata": {"name": "a"}});
            assert_eq!(describe(pod), expected, "{version}");
        }
    }
}
