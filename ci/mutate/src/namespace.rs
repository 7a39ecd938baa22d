//! Namespaces of this program's own: an agent changes links, routes, rules, nftables and sysctls.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Says that this process is in namespaces of its own.
const INSIDE: &str = "WIREPROOF_MUTATE_INSIDE";

/// A node with an uplink, whose `/run` and `/sys` are its own, then the command itself.
const SCRIPT: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin"
mount -t tmpfs none /run && { mount -t sysfs none /sys || mount -t tmpfs none /sys; } &&
ip link set lo up && ip link add name outside type bridge &&
ip address add 10.0.0.1/24 dev outside && ip address add fd00::1/64 dev outside nodad &&
ip link set outside up && exec "$0" "$@"
"#;

/// Runs this very command in namespaces of its own, and says how it ended; none, if this is that run.
///
/// # Errors
/// This machine has no such namespaces for this user.
pub(crate) fn entered() -> io::Result<Option<u8>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let status = command
        .args(["sh", "-c", SCRIPT])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    match (status.code(), status.signal()) {
        // What `unshare` and the script themselves end with.
        (Some(code @ 0..=3), _) => Ok(u8::try_from(code).ok()),
        (code, signal) => Err(io::Error::other(format!(
            "no namespaces of its own: exit status {code:?}, signal {signal:?}"
        ))),
    }
}
