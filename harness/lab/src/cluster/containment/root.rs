//! Overlays over the host's filesystems: what is written to them is gone with the node.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::base::error::{Doing, LabError};
use crate::kernel::sandbox::unprivileged;
use crate::kernel::sys;

use super::{below, bind, mount_memory};

/// What is not taken over: a node has its own.
const REPLACED: [&str; 6] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/run"];

/// Puts a root together below `workshop`, which is hidden from here on, and returns where it is.
/// A filesystem over which the kernel has no overlay is taken over as it is, to be read only.
pub(super) fn assemble(workshop: &Path, lacks: &mut Vec<String>) -> Result<PathBuf, LabError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing("read the mounts")?;
    mount_memory(workshop, "mode=755")?;
    let new = workshop.join("root");
    fs::create_dir(&new).doing("make the node's root")?;
    let mut refused = None;
    take_over(workshop, Path::new("/"), &new, 0, &mut refused)?;
    for (number, point) in mount_points(&mounts).into_iter().enumerate() {
        let target = below(&new, &point);
        // A mount may be hidden behind another, or out of sight for this user.
        if target.exists() {
            take_over(workshop, &point, &target, number + 1, &mut None)?;
        }
    }
    lacks.extend(refused.map(|cause| {
        format!("a node's processes cannot write to / at all: there is no overlay ({cause})")
    }));
    Ok(new)
}

fn take_over(
    workshop: &Path,
    lower: &Path,
    target: &Path,
    number: usize,
    refused: &mut Option<String>,
) -> Result<(), LabError> {
    let doing = || format!("take over {}", lower.display());
    if lower.is_dir() {
        match overlay(workshop, lower, target, number) {
            Ok(()) => return Ok(()),
            Err(cause) => *refused = Some(cause),
        }
    }
    // Not with the mounts below it: each of them is taken over by itself.
    let flags = MsFlags::MS_BIND;
    match mount(Some(lower), target, None::<&str>, flags, None::<&str>) {
        Ok(()) => sys::set_read_only(target, true, false).doing(doing()),
        // In a user namespace what is mounted below must not come to light.
        Err(nix::errno::Errno::EINVAL) => {
            bind(lower, target).doing(doing())?;
            sys::set_read_only(target, true, true).doing(doing())
        }
        Err(errno) => Err(errno).doing(doing()),
    }
}

/// Mounts an overlay (Linux: `Documentation/filesystems/overlayfs.rst`).
fn overlay(workshop: &Path, lower: &Path, target: &Path, number: usize) -> Result<(), String> {
    // Its options have no way to quote these that every kernel knows.
    let shown = lower
        .to_str()
        .filter(|path| !path.contains([',', ':', '\\']));
    let shown = shown.ok_or("its path cannot be written in a mount's options")?;
    let [upper, work] = ["upper", "work"].map(|kind| workshop.join(format!("{kind}{number}")));
    for folder in [&upper, &work] {
        fs::create_dir(folder).map_err(|error| error.to_string())?;
    }
    let attributes = if unprivileged() { ",userxattr" } else { "" };
    let options = format!(
        "lowerdir={shown},upperdir={},workdir={}{attributes}",
        upper.display(),
        work.display()
    );
    let flags = MsFlags::MS_NODEV;
    mount(
        Some("overlay"),
        target,
        Some("overlay"),
        flags,
        Some(options.as_str()),
    )
    .map_err(|errno| errno.desc().to_owned())
}

/// The places of all mounts that are taken over besides the root, outer ones first
/// (proc_pid_mountinfo(5): the fifth field, spaces and the like as octal numbers).
fn mount_points(mounts: &str) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut points: Vec<_> = points
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| {
            let replaced = |own: &&str| point.starts_with(own);
            point != Path::new("/") && !REPLACED.iter().any(replaced)
        })
        .collect();
    points.sort();
    points.dedup();
    points
}

fn unescape(point: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(point.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_taken_over_outer_ones_first_and_those_of_the_kernel_are_not() {
        let text = "\
21 1 8:1 / / rw - ext4 /dev/sda rw
30 21 8:3 / /var/lib/some\\040folder rw - ext4 /dev/sdc rw
22 21 0:5 / /proc rw - proc proc rw
23 22 0:6 / /proc/sys/fs/binfmt_misc rw - binfmt_misc none rw
29 21 8:2 / /var rw shared:3 - ext4 /dev/sdb rw
31 21 8:4 / /runs rw - ext4 /dev/sdd rw
32 21 0:9 / /run rw - tmpfs none rw
33 21 8:5 / /var rw - ext4 /dev/sde rw
";
        let points: Vec<_> = ["/runs", "/var", "/var/lib/some folder"]
            .map(PathBuf::from)
            .into();
        assert_eq!(mount_points(text), points);
    }
}
