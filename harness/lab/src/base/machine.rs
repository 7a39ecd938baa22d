//! Detection of a kernel that the harness has booted in a virtual machine: whatever is done to it ends with the run.

use std::path::Path;

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};

/// Where a guest's archive has what it is to do.
pub(crate) const ORDERS: &str = "/wireproof.json";

/// `RAMFS_MAGIC` (`linux/magic.h`).
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Whether the root is what the kernel unpacks a guest's archive into (Linux:
/// `Documentation/filesystems/ramfs-rootfs-initramfs.rst`), with a guest's orders in it.
pub(crate) fn is_guest() -> bool {
    let in_memory = statfs("/").is_ok_and(|root| {
        let kind = root.filesystem_type();
        kind == TMPFS_MAGIC || kind == RAMFS_MAGIC
    });
    in_memory && Path::new(ORDERS).is_file()
}
