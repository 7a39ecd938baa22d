//! Mutants of stores: resources that are changed by fields, written as files in any of the forms that a
//! store takes, and then changed by bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bytes;
use crate::edges;
use crate::random::Random;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum File {
    Text(Vec<u8>),
    Folder,
    Fifo,
    /// A link to there.
    Link(&'static str),
}

/// A store's files by name.
pub(crate) type Files = BTreeMap<String, File>;

/// A store to start from.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) name: String,
    /// As it is: every agent gets in sync with it.
    pub(crate) files: Files,
    resources: Vec<Value>,
}

/// Where links lead that must not be followed without care, or lead nowhere.
const LINKS: &[&str] = &[
    "/dev/zero",
    "/dev/tty",
    "/proc/self/mem",
    "nowhere",
    "odd.yaml",
    ".",
    "/proc/kmsg",
];

/// The stores of this folder.
///
/// # Errors
/// A file cannot be read, or is no YAML.
pub(crate) fn seeds() -> io::Result<Vec<Seed>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stores");
    let mut seeds = Vec::new();
    for path in sorted(&folder)? {
        let mut seed = Seed {
            name: name(&path),
            files: Files::new(),
            resources: Vec::new(),
        };
        for path in sorted(&path)? {
            let text = fs::read(&path)?;
            for document in serde_yaml_ng::Deserializer::from_slice(&text) {
                let document = Value::deserialize(document).map_err(io::Error::other)?;
                seed.resources.extend(resources(document));
            }
            seed.files.insert(name(&path), File::Text(text));
        }
        seeds.push(seed);
    }
    Ok(seeds)
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let paths: BTreeSet<_> = entries.collect::<Result<_, _>>()?;
    Ok(paths.into_iter().collect())
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A document's resources: the items of a list, each with the kind that the list is of.
fn resources(document: Value) -> Vec<Value> {
    let kind = document["kind"]
        .as_str()
        .and_then(|kind| kind.strip_suffix("List"));
    let (Some(kind), Some(items)) = (kind, document["items"].as_array()) else {
        return vec![document];
    };
    let mut items = items.clone();
    for item in items.iter_mut().filter(|item| item["kind"].is_null()) {
        put(item, "/kind", json!(kind));
    }
    items
}

/// The mutant of a case.
pub(crate) fn mutant(seeds: &[Seed], random: &mut Random) -> Files {
    let mut resources = random
        .pick(seeds)
        .map(|seed| seed.resources.clone())
        .unwrap_or_default();
    for _ in 0..=random.below(4) {
        mutate(seeds, random, &mut resources);
    }
    let mut files = written(random, &resources);
    if random.once_in(4) {
        for _ in 0..=random.below(3) {
            let at = random.below(files.len());
            if let Some(File::Text(text)) = files.values_mut().nth(at) {
                bytes::mutate(random, text);
            }
        }
    }
    if random.once_in(20) {
        let odd = match random.below(5) {
            0 => File::Folder,
            1 => File::Fifo,
            2 => File::Text(vec![b'#'; 4 * 1024 * 1024 + random.below(3)]),
            _ => File::Link(random.pick(LINKS).copied().unwrap_or_default()),
        };
        files.insert("odd.yaml".into(), odd);
    }
    files
}

/// The JSON pointers of all that is inside of a value.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let inner: Vec<_> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (escaped(name), value))
            .collect(),
        Value::Array(entries) => {
            let entries = entries.iter().enumerate();
            entries
                .map(|(number, value)| (number.to_string(), value))
                .collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in inner {
        let at = format!("{at}/{name}");
        pointers(value, &at, into);
        into.push(at);
    }
}

fn any_pointer(random: &mut Random, value: &Value) -> String {
    let mut all = Vec::new();
    pointers(value, "", &mut all);
    random.pick(&all).cloned().unwrap_or_default()
}

/// Puts a value there, and mappings on the way where there is nothing.
fn put(into: &mut Value, pointer: &str, value: Value) {
    let mut at = into;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        at = match at {
            Value::Array(entries) => {
                match part.parse::<usize>().ok().and_then(|n| entries.get_mut(n)) {
                    Some(entry) => entry,
                    None => return,
                }
            }
            Value::Object(fields) => fields.entry(part).or_insert(Value::Null),
            other => {
                *other = json!({});
                &mut other[part]
            }
        };
    }
    *at = value;
}

fn remove(from: &mut Value, pointer: &str) -> Option<(String, Value)> {
    let (parent, name) = pointer.rsplit_once('/')?;
    match from.pointer_mut(parent)? {
        Value::Object(fields) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            let value = fields.remove(&name)?;
            Some((name, value))
        }
        Value::Array(entries) => {
            let number = name
                .parse::<usize>()
                .ok()
                .filter(|number| *number < entries.len())?;
            Some((name.to_owned(), entries.remove(number)))
        }
        _ => None,
    }
}

/// Changes one field, or one resource.
fn mutate(seeds: &[Seed], random: &mut Random, resources: &mut Vec<Value>) {
    let at = random.below(resources.len());
    let others: Vec<_> = seeds.iter().flat_map(|seed| &seed.resources).collect();
    let other = random
        .pick(&others)
        .map(|other| (*other).clone())
        .unwrap_or_default();
    let Some(resource) = resources.get_mut(at) else {
        resources.push(other);
        return;
    };
    let pointer = any_pointer(random, resource);
    match random.below(20) {
        0..=5 => put(resource, &pointer, edges::value(random)),
        // A field of a configuration that the seed has not.
        6..=8 => {
            let field = edges::field(random);
            let configurations = resources
                .iter_mut()
                .filter(|one| one["kind"] == "FelixConfiguration");
            let configuration = configurations.last();
            if let Some(configuration) = configuration {
                put(configuration, &field, edges::value(random));
            }
        }
        9 => drop(remove(resource, &pointer)),
        // A field by another name.
        10 => {
            if let Some((mut name, value)) = remove(resource, &pointer) {
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                match random.below(3) {
                    0 => drop(name.pop()),
                    1 => name = name.to_uppercase(),
                    _ => name.push('é'),
                }
                put(resource, &format!("{parent}/{name}"), value);
            }
        }
        // What another resource has there, or anywhere.
        11 => {
            let place = any_pointer(random, &other);
            let value = other.pointer(&place).cloned().unwrap_or_default();
            put(
                resource,
                if random.once_in(2) { &pointer } else { &place },
                value,
            );
        }
        12 => {
            let value = resource.pointer(&pointer).cloned().unwrap_or_default();
            let value = match random.below(3) {
                0 => json!([value]),
                1 => json!(value.to_string()),
                _ => json!({"value": value}),
            };
            put(resource, &pointer, value);
        }
        13 => drop(resources.remove(at)),
        14 => resources.push(other),
        // Two of one name, or two that claim the same.
        15 | 16 => {
            let mut copy = resource.clone();
            if random.once_in(2) {
                let name = ["ada", "bob", "cyd", "dan"][random.below(4)];
                put(&mut copy, "/metadata/name", json!(name));
            } else {
                put(&mut copy, &pointer, edges::value(random));
            }
            resources.push(copy);
        }
        17 => {
            let to = random.below(resources.len());
            resources.swap(at, to);
        }
        18 if random.once_in(4) => {
            let original = resource.clone();
            for number in 0..random.below(200) {
                let mut copy = original.clone();
                put(&mut copy, "/metadata/name", json!(format!("copy-{number}")));
                resources.push(copy);
            }
        }
        _ => put(resource, "/metadata/name", edges::value(random)),
    }
}

/// The resources in files: alone, in several documents, or in lists.
fn written(random: &mut Random, resources: &[Value]) -> Files {
    let mut files = Files::new();
    let mut rest = resources;
    while !rest.is_empty() {
        let length = if random.once_in(2) {
            1
        } else {
            1 + random.below(rest.len())
        };
        let (group, left) = rest.split_at(length);
        rest = left;
        let is_json = random.once_in(3);
        let documents = match random.below(4) {
            0 => vec![list("List", group)],
            1 => {
                let kind = group[0]["kind"].as_str().unwrap_or_default();
                vec![list(&format!("{kind}List"), group)]
            }
            _ if is_json && group.len() > 1 => vec![list("List", group)],
            _ => group.to_vec(),
        };
        let (text, end) = match is_json {
            true => (documents[0].to_string(), "json"),
            false => {
                let texts = documents.iter().map(serde_yaml_ng::to_string);
                let texts: Vec<_> = texts.map(Result::unwrap_or_default).collect();
                (aliased(random, texts.join("---\n")), "yaml")
            }
        };
        files.insert(
            format!("{:02}.{end}", files.len()),
            File::Text(text.into_bytes()),
        );
    }
    files
}

fn list(kind: &str, items: &[Value]) -> Value {
    let mut list = Map::new();
    list.insert("kind".into(), json!(kind));
    list.insert("items".into(), json!(items));
    list.into()
}

/// Once in a while with an anchor, and aliases of it.
fn aliased(random: &mut Random, text: String) -> String {
    if !random.once_in(12) {
        return text;
    }
    let lines: Vec<_> = text.lines().collect();
    let anchored = random.below(lines.len());
    let with = |line: &str, what: &str| match line.split_once(": ") {
        Some((key, value)) if what.starts_with('&') => format!("{key}: {what} {value}"),
        Some((key, _)) => format!("{key}: {what}"),
        None => format!("{line} {what}"),
    };
    let lines = lines.iter().enumerate().map(|(number, line)| match number {
        number if number == anchored => with(line, "&a"),
        number if number > anchored && random.once_in(6) => with(line, "*a"),
        _ => (*line).to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_the_same_each_time_and_almost_every_one_is_another() {
        let seeds = seeds().unwrap();
        let make = |case| mutant(&seeds, &mut Random::of_case(1, case));
        let all: BTreeSet<_> = (0..2000).map(make).collect();
        assert!(all.len() > 1800, "{}", all.len());
        assert_eq!(make(77), make(77));
        // Most files are still YAML or JSON.
        let texts = all
            .iter()
            .flat_map(BTreeMap::values)
            .filter_map(|file| match file {
                File::Text(text) => Some(serde_yaml_ng::from_slice::<Value>(text).is_ok()),
                _ => None,
            });
        let fine: Vec<_> = texts.collect();
        assert!(fine.iter().filter(|fine| **fine).count() > fine.len() / 2);
    }

    #[test]
    fn a_field_is_put_and_removed_by_its_pointer() {
        let mut value = json!({"spec": {"a/b": [1, 2]}});
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        assert_eq!(all, ["/spec/a~1b/0", "/spec/a~1b/1", "/spec/a~1b", "/spec"]);
        put(&mut value, "/spec/a~1b/1", json!("x"));
        put(&mut value, "/new/c", json!(3));
        remove(&mut value, "/spec/a~1b/0");
        assert_eq!(value, json!({"spec": {"a/b": ["x"]}, "new": {"c": 3}}));
    }
}
