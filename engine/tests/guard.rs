//! `wiremesh guard` in a network namespace of its own: what it prints, how it exits, and what the kernel drops
//! afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A command in a network namespace of its own; none where that cannot be had.
fn unshare() -> Option<Command> {
    let command = || {
        let mut command = Command::new("unshare");
        command.arg("--net");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
    };
    let tried = command().arg("true").output().unwrap();
    if tried.status.success() {
        return Some(command());
    }
    let why = String::from_utf8_lossy(&tried.stderr);
    assert!(!is_root(), "root cannot make a namespace here: {why}");
    eprintln!("skipped: this user cannot make namespaces: {}", why.trim());
    None
}

/// Restores the guard, then sends a datagram to another host, to the loopback and to the store.
const SCRIPT: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
ip link add name outside type bridge
ip address add 10.0.0.1/24 dev outside
ip link set outside up
"$0" guard --state "$1" --store etcd:http://10.0.0.9:2379 2>&1
echo "exit $?"
nft list table inet wiremesh 2>/dev/null | grep -o 'ip [sd]addr @protected4.*drop' |
  sed 's/packets.*drop/drop/'
nft list set inet wiremesh protected4 2>/dev/null | grep -o 'elements = .*'
"#;

fn guard(state: &Path) -> Option<String> {
    let output = unshare()?
        .args(["sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_wiremesh")])
        .arg(state)
        .env_remove("WIREMESH_STORE")
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn rules_that_cannot_be_used_fail_closed_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.json");
    for (content, cause) in [
        ("null", "it holds no nftables commands"),
        ("{}", "it holds no nftables commands"),
        ("[]", "it holds no nftables commands"),
        (
            "{\"nftables\":[",
            "it is not JSON: EOF while parsing a list at line 1 column 13",
        ),
        (
            "{\"nftables\":[{\"flush\":{\"ruleset\":null}}]}",
            "it holds commands that the agent does not write",
        ),
    ] {
        fs::write(&path, content).unwrap();
        let Some(text) = guard(folder.path()) else {
            return;
        };
        let expected = format!(
            "wiremesh: the guard's rules in {} cannot be used: {cause}\n  until the agent has read \
             the store, everything is dropped but the loopback, local pods, what stays on the link, \
             and the store at 10.0.0.9:2379\n  help: start the agent; to let everything pass in \
             clear, run `nft delete table inet wiremesh`\nexit 1\nip daddr @protected4 counter \
             drop\nip saddr @protected4 counter drop\nelements = {{ 0.0.0.0/0 }}\n",
            path.display()
        );
        assert_eq!(text, expected, "{content}");
    }
}

#[test]
fn a_link_to_what_is_not_there_fails_closed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let file = folder.path().join("file");
    fs::create_dir(&file).unwrap();
    // The rules themselves, and the directory that they are kept in.
    symlink("none", file.join("guard.json")).unwrap();
    symlink("not-mounted", &disk).unwrap();
    for (state, link) in [(&file, file.join("guard.json")), (&disk, disk.clone())] {
        let Some(text) = guard(state) else {
            return;
        };
        let cause = format!("{} is a symbolic link to what is not there", link.display());
        assert!(text.contains(&cause), "{text}");
        let closed = "\nexit 1\nip daddr @protected4 counter drop\nip saddr @protected4 counter \
                      drop\nelements = { 0.0.0.0/0 }\n";
        assert!(text.ends_with(closed), "{text}");
    }
}

#[test]
fn without_rules_nothing_was_asked_for_and_nothing_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = guard(folder.path()) {
        assert_eq!(text, "encrypt or drop was not asked for\nexit 0\n");
    }
}
