//! A NAT in front of a node, and where there can be none.

use crate::plan::{Action, Addressing, FabricAction, FabricKind, Family, Nat, Node, RouteSource};
use crate::problem::{Lines, Problem, Span};
use crate::scenario::{self, Scenario};

use super::{families, sources};

/// Reports a NAT that nobody could get through, one that the harness cannot judge, and steps about
/// one that is not there.
pub(super) fn check(scenario: &Scenario, problems: &mut Vec<Problem>) {
    let mut hidden = hidden(scenario);
    let first = hidden.next();
    if let (Some((one, place)), Some((other, also))) = (&first, hidden.next()) {
        let problem = Problem::new(
            format!(
                "`{}` and `{}` are both behind a NAT",
                one.name.get_ref(),
                other.name.get_ref()
            ),
            also,
            "neither can be reached before it has spoken",
            "leave one of them without: of two nodes one has to be open to the other",
        );
        problems.push(problem.and(place.clone(), "behind a NAT too"));
    }
    if let Some((node, place)) = &first {
        problems.extend(misfit(scenario, node, place));
    }
    let mut forgets = 0;
    for step in &scenario.steps {
        let Action::Fabric(FabricAction::ForgetNat { node }) = &step.action else {
            continue;
        };
        forgets += 1;
        if first
            .as_ref()
            .is_none_or(|(hidden, _)| hidden.name.get_ref() != node)
        {
            problems.push(Problem::new(
                format!("`{node}` is not behind a NAT"),
                step.place("node"),
                "nothing to forget",
                format!("add `behind-nat = true` to `[node.{node}]`, or remove the step"),
            ));
        } else if forgets == Nat::FORGETS + 1 {
            problems.push(Problem::new(
                format!("a NAT forgets more than {} times", Nat::FORGETS),
                step.place("action"),
                "there are no ports left that no mapping has had",
                "remove it, or make two scenarios of one",
            ));
        }
    }
}

/// The NAT, once addresses are known.
pub(super) fn nat(scenario: &Scenario, lines: &Lines, nodes: &[Node]) -> Option<Nat> {
    let (hidden, place) = hidden(scenario).next()?;
    let node = nodes
        .iter()
        .find(|node| &node.name == hidden.name.get_ref())?;
    Some(Nat {
        node: node.name.clone(),
        address: node.address,
        lines: vec![lines.line(place.start)],
    })
}

fn hidden(scenario: &Scenario) -> impl Iterator<Item = (&scenario::Node, Span)> {
    let nodes = scenario.nodes.iter();
    nodes.filter_map(|node| Some((node, node.behind_nat.clone()?)))
}

/// What keeps a node behind a NAT from being reached, as its cluster is.
fn misfit(scenario: &Scenario, node: &scenario::Node, place: &Span) -> Option<Problem> {
    let name = node.name.get_ref();
    let cluster = &scenario.cluster;
    let kind = scenario.fabric.kind.as_ref();
    let is_vnet = kind.is_none_or(|kind| *kind.get_ref() == FabricKind::Vnet);
    let of_the_vnet = sources(cluster) == (RouteSource::WorkloadIps, Addressing::Veth);
    let plain = || {
        let mut nodes = scenario.nodes.iter();
        nodes.any(|node| node.wireguard == Some(false))
    };
    let changes = |action: &Action| action.change().is_of_intent();
    let moves = |action: &Action| action.change().new_address() == Some(name);
    let (why, help) = if !is_vnet || !of_the_vnet {
        (
            "only a virtual network with the pods' addresses from its subnet has NATs",
            "leave `fabric.kind`, `cluster.route-source` and `cluster.addressing` out",
        )
    } else if families(cluster).contains(&Family::Ipv6) {
        ("IPv6 has no NAT here", "leave `cluster.families` out")
    } else if cluster.wireguard == Some(false) || cluster.host_encryption == Some(false) || plain()
    {
        (
            "what is sent to the node in clear does not reach it",
            "leave out whatever `host-encryption = false` and `wireguard = false` there is",
        )
    } else if Nat::ALL_PORTS.contains(&super::cluster(scenario).listen_port) {
        (
            "the tunnels' port is one that the NAT may give to a connection",
            "take a `listen-port` below 40000 or above 49999, or leave it out",
        )
    } else if cluster.keepalive.unwrap_or(0) == 0 {
        (
            "nobody can reach the node unless it speaks first, and goes on speaking",
            "write `keepalive = 1` in `[cluster]`",
        )
    } else if !scenario.clients.is_empty() || !scenario.spoofs.is_empty() {
        (
            "neither clients outside the cluster nor spoofed packets reach the node",
            "leave the clients and spoofs out",
        )
    } else if let Some(step) = scenario.steps.iter().find(|step| changes(&step.action)) {
        let problem = Problem::new(
            format!("`{}` in a cluster with a NAT", step.action.as_str()),
            step.place("action"),
            format!("what is sent to `{name}` in clear meanwhile does not reach it"),
            "remove the step, or `behind-nat`",
        );
        return Some(problem.and(place.clone(), "the NAT"));
    } else if let Some(step) = scenario.steps.iter().find(|step| moves(&step.action)) {
        let problem = Problem::new(
            format!("`{}` of a node behind a NAT", step.action.as_str()),
            step.place("action"),
            "the NAT is there from the beginning, with one address",
            "remove the step, or `behind-nat`",
        );
        return Some(problem.and(place.clone(), "the NAT"));
    } else {
        return None;
    };
    Some(Problem::new(
        format!("`{name}` cannot be behind a NAT"),
        place.clone(),
        why,
        help,
    ))
}
