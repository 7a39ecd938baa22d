//! /proc and /sys: what is of the node's network namespace can be written, what is of the whole
//! kernel cannot.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::base::error::{Doing, LabError};
use crate::kernel::sys;

use super::bind;

/// Below /proc, what is of the whole kernel and can be written.
const OF_THE_KERNEL: [&str; 9] = [
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "scsi",
    "mtrr",
    "latency_stats",
];

/// Where a network namespace's own interfaces are, below its sysfs.
const INTERFACES: &str = "devices/virtual/net";

pub(super) fn assemble(root: &Path, lacks: &mut Vec<String>) -> Result<(), LabError> {
    processes(&root.join("proc"), lacks)?;
    devices(&root.join("sys"), lacks)
}

/// A /proc of the node's process namespace. Its `sys/net` is that of whoever looks.
fn processes(proc: &Path, lacks: &mut Vec<String>) -> Result<(), LabError> {
    const DOING: &str = "mount a /proc of the node's own";
    if let Err(errno) = fresh("proc", proc) {
        // Where a container hides parts of /proc, the kernel refuses a fresh one; the old one serves.
        bind(Path::new("/proc"), proc).doing(DOING)?;
        lacks.push(format!(
            "a node's processes see the ones outside in /proc: the kernel refuses a new one ({})",
            errno.desc()
        ));
    }
    let net = proc.join("sys/net");
    for file in OF_THE_KERNEL {
        let path = proc.join(file);
        if path.exists() {
            bind(&path, &path).doing(DOING)?;
            if file == "sys" {
                bind(&net, &net).doing(DOING)?;
            }
            sys::set_read_only(&path, true, false).doing(DOING)?;
        }
    }
    Ok(())
}

/// A sysfs of the node's network namespace.
fn devices(sysfs: &Path, lacks: &mut Vec<String>) -> Result<(), LabError> {
    const DOING: &str = "mount a /sys of the node's own";
    if let Err(errno) = fresh("sysfs", sysfs) {
        bind(Path::new("/sys"), sysfs).doing(DOING)?;
        sys::set_read_only(sysfs, true, true).doing(DOING)?;
        lacks.push(format!(
            "a node's processes see the host's interfaces in /sys, which they cannot write to: \
             the kernel refuses a new one ({})",
            errno.desc()
        ));
        return Ok(());
    }
    let own = sysfs.join(INTERFACES);
    if own.is_dir() {
        bind(&own, &own).doing(DOING)?;
    }
    sys::set_read_only(sysfs, true, false).doing(DOING)
}

pub(super) fn fresh(kind: &str, target: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), target, Some(kind), flags, None::<&str>)
}
