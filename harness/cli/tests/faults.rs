//! What `run --fault` says where there is no such fault, or no program that has any; and that each fault
//! that there is breaks a scenario.

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

/// Exit status, and all that was said.
fn run(program: &Path, folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let scenario = folder.join("two.toml");
    fs::write(&scenario, SCENARIO).unwrap();
    let mut command = Command::new(program);
    command.arg("run").arg(&scenario).args(more);
    command.arg("--runs").arg(folder.join("runs"));
    let output = command.current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
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
    let (status, said) = run(&wireproof(), folder.path(), &["--fault", "no-mtuu"]);
    assert_eq!(status, Some(2), "{said}");
    for part in [
        "ask the engine for the fault `no-mtuu`",
        "invalid value 'no-mtuu'",
        // All that there are, and those that may be meant.
        "[possible values: no-throw-routes, ",
        ", ends-in-failure]",
        "similar value exists: 'no-mtu'",
        "help: name a fault",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn what_has_no_faults_is_enough_until_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // As it is installed: wireproof and wiremesh, and no program for tests.
    let installed = folder.path().join("bin");
    fs::create_dir(&installed).unwrap();
    for program in [wireproof(), built("wiremesh")] {
        fs::copy(&program, installed.join(program.file_name().unwrap())).unwrap();
    }
    let wireproof = installed.join("wireproof");
    let (status, said) = run(&wireproof, folder.path(), &["--fault", "no-mtu"]);
    assert_eq!(status, Some(3), "{said}");
    for part in [
        "find the engine's program `wiremesh-test`",
        "help: build it: cargo build -p wiremesh",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let (status, said) = run(&wireproof, folder.path(), &[]);
    assert_eq!(status, Some(0), "{said}");
}

/// A fault that breaks nothing is a part of the engine that no scenario needs. That a scenario breaks by a
/// fault that it names is a trial of its own.
#[test]
fn each_fault_is_one_that_a_scenario_is_broken_by() {
    let output = Command::new(built("wiremesh-test"))
        .args(["agent", "--fault", "none-of-them"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, after) = said.split_once("[possible values: ").unwrap();
    let (listed, _) = after.split_once(']').unwrap();
    let faults: BTreeSet<_> = listed.split(", ").map(str::to_owned).collect();
    assert!(faults.len() > 50, "{said}");

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
