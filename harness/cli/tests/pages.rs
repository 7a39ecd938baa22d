//! The pages beside the code: what they name is there, and what is there they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PAGES: &[&str] = &[
    "README.md",
    "engine/README.md",
    "harness/guide.md",
    "harness/reference.md",
    "harness/engines.md",
    "harness/design.md",
    ".github/CONTRIBUTING.md",
    ".github/CHANGELOG.md",
];

/// The tables of a scenario, each with what it takes for its keys to be read.
const TABLES: &[(&str, &str)] = &[
    ("fabric", "[fabric]"),
    ("probes", "[probes]"),
    ("cluster", "[cluster]"),
    ("deadline", "[deadline]"),
    ("flows", "[flows]"),
    ("node", "[node.a]"),
    ("pod", "[pod.b]"),
    ("client", "[client.c]"),
    ("phantoms", "[phantoms.p]"),
    ("promise", "[[promise]]"),
    ("mtu", "[[mtu]]"),
    ("spoof", "[[spoof]]"),
    ("warning", "[[warning]]"),
    ("dataplane", "[[dataplane]]"),
    ("impairment", "[[impairment]]"),
    ("step", "[[step]]\naction = \"enable\""),
];

fn root() -> PathBuf {
    let parents = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    parents.into_iter().nth(2).unwrap().to_owned()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Texts between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What `check` lists as known where a scenario has this text with a mistake in it.
fn known(text: &str, what: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    fs::write(&file, text).unwrap();
    let program = env!("CARGO_BIN_EXE_wireproof");
    let output = Command::new(program)
        .arg("check")
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout);
    let lists = text.split(what).skip(1);
    lists
        .flat_map(|list| quoted(list.split("\n\n").next().unwrap_or_default()))
        .collect()
}

/// The rows of the reference's tables by their section, each with its first two cells.
fn rows() -> Vec<(String, [String; 2])> {
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in page("harness/reference.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.trim_matches('`').clone_into(&mut section);
        }
        let cells = line.strip_prefix("| `").map(|row| format!("`{row}"));
        let cells = cells.iter().flat_map(|row| row.split(" | "));
        if let [first, second, ..] = &cells.collect::<Vec<_>>()[..] {
            rows.push((
                section.clone(),
                [first, second].map(|cell| (*cell).to_owned()),
            ));
        }
    }
    rows
}

/// Runs `grammar` with these arguments.
fn grammar(arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_wireproof");
    let output = Command::new(program)
        .arg("grammar")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_is_what_the_program_prints() {
    let is_same = page("harness/reference.md") == grammar(&[]);
    assert!(
        is_same,
        "harness/reference.md is not what scenarios are read by: write it again with\n    \
         cargo run -p wireproof -- grammar > harness/reference.md"
    );
}

#[test]
fn the_reference_is_a_document_too() {
    let document: Value = serde_json::from_str(&grammar(&["--format", "json"])).unwrap();
    assert_eq!(document["version"], 1);
    let tables = document["scenario"].as_array().unwrap();
    let step = tables.iter().find(|table| table["header"] == "[[step]]");
    let actions = step.unwrap()["actions"].as_array().unwrap();
    let pause = actions.iter().find(|action| action["word"] == "pause-node");
    let keys = pause.unwrap()["keys"].as_array().unwrap();
    let names: Vec<_> = keys
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["node", "for"]);
    assert_eq!(document["engine"][0]["keys"][0]["name"], "title");
    assert!(document["promises"].as_array().unwrap().len() > 8);
}

/// The files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => files(&path, end),
        false => vec![path],
    });
    files
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect()
}

/// Every key that a table of a file has and that `tables` do not know, where the table begins with `header`.
fn unknown(table: &toml::Table, header: &str, tables: &Value) -> Vec<String> {
    let mut all = tables.as_array().unwrap().iter();
    let known = all.find(|known| known["header"] == header);
    let known = known.unwrap_or_else(|| panic!("no {header}"));
    if known["open"] == true {
        return Vec::new();
    }
    let action = known["actions"].as_array().into_iter().flatten();
    let mut action = action.filter(|action| {
        Some(action["word"].as_str().unwrap()) == table.get("action").and_then(toml::Value::as_str)
    });
    let mut keys = known["keys"].as_array().unwrap().clone();
    keys.extend(
        action
            .next()
            .into_iter()
            .flat_map(|action| action["keys"].as_array().unwrap().clone()),
    );
    let mut wrong = Vec::new();
    for (name, value) in table {
        let Some(key) = keys.iter().find(|key| key["name"] == *name) else {
            wrong.push(format!("{header} {name}"));
            continue;
        };
        let Some(inner) = key["value"]["header"].as_str() else {
            continue;
        };
        let inside: Vec<&toml::Table> = match value {
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).collect(),
            toml::Value::Table(table) if inner.ends_with(".NAME]") => {
                table.values().filter_map(toml::Value::as_table).collect()
            }
            other => other.as_table().into_iter().collect(),
        };
        wrong.extend(
            inside
                .iter()
                .flat_map(|table| unknown(table, inner, tables)),
        );
    }
    wrong
}

/// A reader may ask for a key only where another one is there: that key is in no list of known ones.
#[test]
fn every_key_that_a_file_of_the_project_has_is_in_the_reference() {
    let document: Value = serde_json::from_str(&grammar(&["--format", "json"])).unwrap();
    let scenarios = files(&root().join("scenarios"), ".toml");
    let engines = fs::read_dir(root().join("fixtures/engines")).unwrap();
    let engines = engines
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let engines: Vec<_> = engines.collect();
    assert!(scenarios.len() > 100 && engines.len() > 2);
    for (files, tables) in [(scenarios, "scenario"), (engines, "engine")] {
        for file in files {
            let table = fs::read_to_string(&file).unwrap().parse().unwrap();
            let wrong = unknown(&table, "", &document[tables]);
            assert!(wrong.is_empty(), "{}: {wrong:?}", file.display());
        }
    }
}

#[test]
fn every_key_of_a_scenario_is_in_the_reference() {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (section, [key, _]) in rows() {
        named.entry(section).or_default().extend(quoted(&key));
    }
    let top = known("title = \"x\"\nzzz = 1\n", "known keys: ");
    assert!(top.len() > 15, "{top:?}");
    let mut seen = BTreeSet::new();
    for (table, header) in TABLES {
        let keys = known(
            &format!("title = \"x\"\n{header}\nzzz = 1\n"),
            "known keys: ",
        );
        assert!(!keys.is_empty(), "[{table}] has no known keys");
        let sections = [
            format!("[{table}]"),
            format!("[[{table}]]"),
            format!("[{table}.NAME]"),
        ];
        let section = sections.iter().find_map(|section| named.get(section));
        let section = section.unwrap_or_else(|| panic!("`{table}` has no section"));
        for key in keys {
            assert!(
                section.contains(&key),
                "`{key}` is in no row about `{table}`"
            );
        }
        seen.insert((*table).to_owned());
    }
    let scalars = &named["Keys without a table"];
    assert_eq!(&seen | scalars, top, "a table is not looked at");
}

#[test]
fn every_action_and_its_keys_are_in_the_reference() {
    let wrong = "title = \"x\"\n[node.a]\n[[step]]\naction = \"zzz\"\n";
    let actions = known(wrong, "known actions: ");
    assert!(actions.len() > 35, "{actions:?}");
    let of_every_step = known(
        "title = \"x\"\n[[step]]\naction = \"enable\"\nzzz = 1\n",
        "known keys: ",
    );
    for action in actions {
        let mut rows = rows().into_iter().map(|(_, cells)| cells);
        let row = rows.find(|[name, _]| quoted(name).contains(&action));
        let Some([_, keys]) = row else {
            panic!("`{action}` is in no row of the reference");
        };
        let step = format!("title = \"x\"\n[node.a]\n[[step]]\naction = \"{action}\"\nzzz = 1\n");
        let known = known(&step, "known keys: ");
        let own: BTreeSet<_> = known.difference(&of_every_step).cloned().collect();
        assert_eq!(quoted(&keys), own, "{action}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// What GitHub makes of the headings of a page: no marks but hyphens, which spaces become.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let headings = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    headings
        .map(|heading| {
            heading
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    for name in PAGES {
        let page = page(name);
        let folder = root().join(name).parent().unwrap().to_owned();
        let targets = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root().join(name),
                file => folder.join(file),
            };
            assert!(file.exists(), "{name}: {target}");
            let is_there =
                anchor.is_empty() || anchors(&fs::read_to_string(file).unwrap()).contains(anchor);
            assert!(is_there, "{name}: {target}");
        }
    }
}

#[test]
fn the_commands_of_the_pages_are_understood() {
    let mut tried = 0;
    for name in PAGES {
        let page = page(name).replace("\\\n", " ");
        for line in page.lines() {
            let Some((_, rest)) = line.split_once("cargo run -p wireproof -- ") else {
                continue;
            };
            let verb = rest.split_whitespace().next().unwrap();
            let flags = rest.split('#').next().unwrap().split_whitespace();
            let flags: Vec<_> = flags.filter(|word| word.starts_with("--")).collect();
            let program = env!("CARGO_BIN_EXE_wireproof");
            let output = Command::new(program)
                .args([verb, "--help"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {line}");
            let help = String::from_utf8(output.stdout).unwrap();
            for flag in flags {
                assert!(help.contains(flag), "{name}: {flag} in {line}");
            }
            tried += 1;
        }
    }
    assert!(tried > 8, "{tried}");
}
