//! Where the cluster's resources are.

use std::net::Ipv4Addr;

use crate::name::{EndpointName, NodeName};
use crate::plan::{Fabric, Store};
use crate::problem::{Problem, known_words};
use crate::scenario::{Scenario, StoreKind};

use super::address::Addresses;
use super::placement::Placement;

/// Reports a store on a node that there is not, and one that is on no node at all.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    let Some(on) = &scenario.store_on else {
        return;
    };
    if kind(scenario) == StoreKind::Directory {
        problems.push(Problem::new(
            "a directory is on no node",
            on.span(),
            "only an etcd is on a node",
            "add `store = \"etcd\"`, or remove `store-on`",
        ));
    }
    if !placement.nodes.contains_key(on.get_ref()) {
        let known: Vec<&str> = placement.nodes.keys().map(NodeName::as_str).collect();
        problems.push(Problem::new(
            format!("unknown node `{}`", on.get_ref()),
            on.span(),
            "no such node",
            known_words("node", on.get_ref().as_str(), &known),
        ));
    }
}

/// An etcd that is on no node has the last address of the subnet that nobody has.
pub(super) fn store(
    scenario: &Scenario,
    fabric: &Fabric,
    addresses: &Addresses,
) -> Result<Store, Problem> {
    if kind(scenario) == StoreKind::Directory {
        return Ok(Store::Directory);
    }
    let on = scenario.store_on.as_ref().map(|on| on.get_ref().clone());
    let address = match &on {
        Some(node) => addresses.get(&EndpointName::from(node)).copied(),
        None => last_free(fabric, addresses),
    };
    match address {
        Some(address) => Ok(Store::Etcd { address, on }),
        None => Err(Problem::new(
            format!("the subnet `{}` is too small", fabric.subnet),
            scenario.store.as_ref().map_or(0..0, |store| store.span()),
            "no address is left for the store's host",
            "take a larger subnet, or put the store on a node with `store-on`",
        )),
    }
}

fn kind(scenario: &Scenario) -> StoreKind {
    let written = scenario.store.as_ref();
    written.map_or(StoreKind::Directory, |kind| *kind.get_ref())
}

fn last_free(fabric: &Fabric, addresses: &Addresses) -> Option<Ipv4Addr> {
    let first = u32::from(fabric.gateway).saturating_add(1);
    let last = u32::from(fabric.subnet.broadcast()).saturating_sub(1);
    (first..=last)
        .rev()
        .map(Ipv4Addr::from)
        .find(|address| addresses.values().all(|taken| taken != address))
}
