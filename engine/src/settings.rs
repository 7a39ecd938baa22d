//! FelixConfiguration: the settings that concern WireGuard, with their defaults
//! (Felix: `config/config_params.go`).
//!
//! The resource `default` is for all nodes; `node.<name>` overrides it field by field.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::resource::Wrong;

/// MTU that a userspace or kernel WireGuard packet costs over IPv4, in bytes: IP 20, UDP 8, header 16, authentication 16.
pub(crate) const OVERHEAD_IPV4: u32 = 60;

/// What AKS's network takes besides, when hosts are encrypted too (Felix: `wireguard.go`).
pub(crate) const OVERHEAD_AKS: u32 = 100;

/// Where the pods' addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteSource {
    /// From each workload: a /32 per pod (Azure CNI, AWS VPC CNI).
    WorkloadIps,
    /// From Calico IPAM's blocks.
    CalicoIpam,
}

/// What the operator has asked for, for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether this node encrypts.
    pub(crate) enabled: bool,
    /// Whether the nodes' own traffic is encrypted too.
    pub(crate) host_encryption: bool,
    /// Name of the tunnel device.
    pub(crate) interface: String,
    /// UDP port, and that of every peer.
    pub(crate) listen_port: u16,
    /// Priority of the routing rule.
    pub(crate) rule_priority: u32,
    /// The device's MTU where the operator set one, in bytes.
    pub(crate) mtu: Option<u32>,
    /// Seconds between keepalives; 0 is off.
    pub(crate) keepalive: u16,
    /// Where pod addresses come from.
    pub(crate) route_source: RouteSource,
    /// The routing table: the first of the configured ranges.
    pub(crate) table: u32,
    /// The mark of packets that must not enter the tunnel (again).
    pub(crate) mark: u32,
    /// Prefixes of the pods' interface names on the node.
    pub(crate) pod_interfaces: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            host_encryption: false,
            interface: "wireguard.cali".into(),
            listen_port: 51820,
            rule_priority: 99,
            mtu: None,
            keepalive: 0,
            route_source: RouteSource::CalicoIpam,
            table: 1,
            mark: wireguard_mark(0xffff_0000).unwrap_or_default(),
            pod_interfaces: BTreeSet::from(["cali".into()]),
        }
    }
}

impl Settings {
    /// Reads the fields of a FelixConfiguration over what is there already. Fields that
    /// are wrong are reported and left as they are; unknown fields are Felix's business.
    pub(crate) fn read(&mut self, spec: &Map<String, Value>) -> Vec<Wrong> {
        let mut fields = Fields {
            spec,
            wrong: Vec::new(),
        };
        if let Some(enabled) = fields.boolean("wireguardEnabled") {
            self.enabled = enabled;
        }
        if let Some(enabled) = fields.boolean("wireguardHostEncryptionEnabled") {
            self.host_encryption = enabled;
        }
        // The kernel's limit (`IFNAMSIZ`).
        let interface = fields.text(
            "wireguardInterfaceName",
            "is not 1 to 15 characters without slash or space",
            |name| {
                let fits = (1..=15).contains(&name.len()) && !name.contains(['/', ' ', ':']);
                fits.then(|| name.to_owned())
            },
        );
        if let Some(interface) = interface {
            self.interface = interface;
        }
        if let Some(port) = fields.number("wireguardListeningPort", 1, u16::MAX.into()) {
            self.listen_port = u16::try_from(port).unwrap_or(self.listen_port);
        }
        if let Some(priority) = fields.number("wireguardRoutingRulePriority", 1, 32765) {
            self.rule_priority = priority;
        }
        if let Some(mtu) = fields.number("wireguardMTU", 0, 65535) {
            self.mtu = (mtu > 0).then_some(mtu);
        }
        let keepalive = fields.text(
            "wireguardKeepAlive",
            "is not a duration of 0s to 65535s",
            |text| u16::try_from(duration(text)?.as_secs()).ok(),
        );
        if let Some(keepalive) = keepalive {
            self.keepalive = keepalive;
        }
        let source = fields.text(
            "routeSource",
            "is neither WorkloadIPs nor CalicoIPAM",
            |text| match text.to_lowercase().as_str() {
                "workloadips" => Some(RouteSource::WorkloadIps),
                "calicoipam" => Some(RouteSource::CalicoIpam),
                _ => None,
            },
        );
        if let Some(source) = source {
            self.route_source = source;
        }
        if let Some(mask) = fields.number("iptablesMarkMask", 0, u32::MAX) {
            match wireguard_mark(mask) {
                Some(mark) => self.mark = mark,
                None => fields.wrong.push(Wrong::at(
                    "spec.iptablesMarkMask",
                    format!("is {mask:#x}, which has fewer than 5 bits"),
                )),
            }
        }
        let prefixes = fields.text("interfacePrefix", "is empty", |text| {
            let prefixes: BTreeSet<_> = text
                .split(',')
                .map(|prefix| prefix.trim().to_owned())
                .filter(|p| !p.is_empty())
                .collect();
            (!prefixes.is_empty()).then_some(prefixes)
        });
        if let Some(prefixes) = prefixes {
            self.pod_interfaces = prefixes;
        }
        if let Some(ranges) = spec.get("routeTableRanges") {
            match ranges
                .get(0)
                .and_then(|range| range.get("min"))
                .and_then(Value::as_u64)
            {
                // 253 to 255 are the kernel's own tables.
                Some(min @ (1..=252 | 256..=0xffff_ffff)) => {
                    self.table = u32::try_from(min).unwrap_or(1)
                }
                _ => fields.wrong.push(Wrong::at(
                    "spec.routeTableRanges",
                    "does not start with a range whose `min` is 1 to 252, or above 255",
                )),
            }
        }
        fields.wrong
    }

    /// The tunnel device's MTU over an uplink of `uplink` bytes (Felix: `wireguard.go`).
    pub(crate) fn device_mtu(&self, uplink: u32, aks: bool) -> u32 {
        let overhead = if aks && self.host_encryption {
            OVERHEAD_IPV4 + OVERHEAD_AKS
        } else {
            OVERHEAD_IPV4
        };
        self.mtu.unwrap_or_else(|| uplink.saturating_sub(overhead))
    }
}

/// The bit that Felix up to 3.29 takes for WireGuard: the fifth of the mask, after
/// accept, pass and two scratch bits. The default mask 0xffff0000 gives 0x100000.
/// (3.30 inserts a drop bit before it; whoever relies on the value reads it from the device.)
fn wireguard_mark(mask: u32) -> Option<u32> {
    (0..u32::BITS)
        .map(|bit| 1 << bit)
        .filter(|bit| mask & bit != 0)
        .nth(4)
}

/// A duration as Go writes it, of one unit: `25s`, `2m`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "" if number == 0 => Some(Duration::ZERO),
        _ => None,
    }
}

/// Typed access to a spec that collects what is wrong.
struct Fields<'a> {
    spec: &'a Map<String, Value>,
    wrong: Vec<Wrong>,
}

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.spec.get(name).filter(|value| !value.is_null())
    }

    fn fail<T>(&mut self, name: &str, what: impl Into<String>) -> Option<T> {
        self.wrong.push(Wrong::at(&format!("spec.{name}"), what));
        None
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(value) => Some(*value),
            _ => self.fail(name, "is neither true nor false"),
        }
    }

    fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let value = self
            .get(name)?
            .as_u64()
            .and_then(|value| u32::try_from(value).ok());
        match value {
            Some(value) if (least..=most).contains(&value) => Some(value),
            _ => self.fail(
                name,
                format!("is not a whole number from {least} to {most}"),
            ),
        }
    }

    fn text<T>(
        &mut self,
        name: &str,
        otherwise: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match self.get(name)?.as_str().and_then(read) {
            Some(value) => Some(value),
            None => self.fail(name, otherwise),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(spec: Value) -> (Settings, Vec<String>) {
        let Value::Object(spec) = spec else { panic!() };
        let mut settings = Settings::default();
        let wrong = settings
            .read(&spec)
            .iter()
            .map(ToString::to_string)
            .collect();
        (settings, wrong)
    }

    #[test]
    fn the_default_mask_gives_the_mark_of_the_reference() {
        assert_eq!(Settings::default().mark, 0x10_0000);
        assert_eq!(
            read(json!({"iptablesMarkMask": 0xffff_8000_u32})).0.mark,
            0x8_0000
        );
    }

    #[test]
    fn aks_with_host_encryption_costs_160_bytes_and_anything_else_60() {
        let (both, _) = read(json!({"wireguardHostEncryptionEnabled": true}));
        assert_eq!(both.device_mtu(1500, true), 1340);
        assert_eq!(both.device_mtu(1500, false), 1440);
        assert_eq!(Settings::default().device_mtu(1500, true), 1440);
        assert_eq!(
            read(json!({"wireguardMTU": 1300})).0.device_mtu(1500, true),
            1300
        );
    }

    #[test]
    fn every_wrong_field_is_reported_and_the_others_count() {
        let (settings, wrong) = read(json!({
            "wireguardEnabled": "yes", "wireguardListeningPort": 0, "wireguardKeepAlive": "soon",
            "routeSource": "workloadips", "wireguardMTU": 9,
        }));
        assert_eq!(
            wrong,
            [
                "`spec.wireguardEnabled` is neither true nor false",
                "`spec.wireguardListeningPort` is not a whole number from 1 to 65535",
                "`spec.wireguardKeepAlive` is not a duration of 0s to 65535s",
            ]
        );
        assert_eq!(settings.route_source, RouteSource::WorkloadIps);
        assert_eq!(settings.mtu, Some(9));
    }

    #[test]
    fn a_keepalive_is_a_duration() {
        assert_eq!(read(json!({"wireguardKeepAlive": "25s"})).0.keepalive, 25);
        assert_eq!(read(json!({"wireguardKeepAlive": "2m"})).0.keepalive, 120);
    }
}
