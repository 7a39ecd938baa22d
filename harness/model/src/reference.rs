//! The reference: every table, key and word of a file as a page of Markdown, from what the readers of files ask for.

/// Cells, lists and paragraphs.
mod markdown;

/// The words and forms of keys, and paragraphs about keys.
mod details;

/// The actions of a table, in groups.
mod actions;

/// The kinds of promises: the key that states each, and its meaning.
mod promises;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::document::{Form, TableGrammar};
use crate::engine::Descriptor;
use crate::scenario::Scenario;

use details::{details, more};
use markdown::{anchor, default, paragraph, value};

const HEAD: &str = include_str!("reference/head.md");
const WRONG_INPUT: &str = include_str!("reference/wrong-input.md");
const ENGINE_HEAD: &str = include_str!("reference/engine-head.md");

/// The reference of scenarios and of engines' descriptors: the whole page.
pub fn page() -> String {
    let (tables, of_engine) = (Scenario::grammar(), Descriptor::grammar());
    let mut page = HEAD.to_owned();
    contents(&mut page, &tables);
    for table in &tables {
        section(&mut page, "##", &title(table), table);
    }
    promises::section(&mut page);
    page.push_str(WRONG_INPUT);
    page.push_str(ENGINE_HEAD);
    for table in &of_engine {
        let title = match table.header.as_str() {
            "" => "Keys of a descriptor without a table".to_owned(),
            _ => title(table),
        };
        section(&mut page, "###", &title, table);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// The same for programs.
pub fn json() -> Value {
    json!({
        "scenario": Scenario::grammar(),
        "engine": Descriptor::grammar(),
        "promises": promises::all(),
    })
}

/// Every table with a link to its section.
fn contents(page: &mut String, tables: &[TableGrammar]) {
    page.push_str("| table | what it is about |\n|---|---|\n");
    for table in tables {
        let (title, doc) = (title(table), table.doc);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| [{title}](#{}) | {doc} |", anchor(&title));
    }
    page.push('\n');
}

fn title(table: &TableGrammar) -> String {
    match table.header.as_str() {
        "" => "Keys without a table".to_owned(),
        header => format!("`{header}`"),
    }
}

fn section(page: &mut String, level: &str, title: &str, table: &TableGrammar) {
    let mut doc = table.doc.chars();
    let first = doc.next().into_iter().flat_map(char::to_uppercase);
    let doc: String = first.chain(doc).collect();
    let doc = paragraph(&format!("{doc}."));
    let _ = write!(page, "{level} {title}\n\n{doc}\n");
    more(page, table.more);
    let keys: Vec<_> = table
        .keys
        .iter()
        .filter(|key| !matches!(key.value, Form::Table { .. }))
        .collect();
    if !keys.is_empty() {
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in &keys {
            let (name, doc) = (key.name, key.doc);
            let (value, default) = (value(&key.value), default(key));
            let _ = writeln!(page, "| `{name}` | {value} | {default} | {doc} |");
        }
        page.push('\n');
    }
    let listed: Vec<_> = keys
        .into_iter()
        .filter(|key| table.actions.is_empty() || key.name != actions::KEY)
        .collect();
    details(page, &listed);
    actions::groups(page, &table.actions);
}

#[cfg(test)]
mod tests;
