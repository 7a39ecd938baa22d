//! The fields of a FelixConfiguration that are looked at, and annotations that stand for them.
//!
//! An annotation `config.projectcalico.org/NAME` sets Felix's setting of that name and beats the field
//! (Calico: `updateprocessors/configurationprocessor.go`). Its text is as in Felix's environment:
//! durations in seconds, marks as `0x…`. Names do not differ by case.

use serde_json::{Map, Value, json};

use crate::intent::resource::{Configuration, Wrong};
use crate::intent::spelling::edits;

/// What such an annotation's name begins with.
const PREFIX: &str = "config.projectcalico.org/";

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    Seconds,
    Text,
    /// Not given by an annotation.
    Structure,
}

/// The fields that are looked at.
const FIELDS: &[(&str, Kind)] = &[
    ("interfacePrefix", Kind::Text),
    ("iptablesMarkMask", Kind::Number),
    ("nodeSelector", Kind::Structure),
    ("prometheusMetricsEnabled", Kind::Boolean),
    ("prometheusMetricsHost", Kind::Text),
    ("prometheusMetricsPort", Kind::Number),
    ("prometheusWireGuardMetricsEnabled", Kind::Boolean),
    ("routeRefreshInterval", Kind::Seconds),
    ("routeSource", Kind::Text),
    ("routeTableRange", Kind::Structure),
    ("routeTableRanges", Kind::Structure),
    ("wireguardEnabled", Kind::Boolean),
    ("wireguardEnabledV6", Kind::Boolean),
    ("wireguardHostEncryptionEnabled", Kind::Boolean),
    ("wireguardInterfaceName", Kind::Text),
    ("wireguardInterfaceNameV6", Kind::Text),
    ("wireguardKeepAlive", Kind::Seconds),
    ("wireguardListeningPort", Kind::Number),
    ("wireguardListeningPortV6", Kind::Number),
    ("wireguardMTU", Kind::Number),
    ("wireguardMTUV6", Kind::Number),
    ("wireguardRoutingRulePriority", Kind::Number),
    ("wireguardThreadingEnabled", Kind::Boolean),
];

/// Felix's fields that are not looked at and look like one that is.
const OTHERS: &[&str] = &["nftablesMarkMask", "prometheusGoMetricsEnabled"];

/// Felix's own name of a setting, where it is not the field's.
const RENAMED: &[(&str, &str)] = &[("WireguardPersistentKeepAlive", "wireguardKeepAlive")];

/// The message about a name that is about encryption and near to none that is known.
pub(super) const UNKNOWN: &str = "nothing follows from it; the fields about encryption are those of Calico's FelixConfiguration that \
     begin with `wireguard`";

/// The field that was meant by one that is none.
pub(super) fn misspelt(name: &str) -> Option<&'static str> {
    let known = FIELDS.iter().map(|(field, _)| *field);
    if OTHERS.contains(&name) || known.clone().any(|field| field == name) {
        return None;
    }
    let lower = name.to_lowercase();
    let near = known
        .clone()
        .filter_map(|field| Some((edits(&lower, &field.to_lowercase(), 2)?, field)));
    // `hostEncryption` contains the part by which `wireguardHostEncryptionEnabled` differs from other fields.
    let part = |field: &&str| {
        let stem = field.to_lowercase();
        let stem = stem.strip_prefix("wireguard").unwrap_or_default();
        let stem = stem.strip_suffix("enabled").unwrap_or(stem);
        !stem.is_empty() && stem.len() >= "keepalive".len() && lower.contains(stem)
    };
    let near = near.min().map(|(_, field)| field);
    near.or_else(|| {
        let known = known.filter(|_| is_about_encryption(name));
        known.filter(part).max_by_key(|field| field.len())
    })
}

/// Whether a field that is none is about encryption, so that something is meant that does not happen.
pub(super) fn is_about_encryption(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_known = FIELDS.iter().any(|(field, _)| *field == name) || OTHERS.contains(&name);
    !is_known
        && ["wireguard", "encrypt"]
            .iter()
            .any(|part| lower.contains(part))
}

/// A configuration's fields with its annotations' values in their places, and the mistakes of these.
pub(super) fn spec(configuration: &Configuration) -> (Map<String, Value>, Vec<Wrong>) {
    let mut spec = configuration.spec.clone();
    let mut wrong = Vec::new();
    for (name, text) in &configuration.annotations {
        let Some(setting) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let renamed = RENAMED
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(setting));
        let field = renamed.map_or(setting, |(_, field)| field);
        let mut known = FIELDS.iter();
        let Some((field, kind)) = known.find(|(known, _)| known.eq_ignore_ascii_case(field)) else {
            if let Some(meant) = misspelt(setting) {
                let what = format!("is no setting: did you mean `{PREFIX}{meant}`?");
                wrong.push(Wrong::at(&format!("metadata.annotations.{name}"), what));
            } else if is_about_encryption(setting) {
                let what = format!("is no setting: {UNKNOWN}");
                wrong.push(Wrong::at(&format!("metadata.annotations.{name}"), what));
            }
            continue;
        };
        match value(*kind, text.trim()) {
            Some(value) => drop(spec.insert((*field).to_owned(), value)),
            None => wrong.push(Wrong::at(
                &format!("metadata.annotations.{name}"),
                format!("holds `{text}`, which cannot be read: set `spec.{field}` instead"),
            )),
        }
    }
    (spec, wrong)
}

/// Takes away what stands for a field.
pub(super) fn remove(configuration: &mut Configuration, field: &str) {
    configuration.spec.remove(field);
    let is_it = |name: &str| {
        let setting = name.strip_prefix(PREFIX);
        setting.is_some_and(|setting| setting.eq_ignore_ascii_case(field))
    };
    configuration.annotations.retain(|name, _| !is_it(name));
}

fn value(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Boolean => match text.to_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "t" => Some(json!(true)),
            "false" | "0" | "no" | "n" | "f" => Some(json!(false)),
            _ => None,
        },
        Kind::Number => {
            let number = match text.to_lowercase().strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => text.parse(),
            };
            Some(json!(number.ok()?))
        }
        // A text of the unit that a field has there.
        Kind::Seconds => match text.ends_with(|c: char| c.is_ascii_digit()) {
            true => Some(json!(format!("{text}s"))),
            false => None,
        },
        Kind::Text => Some(json!(text)),
        Kind::Structure => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_is_near_to_one_that_is_known() {
        for (name, meant) in [
            ("wireGuardEnabled", "wireguardEnabled"),
            ("wireguardMtu", "wireguardMTU"),
            ("WireguardEnabledV6", "wireguardEnabledV6"),
            ("wireguardKeepalive", "wireguardKeepAlive"),
            ("routeTablesRanges", "routeTableRanges"),
        ] {
            assert_eq!(misspelt(name), Some(meant), "{name}");
        }
        for name in [
            "wireguardEnabled",
            "logSeverityScreen",
            "iptablesRefreshInterval",
            "bpfEnabled",
            "prometheusGoMetricsEnabled",
            "nftablesMarkMask",
            "interfaceExclude",
            "healthPort",
            "ipsetsRefreshInterval",
            "routeSyncDisabled",
            "wireguardTelepathy",
        ] {
            assert_eq!(misspelt(name), None, "{name}");
        }
        for (name, meant) in [
            ("wireguardHostEncryption", "wireguardHostEncryptionEnabled"),
            ("hostEncryptionEnabled", "wireguardHostEncryptionEnabled"),
            ("wireguardPersistentKeepAlive", "wireguardKeepAlive"),
        ] {
            assert_eq!(misspelt(name), Some(meant), "{name}");
        }
        for (name, is) in [
            ("wireguardTelepathy", true),
            ("encryptHosts", true),
            ("bpfEnabled", false),
            ("wireguardEnabled", false),
            ("prometheusWireGuardMetricsEnabled", false),
        ] {
            assert_eq!(is_about_encryption(name), is, "{name}");
        }
    }

    #[test]
    fn an_annotation_beats_its_field() {
        let annotation = |name: &str, text: &str| (format!("{PREFIX}{name}"), text.to_owned());
        let configuration = Configuration {
            spec: json!({"wireguardEnabled": false})
                .as_object()
                .unwrap()
                .clone(),
            annotations: [
                annotation("WireguardEnabled", "true"),
                annotation("iptablesmarkmask", "0xffff8000"),
                annotation("WireguardPersistentKeepAlive", "25"),
                annotation("WireguardMTU", "lots"),
                annotation("WireguardMtuu", "1400"),
                annotation("LogSeverityScreen", "info"),
            ]
            .into(),
            ..Configuration::default()
        };
        let (spec, wrong) = spec(&configuration);
        assert_eq!(
            Value::Object(spec),
            json!({
                "wireguardEnabled": true, "iptablesMarkMask": 0xffff_8000_u32,
                "wireguardKeepAlive": "25s",
            })
        );
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            wrong,
            [
                "`metadata.annotations.config.projectcalico.org/WireguardMTU` holds `lots`, which \
                 cannot be read: set `spec.wireguardMTU` instead",
                "`metadata.annotations.config.projectcalico.org/WireguardMtuu` is no setting: did you \
                 mean `config.projectcalico.org/wireguardMTU`?",
            ]
        );
    }
}
