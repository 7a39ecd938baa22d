//! Calico IPAM: blocks of a pool, and who has which.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Node, Plan, Pod};

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

/// A block with the addresses that are taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its addresses.
    pub cidr: Ipv4Net,
    /// The node that it belongs to.
    pub node: &'a Node,
    /// Each address that is taken, by its place in the block, with the node that has it.
    pub allocations: Vec<(u32, &'a Node)>,
}

impl Plan {
    /// Every block, in the order of its addresses.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        blocks_of(&self.nodes)
    }
}

/// The blocks of these nodes, with what their pods and tunnels take from them.
pub fn blocks_of(nodes: &[Node]) -> Vec<Block<'_>> {
    let taken = |node: &Node| -> Vec<Ipv4Addr> {
        let pods = node.pods.iter().map(|pod: &Pod| pod.address);
        pods.chain(node.tunnel_address).collect()
    };
    let mut blocks: Vec<_> = nodes
        .iter()
        .flat_map(|node| node.blocks.iter().map(move |cidr| (*cidr, node)))
        .map(|(cidr, node)| {
            let first = u32::from(cidr.network());
            let inside = nodes.iter().flat_map(|other| {
                let addresses = taken(other).into_iter();
                addresses
                    .filter(|address| cidr.contains(address))
                    .map(move |address| (u32::from(address) - first, other))
            });
            let mut allocations: Vec<_> = inside.collect();
            allocations.sort_by_key(|(place, _)| *place);
            Block {
                cidr,
                node,
                allocations,
            }
        })
        .collect();
    blocks.sort_by_key(|block| block.cidr);
    blocks
}
