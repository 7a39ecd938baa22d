//! The operator's statements about the whole cluster, and their place in Calico: in the FelixConfiguration
//! `default` and its annotations.

use serde_json::{Value, json};

use crate::intent::family::PerFamily;
use crate::intent::publication::member;
use crate::intent::resource::Identity;
use crate::intent::settings::HOSTS;

/// What the operator states. What is not stated is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Every node shall encrypt.
    Enable {
        /// In which families the nodes have addresses.
        families: PerFamily<bool>,
        /// Whether the nodes' own traffic is encrypted too.
        host_encryption: Option<bool>,
        /// Whether nothing may pass in clear that should be encrypted.
        strict: Option<bool>,
        /// Names of nodes that may be reached in clear in strict mode.
        plain_nodes: List,
        /// Networks that are protected although no resource names their addresses.
        networks: List,
    },
    /// No node shall encrypt.
    Disable,
}

/// What is stated of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum List {
    /// Nothing: it stays as it is.
    #[default]
    Unstated,
    /// It is taken away.
    Nothing,
    /// Its elements, with commas between them.
    These(String),
}

/// Whether strict mode may have been asked for: whatever is not "false" may stand for it.
fn was_strict(configuration: &Value) -> bool {
    let strict = configuration.pointer("/metadata/annotations/wiremesh~1strict");
    strict.is_some_and(|strict| strict != "false")
}

impl Statement {
    /// The resource that holds it.
    pub fn identity() -> Identity {
        Identity {
            kind: "FelixConfiguration".into(),
            namespace: String::new(),
            name: "default".into(),
        }
    }

    /// That resource where nothing was stated yet.
    pub fn unstated() -> Value {
        json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "FelixConfiguration",
            "metadata": {"name": "default"},
            "spec": {},
        })
    }

    /// Writes it into that resource. Everything else of it stays.
    pub fn write(&self, configuration: &mut Value) {
        let Self::Enable {
            families,
            host_encryption,
            strict,
            plain_nodes,
            networks,
        } = self
        else {
            // In strict mode a family of which nothing is stated stays as it is.
            let is_strict = was_strict(configuration);
            let spec = member(configuration, "spec");
            spec["wireguardEnabled"] = json!(false);
            if is_strict || spec.get("wireguardEnabledV6").is_some() {
                spec["wireguardEnabledV6"] = json!(false);
            }
            return;
        };
        let was_strict = was_strict(configuration);
        let spec = member(configuration, "spec");
        // Where no node is known yet, IPv4 is meant.
        spec["wireguardEnabled"] = json!(families.v4 || !families.v6);
        if families.v6 {
            spec["wireguardEnabledV6"] = json!(true);
        }
        // In strict mode the field must be stated. If strict mode was on already, the field was lost, and its
        // former value is unknown.
        let is_new = *strict == Some(true) && !was_strict;
        let unstated = spec.get(HOSTS).is_none_or(Value::is_null);
        if let Some(on) = host_encryption.or((is_new && unstated).then_some(false)) {
            spec[HOSTS] = json!(on);
        }
        let strict = match strict {
            Some(on) => &List::These(on.to_string()),
            None => &List::Unstated,
        };
        for (name, value) in [
            ("wiremesh/strict", strict),
            ("wiremesh/plain-nodes", plain_nodes),
            ("wiremesh/strict-networks", networks),
        ] {
            if *value == List::Unstated {
                continue;
            }
            let annotations = member(member(configuration, "metadata"), "annotations");
            if let List::These(value) = value {
                annotations[name] = json!(value);
            } else if let Some(annotations) = annotations.as_object_mut() {
                annotations.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enable() -> Statement {
        Statement::Enable {
            families: PerFamily {
                v4: true,
                v6: false,
            },
            host_encryption: None,
            strict: None,
            plain_nodes: List::Unstated,
            networks: List::Unstated,
        }
    }

    #[test]
    fn settings_that_a_statement_omits_stay() {
        let before = json!({
            "metadata": {"name": "default", "annotations": {"wiremesh/strict": "true", "x": "y"}},
            "spec": {"wireguardHostEncryptionEnabled": true, "bpfEnabled": false},
        });
        let mut written = before.clone();
        enable().write(&mut written);
        let mut expected = before;
        expected["spec"]["wireguardEnabled"] = json!(true);
        assert_eq!(written, expected);
    }

    #[test]
    fn each_part_goes_to_its_own_place_and_a_list_is_taken_away() {
        let mut written = Statement::unstated();
        written["metadata"]["annotations"] = json!({"wiremesh/plain-nodes": "a"});
        let statement = Statement::Enable {
            families: PerFamily {
                v4: false,
                v6: true,
            },
            host_encryption: Some(true),
            strict: Some(false),
            plain_nodes: List::Nothing,
            networks: List::These("10.1.0.0/16".into()),
        };
        statement.write(&mut written);
        let spec = json!({
            "wireguardEnabled": false,
            "wireguardEnabledV6": true,
            "wireguardHostEncryptionEnabled": true,
        });
        assert_eq!(written["spec"], spec);
        let annotations = json!({
            "wiremesh/strict": "false",
            "wiremesh/strict-networks": "10.1.0.0/16",
        });
        assert_eq!(written["metadata"]["annotations"], annotations);
    }

    /// A field that was lost while strict mode was on is left to a person.
    #[test]
    fn enabling_strict_mode_states_host_encryption() {
        let strict = Statement::Enable {
            families: PerFamily {
                v4: true,
                v6: false,
            },
            host_encryption: None,
            strict: Some(true),
            plain_nodes: List::Unstated,
            networks: List::Unstated,
        };
        let after = |before: Value, statement: &Statement| {
            let mut written = before;
            statement.write(&mut written);
            written["spec"][HOSTS].clone()
        };
        let first = Statement::unstated();
        assert_eq!(after(first.clone(), &strict), json!(false));
        assert_eq!(after(first.clone(), &enable()), Value::Null);
        let mut on = first.clone();
        on["spec"][HOSTS] = json!(true);
        assert_eq!(after(on, &strict), json!(true));
        for (before, expected) in [
            ("true", Value::Null),
            ("treu", Value::Null),
            ("false", json!(false)),
        ] {
            let mut lost = first.clone();
            lost["metadata"]["annotations"] = json!({"wiremesh/strict": before});
            assert_eq!(after(lost, &strict), expected, "{before}");
        }
    }

    #[test]
    fn encryption_is_ended_in_every_family_that_was_named() {
        let mut written = Statement::unstated();
        Statement::Disable.write(&mut written);
        assert_eq!(written["spec"], json!({"wireguardEnabled": false}));
        written["spec"]["wireguardEnabledV6"] = json!(true);
        Statement::Disable.write(&mut written);
        let both = json!({"wireguardEnabled": false, "wireguardEnabledV6": false});
        assert_eq!(written["spec"], both);
        // In strict mode a family of which nothing is stated would stay as it is.
        let mut strict = Statement::unstated();
        strict["metadata"]["annotations"] = json!({"wiremesh/strict": "true"});
        Statement::Disable.write(&mut strict);
        assert_eq!(strict["spec"], both);
    }
}
