//! The checks of nodes' dataplanes (`[[dataplane]]`), and whether all of them can hold.

/// Search of many texts in many others.
mod substring;

/// Checks of one node after one step that contradict each other.
mod clash;

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::name::NodeName;
use crate::plan::{self, DataplaneItem, SYSCTLS};
use crate::problem::{Lines, Problem, known_names, known_words};
use crate::scenario::{DataplaneCheck, Scenario};

use super::phantom;
use clash::{Statement, clashes, statements};

/// The checks of the plan. `present` are the nodes that exist at first and after each step. Reports a check
/// of a node or step that does not exist, and checks that contradict each other.
pub(super) fn checks(
    scenario: &Scenario,
    lines: &Lines,
    present: &[BTreeSet<NodeName>],
    problems: &mut Vec<Problem>,
) -> Vec<plan::DataplaneCheck> {
    let mut stated = BTreeMap::<_, Vec<Statement<'_>>>::new();
    let known = Known::of(scenario);
    for check in &scenario.dataplane_checks {
        match moment(scenario, check) {
            Ok(moment) => {
                problems.extend(absent_node(check, moment, scenario, present));
                problems.extend(unknown_things(&known, check));
                let stated = stated.entry((check.node.get_ref(), moment)).or_default();
                stated.extend(statements(check));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(stated.values().flat_map(|stated| clashes(stated)));
    let inner = |all: &[Spanned<String>]| all.iter().map(|one| one.get_ref().clone()).collect();
    let things =
        |all: &[Spanned<DataplaneItem>]| all.iter().map(|one| one.get_ref().clone()).collect();
    let checks = scenario
        .dataplane_checks
        .iter()
        .map(|check| plan::DataplaneCheck {
            node: check.node.get_ref().clone(),
            after: check.after.as_ref().map(|after| *after.get_ref()),
            has: inner(&check.has),
            lacks: inner(&check.lacks),
            present: things(&check.present),
            absent: things(&check.absent),
            line: lines.line(check.place.start),
        });
    checks.collect()
}

fn moment(scenario: &Scenario, check: &DataplaneCheck) -> Result<usize, Problem> {
    let steps = scenario.steps.len();
    let Some(after) = &check.after else {
        return Ok(steps);
    };
    let moment = usize::from(*after.get_ref());
    if moment <= steps {
        return Ok(moment);
    }
    Err(Problem::new(
        format!("there is no step {moment}"),
        after.span(),
        match steps {
            0 => "the scenario has no steps".to_owned(),
            steps => format!("the last step is {steps}"),
        },
        "write a step's number, 0 for the start, or leave `after` out for the end",
    ))
}

fn absent_node(
    check: &DataplaneCheck,
    moment: usize,
    scenario: &Scenario,
    present: &[BTreeSet<NodeName>],
) -> Option<Problem> {
    let there = present.get(moment)?;
    let node = check.node.get_ref();
    (!there.contains(node)).then(|| {
        let known: Vec<&str> = there.iter().map(NodeName::as_str).collect();
        Problem::new(
            format!("unknown node `{node}`"),
            check.node.span(),
            match moment {
                last if last == scenario.steps.len() => {
                    "no such node after the last step".to_owned()
                }
                0 => "no such node at the start".to_owned(),
                step => format!("no such node after step {step}"),
            },
            known_names("node", node.as_str(), &known),
        )
    })
}

/// The names that parts of a dataplane may have.
struct Known {
    /// Nodes, those that only the store knows of among them.
    nodes: BTreeSet<String>,
    /// Those sysctls that a snapshot has.
    sysctls: Vec<String>,
}

impl Known {
    fn of(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes.iter().map(|node| node.name.to_string());
        let phantoms = phantom::names(scenario).map(|name| name.to_string());
        // As sysctl(8) writes names that have dots.
        let tunnel = super::cluster(scenario).interface;
        let tunnel = tunnel.as_str().replace('.', "/");
        let sysctls = SYSCTLS.iter();
        let sysctls = sysctls.map(|path| path.replace('/', ".").replace("{tunnel}", &tunnel));
        Self {
            nodes: nodes.chain(phantoms).collect(),
            sysctls: sysctls.collect(),
        }
    }
}

/// Peers of nobody, and sysctls that nobody looks at.
fn unknown_things(known: &Known, check: &DataplaneCheck) -> Vec<Problem> {
    let problem = |thing: &Spanned<DataplaneItem>| match thing.get_ref() {
        DataplaneItem::Peer { node } | DataplaneItem::AllowedIp { node, .. }
            if node == check.node.get_ref() =>
        {
            Some(Problem::new(
                format!("`{node}` is no peer of its own"),
                thing.span(),
                "the node itself",
                "name another node",
            ))
        }
        DataplaneItem::Peer { node } | DataplaneItem::AllowedIp { node, .. } => {
            (!known.nodes.contains(node.as_str())).then(|| {
                let nodes: Vec<&str> = known.nodes.iter().map(String::as_str).collect();
                Problem::new(
                    format!("unknown node `{node}`"),
                    thing.span(),
                    "no such node",
                    known_names("node", node.as_str(), &nodes),
                )
            })
        }
        DataplaneItem::Sysctl { name, .. } => (!known.sysctls.contains(name)).then(|| {
            let sysctls: Vec<&str> = known.sysctls.iter().map(String::as_str).collect();
            Problem::new(
                format!("nobody looks at `{name}`"),
                thing.span(),
                "not among the sysctls of a snapshot",
                known_words("sysctl", name, &sysctls),
            )
        }),
        DataplaneItem::Route { .. }
        | DataplaneItem::Rule { .. }
        | DataplaneItem::Address { .. }
        | DataplaneItem::Device { .. }
        | DataplaneItem::Nft { .. } => None,
    };
    let all = check.present.iter().chain(&check.absent);
    all.filter_map(problem).collect()
}
