//! Allocation of addresses to nodes and pods. It depends on nothing but the scenario, and finds an address as
//! long as the subnet has one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use toml::Spanned;

use crate::name::EndpointName;
use crate::plan::{Change, Fabric, NodeChange};
use crate::problem::Problem;
use crate::scenario::Scenario;

use super::placement::Placement;

/// Where the first node's address is in the subnet: Azure keeps the first four for itself.
pub(super) const FIRST_NODE: u32 = 4;

/// The least distance between two nodes' addresses, which leaves room for pods to come.
const STRIDE: u32 = 16;

/// Every endpoint's address.
pub(super) type Addresses = BTreeMap<EndpointName, Ipv4Addr>;

/// The addresses that the author gave. Reports those outside the subnet, those that no
/// endpoint can have, and those given twice.
pub(super) fn given(
    scenario: &Scenario,
    fabric: &Fabric,
    pods_from: Ipv4Net,
    problems: &mut Vec<Problem>,
) -> Addresses {
    let nodes = scenario.nodes.iter().map(|node| {
        let name = EndpointName::from(node.name.get_ref());
        (name, node.address.as_ref(), fabric.subnet)
    });
    let pods = scenario.pods.iter().map(|pod| {
        let name = EndpointName::from(pod.name.get_ref());
        (name, pod.address.as_ref(), pods_from)
    });
    let at_first = nodes.chain(pods);
    let at_first =
        at_first.filter_map(|(name, address, subnet)| Some((name, address?.clone(), subnet, true)));
    let later = readdressed(scenario).map(|(name, address)| (name, address, fabric.subnet, false));
    let mut written: Vec<_> = at_first.chain(later).collect();
    written.sort_by_key(|(_, address, ..)| address.span().start);

    let mut addresses = Addresses::new();
    let mut owners = BTreeMap::<Ipv4Addr, (EndpointName, Spanned<Ipv4Addr>)>::new();
    for (name, place, subnet, at_first) in written {
        let address = *place.get_ref();
        if let Some(why) = unusable(address, subnet, fabric) {
            problems.push(Problem::new(
                format!("`{name}` cannot have the address `{address}`"),
                place.span(),
                why,
                usable(subnet, fabric),
            ));
        } else if let Some((owner, first)) = owners.get(&address).filter(|known| known.0 != name) {
            let problem = Problem::new(
                format!("`{name}` and `{owner}` have one address"),
                place.span(),
                format!("`{name}`'s"),
                "give one of them another address, or none: then it gets a free one",
            );
            problems.push(problem.and(first.span(), format!("`{owner}`'s")));
        } else {
            owners.insert(address, (name.clone(), place));
            if at_first {
                addresses.insert(name, address);
            }
        }
    }
    addresses
}

/// The addresses that nodes get in steps.
pub(super) fn readdressed(
    scenario: &Scenario,
) -> impl Iterator<Item = (EndpointName, Spanned<Ipv4Addr>)> {
    scenario.steps.iter().filter_map(|step| {
        let Change::Node(node, NodeChange::Address(address)) = step.action.change() else {
            return None;
        };
        let address = Spanned::new(step.place("address"), address);
        Some((EndpointName::from(node), address))
    })
}

/// Adds an address for everyone who has none: nodes at even distances from the subnet's
/// fourth address on, pods behind their nodes, in the order of their names.
pub(super) fn allocate(
    scenario: &Scenario,
    placement: &Placement,
    fabric: &Fabric,
    given: Addresses,
) -> Result<Addresses, Problem> {
    let later = readdressed(scenario).map(|(_, address)| address.into_inner());
    let mut pool = Pool::new(fabric, given.values().copied().chain(later));
    let mut addresses = given;
    let most_pods = placement
        .nodes
        .values()
        .map(BTreeSet::len)
        .max()
        .unwrap_or(0);
    let block = u32::try_from(most_pods + 1)
        .unwrap_or(STRIDE)
        .next_power_of_two();
    let stride = STRIDE.max(block);
    let mut wanted = u32::from(fabric.subnet.network()).saturating_add(FIRST_NODE);
    let full = || exhausted(scenario, placement, fabric);
    for (node, pods) in &placement.nodes {
        let name = EndpointName::from(node);
        let node_address = match addresses.get(&name) {
            Some(address) => *address,
            None => {
                while pool.is_taken(wanted) {
                    wanted = wanted.saturating_add(stride);
                }
                let address = pool.take(wanted).ok_or_else(full)?;
                addresses.insert(name, address);
                address
            }
        };
        for pod in pods {
            if let Entry::Vacant(without) = addresses.entry(EndpointName::from(pod)) {
                let behind = u32::from(node_address).saturating_add(1);
                without.insert(pool.take(behind).ok_or_else(full)?);
            }
        }
    }
    Ok(addresses)
}

pub(super) fn exhausted(scenario: &Scenario, placement: &Placement, fabric: &Fabric) -> Problem {
    let place = scenario.fabric.subnet.as_ref().map_or(0..0, Spanned::span);
    // Besides the endpoints, the network, the gateway and the broadcast address take one each.
    let needed = placement.endpoints.len() + 3;
    let bits = needed.next_power_of_two().trailing_zeros();
    Problem::new(
        format!("the subnet `{}` is too small", fabric.subnet),
        place,
        format!(
            "too few addresses for {} nodes and pods",
            placement.endpoints.len()
        ),
        format!(
            "a prefix length of at most {} has enough",
            32_u32.saturating_sub(bits)
        ),
    )
}

/// Addresses that nobody has.
struct Pool {
    first: u32,
    last: u32,
    taken: BTreeSet<u32>,
}

impl Pool {
    fn new(fabric: &Fabric, taken: impl Iterator<Item = Ipv4Addr>) -> Self {
        Self {
            first: u32::from(fabric.gateway).saturating_add(1),
            last: u32::from(fabric.subnet.broadcast()).saturating_sub(1),
            taken: taken.map(u32::from).collect(),
        }
    }

    /// Whether somebody has this address of the subnet.
    fn is_taken(&self, address: u32) -> bool {
        self.taken.contains(&address)
    }

    /// The first free address from `wanted` on; else the first of all.
    fn take(&mut self, wanted: u32) -> Option<Ipv4Addr> {
        let wanted = wanted.max(self.first);
        let free = (wanted..=self.last)
            .chain(self.first..=self.last)
            .find(|address| !self.taken.contains(address))?;
        self.taken.insert(free);
        Some(Ipv4Addr::from(free))
    }
}

fn unusable(address: Ipv4Addr, subnet: Ipv4Net, fabric: &Fabric) -> Option<String> {
    if !subnet.contains(&address) {
        Some(format!("outside the subnet `{subnet}`"))
    } else if address == subnet.network() {
        Some("the subnet's own address".into())
    } else if address == fabric.gateway {
        Some("the gateway's address".into())
    } else if address == subnet.broadcast() {
        Some("the subnet's broadcast address".into())
    } else {
        None
    }
}

fn usable(subnet: Ipv4Net, fabric: &Fabric) -> String {
    if subnet != fabric.subnet {
        return format!("pods have addresses of `{subnet}`");
    }
    let first = Ipv4Addr::from(u32::from(fabric.gateway).saturating_add(1));
    let last = Ipv4Addr::from(u32::from(fabric.subnet.broadcast()).saturating_sub(1));
    format!("nodes and pods have addresses from {first} to {last}")
}
