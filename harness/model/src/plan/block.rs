//! Blocks of Calico IPAM, and their nodes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Node, Plan, Pod};

/// A block with the addresses that are taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// The block's network.
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
