//! Rules of the code base that no compiler and no lint checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod imports;
mod words;

/// The crates, each with its root file.
const CRATES: &[(&str, &str)] = &[
    ("engine/plan", "lib.rs"),
    ("engine", "lib.rs"),
    ("harness/model", "lib.rs"),
    ("harness/lab", "lib.rs"),
    ("harness/cli", "lib.rs"),
    ("ci/mutate", "main.rs"),
];

/// Lines above which a file has to be split.
const MAX_LINES: usize = 500;

/// What the user fixed, the engine, and what Cargo needs beside its manifest.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "ci",
    "engine",
    "fixtures",
    "harness",
    "runs",
    "scenarios",
    "target",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.append(&mut rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn all_rust_files() -> Vec<PathBuf> {
    CRATES
        .iter()
        .flat_map(|(name, _)| ["src", "tests"].map(|part| root().join(name).join(part)))
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| rust_files(&folder))
        .collect()
}

/// The modules that a file declares, in order, each with the line above it.
fn declared(text: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = text.lines().collect();
    let module = |line: &str| {
        let line = line
            .strip_prefix("pub ")
            .or(line.strip_prefix("pub(crate) "))
            .unwrap_or(line);
        let name = line.strip_prefix("mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    lines
        .iter()
        .enumerate()
        .filter_map(|(number, line)| {
            let above = number.checked_sub(1).map_or("", |above| lines[above]);
            Some((module(line)?, above.to_owned()))
        })
        .collect()
}

#[test]
fn a_module_imports_only_modules_listed_above_it() {
    for (name, root_file) in CRATES {
        let of_it = imports::Crate::read(&root().join(name).join("src").join(root_file));
        assert!(of_it.len() > 1, "{name} declares no module");
        let pairs = of_it.pairs();
        let at_first: Vec<_> = pairs.iter().filter(|pair| pair.parent.is_empty()).collect();
        println!(
            "{name}: {} modules, {} pairs at the first level",
            of_it.len(),
            at_first.len()
        );
        let against = pairs.iter().filter(|pair| pair.against_the_order);
        let against: Vec<_> = against.map(imports::Pair::to_string).collect();
        assert!(against.is_empty(), "{}", against.join("\n"));
    }
}

/// The files that a text takes in when it is compiled, as they are written in it.
fn included(text: &str) -> Vec<&str> {
    let mut paths = Vec::new();
    for start in [
        "include_str!(\"",
        "include_bytes!(\"",
        "include!(\"",
        "#[path = \"",
    ] {
        let parts = text.split(start).skip(1);
        paths.extend(parts.filter_map(|part| part.split('"').next()));
    }
    paths
}

#[test]
fn a_crate_includes_files_of_its_own_folder_only() {
    // What `cargo package` takes: links are followed, and what is above the folder is left out.
    let mut seen = 0;
    for (name, _) in CRATES {
        let folder = root().join(name);
        let parts = ["src", "tests"].map(|part| folder.join(part));
        for file in parts
            .iter()
            // Not every crate has tests beside its unit tests.
            .filter(|part| part.is_dir())
            .flat_map(|part| rust_files(part))
        {
            let text = fs::read_to_string(&file).unwrap();
            for path in included(&text) {
                let mut at = file.parent().unwrap().to_owned();
                for step in Path::new(path) {
                    match step.to_str() {
                        Some("..") => drop(at.pop()),
                        _ => at.push(step),
                    }
                    let inside = at.starts_with(&folder);
                    assert!(
                        inside,
                        "{} includes {path}, which is outside {name}",
                        file.display()
                    );
                }
                assert!(at.is_file(), "{} includes {path}", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 3, "{seen} included files are found");
}

#[test]
fn a_release_is_what_was_tested() {
    // In two parts, so that this file is none of those that it complains of.
    let word = ["debug", "assertions"].join("_");
    for file in all_rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains(&word),
            "{} is another program in a debug build",
            file.display()
        );
    }
}

#[test]
fn every_module_of_a_root_has_a_caption() {
    for (name, root_file) in CRATES {
        let text = fs::read_to_string(root().join(name).join("src").join(root_file)).unwrap();
        for (module, above) in declared(&text) {
            assert!(
                above.starts_with("//") || above.starts_with("#["),
                "{name}: `mod {module}` has no caption"
            );
        }
    }
}

#[test]
fn every_file_has_a_caption_and_at_most_500_lines() {
    for file in all_rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
        assert!(text.starts_with("//!"), "{} has no caption", file.display());
    }
}

#[test]
fn files_are_named_after_what_they_own() {
    for file in all_rust_files() {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let vague = [
            "utils", "util", "helpers", "helper", "common", "core", "misc",
        ];
        assert!(
            !vague.contains(&stem),
            "{} is named after nothing",
            file.display()
        );
    }
}

#[test]
fn no_identifier_has_a_banned_word() {
    let wrong = words::of(&all_rust_files());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_one_file_of_a_crate() {
    for (name, _) in CRATES {
        let places: Vec<_> = rust_files(&root().join(name).join("src"))
            .into_iter()
            .filter(|file| {
                fs::read_to_string(file)
                    .unwrap()
                    .contains("expect(unsafe_code")
            })
            .collect();
        assert!(
            places
                .iter()
                .all(|file| file.file_name().unwrap() == "sys.rs"),
            "{name}: {places:?}"
        );
    }
}

#[test]
fn namespaces_are_entered_in_one_file() {
    let call = ["setns", "("].concat();
    let places: Vec<_> = all_rust_files()
        .into_iter()
        .filter(|file| fs::read_to_string(file).unwrap().contains(&call))
        .collect();
    assert_eq!(places, [root().join("harness/lab/src/kernel/namespace.rs")]);
}

/// What clippy cannot see: a number that becomes a timeout of `poll`, and no deadline.
#[test]
fn only_the_lab_s_waits_make_timeouts() {
    let made = ["PollTimeout::from", "PollTimeout::try_from"];
    let source = root().join("harness/lab/src");
    let places: Vec<_> = rust_files(&source)
        .into_iter()
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            made.iter().any(|made| text.contains(made))
        })
        .collect();
    assert_eq!(places, [source.join("base/wait.rs")]);
}

#[test]
fn the_engine_never_imports_the_harness() {
    for manifest in ["engine/Cargo.toml", "engine/plan/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        assert!(!text.contains("wireproof"), "{manifest}");
    }
}

/// The crates that decide have the same bans.
#[test]
fn the_pure_crates_of_engine_and_harness_ban_the_same_effects() {
    let bans = ["engine/plan", "harness/model"].map(|name| {
        let text = fs::read_to_string(root().join(name).join("clippy.toml")).unwrap();
        let paths = text.lines().filter_map(|line| {
            let (path, _) = line.trim().strip_prefix("{ path = \"")?.split_once('"')?;
            Some(path.to_owned())
        });
        paths.collect::<BTreeSet<_>>()
    });
    assert!(bans[0].len() > 20, "{bans:?}");
    assert_eq!(bans[0], bans[1]);
}

/// A table of cases that the engine and the harness's plan are both tested with.
#[test]
fn the_copies_of_a_table_are_equal() {
    let copies = [
        "engine/src/store/directory/tests/replaced.txt",
        "harness/model/src/plan/replaced.txt",
    ];
    let [one, other] = copies.map(|copy| fs::read_to_string(root().join(copy)).unwrap());
    assert_eq!(one, other, "{copies:?}");
}

#[test]
fn the_top_level_holds_nothing_else() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || TOP_LEVEL.contains(&name.as_str()),
            "{name} does not belong at the top level"
        );
    }
}

#[test]
fn no_snapshot_is_orphaned() {
    for folder in ["scenarios", "fixtures"] {
        let mut tomls = BTreeSet::new();
        let mut snaps = BTreeSet::new();
        visit(&root().join(folder), &mut |path| {
            match path.extension().and_then(|end| end.to_str()) {
                Some("toml") => tomls.insert(path.with_extension("")),
                Some("snap") => snaps.insert(path.to_owned()),
                _ => false,
            };
        });
        for snap in &snaps {
            let stem = snap
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .split('.')
                .next()
                .unwrap();
            let owner = snap.with_file_name(stem);
            assert!(
                tomls.contains(&owner),
                "{} belongs to no file",
                snap.display()
            );
        }
    }
}

fn visit(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, each);
        } else {
            each(&path);
        }
    }
}
