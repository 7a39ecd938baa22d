//! The strictest reading of a FelixConfiguration that several documents hold.

use std::collections::BTreeSet;

use serde_json::json;

use crate::intent::lists;
use crate::intent::resource::Configuration;

use super::annotations::{PLAIN_NODES, STRICT, STRICT_NETWORKS};
use super::overrides;

/// The switches that decide whether there is anything to be strict about.
const SWITCHES: &[&str] = &[
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardHostEncryptionEnabled",
];

/// The first of several FelixConfigurations of one name; the others are reported as duplicates. If any asks for
/// strict mode, each setting has the value that lets the least pass in plaintext.
pub fn strictest(several: &[Configuration]) -> Configuration {
    let mut counts = several.first().cloned().unwrap_or_default();
    let texts = |name: &'static str| {
        let texts = several.iter();
        texts.filter_map(move |one| one.annotations.get(name).map(String::as_str))
    };
    if texts(STRICT).all(|text| text == "false") {
        return counts;
    }
    counts.annotations.insert(STRICT.into(), "true".into());
    let networks = texts(STRICT_NETWORKS).filter(|text| !text.trim().is_empty());
    let networks: Vec<_> = networks.collect();
    if !networks.is_empty() {
        let all = networks.join(",");
        counts.annotations.insert(STRICT_NETWORKS.into(), all);
    }
    let plain = several.iter().map(|one| {
        let text = one.annotations.get(PLAIN_NODES);
        text.map_or_else(BTreeSet::new, |text| lists::names(text).0)
    });
    let plain = plain.reduce(|one, other| &one & &other).unwrap_or_default();
    counts.annotations.remove(PLAIN_NODES);
    if !plain.is_empty() {
        let plain: Vec<_> = plain.into_iter().collect();
        counts
            .annotations
            .insert(PLAIN_NODES.into(), plain.join(","));
    }
    for switch in SWITCHES {
        let is_on = |one: &Configuration| {
            let (spec, _) = overrides::spec(one);
            spec.get(*switch).is_some_and(|value| *value == json!(true))
        };
        if several.iter().any(is_on) {
            overrides::remove(&mut counts, switch);
            counts.spec.insert((*switch).into(), json!(true));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn configuration(spec: &Value, annotations: &[(&str, &str)]) -> Configuration {
        let annotations = annotations.iter();
        Configuration {
            spec: spec.as_object().unwrap().clone(),
            annotations: annotations
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            ..Configuration::default()
        }
    }

    #[test]
    fn the_first_counts_where_none_asks_for_strict_mode() {
        let first = configuration(&json!({"wireguardEnabled": false}), &[(STRICT, "false")]);
        let second = configuration(&json!({"wireguardEnabled": true}), &[]);
        assert_eq!(strictest(&[first.clone(), second]), first);
    }

    #[test]
    fn the_strictest_setting_counts_where_any_document_asks_for_strict_mode() {
        let off = "config.projectcalico.org/WireguardEnabled";
        let first = configuration(
            &json!({"wireguardEnabled": false, "wireguardMTU": 1400}),
            &[
                (PLAIN_NODES, "a,b"),
                (STRICT_NETWORKS, "10.1.0.0/16"),
                (off, "false"),
            ],
        );
        let second = configuration(
            &json!({"wireguardEnabled": true}),
            &[
                (STRICT, "true"),
                (PLAIN_NODES, "b,c"),
                (STRICT_NETWORKS, "10.2.0.0/16"),
            ],
        );
        let expected = configuration(
            &json!({"wireguardEnabled": true, "wireguardMTU": 1400}),
            &[
                (STRICT, "true"),
                (PLAIN_NODES, "b"),
                (STRICT_NETWORKS, "10.1.0.0/16,10.2.0.0/16"),
            ],
        );
        assert_eq!(strictest(&[first.clone(), second]), expected);
        // A list that only one has exempts nobody.
        let third = configuration(&json!({}), &[(STRICT, "treu")]);
        let both = strictest(&[first, third]);
        assert_eq!(
            both.annotations.get(STRICT).map(String::as_str),
            Some("true")
        );
        assert_eq!(both.annotations.get(PLAIN_NODES), None);
    }

    /// What any of them switches on is on, in each family and for hosts.
    #[test]
    fn a_setting_that_any_document_switches_on_is_on() {
        for switch in [
            "wireguardEnabled",
            "wireguardEnabledV6",
            "wireguardHostEncryptionEnabled",
        ] {
            let off = configuration(&json!({switch: false}), &[(STRICT, "true")]);
            let on = configuration(&json!({switch: true}), &[]);
            for both in [[off.clone(), on.clone()], [on.clone(), off.clone()]] {
                assert_eq!(
                    strictest(&both).spec.get(switch),
                    Some(&json!(true)),
                    "{switch}"
                );
            }
        }
    }
}
