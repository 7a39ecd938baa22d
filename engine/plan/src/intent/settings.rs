//! FelixConfiguration: the settings that concern WireGuard, with their defaults
//! (Felix: `config/config_params.go`).
//!
//! The resource `default` is for all nodes; `node.<name>` overrides it field by field.
//! What Felix has no field for is in annotations, which every Calico keeps.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use crate::intent::duration;
use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;
use crate::intent::resource::{Configuration, Wrong};

/// Settings for which Felix has no field: annotations below `wiremesh/`.
mod annotations;

/// Annotations that override the fields of a FelixConfiguration.
mod overrides;

/// Typed access to a spec's fields.
mod fields;

/// Names and name prefixes of interfaces that the kernel, `/proc/sys` and nftables all accept.
mod interfaces;

/// The tunnels' UDP ports.
mod ports;

/// The strictest reading of a FelixConfiguration that several documents hold.
mod strictest;

pub use strictest::strictest;

pub(crate) use annotations::FOREIGN_PEERS;
use fields::Fields;

/// The kernel's own tables: default, main and local (kernel: `uapi/linux/rtnetlink.h`).
pub const KERNEL_TABLES: std::ops::RangeInclusive<u32> = 253..=255;

/// What AKS's network takes of the MTU besides, when hosts are encrypted too (Felix: `wireguard.go`).
pub const OVERHEAD_AKS: u32 = 100;

/// What an IPv4 host must be able to receive (RFC 791, section 3.1): less is no MTU to set by hand.
const IPV4_MTU_MIN: u32 = 576;

/// The smallest MTU of a link that carries IPv6, in bytes (RFC 8200, section 5).
const IPV6_MTU_MIN: u32 = 1280;

/// kube-proxy's marks of what is to be masqueraded, and of what is to be dropped.
const KUBE_PROXY_MARKS: u32 = 0x4000 | 0x8000;

/// The shortest interval of a resync: one that takes all of the time leaves none for the store.
const RESYNC_MIN: Duration = Duration::from_millis(100);

/// The longest, which stands for never.
const RESYNC_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What WireGuard takes of the MTU, in bytes: IP 20 or 40, UDP 8, header 16, authentication 16.
pub fn overhead(family: Family) -> u32 {
    match family {
        Family::V4 => 60,
        Family::V6 => 80,
    }
}

/// Where the pods' addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteSource {
    /// From each workload: a /32 or /128 per pod (Azure CNI, AWS VPC CNI).
    WorkloadIps,
    /// From Calico IPAM's blocks.
    CalicoIpam,
}

/// "Encrypt or drop": what must never pass in clear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strict {
    /// Nodes that may be reached in clear.
    pub plain_nodes: BTreeSet<String>,
    /// Networks that are protected though no resource assigns their addresses to a node.
    pub networks: BTreeSet<IpNet>,
}

/// What each family has of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Whether this node encrypts.
    pub enabled: bool,
    /// Name of the tunnel device.
    pub interface: String,
    /// UDP port, and that of every peer.
    pub listen_port: u16,
    /// The device's MTU where the operator set one, in bytes.
    pub mtu: Option<u32>,
}

/// What the operator has asked for, for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The tunnel devices' settings, by family.
    pub tunnel: PerFamily<Tunnel>,
    /// Whether the nodes' own traffic is encrypted too.
    pub host_encryption: bool,
    /// Priority of the routing rule.
    pub rule_priority: u32,
    /// Seconds between keepalives; 0 is off.
    pub keepalive: u16,
    /// Where pod addresses come from.
    pub route_source: RouteSource,
    /// The routing tables that may be taken, inclusive ranges.
    pub tables: Vec<(u32, u32)>,
    /// The mark of packets that must not enter the tunnel (again).
    pub mark: u32,
    /// Prefixes of the pods' interface names on the node.
    pub pod_interfaces: BTreeSet<String>,
    /// How often everything is compared though nothing happened.
    pub resync: Duration,
    /// Whether the device's packets are worked on by kernel threads (NAPI); kernel devices only.
    pub threaded: bool,
    /// "Encrypt or drop", if asked for.
    pub strict: Option<Strict>,
    /// Whether traffic to the nodes' external addresses enters the tunnel too.
    pub external_addresses: bool,
    /// Peers of the device that are somebody else's business.
    pub foreign_peers: BTreeSet<PublicKey>,
    /// The metrics that the agent serves.
    pub metrics: Metrics,
}

/// Which metrics are served, and at which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Whether they are served: `prometheusMetricsEnabled`.
    pub enabled: bool,
    /// Where: `prometheusMetricsHost` and `prometheusMetricsPort`.
    pub address: SocketAddr,
    /// Whether that includes the counters of the tunnel devices.
    pub wireguard: bool,
}

impl Metrics {
    /// The address at which they are served: that of the agent's arguments, else that of the FelixConfiguration
    /// if it enables them.
    pub fn listen_address(&self, argument: Option<SocketAddr>) -> Option<SocketAddr> {
        argument.or(self.enabled.then_some(self.address))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: false,
            address: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 9091),
            wireguard: true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let tunnel = |interface: &str, listen_port| Tunnel {
            enabled: false,
            interface: interface.into(),
            listen_port,
            mtu: None,
        };
        Self {
            tunnel: PerFamily {
                v4: tunnel("wireguard.cali", 51820),
                v6: tunnel("wg-v6.cali", 51821),
            },
            host_encryption: false,
            rule_priority: 99,
            keepalive: 0,
            route_source: RouteSource::CalicoIpam,
            tables: vec![(1, 250)],
            mark: wireguard_mark(0xffff_0000).unwrap_or_default(),
            pod_interfaces: BTreeSet::from(["cali".into()]),
            // Felix: `RouteRefreshInterval`.
            resync: Duration::from_secs(90),
            threaded: false,
            strict: None,
            external_addresses: false,
            foreign_peers: BTreeSet::new(),
            metrics: Metrics::default(),
        }
    }
}

impl Settings {
    /// Reads a FelixConfiguration over what is there already. Fields that are wrong are
    /// reported and left as they are; unknown fields are Felix's business.
    pub fn read(&mut self, configuration: &Configuration) -> Vec<Wrong> {
        let (spec, wrong) = overrides::spec(configuration);
        let mut fields = Fields { spec: &spec, wrong };
        fields.find_misspelt();
        for family in Family::ALL {
            self.read_tunnel(family, &mut fields);
        }
        self.read_ports(&mut fields);
        if let Some(enabled) = fields.boolean(HOSTS) {
            self.host_encryption = enabled;
        }
        if let Some(threaded) = fields.boolean("wireguardThreadingEnabled") {
            self.threaded = threaded;
        }
        if let Some(priority) = fields.number("wireguardRoutingRulePriority", 1, 32765) {
            self.rule_priority = priority;
        }
        let keepalive = fields.text(
            "wireguardKeepAlive",
            "is not a duration of 0s to 65535s",
            |text| u16::try_from(duration::parse(text)?.as_secs()).ok(),
        );
        if let Some(keepalive) = keepalive {
            self.keepalive = keepalive;
        }
        let resync = fields.text(
            "routeRefreshInterval",
            "is not a duration from 100ms to 8760h, such as 1m30s, or 0s for never",
            |text| match duration::parse(text)? {
                Duration::ZERO => Some(RESYNC_MAX),
                interval => (RESYNC_MIN..=RESYNC_MAX)
                    .contains(&interval)
                    .then_some(interval),
            },
        );
        if let Some(resync) = resync {
            self.resync = resync;
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
                Some(mark) if mark & KUBE_PROXY_MARKS != 0 => fields.wrong.push(Wrong::at(
                    "spec.iptablesMarkMask",
                    format!(
                        "is {mask:#x}, whose fifth bit is {mark:#x}, a mark of kube-proxy; {:#x} stays",
                        self.mark
                    ),
                )),
                Some(mark) => self.mark = mark,
                None => fields.wrong.push(Wrong::at(
                    "spec.iptablesMarkMask",
                    format!("is {mask:#x}, which has fewer than 5 bits"),
                )),
            }
        }
        if let Some(prefixes) = interfaces::read_prefixes(&mut fields) {
            self.pod_interfaces = prefixes;
        }
        if let Some(tables) = fields.tables() {
            self.tables = tables;
        }
        self.read_metrics(&mut fields);
        let mut wrong = fields.wrong;
        self.read_annotations(configuration, &mut wrong);
        self.close(configuration, &mut wrong);
        wrong
    }

    /// A switch of encryption that cannot be read counts as on where plaintext is to be dropped.
    fn close(&mut self, configuration: &Configuration, wrong: &mut [Wrong]) {
        if self.strict.is_none() {
            return;
        }
        for family in Family::ALL {
            let name = switch(family);
            let value = configuration.spec.get(name).unwrap_or(&Value::Null);
            if value.is_null() || value.is_boolean() {
                continue;
            }
            self.tunnel[family].enabled = true;
            let field = format!("spec.{name}");
            for wrong in wrong.iter_mut().filter(|wrong| wrong.field == field) {
                wrong
                    .what
                    .push_str(", and counts as true while strict mode is on");
            }
        }
    }

    fn read_tunnel(&mut self, family: Family, fields: &mut Fields<'_>) {
        let end = match family {
            Family::V4 => "",
            Family::V6 => "V6",
        };
        let other = match family {
            Family::V4 => &self.tunnel.v6.interface,
            Family::V6 => &self.tunnel.v4.interface,
        };
        // The kernel's limit (`IFNAMSIZ`). Both families' devices are there at once.
        let interface = fields.text(
            &format!("wireguardInterfaceName{end}"),
            "is no name for this family's device: 1 to 15 letters, digits, dots, dashes and underlines \
             that do not begin with a dash, and not the other family's",
            |name| (interfaces::is_name(name) && name != other).then(|| name.to_owned()),
        );
        let tunnel = &mut self.tunnel[family];
        if let Some(interface) = interface {
            tunnel.interface = interface;
        }
        if let Some(enabled) = fields.boolean(&format!("wireguardEnabled{end}")) {
            tunnel.enabled = enabled;
        }
        let least = match family {
            Family::V4 => IPV4_MTU_MIN,
            Family::V6 => IPV6_MTU_MIN,
        };
        let name = format!("wireguardMTU{end}");
        // Felix: 0 is to find it out.
        match fields.spec.get(&name).and_then(Value::as_u64) {
            Some(0) => tunnel.mtu = None,
            _ => tunnel.mtu = fields.number(&name, least, 65535).or(tunnel.mtu),
        }
    }

    fn read_metrics(&mut self, fields: &mut Fields<'_>) {
        let metrics = &mut self.metrics;
        if let Some(enabled) = fields.boolean("prometheusMetricsEnabled") {
            metrics.enabled = enabled;
        }
        // Felix leaves it empty for every address of the node.
        let host = fields.text(
            "prometheusMetricsHost",
            "is no IP address",
            |host| match host {
                "" => Some(Ipv6Addr::UNSPECIFIED.into()),
                "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
                host => host.parse().ok(),
            },
        );
        if let Some(host) = host {
            metrics.address.set_ip(host);
        }
        if let Some(port) = fields.number("prometheusMetricsPort", 1, u16::MAX.into()) {
            let address = &mut metrics.address;
            address.set_port(u16::try_from(port).unwrap_or(address.port()));
        }
        if let Some(wireguard) = fields.boolean("prometheusWireGuardMetricsEnabled") {
            metrics.wireguard = wireguard;
        }
    }

    /// The mistake where plaintext is to be dropped and none of the node's FelixConfigurations states whether
    /// anything is encrypted in a family that `is_there`, or whether the nodes' own traffic is: a manifest
    /// without the field must not end encryption, and a family without a statement must not go in clear
    /// unreported.
    pub fn unstated<'a>(
        &self,
        configurations: impl IntoIterator<Item = &'a Configuration>,
        is_there: PerFamily<bool>,
    ) -> Vec<Wrong> {
        if self.strict.is_none() {
            return Vec::new();
        }
        let specs = configurations.into_iter().map(overrides::spec);
        let specs: Vec<_> = specs.map(|(spec, _)| spec).collect();
        let is_stated = |name| {
            let mut values = specs.iter().filter_map(|spec| spec.get(name));
            values.any(|value: &Value| !value.is_null())
        };
        let is_off = |family| is_stated(switch(family)) && !self.tunnel[family].enabled;
        let nothing_is = !Family::ALL.into_iter().map(switch).any(is_stated);
        let mut families = Family::ALL.into_iter();
        let family = families.find(|family| match (nothing_is, family) {
            // Where no node is known yet, IPv4 is meant.
            (true, Family::V4) => is_there.v4 || !is_there.v6,
            (true, Family::V6) => true,
            (false, family) => is_there[*family] && !is_stated(switch(*family)),
        });
        let family = family.map(|family| {
            Wrong::at(
                &format!("spec.{}", switch(family)),
                format!(
                    "is not stated, while `wiremesh/strict` asks that plaintext is dropped: what is encrypted \
                     and dropped in {family} stays as it is; write true, or false to end encryption"
                ),
            )
        });
        // Who ends all encryption ends that of hosts.
        let ends = Family::ALL
            .into_iter()
            .all(|family| is_off(family) || !is_there[family] && !is_stated(switch(family)));
        let hosts = (!ends && !is_stated(HOSTS)).then(|| {
            Wrong::at(
                &format!("spec.{HOSTS}"),
                "is not stated, while `wiremesh/strict` asks that plaintext is dropped: where the nodes' own \
                 traffic is encrypted it stays so; write true or false",
            )
        });
        family.into_iter().chain(hosts).collect()
    }

    /// Whether what cannot be encrypted towards that node is dropped.
    pub fn refuses(&self, node: &str) -> bool {
        let strict = self.strict.as_ref();
        strict.is_some_and(|strict| !strict.plain_nodes.contains(node))
    }

    /// What is wrong with an MTU that is larger than the uplink's `uplink` bytes.
    pub fn mtu_too_large(&self, family: Family, uplink: u32) -> Option<Wrong> {
        let mtu = self.tunnel[family].mtu.filter(|mtu| *mtu > uplink)?;
        let name = match family {
            Family::V4 => "spec.wireguardMTU",
            Family::V6 => "spec.wireguardMTUV6",
        };
        let what = format!("is {mtu}, more than the uplink's {uplink}, and is not set");
        Some(Wrong::at(name, what))
    }

    /// The tunnel device's MTU over an uplink of `uplink` bytes (Felix: `wireguard.go`). One that
    /// carries IPv6 has at least IPv6's minimum: the kernel takes IPv6 off a smaller one, and what
    /// should be encrypted would find its way in clear.
    pub fn device_mtu(&self, family: Family, uplink: u32, aks: bool) -> u32 {
        let aks = if aks && self.host_encryption {
            OVERHEAD_AKS
        } else {
            0
        };
        let found = uplink.saturating_sub(overhead(family) + aks);
        let set = self.tunnel[family].mtu.filter(|mtu| *mtu <= uplink);
        let wanted = set.unwrap_or(found);
        match family {
            Family::V4 => wanted,
            Family::V6 => wanted.max(IPV6_MTU_MIN),
        }
    }
}

/// Whether a configuration switches encryption off in a family; an annotation beats its field.
pub fn is_off(configuration: &Configuration, family: Family) -> bool {
    let (spec, _) = overrides::spec(configuration);
    spec.get(switch(family)) == Some(&Value::Bool(false))
}

/// The field that enables encryption of the nodes' own traffic.
pub(super) const HOSTS: &str = "wireguardHostEncryptionEnabled";

/// The field that enables encryption of a family.
fn switch(family: Family) -> &'static str {
    match family {
        Family::V4 => "wireguardEnabled",
        Family::V6 => "wireguardEnabledV6",
    }
}

/// Words between commas.
fn words(text: &str) -> BTreeSet<String> {
    text.split(',')
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
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

#[cfg(test)]
mod tests;
