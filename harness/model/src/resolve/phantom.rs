//! Phantoms, nodes that exist only in the store: their names, and addresses at the subnet's far end, away from
//! everybody's who is there.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::name::{EndpointName, NodeName};
use crate::plan::{Addressing, Change, Fabric, NodeChange, Phantom, Plan, RouteSource};
use crate::problem::Problem;
use crate::scenario::{Phantoms, Scenario};

use super::placement::Placement;
use super::sources;

/// Reports those whose names are taken or too long, and clusters that cannot have any.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    for phantoms in &scenario.phantoms {
        let (name, place) = (phantoms.name.get_ref(), phantoms.name.span());
        if sources(&scenario.cluster) != (RouteSource::WorkloadIps, Addressing::Veth) {
            problems.push(Problem::new(
                "phantoms have their pods' addresses from the fabric's subnet",
                place.clone(),
                "the pods of this cluster have others",
                "leave `cluster.route-source` and `cluster.addressing` out, or the phantoms",
            ));
        }
        let names: Result<Vec<_>, _> = (1..=phantoms.nodes).map(|one| named(name, one)).collect();
        let problem = match names {
            Err(error) => Some(Problem::new(
                format!(
                    "the name `{name}` is too long for {} phantoms",
                    phantoms.nodes
                ),
                place,
                format!("the last is `{name}-{}`", phantoms.nodes),
                error.to_string(),
            )),
            Ok(names) => names.iter().find_map(|one| {
                let taken = placement.endpoints.contains(&EndpointName::from(one));
                taken.then(|| {
                    Problem::new(
                        format!("`{one}` is there twice"),
                        place.clone(),
                        format!(
                            "phantoms are called `{name}-1` to `{name}-{}`",
                            phantoms.nodes
                        ),
                        "give the phantoms, or the other one, another name",
                    )
                })
            }),
        };
        problems.extend(problem);
    }
}

/// Every phantom's name.
pub(super) fn names(scenario: &Scenario) -> impl Iterator<Item = NodeName> {
    let all = scenario.phantoms.iter();
    all.flat_map(|phantoms| {
        let numbers = 1..=phantoms.nodes;
        numbers.filter_map(|number| named(phantoms.name.get_ref(), number).ok())
    })
}

/// Every phantom. Reports a subnet that has not room enough beside all who are there.
pub(super) fn phantoms(scenario: &Scenario, plan: &Plan) -> Result<Vec<Phantom>, Problem> {
    let needed = |one: &Phantoms| u64::from(one.nodes) * (u64::from(one.pods) + 1);
    let needed: u64 = scenario.phantoms.iter().map(needed).sum();
    let Some(first) = scenario.phantoms.first() else {
        return Ok(Vec::new());
    };
    let Some(mut next) = last_gap(&plan.fabric, taken(plan), needed) else {
        return Err(Problem::new(
            format!("the subnet `{}` is too small", plan.fabric.subnet),
            first.name.span(),
            format!("phantoms take {needed} addresses in a row that nobody has"),
            "ask for fewer nodes or pods, or for a larger `fabric.subnet`",
        ));
    };
    let mut all = Vec::new();
    for phantoms in &scenario.phantoms {
        for number in 1..=phantoms.nodes {
            all.extend(
                named(phantoms.name.get_ref(), number)
                    .ok()
                    .map(|name| Phantom {
                        name,
                        address: Ipv4Addr::from(next),
                        pods: phantoms.pods,
                    }),
            );
            next += u32::from(phantoms.pods) + 1;
        }
    }
    Ok(all)
}

/// The first of the last `needed` addresses in a row that are nobody's.
fn last_gap(fabric: &Fabric, taken: BTreeSet<Ipv4Addr>, needed: u64) -> Option<u32> {
    let mut end = u32::from(fabric.subnet.broadcast());
    for taken in taken.into_iter().map(u32::from).rev() {
        if u64::from(end - taken) > needed {
            return Some(end - u32::try_from(needed).ok()?);
        }
        end = taken;
    }
    None
}

/// The addresses of the subnet that somebody has at some time, and its own, which nobody has.
fn taken(plan: &Plan) -> BTreeSet<Ipv4Addr> {
    let readdressed = plan.steps.iter().filter_map(|step| {
        let Change::Node(_, NodeChange::Address(address)) = step.action.change() else {
            return None;
        };
        Some(address)
    });
    let subnet = &plan.fabric.subnet;
    let all = plan.endpoints().into_iter().map(|end| end.address);
    let store = plan.store_host().map(|host| host.address);
    let all = all
        .chain(readdressed)
        .chain(store)
        .chain([plan.fabric.gateway, subnet.network()]);
    let inside = |address: &Ipv4Addr| subnet.contains(address) && *address != subnet.broadcast();
    all.filter(inside).collect()
}

fn named(name: &NodeName, number: u16) -> Result<NodeName, crate::name::NameError> {
    format!("{name}-{number}").parse()
}
