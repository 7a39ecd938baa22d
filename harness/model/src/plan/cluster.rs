//! The cluster: its settings in the store, its nodes and pods, and both as endpoints.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::name::{EndpointName, IfName, NodeName, PodName};

use super::{Addressing, Family, LISTEN_PORT, LISTEN_PORT_V6, RouteSource, Settings};

/// MTU of a pod's link in bytes, if its author does not set it; Azure CNI leaves it at Ethernet's.
pub(crate) const POD_MTU: u16 = 1500;

/// The smallest MTU of a link that carries IPv6, in bytes (RFC 8200, section 5).
pub const IPV6_MTU_MIN: u16 = 1280;

fn pod_mtu() -> u16 {
    POD_MTU
}

/// The settings in the store: FelixConfiguration `default` and ClusterInformation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// ClusterInformation's type; `aks` and host encryption make the device's MTU 160 smaller than the uplink's.
    pub cluster_type: Option<String>,
    /// Whether encryption is on before the first step.
    pub wireguard: bool,
    /// Whether traffic of the nodes themselves is encrypted too.
    pub host_encryption: bool,
    /// Where the pods' addresses come from.
    #[serde(default)]
    pub route_source: RouteSource,
    /// How nodes connect their pods.
    #[serde(default)]
    pub addressing: Addressing,
    /// The families of the cluster, in the order of reports.
    #[serde(default = "ipv4_only")]
    pub families: Vec<Family>,
    /// The tunnel device's name.
    pub interface: IfName,
    /// UDP port of every tunnel device.
    pub listen_port: u16,
    /// The tunnel device's MTU where the author set one, in bytes.
    pub mtu: Option<u16>,
    /// Seconds between keepalives; 0 is off.
    pub keepalive: u16,
    /// Further fields and annotations of FelixConfiguration `default`.
    #[serde(default)]
    pub settings: Settings,
}

/// The families of clusters in old plans.
fn ipv4_only() -> Vec<Family> {
    vec![Family::Ipv4]
}

impl Cluster {
    /// The tunnel device of a family.
    pub fn tunnel(&self, family: Family) -> IfName {
        match family {
            Family::Ipv4 => self.interface.clone(),
            Family::Ipv6 => self
                .settings
                .name("wireguardInterfaceNameV6")
                .unwrap_or_else(IfName::of_calico_tunnel_v6),
        }
    }

    /// The UDP port of a family's tunnels (Felix: `WireguardListeningPortV6`).
    pub fn port(&self, family: Family) -> u16 {
        match family {
            Family::Ipv4 => self.listen_port,
            Family::Ipv6 => {
                let set = self.settings.number("wireguardListeningPortV6");
                // Each family's device has a port of its own: IPv4's is refused for IPv6.
                let ports = [set.unwrap_or(LISTEN_PORT_V6), LISTEN_PORT_V6, LISTEN_PORT];
                let mut free = ports.into_iter().filter(|port| *port != self.listen_port);
                free.next().unwrap_or(LISTEN_PORT_V6)
            }
        }
    }

    /// The configured MTU of IPv6's devices, in bytes (Felix: `WireguardMTUV6`); none is by the uplink.
    pub(crate) fn mtu_of_ipv6(&self) -> Option<u16> {
        let set = self.settings.number("wireguardMTUV6");
        set.filter(|mtu| *mtu > 0)
    }

    /// Whether encryption is asked for, but not in that family (Felix: `WireguardEnabledV6`).
    pub(crate) fn leaves_out(&self, family: Family) -> bool {
        family == Family::Ipv6 && self.settings.flag("wireguardEnabledV6") == Some(false)
    }

    /// Takes over the values of fields that the model knows; those of `unset` get their defaults.
    pub(crate) fn read_settings(&mut self, unset: &BTreeSet<String>) {
        let fields = &self.settings;
        let gone = |field: &str| unset.contains(field);
        if let Some(on) = fields.flag("wireguardEnabled") {
            self.wireguard = on;
        } else if gone("wireguardEnabled") {
            self.wireguard = false;
        }
        if let Some(on) = fields.flag("wireguardHostEncryptionEnabled") {
            self.host_encryption = on;
        } else if gone("wireguardHostEncryptionEnabled") {
            self.host_encryption = false;
        }
        if let Some(port) = fields.number("wireguardListeningPort") {
            self.listen_port = port;
        } else if gone("wireguardListeningPort") {
            self.listen_port = LISTEN_PORT;
        }
        if let Some(name) = fields.name("wireguardInterfaceName") {
            self.interface = name;
        } else if gone("wireguardInterfaceName") {
            self.interface = IfName::of_calico_tunnel();
        }
        if let Some(mtu) = fields.number("wireguardMTU") {
            self.mtu = Some(mtu).filter(|mtu| *mtu > 0);
        } else if gone("wireguardMTU") {
            self.mtu = None;
        }
    }

    /// Whether it has that family.
    pub fn has_family(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

/// A host of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name; also the fabric's port towards it.
    pub name: NodeName,
    /// Its address on `eth0`.
    pub address: Ipv4Addr,
    /// MTU of `eth0`, in bytes.
    pub mtu: u16,
    /// The reverse-path filter of `eth0`.
    pub rp_filter: RpFilter,
    /// Whether this node takes part in encryption (a FelixConfiguration `node.<name>` disables it).
    pub wireguard: bool,
    /// Fields and annotations of FelixConfiguration `node.<name>`.
    #[serde(default)]
    pub settings: Settings,
    /// Its blocks of Calico's pool.
    #[serde(default)]
    pub blocks: Vec<Ipv4Net>,
    /// The subnet of its bridge, whose first address the bridge has.
    #[serde(default)]
    pub bridge: Option<Ipv4Net>,
    /// Its tunnel device's own address, where hosts are not encrypted.
    #[serde(default)]
    pub tunnel_address: Option<Ipv4Addr>,
    /// Whether it is outside the cluster, on the fabric all the same.
    #[serde(default)]
    pub external: bool,
    /// In the order of their names.
    pub pods: Vec<Pod>,
}

impl Node {
    /// As [`Cluster::read_settings`], for the one field that decides about a node.
    pub(crate) fn read_settings(&mut self, unset: &BTreeSet<String>) {
        if let Some(on) = self.settings.flag("wireguardEnabled") {
            self.wireguard = on;
        } else if unset.contains("wireguardEnabled") {
            self.wireguard = true;
        }
    }
}

/// A workload on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's name.
    pub name: PodName,
    /// Its address on its own `eth0`.
    pub address: Ipv4Addr,
    /// The node's end of the veth to it.
    pub interface: IfName,
    /// MTU of that veth, in bytes.
    #[serde(default = "pod_mtu")]
    pub mtu: u16,
    /// The reverse-path filter of the node's end; Azure CNI sets none.
    #[serde(default)]
    pub rp_filter: RpFilter,
}

/// `net.ipv4.conf.<interface>.rp_filter` (RFC 3704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpFilter {
    /// 0: no check.
    #[default]
    Off,
    /// 1: the best route back must use the same interface.
    Strict,
    /// 2: some route back must exist.
    Loose,
}

/// A pod, or a node as a host-networked endpoint, with all that a prober needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The name that promises use.
    pub name: EndpointName,
    /// Its address.
    pub address: Ipv4Addr,
    /// The node it is, or is on.
    pub node: &'a Node,
    /// The pod it is, if it is one.
    pub pod: Option<&'a Pod>,
}

/// The endpoint of that name, without naming all others.
pub(super) fn endpoint_of<'a>(
    mut nodes: impl Iterator<Item = &'a Node>,
    name: &EndpointName,
) -> Option<Endpoint<'a>> {
    nodes.find_map(|node| {
        let is_node = node.name.as_str() == name.as_str();
        let mut pods = node.pods.iter();
        let pod = pods.find(|pod| !is_node && pod.name.as_str() == name.as_str());
        (is_node || pod.is_some()).then(|| Endpoint {
            name: name.clone(),
            address: pod.map_or(node.address, |pod| pod.address),
            node,
            pod,
        })
    })
}

pub(super) fn endpoints_of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<Endpoint<'a>> {
    nodes
        .flat_map(|node| {
            let host = Endpoint {
                name: EndpointName::from(&node.name),
                address: node.address,
                node,
                pod: None,
            };
            std::iter::once(host).chain(node.pods.iter().map(move |pod| Endpoint {
                name: EndpointName::from(&pod.name),
                address: pod.address,
                node,
                pod: Some(pod),
            }))
        })
        .collect()
}
