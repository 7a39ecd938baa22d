//! Checks that every key is documented, and documented rightly.

use super::*;
use crate::document::{ActionGrammar, KeyGrammar};
use crate::plan::Plan;
use crate::problem::Problems;
use crate::resolve;

/// The most words of a cell; what needs more is a paragraph.
const WORDS_OF_A_CELL: usize = 30;

fn all_keys(tables: &[TableGrammar]) -> Vec<&KeyGrammar> {
    let own = tables.iter().flat_map(|table| &table.keys);
    let actions = tables.iter().flat_map(|table| &table.actions);
    own.chain(actions.flat_map(|action| &action.keys)).collect()
}

#[test]
fn everything_is_documented_and_no_cell_is_a_paragraph() {
    let tables = [Scenario::grammar(), Descriptor::grammar()].concat();
    assert!(tables.len() > 18, "{}", tables.len());
    let actions: Vec<&ActionGrammar> = tables.iter().flat_map(|table| &table.actions).collect();
    assert!(actions.len() > 40, "{}", actions.len());
    let keys = all_keys(&tables);
    let cells = tables
        .iter()
        .map(|table| (table.header.as_str(), table.doc));
    let cells = cells.chain(keys.iter().map(|key| (key.name, key.doc)));
    for (name, doc) in cells.chain(actions.iter().map(|action| (action.word, action.doc))) {
        assert!(!doc.trim().is_empty(), "`{name}` says nothing");
        let is_whole = !doc.ends_with('.') && !doc.contains(['|', '\n']);
        assert!(is_whole, "`{name}` is no cell: {doc}");
        let words = doc.split_whitespace().count();
        assert!(
            words <= WORDS_OF_A_CELL,
            "`{name}` has {words} words: {doc}"
        );
    }
    for key in keys {
        for choice in key.value.choices() {
            assert!(
                !choice.doc.is_empty(),
                "`{}` of `{}`",
                choice.word,
                key.name
            );
        }
    }
}

/// A scenario with one of each table that has a key with a default.
const SCENARIO: &str = r#"title = "x"
[fabric]
[probes]
[cluster]
[flows]
[deadline]
[node.a]
pods = ["c"]
[node.b]
[pod.c]
[client.d]
[phantoms.e]
[[impairment]]
delay = 20
[[step]]
action = "tamper"
node = "a"
delete = "rule"
[[mtu]]
from = "a"
to = "b"
[[warning]]
says = ["x"]
"#;

/// The plan of that scenario with a line more in one of its tables.
fn planned(header: &str, line: &str) -> Value {
    let text = match header {
        "" => format!("{line}\n{SCENARIO}"),
        header => {
            let header = header.trim_end_matches("NAME]");
            let (before, rest) = SCENARIO.split_once(header).unwrap();
            let (begin, after) = rest.split_once('\n').unwrap();
            format!("{before}{header}{begin}\n{line}\n{after}")
        }
    };
    let mut plan = json!(plan(&text));
    without_places(&mut plan);
    plan
}

fn plan(text: &str) -> Plan {
    let engines = ["wiremesh".parse().unwrap()];
    let plan = resolve::plan("x.toml", text, &engines);
    plan.unwrap_or_else(|problems| panic!("{text}\n{}", problems.render()))
}

/// Neither the order of tables in the file makes a difference, nor stating what would be derived.
fn without_places(plan: &mut Value) {
    match plan {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "line" && name != "origin");
            fields.values_mut().for_each(without_places);
        }
        Value::Array(items) => items.iter_mut().for_each(without_places),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A value that the reference gives as a default means the same as none.
#[test]
fn a_default_is_what_a_scenario_without_the_key_means() {
    let mut tried = 0;
    for table in Scenario::grammar() {
        let of_actions = table
            .actions
            .iter()
            .filter(|action| action.word == "tamper")
            .flat_map(|action| &action.keys);
        for key in table.keys.iter().chain(of_actions) {
            let Some(value) = key.default else { continue };
            let header = table.header.as_str();
            let line = format!("{} = {value}", key.name);
            let is_same = planned(header, &line) == planned(header, "");
            assert!(is_same, "{header} {line}");
            tried += 1;
        }
    }
    assert!(tried > 25, "{tried}");
}

/// What each table with an example needs besides.
const NODES: &str = r#"title = "x"
[node.bob]
[client.office]
"#;

#[test]
fn examples_are_read() {
    let mut tried = 0;
    for table in Scenario::grammar() {
        let lines = table
            .more
            .lines()
            .filter_map(|line| line.strip_prefix("    "));
        let example = lines.map(|line| format!("{line}\n")).collect::<String>();
        if example.is_empty() {
            continue;
        }
        let ada = match table.header.as_str() {
            "[node.NAME]" => "",
            _ => "[node.ada]\npods = [\"web\", \"db\"]\n",
        };
        let step = match table.header.as_str() {
            "[[step]]" => "",
            _ => "[[step]]\naction = \"restart-engine\"\n",
        };
        assert!(example.starts_with('['), "{}", table.header);
        plan(&format!("{NODES}{ada}{step}{example}"));
        tried += 1;
    }
    assert!(tried > 7, "{tried}");
}

/// What the messages about an unknown key list.
fn known_keys(problems: &Problems) -> Vec<String> {
    let text = problems.render();
    let (_, list) = text.split_once("known keys: ").unwrap();
    let list = list.split("\n\n").next().unwrap_or_default();
    let mut names: Vec<_> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn every_key_of_a_descriptor_is_in_the_reference() {
    for table in Descriptor::grammar().iter().filter(|table| !table.open) {
        let text = format!("{}\nzzz = 1\n", table.header);
        let problems = Descriptor::parse("x.toml", &text).unwrap_err();
        let mut names: Vec<_> = table.keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        assert_eq!(names, known_keys(&problems), "{}", table.header);
    }
}

/// What is no row of a table fits on a line, as in the pages that are written by hand.
#[test]
fn lines_of_paragraphs_have_at_most_120_columns() {
    let page = page();
    let long = page
        .lines()
        .find(|line| !line.starts_with('|') && line.chars().count() > markdown::WIDTH);
    assert_eq!(long, None);
}
