//! Blocks of Calico IPAM: a block for each node, and more where its pods need them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::name::{EndpointName, INTERFACE_NAME_MAX, NodeName};
use crate::plan::{BLOCK_PREFIX, BLOCK_SIZE, POOL, RouteSource};
use crate::problem::Problem;
use crate::scenario::Scenario;

use super::address::Addresses;
use super::placement::Placement;

/// What each node has of the pool.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// The blocks, in order.
    pub(super) blocks: Vec<Ipv4Net>,
    /// The address of its tunnel device: the first of its blocks that nobody asked for.
    pub(super) tunnel: Option<Ipv4Addr>,
    /// The subnet of its bridge.
    pub(super) bridge: Option<Ipv4Net>,
}

/// How far apart the nodes' first blocks are, in blocks, so that addresses read well.
const STRIDE: u32 = 4;

/// Reports pods whose interface on the node would have too long a name.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    let prefix = RouteSource::CalicoIpam.interface_prefix();
    let most = INTERFACE_NAME_MAX - prefix.len();
    for pod in placement.nodes.values().flatten() {
        if pod.as_str().len() > most {
            let written = scenario
                .pods
                .iter()
                .find(|written| written.name.get_ref() == pod);
            problems.push(Problem::new(
                format!("the pod's name `{pod}` is too long"),
                written.map_or(0..0, |written| written.name.span()),
                format!("longer than {most} characters"),
                format!(
                    "with Calico IPAM the node's interface to the pod is `{prefix}` and its name"
                ),
            ));
        }
    }
}

/// Gives every pod without an address one of its node's blocks, in the order of their names.
pub(super) fn allocate(
    placement: &Placement,
    addresses: &mut Addresses,
) -> BTreeMap<NodeName, Share> {
    let mut taken: BTreeSet<Ipv4Addr> = addresses.values().copied().collect();
    let mut shares = BTreeMap::new();
    let mut block = 0;
    for (node, pods) in &placement.nodes {
        let mut share = Share::default();
        let without: Vec<_> = pods
            .iter()
            .map(EndpointName::from)
            .filter(|pod| !addresses.contains_key(pod))
            .collect();
        let mut waiting = without.into_iter();
        loop {
            let first = u32::from(POOL.network()) + block * BLOCK_SIZE;
            block += 1;
            share
                .blocks
                .extend(Ipv4Net::new(Ipv4Addr::from(first), BLOCK_PREFIX));
            // The first address of a block is that of the network.
            let free = (first + 1..first + BLOCK_SIZE).map(Ipv4Addr::from);
            let mut free = free.filter(|address| taken.insert(*address));
            if share.tunnel.is_none() {
                share.tunnel = free.next();
            }
            for (pod, address) in waiting.by_ref().zip(&mut free) {
                addresses.insert(pod, address);
            }
            if waiting.len() == 0 {
                break;
            }
        }
        block = block.next_multiple_of(STRIDE);
        shares.insert(node.clone(), share);
    }
    claim_given(placement, addresses, &mut shares);
    shares
}

/// Gives a node the block of a pod's address that is in no node's block: Calico's IPAM claims the
/// block of an address that is asked for, if no other node has it (`AssignIP`, with
/// `StrictAffinity` off); of another node's block the address is borrowed.
fn claim_given(
    placement: &Placement,
    addresses: &Addresses,
    shares: &mut BTreeMap<NodeName, Share>,
) {
    for (node, pods) in &placement.nodes {
        for pod in pods.iter().map(EndpointName::from) {
            let Some(address) = addresses.get(&pod).filter(|one| POOL.contains(*one)) else {
                continue;
            };
            let mut all = shares.values().flat_map(|share| &share.blocks);
            if all.any(|block| block.contains(address)) {
                continue;
            }
            let block = Ipv4Net::new(*address, BLOCK_PREFIX).map(|block| block.trunc());
            if let (Some(share), Ok(block)) = (shares.get_mut(node), block) {
                share.blocks.push(block);
                share.blocks.sort();
            }
        }
    }
}
