//! Ethernet addresses that nodes are given, where asking for them would fill the kernel's table.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{FabricKind, Plan};

/// The most entries that a lab's nodes may take by asking. The kernel has one table of each family for all
/// namespaces, with room for 1024 entries that are not permanent (Linux: `neigh_alloc` in
/// `net/core/neighbour.c`, `gc_thresh3`), so three such labs fit beside the host's own.
const MOST_ASKED: usize = 256;

impl Plan {
    /// The addresses whose Ethernet addresses every node is given for good, at whatever moment they are
    /// somebody's. A permanent entry takes no room (`exempt_from_gc`). Empty where the nodes of the
    /// cluster ask for few enough: ARP is then as it is elsewhere, and what an engine does about it
    /// is tested.
    pub fn given_neighbours(&self) -> BTreeSet<Ipv4Addr> {
        let moments: Vec<_> = (0..=self.steps.len())
            .map(|steps| self.after(steps))
            .collect();
        let nodes = || moments.iter().flat_map(|state| &state.nodes);
        let hosts = nodes().map(|node| node.address);
        let store = self.store_host().map(|host| host.address);
        let mut addresses: BTreeSet<_> = hosts.chain(store).collect();
        match self.fabric.kind {
            // Every address of the subnet is on the link.
            FabricKind::Vnet => {
                addresses.extend(nodes().flat_map(|node| &node.pods).map(|pod| pod.address));
                addresses.insert(self.fabric.gateway);
            }
            // Pods are behind their nodes.
            FabricKind::Flat => {}
            // A node has its router on the link, and nothing else.
            FabricKind::Routed => addresses.clear(),
        }
        let asking = moments.iter().map(|state| state.nodes.len()).max();
        match asking.unwrap_or_default().saturating_mul(addresses.len()) > MOST_ASKED {
            true => addresses,
            false => BTreeSet::new(),
        }
    }
}
