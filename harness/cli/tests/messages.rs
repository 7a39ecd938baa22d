//! The English of messages: every golden message, and the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Nouns that messages count.
const COUNTED: &[&str] = &[
    "address",
    "byte",
    "combination",
    "endpoint",
    "flow",
    "frame",
    "node",
    "packet",
    "pod",
    "problem",
    "probe",
    "promise",
    "scenario",
    "step",
    "warning",
    "write",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

fn snapshots(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            snapshots(&path, found);
        } else if path.extension().is_some_and(|end| end == "snap") {
            found.push(path);
        }
    }
}

/// Why a message is no English, if it is none.
fn slip(text: &str) -> Option<String> {
    if text.contains("\\'") {
        return Some("an escaped apostrophe".into());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    for pair in words.windows(2) {
        let (one, noun) = (pair[0].trim_start_matches('('), bare(pair[1]));
        let plurals = COUNTED
            .iter()
            .map(|noun| wireproof_model::count::plural(noun));
        if one == "1" && plurals.into_iter().any(|plural| plural == noun) {
            return Some(format!("`1 {noun}`"));
        }
    }
    let doubled = words
        .iter()
        .map(|word| bare(word))
        .find(|word| word.ends_with("sss"));
    let doubled = doubled.or_else(|| {
        words
            .iter()
            .map(|word| bare(word))
            .find(|word| word == "classs")
    });
    doubled.map(|word| format!("`{word}`"))
}

#[test]
fn golden_messages_are_english() {
    let mut files = Vec::new();
    for folder in ["fixtures", "scenarios"] {
        snapshots(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "{}", files.len());
    let slips = files.iter().filter_map(|path| {
        let why = slip(&fs::read_to_string(path).unwrap())?;
        Some(format!("{}: {why}", path.display()))
    });
    let slips: Vec<_> = slips.collect();
    assert!(slips.is_empty(), "{}", slips.join("\n"));
}

#[test]
fn slips_of_english_are_found() {
    for text in [
        "never 1 promises: 1",
        "known classs: `a`",
        "fabric\\'s",
        "(1 packets)",
    ] {
        assert!(slip(text).is_some(), "{text}");
    }
    for text in ["11 promises", "1 promise", "classes", "passes"] {
        assert_eq!(slip(text), None, "{text}");
    }
}

fn wireproof(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wireproof"));
    command.current_dir(folder).args(words).output().unwrap()
}

#[track_caller]
fn refused(folder: &Path, words: &[&str], parts: &[&str]) {
    let output = wireproof(folder, words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{words:?}: {part} is not in {text}");
    }
}

#[test]
fn a_folder_that_is_no_run_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let is_none = "is no run directory: it holds no plan.json";
    refused(folder.path(), &["judge", "."], &[is_none, "help: "]);
    refused(
        folder.path(),
        &["judge", "nowhere"],
        &["there is no nowhere", "help: "],
    );
}

#[test]
fn scenarios_that_are_not_here_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let missing = "there is no folder `scenarios` here";
    refused(
        folder.path(),
        &["run"],
        &[missing, "name scenario files or folders"],
    );
}

#[test]
fn a_line_without_end_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[node.a]\npods = [\"{}\"]\n", "a".repeat(70_000));
    fs::write(folder.path().join("x.toml"), text).unwrap();
    refused(
        folder.path(),
        &["check", "x.toml"],
        &["line 2 is too long", "[x.toml:2:"],
    );
}

const TWO: &str = "title = \"two\"\n[node.a]\n[node.b]\n";

#[test]
fn a_name_that_does_not_exist_is_wrong_input_and_not_the_machine_s_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two.toml"), TWO).unwrap();
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--lane", "vm:nope"],
            &["find the kernel `nope`", "help: run ci/setup"],
        ),
        (&["--lane", "vm:./nope"], &["there is no folder ./nope"]),
        (
            &["--wireguard", "nope"],
            &[
                "find the WireGuard `nope`",
                "help: give auto, kernel, userspace, or a program",
            ],
        ),
        (
            &["--matrix", "wireguard=nope"],
            &["find the WireGuard `nope`"],
        ),
        (
            &["--matrix", "lane=host,vm:nope"],
            &["find the kernel `nope`"],
        ),
        (
            &["--matrix", "wireguard="],
            &[
                "--matrix wireguard=: a value of `wireguard` is empty",
                "help: write",
            ],
        ),
        (
            &["--patience", "1.5"],
            &["write a whole number from 1 to 100"],
        ),
        (
            &["--patience", "101"],
            &["write a whole number from 1 to 100"],
        ),
    ];
    for (words, parts) in cases {
        let words = [&["run", "two.toml"], words].concat();
        refused(folder.path(), &words, parts);
    }
    refused(
        folder.path(),
        &["rpf", "--patience", "0"],
        &["from 1 to 100"],
    );
}

/// What is only not installed is no mistake of who asks for it.
#[test]
fn a_kernel_that_is_not_installed_is_the_machine_s_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two.toml"), TWO).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .args(["run", "two.toml", "--lane", "vm:debian-6.1"])
        .env("WIREPROOF_KERNELS", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("find the kernel `debian-6.1`"), "{text}");
}

#[test]
fn wrong_input_is_json_too_where_json_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two.toml"), TWO).unwrap();
    fs::write(folder.path().join("bad.toml"), "title = 3\n").unwrap();
    let three = TWO.replace("[node.b]", "pods = [\"p\"]\n[node.b]");
    fs::write(folder.path().join("three.toml"), three).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let asked = |words: &[&str], json: &[&str]| {
        let output = wireproof(folder.path(), &[words, json].concat());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert_eq!(document["version"], 1, "{words:?}");
        assert_eq!(
            Some(document["status"].as_i64().unwrap()),
            output.status.code().map(i64::from)
        );
        document
    };
    for json in [&["--json"][..], &["--format", "json"]] {
        let checked = asked(&["check", "three.toml", "bad.toml"], json);
        // Whoever watches is told too, whatever a program reads.
        let words = [&["check", "bad.toml"], json].concat();
        let errors = String::from_utf8(wireproof(folder.path(), &words).stderr).unwrap();
        assert!(errors.contains("[bad.toml:1:"), "{errors}");
        assert_eq!(checked["scenarios"][0]["nodes"], 2);
        assert_eq!(checked["scenarios"][0]["pods"], 1);
        assert_eq!(checked["scenarios"][0]["promises"], 18);
        let error = checked["scenarios"][1]["error"].as_str().unwrap();
        assert!(error.contains("[bad.toml:1:"), "{error}");
        for words in [
            &["judge", "nowhere"][..],
            &["plan", "nowhere.toml"],
            &["run", "nowhere.toml"],
            &["run", "two.toml", "--runs", "file"],
            &["run", "two.toml", "--matrix", "wireguard=nope"],
            // Arguments that are wrong, and a verb that is none.
            &["check", "two.toml", "--frob"],
            &["nope"],
        ] {
            let document = asked(words, json);
            assert_eq!(document["status"], 2, "{words:?}");
            assert!(!document["error"].as_str().unwrap().is_empty(), "{words:?}");
        }
        let run = asked(&["run", "bad.toml"], json);
        assert_eq!(run["scenarios"][0]["status"], 2);
    }
}
