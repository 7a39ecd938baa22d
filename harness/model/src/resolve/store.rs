//! The store of the cluster's resources.

use std::net::Ipv4Addr;

use toml::Spanned;

use crate::name::{EndpointName, NodeName};
use crate::plan::{Fabric, Store, StoreAction};
use crate::problem::{Problem, Span, known_names};
use crate::scenario::{self, Scenario, StoreKind};

use super::address::Addresses;
use super::placement::Placement;
use super::rack;

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
            known_names("node", on.get_ref().as_str(), &known),
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
        // Its rack is the last.
        None if fabric.rack.is_some() => rack::first_of(fabric, fabric.subnet.broadcast()),
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

/// What the store is like between two steps.
pub(super) struct StoreStage {
    kind: StoreKind,
    /// The node it is on, and where that is written.
    on: Option<Spanned<NodeName>>,
    /// Why it cannot be reached, and the step that began it.
    absent: Option<(StoreAction, Span)>,
}

impl StoreStage {
    pub(super) fn at_first(scenario: &Scenario) -> Self {
        Self {
            kind: kind(scenario),
            on: scenario.store_on.clone(),
            absent: None,
        }
    }

    /// Reports that the node it is on comes late, goes, or is another one afterwards.
    pub(super) fn stay(&self, step: &scenario::Step) -> Result<(), Problem> {
        let Some(node) = step.action.change().new_host() else {
            return Ok(());
        };
        let Some(on) = self.on.as_ref().filter(|on| on.get_ref() == node) else {
            return Ok(());
        };
        let problem = Problem::new(
            format!(
                "`{}` of the node that the store is on",
                step.action.as_str()
            ),
            step.place("node"),
            "the store has to be there throughout, at one address",
            "take another node, or leave `store-on` out",
        );
        Err(problem.and(on.span(), "the store is here"))
    }

    /// Reports what cannot happen to the store as it is.
    pub(super) fn act(
        &mut self,
        step: &scenario::Step,
        action: &StoreAction,
    ) -> Result<(), Problem> {
        let place = step.place("action");
        let etcds_alone = matches!(
            action,
            StoreAction::Freeze | StoreAction::Thaw | StoreAction::Compact
        );
        if self.kind == StoreKind::Directory && etcds_alone {
            return Err(Problem::new(
                format!("`{}` of a directory", action.as_str()),
                place,
                "only an etcd can do that",
                "add `store = \"etcd\"` at the top, or take `store-down`",
            ));
        }
        let began = self.absent.as_ref().map(|(action, _)| action);
        let fits = match action {
            StoreAction::Down | StoreAction::Freeze => began.is_none(),
            StoreAction::Up => began == Some(&StoreAction::Down),
            StoreAction::Thaw => began == Some(&StoreAction::Freeze),
            // What is down is changed by the lab alone.
            StoreAction::Compact
            | StoreAction::Burst { .. }
            | StoreAction::Garbage { .. }
            | StoreAction::Repair => began != Some(&StoreAction::Freeze),
        };
        if fits {
            if matches!(action, StoreAction::Down | StoreAction::Freeze) {
                self.absent = Some((action.clone(), place));
            } else if matches!(action, StoreAction::Up | StoreAction::Thaw) {
                self.absent = None;
            }
            return Ok(());
        }
        let (state, help) = match &self.absent {
            None => (
                "up",
                "add `store-down` or `store-freeze` before it, or remove it",
            ),
            Some((StoreAction::Freeze, _)) => ("frozen", "add a step `store-thaw` before it"),
            Some(_) => ("down", "add a step `store-up` before it"),
        };
        let problem = Problem::new(
            format!("`{}` of a store that is {state}", action.as_str()),
            place,
            format!("it is {state} at this step"),
            help,
        );
        Err(match &self.absent {
            Some((_, first)) => problem.and(first.clone(), "since here"),
            None => problem,
        })
    }
}
