//! Check of who starts a tunnel process: an agent alone may, which gives it one end of a socket pair as its input.
//!
//! The process takes over a TUN device of its name and removes the socket that is in its place,
//! so a device of another program would be lost to it.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::getppid;

/// Longest name of an interface in bytes (`IFNAMSIZ` without its zero byte).
const MAX_NAME_BYTES: usize = 15;

/// Whether this process is one that an agent has started for a device of that name; else why not.
pub(super) fn check(name: &str) -> Result<(), String> {
    check_name(name)?;
    let parent = getppid();
    match maker_of(&io::stdin()) == Some(parent.as_raw()) {
        true => Ok(()),
        false => Err(format!(
            "process {parent}, which has started this tunnel, is not an agent"
        )),
    }
}

/// The name is part of a path, and of a device: as the kernel's `dev_valid_name`, which takes no
/// slash, no colon and no white space either.
fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && !matches!(name, "." | "..");
    let taken = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    match fits && !name.contains(taken) {
        true => Ok(()),
        false => Err(format!("{name:?} cannot be the name of a device")),
    }
}

/// The process that has made a socket pair of which this is one end; none if it is anything else. The
/// kernel keeps it with the socket (unix(7): `SO_PEERCRED`), so that it can be asked for without any
/// privilege; `/proc/PID/exe` of an agent with capabilities of its own cannot.
fn maker_of(end: &impl AsFd) -> Option<i32> {
    let peer = getsockopt(&end.as_fd(), PeerCredentials).ok()?;
    Some(peer.pid())
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
    fn a_tunnel_process_not_started_by_an_agent_is_refused() {
        // Cargo has started this test, without such a socket.
        let refused = check("wireguard.cali").unwrap_err();
        assert!(refused.ends_with("is not an agent"), "{refused}");
    }

    #[test]
    fn a_socket_pair_names_the_process_that_made_it() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(maker_of(&one), Some(std::process::id().cast_signed()));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(maker_of(&file), None);
    }
}
