//! Differences between the clusters of two scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

/// Differences listed at most.
const MAX_LISTED: usize = 8;

/// Each place where two documents differ, and what either has there. Where in its file something
/// is written makes no difference.
pub(super) fn between(run: &Value, file: &Value) -> Vec<String> {
    let mut all = Vec::new();
    compare(String::new(), Some(run), Some(file), &mut all);
    let rest = all.len().saturating_sub(MAX_LISTED);
    all.truncate(MAX_LISTED);
    if rest > 0 {
        all.push(format!("and {rest} more"));
    }
    all
}

fn compare(path: String, run: Option<&Value>, file: Option<&Value>, all: &mut Vec<String>) {
    match (run, file) {
        (Some(Value::Object(run)), Some(Value::Object(file))) => {
            let keys: BTreeSet<_> = run.keys().chain(file.keys()).collect();
            for key in keys.into_iter().filter(|key| *key != "line") {
                compare(join(&path, key), run.get(key), file.get(key), all);
            }
        }
        (Some(Value::Array(run)), Some(Value::Array(file))) => {
            let (run, file) = (keyed(run), keyed(file));
            let keys: BTreeSet<_> = run.keys().chain(file.keys()).collect();
            for key in keys {
                let (run, file) = (run.get(key).copied(), file.get(key).copied());
                compare(join(&path, &key.to_string()), run, file, all);
            }
        }
        (run, file) if run == file => {}
        (run, file) => {
            let (run, file) = (describe(run), describe(file));
            all.push(format!("{path}: {run} in the run, {file} in the file"));
        }
    }
}

/// What an element of a list is known by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Name(&'a str),
    /// Counted from 1.
    Number(usize),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Elements by their names, or else by their places.
fn keyed(list: &[Value]) -> BTreeMap<Key<'_>, &Value> {
    let mut keyed = BTreeMap::new();
    for (index, one) in list.iter().enumerate() {
        let name = one.get("name").and_then(Value::as_str);
        keyed.insert(name.map_or(Key::Number(index + 1), Key::Name), one);
    }
    keyed
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// A value in few words; of a whole thing, that there is one.
fn describe(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(_)) => "one".into(),
        Some(other) => other.to_string(),
    }
}
