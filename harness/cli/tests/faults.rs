//! Errors of `run --fault` where there is no such fault, or no program that has any; and that each fault that
//! there is breaks a scenario.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wireproof::input::toml_files;
use wireproof::scenario;

const SCENARIO: &str = "title = \"two\"\n[node.a]\n[node.b]\n";

fn wireproof() -> PathBuf {
    env!("CARGO_BIN_EXE_wireproof").into()
}

/// Exit status, and all output.
fn run(program: &Path, folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let scenario = folder.join("two.toml");
    fs::write(&scenario, SCENARIO).unwrap();
    let mut command = Command::new(program);
    command.arg("run").arg(&scenario).args(more);
    command.arg("--runs").arg(folder.join("runs"));
    let output = command.current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}

fn built(name: &str) -> PathBuf {
    let program = wireproof().with_file_name(name);
    assert!(program.is_file(), "build it first: cargo build -p wiremesh");
    program
}

#[test]
fn a_fault_that_nobody_knows_is_wrong_input() {
    built("wiremesh-test");
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = run(&wireproof(), folder.path(), &["--fault", "no-mtuu"]);
    assert_eq!(status, Some(2), "{text}");
    for part in [
        "ask the engine for the fault `no-mtuu`",
        "invalid value 'no-mtuu'",
        // All that there are, and those that may be meant.
        "[possible values: no-throw-routes, ",
        ", open-control-socket]",
        "similar value exists: 'no-mtu'",
        "help: name a fault",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn wiremesh_without_faults_is_enough_until_a_fault_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // As it is installed: wireproof and wiremesh, and no program for tests.
    let installed = folder.path().join("bin");
    fs::create_dir(&installed).unwrap();
    for program in [wireproof(), built("wiremesh")] {
        fs::copy(&program, installed.join(program.file_name().unwrap())).unwrap();
    }
    let wireproof = installed.join("wireproof");
    let (status, text) = run(&wireproof, folder.path(), &["--fault", "no-mtu"]);
    assert_eq!(status, Some(3), "{text}");
    for part in [
        "find the engine's program `wiremesh-test`",
        "help: build it: cargo build -p wiremesh",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let (status, text) = run(&wireproof, folder.path(), &[]);
    assert_eq!(status, Some(0), "{text}");
}

/// A fault that breaks nothing is a part of the engine that no scenario needs. That a scenario breaks by a
/// fault that it names is a trial of its own.
#[test]
fn each_fault_is_one_that_a_scenario_is_broken_by() {
    let output = Command::new(built("wiremesh-test"))
        .args(["agent", "--fault", "none-of-them"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, after) = text.split_once("[possible values: ").unwrap();
    let (listed, _) = after.split_once(']').unwrap();
    let faults: BTreeSet<_> = listed.split(", ").map(str::to_owned).collect();
    assert!(faults.len() > 50, "{text}");

    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let scenarios = toml_files(&[scenarios]).unwrap();
    let named: BTreeSet<_> = scenarios
        .iter()
        .flat_map(|path| scenario::read(path).unwrap().broken_by)
        .collect();
    let missing: Vec<_> = faults.difference(&named).collect();
    assert!(missing.is_empty(), "no scenario is broken by {missing:?}");
    let unknown: Vec<_> = named.difference(&faults).collect();
    assert!(unknown.is_empty(), "the engine has no fault {unknown:?}");
}
