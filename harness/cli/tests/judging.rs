//! A saved run is judged again: by its own promises, and by those of another scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use wireproof_model::plan::Plan;

const SCENARIO: &str = r#"title = "two nodes"

[node.node-1]
pods = ["pod-1"]

[node.node-2]
pods = ["pod-2"]
"#;

/// Writes a scenario: the one above, and more.
fn scenario(folder: &Path, name: &str, more: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("{SCENARIO}{more}")).unwrap();
    path
}

fn wireproof(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wireproof"))
        .args(arguments.iter().map(AsRef::as_ref))
        .output()
        .unwrap()
}

/// Exit status, and all output.
fn status_and_output(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_run_is_judged_by_other_promises_than_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = scenario(folder, "own.toml", "");
    let runs = folder.join("runs");
    let lane: [&dyn AsRef<std::ffi::OsStr>; 2] = [&"--lane", &"host"];
    let ran = wireproof(&[&"run", &own, &"--runs", &runs, lane[0], lane[1]]);
    assert_eq!(
        status_and_output(&ran).0,
        Some(0),
        "{}",
        status_and_output(&ran).1
    );
    let latest = find(&runs, "latest");

    let (status, text) = status_and_output(&wireproof(&[&"judge", &latest]));
    assert_eq!(status, Some(0), "{text}");

    let expected = |name: &str, more: &str| {
        let file = scenario(folder, name, more);
        status_and_output(&wireproof(&[&"judge", &latest, &"--expect", &file]))
    };
    let plain = "[[promise]]\nfrom = \"pod-1\"\nto = \"pod-2\"\nexpect = \"plaintext\"\n";
    let (status, text) = expected("plain.toml", plain);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("BROKEN pod-1 → pod-2"), "{text}");

    // Nobody has tried packets of any size.
    let (status, text) = expected("sizes.toml", "[[mtu]]\nfrom = \"pod-1\"\nto = \"pod-2\"\n");
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("the run has not tried it"), "{text}");

    let (status, text) = expected("other.toml", "[node.node-3]\n[fabric]\nmtu = 1400\n");
    assert_eq!(status, Some(2), "{text}");
    for difference in [
        "fabric.mtu: 1500 in the run, 1400 in the file",
        "node.node-3: none in the run, one in the file",
    ] {
        assert!(text.contains(difference), "{text}");
    }

    for file in ["plan.json", "evidence.json"] {
        no_part_is_spared(&latest, file);
    }

    let (status, text) = damaged(&latest, |evidence| evidence["nodes"] = json!({}));
    assert_eq!(status, Some(3), "{text}");
    let missing = "node node-1: was saved, and is missing";
    assert!(text.contains(missing), "{text}");

    let (status, text) = damaged(&latest, |evidence| {
        let sightings = evidence["sightings"].as_array_mut().unwrap();
        sightings.truncate(sightings.len() - 1);
    });
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("frames were saved"), "{text}");

    let (status, text) = expected("wrong.toml", "[[promise]]\nfrom = \"pod-9\"\n");
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("wrong.toml:"), "{text}");
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = status_and_output(&wireproof(&[&"judge", &folder.path()]));
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("plan.json"), "{text}");
}

/// The output of `judge` for a run whose evidence is changed for the time.
fn damaged(run: &Path, change: impl Fn(&mut Value)) -> (Option<i32>, String) {
    changed(run, "evidence.json", |saved| change(&mut saved["evidence"]))
}

/// The output of `judge` for a run one of whose files is changed for the time.
fn changed(run: &Path, file: &str, change: impl Fn(&mut Value)) -> (Option<i32>, String) {
    let file = run.join(file);
    let whole = fs::read_to_string(&file).unwrap();
    let mut saved: Value = serde_json::from_str(&whole).unwrap();
    change(&mut saved);
    fs::write(&file, saved.to_string()).unwrap();
    let judged = status_and_output(&wireproof(&[&"judge", &run]));
    fs::write(&file, whole).unwrap();
    judged
}

/// Whatever list or table somebody empties or removes in a file that `judge` reads, and whichever file
/// is gone: the run is not judged, or is inconclusive.
fn no_part_is_spared(run: &Path, file: &str) {
    let whole = fs::read_to_string(run.join(file)).unwrap();
    let saved: Value = serde_json::from_str(&whole).unwrap();
    let mut parts = Vec::new();
    for (key, part) in saved.as_object().unwrap() {
        parts.push(format!("/{key}"));
        let inner = part.as_object().into_iter().flatten();
        parts.extend(inner.map(|(inner, _)| format!("/{key}/{inner}")));
    }
    for pointer in parts {
        let part = saved.pointer(&pointer).unwrap();
        let empty = match part {
            Value::Array(list) if !list.is_empty() => json!([]),
            Value::Object(map) if !map.is_empty() => json!({}),
            _ => continue,
        };
        let (above, key) = pointer.rsplit_once('/').unwrap();
        for removed in [false, true] {
            let mut less = saved.clone();
            if removed {
                let above = less.pointer_mut(above).unwrap();
                above.as_object_mut().unwrap().remove(key);
            } else {
                *less.pointer_mut(&pointer).unwrap() = empty.clone();
            }
            // What is left out may be what it is without being written.
            let read = |value: &Value| serde_json::from_value::<Plan>(value.clone()).ok();
            if file == "plan.json" && read(&less) == read(&saved) {
                continue;
            }
            let (status, text) = changed(run, file, |saved| *saved = less.clone());
            let ended = matches!(status, Some(2 | 3));
            assert!(
                ended,
                "{file} {pointer}, removed {removed}: {status:?} {text}"
            );
        }
    }
    fs::rename(run.join(file), run.join("away")).unwrap();
    let (status, text) = status_and_output(&wireproof(&[&"judge", &run]));
    fs::rename(run.join("away"), run.join(file)).unwrap();
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains(file), "{text}");
}

/// The one file of that name below a folder, a link or not.
fn find(folder: &Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == name {
                return entry.path();
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    panic!("there is no {name} below {}", folder.display());
}
