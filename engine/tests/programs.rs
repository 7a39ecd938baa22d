//! `wiremesh` and `wiremesh-test`, in whatever profile these tests are built: faults and crash points
//! are in the second one alone.

use std::fs;
use std::process::{Command, Output};

const WIREMESH: &str = env!("CARGO_BIN_EXE_wiremesh");

const WIREMESH_TEST: &str = env!("CARGO_BIN_EXE_wiremesh-test");

/// The variable that sets an agent's crash point.
const CRASH: &str = "WIREMESH_CRASH";

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// The faults that `wiremesh-test` knows, as it lists them when it is asked for another one.
fn faults() -> Vec<String> {
    let asked = [
        "agent",
        "--node",
        "a",
        "--store",
        "dir:/nowhere",
        "--fault",
        "?",
    ];
    let errors = String::from_utf8(run(WIREMESH_TEST, &asked).stderr).unwrap();
    let (_, list) = errors.split_once("[possible values: ").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split(", ")
        .map(|name| name.trim().to_owned())
        .collect()
}

fn contains(program: &[u8], word: &str) -> bool {
    program
        .windows(word.len())
        .any(|part| part == word.as_bytes())
}

#[test]
fn wiremesh_takes_no_fault() {
    for verb in [
        &["agent", "--node", "a", "--store", "dir:/nowhere"][..],
        &["status", "--node", "a", "--store", "dir:/nowhere"],
        &["tunnel", "wireguard.cali"],
    ] {
        let asked = [verb, &["--fault", "no-mtu"]].concat();
        let output = run(WIREMESH, &asked);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{asked:?}: {errors}");
        assert!(errors.contains("unexpected argument '--fault'"), "{errors}");
    }
}

#[test]
fn the_code_of_faults_and_crash_points_is_not_in_wiremesh() {
    let faults = faults();
    assert!(faults.len() > 50, "{faults:?}");
    let (wiremesh, tested) = (
        fs::read(WIREMESH).unwrap(),
        fs::read(WIREMESH_TEST).unwrap(),
    );
    for word in faults.iter().map(String::as_str).chain([CRASH]) {
        assert!(contains(&tested, word), "{WIREMESH_TEST} lacks {word}");
        assert!(!contains(&wiremesh, word), "{WIREMESH} has {word}");
    }
}
