//! Capabilities that reach beyond a node's namespaces (capabilities(7)).

use crate::base::error::{Doing, LabError};
use crate::kernel::sys;

/// What a node's processes keep, by number: what acts on files of theirs, their own processes and
/// their network. `CAP_SYS_ADMIN` is not among them, with which a mount is made writable again,
/// nor what loads modules, makes devices, sets the clock, or boots.
const KEPT_CAPABILITIES: [u32; 15] = [
    0,  // CAP_CHOWN
    1,  // CAP_DAC_OVERRIDE
    2,  // CAP_DAC_READ_SEARCH
    3,  // CAP_FOWNER
    4,  // CAP_FSETID
    5,  // CAP_KILL
    6,  // CAP_SETGID
    7,  // CAP_SETUID
    8,  // CAP_SETPCAP
    10, // CAP_NET_BIND_SERVICE
    12, // CAP_NET_ADMIN
    13, // CAP_NET_RAW
    14, // CAP_IPC_LOCK
    18, // CAP_SYS_CHROOT
    31, // CAP_SETFCAP
];

/// Takes the other ones from whatever this process starts.
pub(super) fn give_up() -> Result<(), LabError> {
    const DOING: &str = "give up the privileges that reach beyond the node";
    for number in 0.. {
        if KEPT_CAPABILITIES.contains(&number) {
            continue;
        }
        match sys::forbid_capability(number) {
            Ok(()) => {}
            // The kernel has no more.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error).doing(DOING),
        }
    }
    sys::inherit_no_capability().doing(DOING)
}
