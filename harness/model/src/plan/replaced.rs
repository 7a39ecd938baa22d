//! Replacements of a Node in a directory's file: whether the Node is deleted.
//!
//! Resources are identified by kind and name. A document that has both replaces what the file held, even if
//! something else is wrong with it. One without them may be any resource: it is a mistake, and the last good
//! state of what the file held stays in force.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::name::NodeName;

/// How deep lists of resources may be inside of each other.
const MAX_LIST_DEPTH: usize = 8;

/// The longest name that Kubernetes has, in characters.
const LONGEST_NAME: usize = 253;

/// Whether `text`, which takes the place of a Node in JSON, is about other resources and no other.
pub(super) fn deletes(text: &str, node: &NodeName) -> bool {
    let document = serde_json::from_str(text.trim_start_matches('\u{feff}'));
    document.is_ok_and(|document| is_about_others(&document, None, node, 0))
}

fn is_about_others(document: &Value, listed: Option<&str>, node: &NodeName, depth: usize) -> bool {
    let Some(kind) = document["kind"].as_str().or(listed) else {
        return false;
    };
    let Some(kind_of_items) = kind.strip_suffix("List") else {
        return is_another(document, kind, node);
    };
    let kind_of_items = Some(kind_of_items).filter(|kind| !kind.is_empty());
    let inner = depth + 1;
    match document.get("items") {
        Some(Value::Null) => true,
        Some(Value::Array(items)) if depth < MAX_LIST_DEPTH => items
            .iter()
            .all(|item| item.is_object() && is_about_others(item, kind_of_items, node, inner)),
        _ => false,
    }
}

/// The kinds that engines read, and Calico's others (the API's `v3`, libcalico-go's `backend/k8s/resources`).
const READ: &[&str] = &[
    "Node",
    "WorkloadEndpoint",
    "FelixConfiguration",
    "ClusterInformation",
    "IPPool",
    "IPAMBlock",
];
const OTHERS: &[&str] = &[
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

/// Calico's versions of its resources.
const VERSIONS: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];

/// Whether there is such a kind: one that is read, or a slip for it, one of Calico's, or one of another API.
fn is_kind(document: &Value, kind: &str) -> bool {
    let version = document["apiVersion"].as_str();
    READ.iter().any(|read| is_slip_for(kind, read))
        || OTHERS.contains(&kind)
        || version.is_some_and(|version| !VERSIONS.contains(&version))
}

/// Whether a document is about a resource, and not about the Node of that name.
fn is_another(document: &Value, kind: &str, node: &NodeName) -> bool {
    match name(document) {
        _ if kind.is_empty() => false,
        Some(name) => {
            is_kind(document, kind) && !(name == node.as_str() && is_slip_for(kind, "Node"))
        }
        None => counts_without_a_name(document, kind),
    }
}

/// A resource's name, if it is one.
fn name(document: &Value) -> Option<&str> {
    let name = document["metadata"]["name"].as_str()?;
    let fits = name.chars().all(|c| c.is_ascii_graphic() && c != '/');
    let length = name.chars().count();
    (fits && (1..=LONGEST_NAME).contains(&length)).then_some(name)
}

/// Whether addresses can be read in a resource that need not be called anything, since it is they that count.
fn counts_without_a_name(document: &Value, kind: &str) -> bool {
    let version = &document["apiVersion"];
    if !version.is_null() && VERSIONS.iter().all(|known| version != known) {
        return false;
    }
    let spec = &document["spec"];
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    if is("IPPool") || is("IPAMBlock") {
        let cidr = spec["cidr"].as_str();
        return cidr.is_some_and(|cidr| cidr.parse::<IpNet>().is_ok());
    }
    let is_address = |entry: &Value| {
        let host = entry.as_str().and_then(|entry| entry.split('/').next());
        host.is_some_and(|host| host.parse::<IpAddr>().is_ok())
    };
    let entries = spec["ipNetworks"].as_array();
    is("WorkloadEndpoint") && entries.is_some_and(|entries| entries.iter().any(is_address))
}

/// Whether `word` is `known` in any case, or one edit away from it: a character that is missing, too many or
/// another one, or two that have changed places.
fn is_slip_for(word: &str, known: &str) -> bool {
    let (word, known): (Vec<_>, Vec<_>) = (word.chars().collect(), known.chars().collect());
    let same = word.iter().zip(&known).take_while(|(a, b)| a == b).count();
    let (word, known) = (&word[same..], &known[same..]);
    let is_case = word.len() == known.len()
        && word
            .iter()
            .zip(known)
            .all(|(a, b)| a.eq_ignore_ascii_case(b));
    is_case
        || match (word, known) {
            ([], [_]) | ([_], []) => true,
            ([a, b, word @ ..], [c, d, known @ ..]) if (a, b) == (d, c) => word == known,
            ([_, after @ ..], [_, behind @ ..]) => {
                after == behind || after == known || word == behind
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a table with which wiremesh is tested, too.
    const TABLE: &str = include_str!("replaced.txt");

    #[test]
    fn a_mistake_deletes_nothing_and_another_resource_deletes_the_node() {
        let bob = "bob".parse().unwrap();
        let lines = TABLE
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|line| line.split_once(' ').unwrap());
        let wrong = lines.filter(|(word, text)| deletes(text, &bob) != (*word == "deletes"));
        assert_eq!(wrong.collect::<Vec<_>>(), []);
    }

    #[test]
    fn a_slip_is_one_edit() {
        for slip in [
            "Node", "NODE", "Noed", "Nde", "Nod", "Nodes", "xNode", "Mode", "Node-",
        ] {
            assert!(is_slip_for(slip, "Node"), "{slip}");
        }
        for other in ["", "N", "No", "Pod", "Nodess", "Cat", "IPPool", "odeN"] {
            assert!(!is_slip_for(other, "Node"), "{other}");
        }
    }
}
