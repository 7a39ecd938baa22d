//! Who may start a tunnel process: an agent, which is this very program.
//!
//! The process takes over a TUN device of its name and removes the socket that is in its place,
//! so a device of another program would be lost to it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::{Pid, getppid};

/// Longest name of an interface in bytes (`IFNAMSIZ` without its zero byte).
const LONGEST: usize = 15;

/// Whether this process is one that an agent has started for a device of that name; else why not.
pub(super) fn check(name: &str) -> Result<(), String> {
    check_name(name)?;
    let parent = getppid();
    match (file_of(parent), file_of(Pid::this())) {
        (Some(parent), Some(own)) if parent == own => Ok(()),
        _ => Err(format!(
            "process {parent}, which has started this tunnel, is not an agent"
        )),
    }
}

/// The name is part of a path, and of a device: as the kernel's `dev_valid_name`, which takes no
/// slash, no colon and no white space either.
fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=LONGEST).contains(&name.len()) && !matches!(name, "." | "..");
    let taken = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    match fits && !name.contains(taken) {
        true => Ok(()),
        false => Err(format!("{name:?} cannot be the name of a device")),
    }
}

/// The device and inode number of the program that a process runs.
fn file_of(process: Pid) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "../../tmp/x",
            "a/b",
            "a b",
            "a:b",
            "sixteen-letters-",
            "a\n",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["wireguard.cali", "wg-v6.cali", "fifteen-letters"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn what_another_program_has_started_is_no_tunnel() {
        // Cargo has started this test.
        let refused = check("wireguard.cali").unwrap_err();
        assert!(refused.ends_with("is not an agent"), "{refused}");
    }
}
