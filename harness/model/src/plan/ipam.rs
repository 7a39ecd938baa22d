//! The source of pods' addresses: Calico IPAM, the fabric, or bridges.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Where the pods' addresses come from (Felix: `RouteSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteSource {
    /// From the fabric's subnet, each by itself (Azure CNI, AWS VPC CNI).
    #[default]
    WorkloadIps,
    /// From blocks of a pool that each node has (Calico IPAM).
    CalicoIpam,
}

impl RouteSource {
    /// As FelixConfiguration writes it.
    pub fn calico(self) -> &'static str {
        match self {
            Self::WorkloadIps => "WorkloadIPs",
            Self::CalicoIpam => "CalicoIPAM",
        }
    }

    /// How the names of the pods' interfaces begin on the node.
    pub fn interface_prefix(self) -> &'static str {
        match self {
            Self::WorkloadIps => "azv",
            Self::CalicoIpam => "cali",
        }
    }
}

/// How a node connects its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// Each by a veth with a route of its own (Azure CNI in transparent mode, Calico).
    #[default]
    Veth,
    /// All by a bridge, which is the gateway of a subnet that the node's pods have to themselves
    /// (the CNI project's `bridge` plugin with `host-local` addresses).
    Bridge,
}

impl Addressing {
    /// How the names of the interfaces begin that pods' packets come in by.
    pub fn interface_prefix(self, route_source: RouteSource) -> &'static str {
        match self {
            Self::Veth => route_source.interface_prefix(),
            Self::Bridge => "cni",
        }
    }

    /// How the names of the node's ends of the veths to pods begin.
    pub(crate) fn veth_prefix(self, route_source: RouteSource) -> &'static str {
        match self {
            Self::Veth => route_source.interface_prefix(),
            Self::Bridge => "veth",
        }
    }
}

/// The bridge of a node's pods, as the CNI project's `bridge` plugin calls it.
pub const BRIDGE: &str = "cni0";

/// The network that subnets of pods on a bridge are taken from (kubeadm's and flannel's usual one).
pub(crate) const BRIDGED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16);

/// Length of the prefix of such a subnet (Kubernetes: `--node-cidr-mask-size`).
pub(crate) const BRIDGED_PREFIX: u8 = 24;

/// The pool that blocks are taken from.
pub(crate) const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 65, 0, 0), 16);

/// Length of a block's prefix: 64 addresses (Calico's default `blockSize`).
pub(crate) const BLOCK_PREFIX: u8 = 26;

/// Addresses in a block.
pub(crate) const BLOCK_SIZE: u32 = 1 << (32 - BLOCK_PREFIX);
