//! A bridge on each node, and a subnet for its pods. The bridge has the subnet's first address.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::name::{EndpointName, INTERFACE_NAME_MAX, NodeName, PodName};
use crate::plan::{Addressing, BRIDGED, BRIDGED_PREFIX, Change, PodChange, RouteSource};
use crate::problem::{Problem, Span};
use crate::scenario::Scenario;

use super::address::Addresses;
use super::ipam::Share;
use super::placement::Placement;

/// Reports what no bridge can do: blocks, pods with long names or of other nodes' subnets, and
/// pods that take their addresses elsewhere.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    let cluster = &scenario.cluster;
    let bridge = cluster.addressing.as_ref().map_or(0..0, Spanned::span);
    if let Some(source) = &cluster.route_source
        && *source.get_ref() == RouteSource::CalicoIpam
    {
        let problem = Problem::new(
            "blocks on a bridge",
            bridge.clone(),
            "a bridge has a subnet of its own",
            "leave `route-source` out, or `addressing`",
        );
        problems.push(problem.and(source.span(), "Calico IPAM gives nodes blocks"));
        return;
    }
    let prefix = Addressing::Bridge.veth_prefix(RouteSource::WorkloadIps);
    let most = INTERFACE_NAME_MAX - prefix.len();
    let subnets = subnets(placement);
    for (node, pods) in &placement.nodes {
        for pod in pods {
            let mut written = scenario.pods.iter();
            let written = written.find(|written| written.name.get_ref() == pod);
            if pod.as_str().len() > most {
                problems.push(Problem::new(
                    format!("the pod's name `{pod}` is too long"),
                    mentioned(scenario, pod),
                    format!("longer than {most} characters"),
                    format!("the bridge's port to the pod is `{prefix}` and its name"),
                ));
            }
            let address = written.and_then(|written| written.address.as_ref());
            if let (Some(address), Some(subnet)) = (address, subnets.get(node)) {
                let gateway = subnet.hosts().next();
                let fits = subnet.contains(address.get_ref());
                if BRIDGED.contains(address.get_ref())
                    && (!fits || gateway == Some(*address.get_ref()))
                {
                    problems.push(Problem::new(
                        format!("`{pod}` cannot have the address `{address}`"),
                        address.span(),
                        match fits {
                            true => format!("the address of `{node}`'s bridge"),
                            false => format!("outside the subnet of `{node}`'s bridge"),
                        },
                        format!("pods on `{node}` have addresses of {subnet}, from the second on"),
                    ));
                }
            }
        }
    }
    for step in &scenario.steps {
        if let Change::Pod(pod, PodChange::Move(_)) = step.action.change() {
            let problem = Problem::new(
                format!("`{pod}` cannot take its address along"),
                step.place("pod"),
                "it is of its node's bridge",
                "delete the pod and add another one, or leave `addressing` out",
            );
            problems.push(problem.and(bridge.clone(), "a bridge"));
        }
    }
}

/// Where a pod is first named: in its node's list, or by its own table.
fn mentioned(scenario: &Scenario, pod: &PodName) -> Span {
    let listed = scenario.nodes.iter().flat_map(|node| &node.pods);
    let own = scenario.pods.iter().map(|written| &written.name);
    let mut names = listed.chain(own).filter(|name| name.get_ref() == pod);
    names.next().map_or(0..0, Spanned::span)
}

/// Gives every pod without an address one of its node's subnet, in the order of their names.
pub(super) fn allocate(
    placement: &Placement,
    addresses: &mut Addresses,
) -> BTreeMap<NodeName, Share> {
    let mut taken: BTreeSet<_> = addresses.values().copied().collect();
    let subnets = subnets(placement);
    for (node, pods) in &placement.nodes {
        let hosts = subnets.get(node).into_iter();
        let mut hosts = hosts.flat_map(|subnet| subnet.hosts().skip(1));
        for pod in pods.iter().map(EndpointName::from) {
            // A subnet has more addresses than a scenario has endpoints.
            if !addresses.contains_key(&pod)
                && let Some(free) = hosts.find(|host| taken.insert(*host))
            {
                addresses.insert(pod, free);
            }
        }
    }
    let share = |subnet| Share {
        bridge: Some(subnet),
        ..Share::default()
    };
    let shares = subnets.into_iter();
    shares.map(|(node, subnet)| (node, share(subnet))).collect()
}

/// Each node's, in the order of their names.
fn subnets(placement: &Placement) -> BTreeMap<NodeName, Ipv4Net> {
    let subnets = BRIDGED.subnets(BRIDGED_PREFIX).into_iter().flatten();
    placement.nodes.keys().cloned().zip(subnets).collect()
}
