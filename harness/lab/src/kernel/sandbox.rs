//! The harness's own namespaces.
//!
//! The process that the user started is a mere parent: it moves its future
//! children into a new process namespace (and user namespace, if unprivileged), starts
//! this very program again in there and waits. The child is process 1 of its process
//! namespace and dies with the parent, so whatever kills either of them, the kernel ends
//! every process below, and with these the last references to every namespace, interface
//! and mount.
//!
//! The child makes its mount, network and IPC namespaces itself, before it changes
//! anything: a process that merely claims to be the child can change only what is its own.

use std::env;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, pipe};

use crate::base::error::{Doing, LabError};

/// Set for the child, which is inside; its value is the number of the file descriptor that closes when the
/// parent ends.
const INSIDE: &str = "WIREPROOF_SANDBOX";

/// Which side of the sandbox's wall a process finds itself on.
#[derive(Debug)]
pub enum Side {
    /// Inside: go on.
    Inside,
    /// Outside: the child inside has done the work and ended this way.
    Outside(ExitCode),
}

/// Moves the program into its sandbox. Call it first thing in `main`, before any
/// thread exists.
///
/// # Errors
/// The kernel refuses the namespaces.
pub fn enter() -> Result<Side, LabError> {
    match env::var(INSIDE) {
        Ok(lifeline) => {
            settle(&lifeline)?;
            Ok(Side::Inside)
        }
        Err(_) => Ok(Side::Outside(exit_code(wait_for_child()?))),
    }
}

/// Whether this process runs without the host's root: as another user, or as the root of
/// a user namespace only (user_namespaces(7): the host's own maps every id to itself).
pub fn unprivileged() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    !(whole && Uid::effective().is_root())
}

fn wait_for_child() -> Result<ExitStatus, LabError> {
    let program = env::current_exe().doing("find this program's own file")?;
    let outside_uid = Uid::effective();
    let outside_gid = Gid::effective();
    let mut flags = CloneFlags::CLONE_NEWPID;
    if !outside_uid.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags)
        .doing("create the sandbox's namespaces")
        .map_err(|error| error.help(namespace_help()))?;
    if flags.contains(CloneFlags::CLONE_NEWUSER) {
        map_to_root(outside_uid, outside_gid)?;
    }
    let (lifeline, held_by_parent) = pipe().doing("create the sandbox's lifeline")?;
    keep_over_exec(&lifeline)?;
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let mut child = command
        .args(arguments)
        .env(INSIDE, lifeline.as_raw_fd().to_string())
        .spawn()
        .doing("start this program inside the sandbox")?;
    drop(lifeline);
    let status = child.wait().doing("wait for the sandbox")?;
    drop(held_by_parent);
    Ok(status)
}

fn namespace_help() -> String {
    let switches = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    ];
    let closed: Vec<_> = switches
        .into_iter()
        .filter(|(file, off)| fs::read_to_string(file).is_ok_and(|text| text.trim() == *off))
        .map(|(file, off)| format!("{file} is {off}"))
        .collect();
    if closed.is_empty() {
        "run as root, or allow unprivileged user namespaces".into()
    } else {
        format!("run as root, or change this: {}", closed.join(", "))
    }
}

/// Maps the user's own ids to root inside (user_namespaces(7): `setgroups` must be denied first).
fn map_to_root(uid: Uid, gid: Gid) -> Result<(), LabError> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text)
            .doing(format!("write /proc/self/{file}"))
            .map_err(|error| error.help(namespace_help()))?;
    }
    Ok(())
}

fn keep_over_exec(fd: &OwnedFd) -> Result<(), LabError> {
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).doing("keep the sandbox's lifeline")?;
    Ok(())
}

/// What the child does first: check that it is inside (or the lab would build in the host's
/// namespaces), tie its life to the parent's, and move into namespaces of its own.
fn settle(lifeline: &str) -> Result<(), LabError> {
    if Pid::this().as_raw() != 1 {
        return Err(LabError::machine(
            format!("read {INSIDE}"),
            "it is set, but this process is not the first of a sandbox",
        )
        .help(format!("unset {INSIDE}; wireproof sets it for itself")));
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).doing("tie the sandbox to its parent")?;
    let lifeline = take_lifeline(lifeline)?;
    if parent_is_gone(&lifeline)? {
        std::process::exit(3);
    }
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)
        .doing("create the sandbox's namespaces")
        .map_err(|error| error.help(namespace_help()))?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .doing("make the sandbox's mounts private")
    .map_err(|error| {
        error.help("in a chroot, make its root a mount point: mount --bind DIR DIR")
    })?;
    Ok(())
}

fn take_lifeline(number: &str) -> Result<io::PipeReader, LabError> {
    // Opening it again by its number yields an owned descriptor without trusting
    // the number: a wrong one is an error, not undefined behaviour.
    let file = fs::File::open(format!("/proc/self/fd/{number}"))
        .doing(format!("read {INSIDE}"))
        .map_err(|error| error.help(format!("unset {INSIDE}; wireproof sets it for itself")))?;
    Ok(io::PipeReader::from(OwnedFd::from(file)))
}

/// The parent may have ended before the death signal was asked for.
fn parent_is_gone(lifeline: &io::PipeReader) -> Result<bool, LabError> {
    let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).doing("look at the sandbox's lifeline")?;
    Ok(fds[0].revents().is_some_and(|seen| !seen.is_empty()))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(3))
}
