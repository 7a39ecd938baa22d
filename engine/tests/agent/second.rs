//! A second agent on a node.

use std::process::{Command, Stdio};

use crate::{INSIDE, Node, in_namespaces};

#[test]
fn a_second_agent_with_the_same_state_directory_is_refused() {
    in_namespaces("second::inside_a_second_agent");
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_second_agent() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::start(folder.path(), &[]);
    node.until("ran", |status| status.contains("STATUS="));
    // One that is not refused would run for ever.
    let output = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_wiremesh")])
        .args(["agent", "--node", "bob", "--store"])
        .arg(format!("dir:{}", node.store.display()))
        .arg("--state")
        .arg(folder.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let refused = format!(
        "another agent (process {}) keeps its state in {}: end it, or give this one a directory of its own with \
         `--state`",
        node.agent.id(),
        folder.path().join("state").display()
    );
    assert!(text.contains(&refused), "{text}");
    // The lock ends with its agent.
    node.restart(|_| {});
    node.until("ran again", |status| status.contains("STATUS="));
}
