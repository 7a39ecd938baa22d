//! A node's publication in the store: its keys, and that it has met a request for new ones.

use serde_json::{Value, json};

use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::resource::{Identity, Node, ROTATE_KEY, ROTATED_KEY, kubernetes};

/// What a node publishes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publication {
    /// The key of each family in which it encrypts.
    pub keys: PerFamily<Option<PublicKey>>,
    /// The request for a new key that was met last.
    pub rotated: Option<String>,
}

impl Publication {
    /// Whether the store has that already.
    pub fn is_published(&self, node: &Node) -> bool {
        let keys = Family::ALL.into_iter().all(|family| {
            let published = &node.public_key[family];
            *published == self.keys[family].map(Ok)
        });
        keys && (self.rotated.is_none() || self.rotated == node.rotation.met)
    }

    /// Writes it into a Node. Everything else of the Node stays.
    pub fn write(&self, node: &mut Value) {
        if kubernetes::is_one(node) {
            self.annotate(node);
        } else {
            self.write_status(node);
        }
        if let Some(rotated) = &self.rotated {
            let annotations = member(member(node, "metadata"), "annotations");
            annotations[ROTATED_KEY] = json!(rotated);
        }
    }

    /// Writes the keys where Calico has them on a Node of Kubernetes.
    fn annotate(&self, node: &mut Value) {
        for (family, key) in self.keys.iter() {
            let name = kubernetes::key_annotation(family);
            match key {
                Some(key) => {
                    let annotations = member(member(node, "metadata"), "annotations");
                    annotations[name] = json!(key.to_string());
                }
                None => {
                    if let Some(annotations) = node["metadata"]["annotations"].as_object_mut() {
                        annotations.remove(name);
                    }
                }
            }
        }
    }

    fn write_status(&self, node: &mut Value) {
        for (family, field) in [
            (Family::V4, "wireguardPublicKey"),
            (Family::V6, "wireguardPublicKeyV6"),
        ] {
            match self.keys[family] {
                Some(key) => member(node, "status")[field] = json!(key.to_string()),
                None => {
                    if let Some(status) = node["status"].as_object_mut() {
                        status.remove(field);
                    }
                }
            }
        }
    }
}

/// Asks a Node for a new key. Every request is another one than the last.
pub fn request_rotation(node: &mut Value) {
    let annotations = member(member(node, "metadata"), "annotations");
    let last = annotations[ROTATE_KEY].as_str().unwrap_or_default();
    let next = last.parse::<u64>().map_or(1, |last| last.wrapping_add(1));
    annotations[ROTATE_KEY] = json!(next.to_string());
}

/// The Node of that name.
pub fn node_identity(name: &str) -> Identity {
    Identity {
        kind: "Node".into(),
        namespace: String::new(),
        name: name.into(),
    }
}

/// A mapping inside a mapping, made if it is not there or is none.
pub(super) fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value[name].is_object() {
        value[name] = json!({});
    }
    &mut value[name]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_changes_nothing_else_of_the_node() {
        let mut node = json!({
            "kind": "Node", "metadata": {"name": "a", "labels": {"x": "y"}},
            "status": {"wireguardPublicKeyV6": "old", "other": 1},
        });
        let key = PublicKey::from_bytes([7; 32]).unwrap();
        let publication = Publication {
            keys: PerFamily {
                v4: Some(key),
                v6: None,
            },
            rotated: Some("2".into()),
        };
        publication.write(&mut node);
        assert_eq!(
            node,
            json!({
                "kind": "Node",
                "metadata": {
                    "name": "a", "labels": {"x": "y"},
                    "annotations": {"wiremesh/rotated-key": "2"},
                },
                "status": {"wireguardPublicKey": key.to_string(), "other": 1},
            })
        );
        let (_, read) = crate::intent::resource::read(&node).unwrap();
        let crate::intent::resource::Resource::Node(read) = read else {
            panic!()
        };
        assert!(publication.is_published(&read));
    }

    #[test]
    fn every_request_for_a_key_is_another_one() {
        let mut node = json!({"metadata": {"annotations": {"x": "y"}}});
        for expected in ["1", "2"] {
            request_rotation(&mut node);
            let annotations = json!({"x": "y", "wiremesh/rotate-key": expected});
            assert_eq!(node["metadata"]["annotations"], annotations);
        }
        node["metadata"]["annotations"]["wiremesh/rotate-key"] = json!("by hand");
        request_rotation(&mut node);
        assert_eq!(node["metadata"]["annotations"]["wiremesh/rotate-key"], "1");
    }

    #[test]
    fn a_node_that_publishes_nothing_has_nothing_to_take_back() {
        let publication = Publication::default();
        assert!(publication.is_published(&Node::default()));
        let mut node = json!({"kind": "Node", "metadata": {"name": "a"}});
        let before = node.clone();
        publication.write(&mut node);
        assert_eq!(node["metadata"], before["metadata"]);
    }

    #[test]
    fn a_key_is_published_into_the_annotation_of_a_kubernetes_node_and_taken_back() {
        let before = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "b",
                "annotations": {"projectcalico.org/IPv4Address": "10.9.0.2/24"},
            },
            "status": {"addresses": [{"address": "10.9.0.3", "type": "InternalIP"}]},
        });
        let read = |node: &Value| match crate::intent::resource::read(node).unwrap().1 {
            crate::intent::resource::Resource::Node(node) => *node,
            other => panic!("{other:?}"),
        };
        let mut node = before.clone();
        let mut publication = Publication::default();
        publication.keys.v4 = PublicKey::from_bytes([7; 32]).ok();
        publication.write(&mut node);
        assert_eq!(node["status"], before["status"]);
        assert!(publication.is_published(&read(&node)));
        publication.keys.v4 = None;
        publication.write(&mut node);
        assert_eq!(node, before);
    }
}
