//! The fabric between the nodes, and its impairments.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::name::NodeName;
use crate::plan::{
    Action, Fabric, FabricAction, FabricKind, Family, Impairment, ImpairmentKind, WireDirection,
    gateway_of,
};
use crate::problem::{Lines, Problem, Span, known_names};
use crate::scenario::{self, Scenario};

use super::placement::Placement;
use super::{MTU, families, rack};

/// The subnet of addresses if the scenario does not set it: the subnet that AKS proposes.
const SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 240, 0, 0), 16);

/// The fabric before the first step.
pub(super) fn fabric(scenario: &Scenario, lines: &Lines) -> Fabric {
    let written = &scenario.fabric;
    let subnet = written.subnet.as_ref();
    let subnet = subnet.map_or(SUBNET, |subnet| *subnet.get_ref());
    let impairment = |impairment: &scenario::Impairment| Impairment {
        line: lines.line(impairment.place.start),
        node: impairment.node.as_ref().map(|node| node.get_ref().clone()),
        way: impairment
            .way
            .as_ref()
            .map(|way| *way.get_ref())
            .unwrap_or_default(),
        kind: impairment.kind,
    };
    Fabric {
        subnet,
        gateway: gateway_of(subnet),
        mtu: written.mtu.as_ref().map_or(MTU, |mtu| *mtu.get_ref()),
        beyond_mtu: written
            .beyond_mtu
            .as_ref()
            .map(|beyond| *beyond.get_ref())
            .unwrap_or_default(),
        kind: kind(scenario),
        ipv6: families(&scenario.cluster).contains(&Family::Ipv6),
        rack: rack::prefix(scenario, kind(scenario), subnet),
        impairments: scenario.impairments.iter().map(impairment).collect(),
        nat: None,
    }
}

fn kind(scenario: &Scenario) -> FabricKind {
    let kind = scenario.fabric.kind.as_ref();
    kind.map(|kind| *kind.get_ref()).unwrap_or_default()
}

/// Reports what this kind of fabric cannot do, and impairments of nobody's packets.
pub(super) fn check(scenario: &Scenario, placement: &Placement, problems: &mut Vec<Problem>) {
    let fabric = &scenario.fabric;
    if let Some(beyond) = &fabric.beyond_mtu
        && beyond.get_ref().is_routers()
        && !kind(scenario).is_routed()
    {
        let problem = Problem::new(
            format!("a switch cannot `{}`", beyond.get_ref().as_str()),
            beyond.span(),
            "only a router can",
            "write `beyond-mtu = \"drop\"`, or take `kind = \"vnet\"`",
        );
        let place = fabric.kind.as_ref().map_or(0..0, Spanned::span);
        problems.push(problem.and(place, "a switch"));
    }
    for impairment in &scenario.impairments {
        let node = impairment.node.as_ref();
        let place = node.map_or(0..0, Spanned::span);
        let node = node.map(Spanned::get_ref);
        problems.extend(unknown(node, place, placement));
        let way = impairment.way.as_ref();
        let place = way.map_or(impairment.place.clone(), Spanned::span);
        let way = way.map(|way| *way.get_ref()).unwrap_or_default();
        problems.extend(aimless(node, way, impairment.kind, place));
    }
    for step in &scenario.steps {
        if let Action::Fabric(action) = &step.action {
            check_step(scenario, step, action, problems);
        }
    }
}

fn check_step(
    scenario: &Scenario,
    step: &scenario::Step,
    action: &FabricAction,
    problems: &mut Vec<Problem>,
) {
    match action {
        FabricAction::SetMtu { .. }
        | FabricAction::ClearImpairments { .. }
        | FabricAction::ForgetNat { .. } => {}
        FabricAction::Impair { node, way, kind } => {
            let place = step.place("direction");
            problems.extend(aimless(node.as_ref(), *way, *kind, place));
        }
        FabricAction::SwallowIcmp | FabricAction::AnswerIcmp => {
            let beyond = scenario.fabric.beyond_mtu.as_ref();
            if beyond.is_some_and(|beyond| beyond.get_ref().is_routers()) {
                return;
            }
            problems.push(Problem::new(
                format!("`{}` of a fabric that sends no ICMP", step.action.as_str()),
                step.place("action"),
                "it drops large packets silently",
                "add `beyond-mtu = \"fragment\"` or `\"swallow\"` to `[fabric]`",
            ));
        }
    }
}

fn unknown(node: Option<&NodeName>, place: Span, placement: &Placement) -> Option<Problem> {
    let node = node.filter(|node| !placement.nodes.contains_key(*node))?;
    let known: Vec<&str> = placement.nodes.keys().map(NodeName::as_str).collect();
    Some(Problem::new(
        format!("unknown node `{node}`"),
        place,
        "no such node",
        known_names("node", node.as_str(), &known),
    ))
}

/// A direction that is nobody's, or that nothing can be delayed in.
fn aimless(
    node: Option<&NodeName>,
    way: WireDirection,
    kind: ImpairmentKind,
    place: Span,
) -> Option<Problem> {
    if node.is_none() && way != WireDirection::Both {
        return Some(Problem::new(
            "a direction without a node",
            place,
            "from or to whom?",
            "add `node = \"NAME\"`, or leave `direction` out: then it is about every packet",
        ));
    }
    let late = matches!(kind, ImpairmentKind::Delay { .. });
    (late && node.is_some() && way != WireDirection::To).then(|| {
        Problem::new(
            "a delay of what a node sends",
            place,
            "the fabric delays what it delivers",
            "write `direction = \"to\"`, or leave `node` out",
        )
    })
}
