//! What is said about nodes' dataplanes, and whether all of it can be so.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::name::NodeName;
use crate::plan::{self, SYSCTLS, Thing};
use crate::problem::{Lines, Problem, Span, known_names, known_words};
use crate::scenario::{Fact, Scenario};

use super::phantom;

/// What one says at one place.
struct Saying<'a> {
    node: &'a NodeName,
    /// After how many steps.
    moment: usize,
    what: What<'a>,
    place: Span,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Has(&'a str),
    Lacks(&'a str),
    Present(&'a Thing),
    Absent(&'a Thing),
}

/// What is said about dataplanes. `present` are the nodes that are there after each step, and at
/// first. Reports what is about nobody, never is looked at, or cannot be so.
pub(super) fn facts(
    scenario: &Scenario,
    lines: &Lines,
    present: &[BTreeSet<NodeName>],
    problems: &mut Vec<Problem>,
) -> Vec<plan::Fact> {
    let mut said = BTreeMap::<_, Vec<Saying<'_>>>::new();
    for fact in &scenario.facts {
        match moment(scenario, fact) {
            Ok(moment) => {
                problems.extend(absent_node(fact, moment, scenario, present));
                problems.extend(unknown_things(scenario, fact));
                for saying in sayings(fact, moment) {
                    let said = said.entry((saying.node, moment)).or_default();
                    problems.extend(said.iter().find_map(|other| clash(&saying, other)));
                    said.push(saying);
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let inner = |all: &[Spanned<String>]| all.iter().map(|one| one.get_ref().clone()).collect();
    let things = |all: &[Spanned<Thing>]| all.iter().map(|one| one.get_ref().clone()).collect();
    let facts = scenario.facts.iter().map(|fact| plan::Fact {
        node: fact.node.get_ref().clone(),
        after: fact.after.as_ref().map(|after| *after.get_ref()),
        has: inner(&fact.has),
        lacks: inner(&fact.lacks),
        present: things(&fact.present),
        absent: things(&fact.absent),
        line: lines.line(fact.place.start),
    });
    facts.collect()
}

fn moment(scenario: &Scenario, fact: &Fact) -> Result<usize, Problem> {
    let steps = scenario.steps.len();
    let Some(after) = &fact.after else {
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
    fact: &Fact,
    moment: usize,
    scenario: &Scenario,
    present: &[BTreeSet<NodeName>],
) -> Option<Problem> {
    let there = present.get(moment)?;
    let node = fact.node.get_ref();
    let known: Vec<&str> = there.iter().map(NodeName::as_str).collect();
    (!there.contains(node)).then(|| {
        Problem::new(
            format!("unknown node `{node}`"),
            fact.node.span(),
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

/// Peers of nobody, and sysctls that nobody looks at.
fn unknown_things(scenario: &Scenario, fact: &Fact) -> Vec<Problem> {
    let nodes = scenario.nodes.iter().map(|node| node.name.get_ref());
    let phantoms: Vec<NodeName> = phantom::names(scenario).collect();
    let known: Vec<&str> = nodes.chain(&phantoms).map(NodeName::as_str).collect();
    let tunnel = scenario.cluster.interface.as_ref();
    let tunnel = tunnel.map_or("wireguard.cali", |name| name.as_str());
    // As sysctl(8) writes names that have dots.
    let tunnel = tunnel.replace('.', "/");
    let sysctls = SYSCTLS.iter();
    let sysctls: Vec<String> = sysctls
        .map(|path| path.replace('/', ".").replace("{tunnel}", &tunnel))
        .collect();
    let looked_at: Vec<&str> = sysctls.iter().map(String::as_str).collect();
    let problem = |thing: &Spanned<Thing>| match thing.get_ref() {
        Thing::Peer { node } | Thing::AllowedIp { node, .. } if node == fact.node.get_ref() => {
            Some(Problem::new(
                format!("`{node}` is no peer of its own"),
                thing.span(),
                "the node itself",
                "name another node",
            ))
        }
        Thing::Peer { node } | Thing::AllowedIp { node, .. } => (!known.contains(&node.as_str()))
            .then(|| {
                Problem::new(
                    format!("unknown node `{node}`"),
                    thing.span(),
                    "no such node",
                    known_names("node", node.as_str(), &known),
                )
            }),
        Thing::Sysctl { name, .. } => (!looked_at.contains(&name.as_str())).then(|| {
            Problem::new(
                format!("nobody looks at `{name}`"),
                thing.span(),
                "not among the sysctls of a snapshot",
                known_words("sysctl", name, &looked_at),
            )
        }),
        Thing::Route { .. }
        | Thing::Rule { .. }
        | Thing::Address { .. }
        | Thing::Device { .. }
        | Thing::Nft { .. } => None,
    };
    let all = fact.present.iter().chain(&fact.absent);
    all.filter_map(problem).collect()
}

fn sayings(fact: &Fact, moment: usize) -> Vec<Saying<'_>> {
    let saying = |what, place| Saying {
        node: fact.node.get_ref(),
        moment,
        what,
        place,
    };
    let has = fact.has.iter();
    let has = has.map(|one| saying(What::Has(one.get_ref()), one.span()));
    let lacks = fact.lacks.iter();
    let lacks = lacks.map(|one| saying(What::Lacks(one.get_ref()), one.span()));
    let present = fact.present.iter();
    let present = present.map(|one| saying(What::Present(one.get_ref()), one.span()));
    let absent = fact.absent.iter();
    let absent = absent.map(|one| saying(What::Absent(one.get_ref()), one.span()));
    has.chain(lacks).chain(present).chain(absent).collect()
}

/// Two that are the same, or that cannot both be so.
fn clash(now: &Saying<'_>, first: &Saying<'_>) -> Option<Problem> {
    if (now.node, now.moment) != (first.node, first.moment) {
        return None;
    }
    let told = |what: String, here: &str, there: &str, help: &str| {
        let problem = Problem::new(what, now.place.clone(), here, help);
        Some(problem.and(first.place.clone(), there))
    };
    let (here, there) = (words(now.what), words(first.what));
    match (now.what, first.what) {
        (What::Has(one), What::Has(other)) | (What::Lacks(one), What::Lacks(other))
            if one == other =>
        {
            twice(one, told)
        }
        (What::Present(one), What::Present(other)) | (What::Absent(one), What::Absent(other))
            if one == other =>
        {
            twice(&one.to_string(), told)
        }
        (What::Has(has), What::Lacks(lacks)) | (What::Lacks(lacks), What::Has(has))
            if has.contains(lacks) =>
        {
            told(
                format!("no line can have `{has}` and lack `{lacks}`"),
                here,
                there,
                "remove one of the two, or name more of the line",
            )
        }
        (What::Present(is), What::Absent(not)) | (What::Absent(not), What::Present(is))
            if implies(is, not) =>
        {
            told(
                format!("`{not}` cannot be absent where `{is}` is present"),
                here,
                there,
                "remove one of the two, or let each name another `after`",
            )
        }
        (What::Present(one), What::Present(other)) if excludes(one, other) => told(
            format!("`{one}` and `{other}` cannot both be present"),
            here,
            there,
            "remove one of the two, or let each name another `after`",
        ),
        _ => None,
    }
}

fn twice(
    what: &str,
    told: impl FnOnce(String, &str, &str, &str) -> Option<Problem>,
) -> Option<Problem> {
    told(
        format!("`{what}` is written twice"),
        "again here",
        "first here",
        "remove one of the two",
    )
}

fn words(what: What<'_>) -> &'static str {
    match what {
        What::Has(_) => "must be in a line",
        What::Lacks(_) => "must be in none",
        What::Present(_) => "present here",
        What::Absent(_) => "absent here",
    }
}

/// Whether where one is, the other is too.
fn implies(one: &Thing, other: &Thing) -> bool {
    match (one, other) {
        (
            Thing::Route { to, device, throw },
            Thing::Route {
                to: other,
                device: any_device,
                throw: any_throw,
            },
        ) => {
            let same_device = any_device.is_none() || any_device == device;
            to == other && same_device && (!any_throw || throw == any_throw)
        }
        (Thing::AllowedIp { node, .. }, Thing::Peer { node: other }) => node == other,
        (Thing::Nft { part }, Thing::Nft { part: other }) => part.contains(other.as_str()),
        _ => one == other,
    }
}

/// A sysctl has one value, and an allowed IP one peer (of one device).
fn excludes(one: &Thing, other: &Thing) -> bool {
    match (one, other) {
        (
            Thing::Sysctl { name, value },
            Thing::Sysctl {
                name: same,
                value: another,
            },
        ) => name == same && value != another,
        (
            Thing::AllowedIp { network, node },
            Thing::AllowedIp {
                network: same,
                node: another,
            },
        ) => network == same && node != another,
        _ => false,
    }
}
