//! The actions of a table, in groups: what each does, and its keys.

use std::fmt::Write as _;

use crate::document::{ActionGrammar, KeyGrammar};

use super::details::details;
use super::markdown::{default, value};

/// The key whose word is the action: its words are not listed twice.
pub(super) const KEY: &str = "action";

/// Each group with its actions and their keys.
pub(super) fn groups(page: &mut String, actions: &[ActionGrammar]) {
    let mut titles: Vec<&str> = Vec::new();
    for action in actions {
        if !titles.contains(&action.group) {
            titles.push(action.group);
        }
    }
    for title in titles {
        let group = actions.iter().filter(|action| action.group == title);
        let group: Vec<_> = group.collect();
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "### {title}\n\n| action | keys | what happens |\n|---|---|---|\n"
        );
        for action in &group {
            let (word, doc) = (action.word, action.doc);
            let _ = writeln!(page, "| `{word}` | {} | {doc} |", names(&action.keys));
        }
        page.push('\n');
        keys(page, &group);
    }
}

/// The keys that an action has to have, and those that it may have.
fn names(keys: &[KeyGrammar]) -> String {
    let names = |required: bool| {
        let keys = keys.iter().filter(|key| key.required == required);
        let names: Vec<_> = keys.map(|key| format!("`{}`", key.name)).collect();
        names.join(", ")
    };
    match (names(true), names(false)) {
        (required, optional) if optional.is_empty() => required,
        (required, optional) if required.is_empty() => format!("optional {optional}"),
        (required, optional) => format!("{required}; optional {optional}"),
    }
}

/// The keys of a group, each with the actions that have it.
fn keys(page: &mut String, group: &[&ActionGrammar]) {
    let mut rows: Vec<(&KeyGrammar, Vec<&str>)> = Vec::new();
    for action in group {
        for key in &action.keys {
            match rows.iter_mut().find(|(row, _)| *row == key) {
                Some((_, actions)) => actions.push(action.word),
                None => rows.push((key, vec![action.word])),
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    page.push_str("| key | of action | value | default | meaning |\n|---|---|---|---|---|\n");
    for (key, actions) in &rows {
        let of = match actions.len() == group.len() {
            true => "each".to_owned(),
            false => {
                let actions: Vec<_> = actions.iter().map(|word| format!("`{word}`")).collect();
                actions.join(", ")
            }
        };
        let (value, default) = (value(&key.value), default(key));
        let _ = writeln!(
            page,
            "| `{}` | {of} | {value} | {default} | {} |",
            key.name, key.doc
        );
    }
    page.push('\n');
    let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
    details(page, &keys);
}
