//! The few devices that a network program needs, in a /dev of the node's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::base::error::{Doing, LabError};
use crate::kernel::sys;

use super::{bind, mount_memory};

/// As the host has them.
const DEVICES: [&str; 7] = [
    "null", "zero", "full", "random", "urandom", "tty", "net/tun",
];

/// What programs know standard input and output by (Linux: `Documentation/admin-guide/devices.rst`).
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

pub(super) fn assemble(dev: &Path) -> Result<(), LabError> {
    const DOING: &str = "make a /dev of the node's own";
    mount_memory(dev, "mode=755")?;
    for folder in ["net", "pts", "shm"] {
        fs::create_dir(dev.join(folder)).doing(DOING)?;
    }
    for name in DEVICES {
        let host = Path::new("/dev").join(name);
        // What the host has not is what the engine does without.
        if host.exists() {
            let own = dev.join(name);
            fs::File::create(&own).doing(DOING)?;
            bind(&host, &own).doing(DOING)?;
        }
    }
    for (name, to) in LINKS {
        symlink(to, dev.join(name)).doing(DOING)?;
    }
    // Without terminals of its own a node has none.
    let options = Some("newinstance,ptmxmode=0666,mode=620");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let _ = mount(
        Some("devpts"),
        &dev.join("pts"),
        Some("devpts"),
        flags,
        options,
    );
    mount_memory(&dev.join("shm"), "mode=1777")?;
    sys::set_read_only(dev, true, false).doing(DOING)
}
