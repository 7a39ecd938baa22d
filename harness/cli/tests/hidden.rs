//! Internal commands of wireproof and wiremesh never change the host when a person runs them. Everything here
//! runs in namespaces of its own.

use std::path::Path;
use std::process::{Command, Stdio};

/// What wireproof and wiremesh start for themselves, as a shell command. `$WIREPROOF` and
/// `$WIREMESH` are the programs, `$WIREMESH-test` is the one with faults.
const VERBS: &[&str] = &[
    "$WIREPROOF wireproof-node-init ada",
    "$WIREPROOF wireproof-node-init '{\"name\":\"ada\"}'",
    "env WIREPROOF_SANDBOX=9 $WIREPROOF rpf",
    "bash -c 'exec -a /init $WIREPROOF'",
    "$WIREMESH tunnel typed0",
    "$WIREMESH-test tunnel typed0 --fault mortal-tunnel",
    "$WIREMESH tunnel ../../../tmp/typed0",
];

/// Prints what a verb could change, runs it with no input, and prints the same again. First it is
/// any process, then process 1 of a process namespace, which is all that differs.
///
/// Mounts are shared among one another at first, so that a change of that is seen too.
const SCRIPT: &str = r#"
look() {
    uname -n
    cat /proc/self/mountinfo
    cut -d: -f1 /proc/self/net/dev
    ls -A /var/run/wireguard /tmp/typed0.lock 2>/dev/null
    cat /proc/sys/kernel/printk
}
mount --make-rshared /
# What never ends, as the harness that a sandbox belongs to.
folder=$(mktemp -d); mkfifo "$folder/fifo"; exec 9<>"$folder/fifo"; rm -r "$folder"
before=$(look)
timeout 20 sh -c "$VERB" </dev/null >/dev/null 2>&1
status=$?
after=$(look)
[ "$before" = "$after" ] || { echo "typed: $VERB"; echo "$after"; }
timeout 20 unshare -p -f --kill-child sh -c "exec $VERB" </dev/null >/dev/null 2>&1
after=$(look)
[ "$before" = "$after" ] || { echo "as process 1: $VERB"; echo "$after"; }
[ $status -ne 124 ] || echo "typed: $VERB does not end"
[ $status -ne 0 ] || case "$VERB" in *rpf) ;; *) echo "typed: $VERB is not refused" ;; esac
"#;

#[test]
fn internal_commands_change_nothing_when_a_person_runs_them() {
    let wireproof = Path::new(env!("CARGO_BIN_EXE_wireproof"));
    let wiremesh = wireproof.with_file_name("wiremesh");
    assert!(
        wiremesh.is_file() && wiremesh.with_file_name("wiremesh-test").is_file(),
        "build wiremesh first: cargo build -p wiremesh"
    );
    for verb in VERBS {
        let mut command = Command::new("unshare");
        if !nix::unistd::Uid::effective().is_root() {
            command.arg("--map-root-user");
        }
        let output = command
            .args([
                "-m",
                "-u",
                "-i",
                "-n",
                "-p",
                "-f",
                "--propagation",
                "private",
            ])
            .args(["--kill-child", "sh", "-c", SCRIPT])
            .env("VERB", verb)
            .env("WIREPROOF", wireproof)
            .env("WIREMESH", &wiremesh)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let seen = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((seen.as_ref(), errors.as_ref()), ("", ""), "{verb}");
    }
}
