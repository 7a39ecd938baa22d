//! A subnet for each node: the lower half of a rack is the link between its node and the router,
//! the upper half is the pods', where they have no pool.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::name::EndpointName;
use crate::plan::{Fabric, FabricKind};
use crate::problem::{Problem, Span};
use crate::scenario::Scenario;

use super::address::{Addresses, FIRST_NODE, exhausted, readdressed};
use super::placement::Placement;

/// Length of a rack's prefix, if there is no need of more racks than that leaves room for.
const PREFIX: u8 = 24;

/// The longest prefix that leaves room for a gateway, a node and a few pods.
const MAX_PREFIX: u8 = 28;

/// Length of the prefix of racks, of which there is one for each node, one for the store, and one
/// for each address that a node gets later.
pub(super) fn prefix(scenario: &Scenario, kind: FabricKind, subnet: Ipv4Net) -> Option<u8> {
    if kind != FabricKind::Routed {
        return None;
    }
    let racks = scenario.nodes.len() + 1 + readdressed(scenario).count();
    let bits = u8::try_from(racks.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX);
    let prefix = subnet.prefix_len().saturating_add(bits);
    // One that is too long is reported, with the subnet, by `check`.
    Some(prefix.clamp(PREFIX, 30))
}

/// Reports a subnet that is too small for racks, and addresses that are not where they belong.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    fabric: &Fabric,
    problems: &mut Vec<Problem>,
) {
    let Some(prefix) = fabric.rack else {
        return;
    };
    if prefix > MAX_PREFIX {
        problems.push(exhausted_racks(scenario, placement, fabric));
        return;
    }
    let nodes = scenario.nodes.iter().filter_map(|node| {
        let address = node.address.clone()?;
        Some((EndpointName::from(node.name.get_ref()), address))
    });
    let mut owners = BTreeMap::<Ipv4Net, (EndpointName, Span)>::new();
    for (name, address) in nodes.chain(readdressed(scenario)) {
        let link = fabric.link_of(*address.get_ref());
        if !is_host(link, *address.get_ref())
            || fabric.gateway_of(link.network()) == *address.get_ref()
        {
            problems.push(Problem::new(
                format!("`{name}` cannot have the address `{address}`"),
                address.span(),
                "not one that a rack's node can have",
                format!(
                    "the nodes of this rack have addresses from {} to {}",
                    nth(link, 2),
                    nth(
                        link,
                        u32::from(link.broadcast()) - u32::from(link.network()) - 1
                    )
                ),
            ));
            continue;
        }
        match owners.get(&link) {
            Some((owner, first)) if *owner != name => {
                let problem = Problem::new(
                    format!("`{name}` and `{owner}` are in one rack"),
                    address.span(),
                    format!("also in {}", rack(fabric, link)),
                    "give one of them an address of another rack, or none: then it gets its own",
                );
                problems.push(problem.and(first.clone(), format!("in {}", rack(fabric, link))));
            }
            Some(_) => {}
            None => {
                owners.insert(link, (name, address.span()));
            }
        }
    }
    for pod in &scenario.pods {
        let Some(address) = pod.address.as_ref() else {
            continue;
        };
        // Those of a pool are in no rack.
        if !fabric.subnet.contains(address.get_ref()) {
            continue;
        }
        let pods = pods_of(fabric, *address.get_ref());
        if !pods.is_some_and(|pods| is_host(pods, *address.get_ref())) {
            problems.push(Problem::new(
                format!(
                    "`{}` cannot have the address `{address}`",
                    pod.name.get_ref()
                ),
                address.span(),
                "among the addresses of a rack's nodes",
                match pods {
                    Some(pods) => format!("the pods of this rack have addresses of {pods}"),
                    None => "leave it out: then it gets a free one".into(),
                },
            ));
        }
    }
}

/// Adds an address for everyone who has none: a rack for each node, in the order of their names,
/// and addresses of that rack for its pods.
pub(super) fn allocate(
    scenario: &Scenario,
    placement: &Placement,
    fabric: &Fabric,
    given: Addresses,
) -> Result<Addresses, Problem> {
    let full = || exhausted(scenario, placement, fabric);
    let later = readdressed(scenario).map(|(_, address)| address.into_inner());
    let prefix = fabric.rack.unwrap_or(PREFIX);
    let mut taken: Vec<_> = given.values().copied().chain(later).collect();
    let mut addresses = given;
    let mut racks = fabric.subnet.subnets(prefix).map_err(|_| full())?;
    for (node, pods) in &placement.nodes {
        let name = EndpointName::from(node);
        let address = match addresses.get(&name) {
            Some(address) => *address,
            None => {
                let free = |rack: &Ipv4Net| !taken.iter().any(|address| rack.contains(address));
                let rack = racks.find(free).ok_or_else(full)?;
                let address = first_of(fabric, rack.network()).ok_or_else(full)?;
                addresses.insert(name, address);
                address
            }
        };
        let mut hosts = pods_of(fabric, address)
            .into_iter()
            .flat_map(|pods| pods.hosts().skip(1));
        for pod in pods.iter().map(EndpointName::from) {
            if let Entry::Vacant(without) = addresses.entry(pod) {
                let free = hosts.find(|host| !taken.contains(host)).ok_or_else(full)?;
                without.insert(free);
                taken.push(free);
            }
        }
    }
    Ok(addresses)
}

/// The address of the first node in the rack of `inside`.
pub(super) fn first_of(fabric: &Fabric, inside: Ipv4Addr) -> Option<Ipv4Addr> {
    let link = fabric.link_of(inside);
    let first = nth(link, FIRST_NODE);
    is_host(link, first).then_some(first)
}

/// The pods' half of the rack of `inside`.
fn pods_of(fabric: &Fabric, inside: Ipv4Addr) -> Option<Ipv4Net> {
    let rack = fabric.rack_of(inside)?;
    rack.subnets(rack.prefix_len() + 1).ok()?.nth(1)
}

fn rack(fabric: &Fabric, link: Ipv4Net) -> Ipv4Net {
    fabric.rack_of(link.network()).unwrap_or(link)
}

fn nth(net: Ipv4Net, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).saturating_add(number))
}

fn is_host(net: Ipv4Net, address: Ipv4Addr) -> bool {
    net.contains(&address) && address != net.network() && address != net.broadcast()
}

fn exhausted_racks(scenario: &Scenario, placement: &Placement, fabric: &Fabric) -> Problem {
    let racks = placement.nodes.len() + 1 + readdressed(scenario).count();
    let bits = u8::try_from(racks.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX);
    Problem::new(
        format!("the subnet `{}` is too small", fabric.subnet),
        scenario.fabric.subnet.as_ref().map_or(0..0, Spanned::span),
        format!("too few addresses for {racks} racks"),
        format!(
            "a prefix length of at most {} has enough",
            MAX_PREFIX.saturating_sub(bits)
        ),
    )
}
