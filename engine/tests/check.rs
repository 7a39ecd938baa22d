//! `status --check` on a node of its own: what it prints, and how it exits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A command in a network namespace of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn check(store: &Path) -> (Option<i32>, String, String) {
    status(store, &["--check"])
}

fn status(store: &Path, options: &[&str]) -> (Option<i32>, String, String) {
    let output = unshare()
        .arg(env!("CARGO_BIN_EXE_wiremesh"))
        .arg("status")
        .args(options)
        .args(["--node", "ada", "--store"])
        .arg(format!("dir:{}", store.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, error)
}

#[test]
fn it_exits_0_when_all_is_as_intended_and_1_with_the_reason_when_it_is_not() {
    let tried = unshare().arg("true").output().unwrap();
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        assert!(!is_root(), "root cannot make a namespace here: {why}");
        eprintln!("skipped: this user cannot make namespaces: {}", why.trim());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path();
    let node = "kind: Node\nmetadata: {name: ada}\nspec: {bgp: {ipv4Address: 10.0.0.1/24}}\n";
    fs::write(store.join("ada.yaml"), node).unwrap();
    let (code, text, _) = check(store);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.ends_with("\nall is as intended: nothing is encrypted\n"),
        "{text}"
    );

    let on =
        "kind: FelixConfiguration\nmetadata: {name: default}\nspec: {wireguardEnabled: true}\n";
    fs::write(store.join("default.yaml"), on).unwrap();
    let (code, text, error) = check(store);
    assert_eq!(code, Some(1), "{text}");
    let reason = "\nnot as intended\n  still to be made: ";
    assert!(text.contains(reason), "{text}");
    assert!(error.contains("not as intended"), "{error}");

    let slip = "kind: FelixConfiguration\nmetadata: {name: default, annotations: {wiremesh/strct: \"true\"}}\n";
    fs::write(store.join("default.yaml"), slip).unwrap();
    let (code, text, _) = check(store);
    assert_eq!(code, Some(1), "{text}");
    let reason =
        "`metadata.annotations.wiremesh/strct` is unknown: did you mean `wiremesh/strict`?";
    // Once.
    assert_eq!(text.matches(reason).count(), 1, "{text}");

    // Strict mode without encryption is no intent that could be met.
    let off = "kind: FelixConfiguration\nmetadata: {name: default, annotations: {wiremesh/strict: \"true\"}}\nspec: {wireguardEnabled: false}\n";
    fs::write(store.join("default.yaml"), off).unwrap();
    let (code, text, _) = check(store);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("strict   asked for, without effect: encryption is off"),
        "{text}"
    );
    let reason = "encryption is off, and everything goes in clear, while strict mode is asked for";
    assert!(text.contains(reason), "{text}");

    // Without its Node the rest is told all the same, and so is a Node of which nothing can be read.
    let cat = "apiVersion: v7\nkind: Node\nmetadata: {name: ada}\n";
    fs::write(store.join("ada.yaml"), cat).unwrap();
    fs::write(
        store.join("bob.yaml"),
        cat.replace("name: ada", "name: bob"),
    )
    .unwrap();
    fs::write(store.join("default.yaml"), on).unwrap();
    let (code, text, error) = check(store);
    assert_eq!(code, Some(1), "{text}");
    for expected in [
        "state    waiting for its Node",
        "ada.yaml: `apiVersion` is `v7`",
        "bob.yaml: `apiVersion` is `v7`",
        "the store has no Node `ada`: the agent waits for it (it cannot be read)",
    ] {
        assert_eq!(text.matches(expected).count(), 1, "{text}");
    }
    assert!(error.contains("the store has no Node `ada`"), "{error}");

    // A node that waits for its Node changes nothing, which is a failure without `--check` too; a mistake in the
    // configuration makes no difference.
    let mistaken = on.replace("spec:", "Spec:").replace(
        "{name: default}",
        "{name: default, annotations: {wiremesh/strict: \"true\"}}",
    );
    for configuration in [on, &mistaken] {
        fs::write(store.join("default.yaml"), configuration).unwrap();
        let (code, text, _) = status(store, &[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("state    waiting for its Node"), "{text}");
        assert!(!text.contains("to be made"), "{text}");
    }
    fs::write(store.join("default.yaml"), on).unwrap();
    fs::write(store.join("ada.yaml"), node).unwrap();
    let unready =
        "kind: ClusterInformation\nmetadata: {name: default}\nspec: {datastoreReady: false}\n";
    fs::write(store.join("information.yaml"), unready).unwrap();
    let (_, text, _) = check(store);
    let reason = "`spec.datastoreReady` is false: nothing is changed until it is true";
    assert!(text.contains(reason), "{text}");
    fs::remove_file(store.join("information.yaml")).unwrap();
    let (_, text, _) = check(store);
    assert!(
        text.contains("bob      in clear: its Node cannot be read"),
        "{text}"
    );
}
