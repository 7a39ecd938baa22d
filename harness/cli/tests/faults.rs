//! What `run --fault` says where there is no such fault, or no program that has any.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
