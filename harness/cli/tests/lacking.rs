//! `run` agrees with what `doctor` reports of a machine. Each thing is taken from the program by a mount in a
//! mount namespace of the test's own, so the machine keeps it.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;
use serde_json::Value;

const SCENARIO: &str = r#"title = "two nodes"

[node.node-1]
pods = ["pod-1"]

[node.node-2]
pods = ["pod-2"]
"#;

const PLAIN: &str = "[cluster]\nwireguard = false\n";

/// How a thing is taken away, in the shell.
const NO_TUN: &str = "mount -t tmpfs none /dev/net";
const OTHER_TUN: &str = "mount --bind /dev/null /dev/net/tun";
const NO_NFT: &str = "for d in $(echo $PATH:/usr/local/sbin:/usr/sbin:/sbin | tr : ' '); do \
     [ ! -e $d/nft ] || mount --bind /dev/null $d/nft; done";
const NO_ETCD: &str = "for d in $(echo $PATH:/usr/local/sbin:/usr/sbin:/sbin | tr : ' '); do \
     [ ! -e $d/etcd ] || mount --bind /dev/null $d/etcd; done";
/// KiB of address space.
const LITTLE_MEMORY: &str = "ulimit -v 300000";
const NO_PARAMETERS: &str =
    "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";

/// What `wireproof` ends with and prints after `hide`; none where this machine lets nothing be hidden.
fn wireproof(hide: &str, arguments: &[&str]) -> Option<(i32, Value)> {
    let mut unshare = Command::new("unshare");
    if !Uid::effective().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let output = unshare
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{{ {hide}; }} || exit 99; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_wireproof"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(99) => {
            eprintln!("skipped: {hide}: {errors}");
            None
        }
        Some(status) => {
            let document = serde_json::from_slice(&output.stdout);
            Some((
                status,
                document.unwrap_or_else(|why| panic!("{why}: {errors}")),
            ))
        }
        None => panic!("{:?}: {errors}", output.status),
    }
}

fn scenario(folder: &Path, name: &str, more: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("{SCENARIO}{more}")).unwrap();
    path.display().to_string()
}

/// Runs a scenario on this kernel, and in whatever lane there is.
fn run(hide: &str, scenario: &str, lane: &str) -> Option<(i32, Value)> {
    let runs = Path::new(scenario).with_extension("runs");
    let runs = runs.display().to_string();
    wireproof(
        hide,
        &["run", scenario, "--json", "--lane", lane, "--runs", &runs],
    )
}

/// Whether `doctor` reports that scenarios run here at all.
fn is_fit(hide: &str) -> Option<bool> {
    let (status, document) = wireproof(hide, &["doctor", "--json"])?;
    let fit = document["fit"].as_bool().unwrap();
    assert_eq!(status, if fit { 0 } else { 3 }, "{document:#}");
    Some(fit)
}

fn is_skipped(run: &(i32, Value), why: &str) {
    let (status, document) = run;
    let one = &document["scenarios"][0];
    assert_eq!(
        (*status, &one["outcome"]),
        (3, &Value::from("skipped")),
        "{document:#}"
    );
    let text = one.to_string();
    assert!(text.contains(why), "no {why} in {text}");
}

#[test]
fn without_what_every_scenario_needs_none_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (hide, what) in [(NO_NFT, "nft"), (NO_PARAMETERS, "kernel parameters")] {
        let file = scenario(folder.path(), "any.toml", PLAIN);
        let Some(fit) = is_fit(hide) else { continue };
        assert!(!fit, "{what}");
        is_skipped(&run(hide, &file, "host").unwrap(), what);
    }
}

#[test]
fn without_any_wireguard_what_encrypts_is_skipped_and_what_does_not_runs() {
    let folder = tempfile::tempdir().unwrap();
    for hide in [NO_TUN, OTHER_TUN] {
        let (mesh, plain) = (
            scenario(folder.path(), "mesh.toml", ""),
            scenario(folder.path(), "plain.toml", PLAIN),
        );
        let Some(fit) = is_fit(hide) else { continue };
        let ran = run(hide, &mesh, "host").unwrap();
        match fit {
            // The kernel's WireGuard serves as well.
            true => assert_eq!(ran.0, 0, "{:#}", ran.1),
            false => is_skipped(&ran, "TUN device"),
        }
        let (status, document) = run(hide, &plain, "host").unwrap();
        assert_eq!(status, 0, "{document:#}");
    }
}

#[test]
fn a_scenario_without_enough_memory_is_skipped_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "mesh.toml", "");
    let Some(ran) = run(LITTLE_MEMORY, &file, "host") else {
        return;
    };
    is_skipped(
        &ran,
        "not enough memory (the limit of address space leaves ",
    );
    is_skipped(&ran, "for the observers' rings");
    is_skipped(&ran, "`ulimit -v unlimited`");
    let estimate = ran.1["scenarios"][0]["memory_mib"].as_u64().unwrap();
    assert!((100..300).contains(&estimate), "{estimate}");
}

#[test]
fn without_etcd_a_scenario_of_etcd_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "etcd.toml", "");
    fs::write(&file, format!("store = \"etcd\"\n{SCENARIO}")).unwrap();
    if let Some(ran) = run(NO_ETCD, &file, "host") {
        is_skipped(&ran, "etcd");
    }
}

/// What costs only detail is no reason to skip.
#[test]
fn an_engine_that_is_not_contained_never_runs_on_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = scenario(folder.path(), "open.toml", "");
    let (engine, written) = (folder.path().join("e.toml"), folder.path().join("written"));
    let text = format!(
        "title = \"not contained\"\nagent = [\"touch\", {:?}]\ncontained = false\nready = \"none\"\n",
        written.display().to_string()
    );
    fs::write(&engine, text).unwrap();
    let engine = engine.display().to_string();
    let runs = folder.path().join("runs").display().to_string();
    let arguments = [
        "run", &scenario, "--json", "--lane", "host", "--engine", &engine, "--runs", &runs,
    ];
    let Some(run) = wireproof("true", &arguments) else {
        return;
    };
    is_skipped(&run, "virtual machine");
    assert!(!written.exists());
}

#[test]
fn without_the_kernel_s_drop_reasons_scenarios_run() {
    let hide = "[ ! -e /sys/kernel/btf/vmlinux ] || mount --bind /dev/null /sys/kernel/btf/vmlinux";
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "plain.toml", PLAIN);
    let Some(fit) = is_fit(hide) else { return };
    let (status, document) = run(hide, &file, "host").unwrap();
    assert_eq!(status, if fit { 0 } else { 3 }, "{document:#}");
}
