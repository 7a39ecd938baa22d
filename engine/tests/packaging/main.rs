//! The shipped unit and manifest: the agent is run with the command line, the capabilities and the mounts that
//! the unit and the manifest give it, and with less.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root of its own, and an agent in it.
mod sandbox;

/// The Kubernetes manifest.
mod manifest;

/// The systemd unit.
mod unit;

use sandbox::{Ends, Outcome, Sandbox, possible};

fn packaged(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn the_unit() -> unit::Unit {
    let text = fs::read_to_string(packaged("systemd/wiremesh.service")).unwrap();
    unit::Unit::read(&text)
}

fn the_manifest() -> manifest::Manifest {
    let text = fs::read_to_string(packaged("kubernetes/daemonset.yaml")).unwrap();
    manifest::Manifest::read(&text)
}

/// The agent gets ready with what it is given, and with nothing less than that.
fn needs_all_it_is_given(sandbox: &Sandbox) {
    if !possible() {
        return;
    }
    let outcome = sandbox.run();
    assert!(matches!(outcome, Outcome::Ready { .. }), "{outcome:?}");
    assert!(!sandbox.capabilities.is_empty());
    for less in &sandbox.capabilities {
        let mut sandbox = sandbox.clone();
        sandbox.capabilities.retain(|capability| capability != less);
        let outcome = sandbox.run();
        let Outcome::Struggling { status } = &outcome else {
            panic!("without {less}: {outcome:?}");
        };
        assert!(status.contains("ermitted"), "without {less}: {status}");
    }
}

#[test]
fn the_unit_gives_the_agent_what_it_needs_and_nothing_more() {
    needs_all_it_is_given(&the_unit().sandbox());
}

#[test]
fn the_manifest_gives_the_agent_what_it_needs_and_nothing_more() {
    needs_all_it_is_given(&the_manifest().sandbox());
}

#[test]
fn the_manifests_probes_are_answered() {
    if !possible() {
        return;
    }
    let manifest = the_manifest();
    let mut sandbox = manifest.sandbox();
    sandbox.asks = manifest.probes();
    let metrics = sandbox.asks[0].0;
    sandbox.asks.push((metrics, "/metrics".into()));
    let Outcome::Ready { answers, .. } = sandbox.run() else {
        panic!("it did not get ready");
    };
    for (ask, answer) in sandbox.asks.iter().zip(&answers) {
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{ask:?}: {answer}");
    }
    assert_eq!(answers.len(), 3);
    for sample in [
        "wireguard_meta{hostname=\"node-1\",iface=\"wireguard.cali\",listen_port=\"51820\",",
        "wireguard_bytes_sent{hostname=\"node-1\",peer_endpoint=\"10.9.0.2:51820\",",
        "wiremesh_peers{family=\"ipv4\",reason=\"\",state=\"encrypted\"} 1\t",
        "wiremesh_in_sync 1\t",
    ] {
        assert!(answers[2].contains(sample), "{sample}: {}", answers[2]);
    }
    assert!(!answers[2].contains("wiremesh_convergence_seconds_count 0\t"));
}

#[test]
fn a_container_without_the_mounts_of_the_manifest_reports_the_missing_mount() {
    if !possible() {
        return;
    }
    let mut sandbox = the_manifest().sandbox();
    sandbox.command.retain(|word| !word.starts_with("--procfs"));
    let Outcome::Struggling { status } = sandbox.run() else {
        panic!("a container can write its own /proc/sys");
    };
    assert!(status.contains("Read-only file system"), "{status}");
    for (without, expected) in [
        (
            "/host/proc/sys/net",
            "/host/proc/sys/net/ipv4/conf/all/src_valid_mark",
        ),
        ("/dev/net", "/dev/net/tun"),
    ] {
        let mut sandbox = the_manifest().sandbox();
        let before = sandbox.mounts.len();
        sandbox
            .mounts
            .retain(|mount| mount.inside != Path::new(without));
        assert_eq!(sandbox.mounts.len(), before - 1);
        // A node that cannot encrypt is in sync all the same, and says so.
        let (Outcome::Struggling { status } | Outcome::Ready { status, .. }) = sandbox.run();
        if without == "/dev/net" && !status.contains("cannot encrypt") && kernel_wireguard() {
            continue;
        }
        assert!(status.contains(expected), "without {without}: {status}");
    }
}

/// Where the kernel has WireGuard, nothing else is asked for a device.
fn kernel_wireguard() -> bool {
    Path::new("/sys/module/wireguard").exists()
}

#[test]
fn a_restart_of_the_unit_keeps_the_tunnel_and_its_key() {
    if !possible() {
        return;
    }
    let unit = the_unit();
    let ends = match unit.get("KillMode") {
        Some("process") => Ends::Agent,
        _ => Ends::Everything,
    };
    let keys = |ends| {
        let mut sandbox = unit.sandbox();
        sandbox.command.push("--backend=userspace".into());
        sandbox.restart = Some(ends);
        match sandbox.run() {
            Outcome::Ready { keys, .. } => keys,
            outcome => panic!("{outcome:?}"),
        }
    };
    let kept = keys(ends);
    assert_eq!(kept[0], kept[1]);
    // So it would not be, if the unit ended all of its processes.
    let lost = keys(Ends::Everything);
    assert_ne!(lost[0], lost[1]);
}

#[test]
fn the_units_are_such_as_systemd_understands() {
    let unit = the_unit();
    assert_eq!(unit.get("Type"), Some("notify"));
    // The tunnel's socket is found again.
    assert_eq!(unit.get("RuntimeDirectoryPreserve"), Some("yes"));
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("not verified: systemd-analyze is not installed");
        return;
    }
    // systemd looks for the program, which is not installed here.
    let folder = tempfile::tempdir().unwrap();
    for name in ["wiremesh.service", "wiremesh-guard.service"] {
        let file = folder.path().join(name);
        let text = fs::read_to_string(packaged("systemd").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/wiremesh", env!("CARGO_BIN_EXE_wiremesh"));
        fs::write(&file, text).unwrap();
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&file)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{errors}");
        assert!(!errors.contains(name), "{errors}");
    }
}

#[test]
fn the_manifest_asks_for_no_privilege_that_can_be_left_out() {
    let manifest = the_manifest();
    let container = manifest.container();
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    let pod = manifest.pod();
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    // Every node, tainted or not.
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    let mounted: BTreeMap<_, _> = manifest
        .sandbox()
        .mounts
        .into_iter()
        .map(|mount| (mount.inside, mount.host))
        .collect();
    let socket = Path::new("/var/run/wireguard");
    assert_eq!(mounted[socket].as_deref(), Some(socket));
}

#[test]
fn shipped_files_start_no_test_program() {
    let mut named = 0;
    for file in [
        "systemd/wiremesh.service",
        "systemd/wiremesh-guard.service",
        "kubernetes/daemonset.yaml",
    ] {
        let text = fs::read_to_string(packaged(file)).unwrap();
        let programs = text.split("/usr/local/bin/").skip(1);
        for program in programs {
            let end = program.find([' ', ']', '\n']).unwrap_or(program.len());
            assert_eq!(&program[..end], "wiremesh", "{file}");
            named += 1;
        }
    }
    assert_eq!(named, 3);
}
