//! `[[warning]]`: the warnings of the engine that are expected.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::name::{EngineName, NodeName};
use crate::plan;
use crate::problem::{Lines, Problem, Span, known_names};
use crate::scenario::{Scenario, Warning};

use super::placement::Placement;

/// The built-in engine that runs nothing.
const NO_ENGINE: &str = "none";

/// Reports warnings of nobody, and those that are named twice.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    engine: Option<&EngineName>,
    problems: &mut Vec<Problem>,
) {
    if let Some(first) = scenario.warnings.first()
        && engine.is_some_and(|engine| engine.as_str() == NO_ENGINE)
    {
        problems.push(Problem::new(
            format!("warnings of the engine `{NO_ENGINE}`"),
            first.place.clone(),
            "it runs nothing that could log one",
            "remove it, or name another `engine`",
        ));
    }
    let known: Vec<&str> = placement.nodes.keys().map(NodeName::as_str).collect();
    let mut named = BTreeMap::<(&str, Option<&NodeName>), Span>::new();
    for warning in &scenario.warnings {
        let node = warning.node.as_ref().map(Spanned::get_ref);
        let unknown = |node: &&Spanned<NodeName>| !placement.nodes.contains_key(node.get_ref());
        if let Some(node) = warning.node.as_ref().filter(unknown) {
            problems.push(Problem::new(
                format!("unknown node `{}`", node.get_ref()),
                node.span(),
                "no such node",
                known_names("node", node.get_ref().as_str(), &known),
            ));
        }
        for part in &warning.parts {
            let text = part.get_ref().as_str();
            let first = named
                .get(&(text, node))
                .or_else(|| named.get(&(text, None)));
            if let Some(first) = first {
                let twice = Problem::new(
                    format!("the warning `{text}` is named twice"),
                    part.span(),
                    "again here",
                    "remove one of the two",
                );
                problems.push(twice.and(first.clone(), "first here"));
            } else {
                named.insert((text, node), part.span());
            }
        }
    }
}

/// Each part of a line by itself.
pub(super) fn warnings(scenario: &Scenario, lines: &Lines) -> Vec<plan::Warning> {
    let each = |warning: &Warning| {
        let parts = warning.parts.iter().map(|part| plan::Warning {
            part: part.get_ref().clone(),
            node: warning.node.as_ref().map(|node| node.get_ref().clone()),
            sometimes: warning.sometimes,
            wireguard: warning.wireguard,
            line: lines.line(part.span().start),
        });
        parts.collect::<Vec<_>>()
    };
    scenario.warnings.iter().flat_map(each).collect()
}
