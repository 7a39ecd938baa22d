//! Limits of this process that a command runs into: the cause is named, and it is no reason to die.

use std::fs;
use std::process::Command;

#[test]
fn a_file_that_may_not_grow_is_an_error_of_the_write_and_not_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_wiremesh"))
        .args(["enable", "--store"])
        .arg(format!("dir:{}", folder.path().display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("File too large"), "{text}");
    let left = fs::read_dir(folder.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "default.yaml"), "{left:?}");
}
