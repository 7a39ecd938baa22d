//! The pages beside the code: what they name is there, and what is there they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout);
    let lists = said.split(what).skip(1);
    lists
        .flat_map(|list| quoted(list.split("\n\n").next().unwrap_or_default()))
        .collect()
}

/// The first two cells of each row of the reference's tables.
fn rows() -> Vec<[String; 2]> {
    let page = page("harness/reference.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| {
        let mut cells = row.split(" | ").map(str::to_owned);
        Some([cells.next()?, cells.next()?])
    })
    .collect()
}

/// Words of a cell such as `` `node.NAME.address`, `mtu` ``.
fn words(cell: &str) -> Vec<String> {
    let words = cell.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_scenario_is_in_the_reference() {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for [keys, _] in rows() {
        let words = words(&keys);
        let Some(table) = words.first() else { continue };
        named.entry(table.clone()).or_default().extend(words);
    }
    let top = known("title = \"x\"\nzzz = 1\n", "known keys: ");
    assert!(top.len() > 15, "{top:?}");
    for key in &top {
        assert!(
            named.contains_key(key),
            "`{key}` begins no row of the reference"
        );
    }
    for (table, header) in TABLES {
        let keys = known(
            &format!("title = \"x\"\n{header}\nzzz = 1\n"),
            "known keys: ",
        );
        assert!(!keys.is_empty(), "[{table}] has no known keys");
        for key in keys {
            let is_named = named.get(*table).is_some_and(|words| words.contains(&key));
            assert!(
                is_named,
                "`{key}` is in no row about `{table}` of the reference"
            );
        }
    }
    let tables: BTreeSet<_> = TABLES
        .iter()
        .map(|(table, _)| (*table).to_owned())
        .collect();
    let scalars = [
        "title",
        "engine",
        "store",
        "store-on",
        "broken-by",
        "snapshots",
    ];
    let all: BTreeSet<_> = tables
        .into_iter()
        .chain(scalars.map(str::to_owned))
        .collect();
    assert_eq!(all, top, "a table is not looked at");
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
        let mut rows = rows().into_iter();
        let row = rows.find(|[names, _]| quoted(names).contains(&action));
        let Some([_, keys]) = row else {
            panic!("`{action}` is in no row of the reference");
        };
        let step = format!("title = \"x\"\n[node.a]\n[[step]]\naction = \"{action}\"\nzzz = 1\n");
        let known = known(&step, "known keys: ");
        for key in known.difference(&of_every_step) {
            // The wire's impairments have the keys of another table.
            let there = quoted(&keys).contains(key) || keys.contains("the keys of");
            assert!(
                there,
                "`{key}` of `{action}` is not in its row of the reference"
            );
        }
    }
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

#[test]
fn links_lead_to_files() {
    for name in PAGES {
        let page = page(name);
        let folder = root().join(name).parent().unwrap().to_owned();
        let targets = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            assert!(folder.join(target).exists(), "{name}: {target}");
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
