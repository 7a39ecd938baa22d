//! Mount namespaces of nodes: the files that a node's processes see and can write.
//!
//! Called in a new mount namespace whose mounts are private. The new root is the host's behind an
//! overlay in memory, which vanishes with the namespace; /tmp, /run, /dev, /proc and /sys are the
//! node's own. Only the paths that the run names are the host's. Afterwards the privileges that
//! could undo this are given up for every process that is started.

/// Overlays over the host's filesystems.
mod root;

/// /proc and /sys: of the network namespace writable, of the host not.
mod kernel;

/// The few devices that a network program needs.
mod device;

/// Capabilities that reach beyond a node's namespaces.
mod privilege;

use std::env;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::chroot;
use serde::{Deserialize, Serialize};

use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};
use crate::base::machine::is_guest;
use crate::kernel::sys;

/// Where the new root is put together: a folder of every Linux system (FHS 3.0), which nodes do
/// not share.
const WORKSHOP: &str = "/run";

/// What is hidden behind folders of the node's own, below which the host's paths are bound back.
const OWN: [&str; 2] = ["/tmp", "/run"];

/// How much the files that a node's processes write may take of the memory, of each kind of place.
const TMPFS_SIZE: &str = "size=256m";

/// What of the host stays visible to a node's processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paths {
    /// To be read: what the commands name, and the folder they are started in.
    pub(crate) read: Vec<PathBuf>,
    /// To be written too. They must be there.
    pub(crate) write: Vec<PathBuf>,
    /// The run directory: read by the node's processes, written to by the node's first one.
    pub(crate) runs: PathBuf,
    /// Whether all files, kernel parameters and privileges are left to the node's processes. Only in a
    /// virtual machine, whose kernel ends with the run.
    pub(crate) uncontained: bool,
}

/// A node's files.
#[derive(Debug)]
pub(crate) struct Contained {
    /// The run directory, as it is outside.
    runs: OwnedFd,
    /// The folder with the upper layer of each overlay: what processes have written to the host's
    /// filesystems. None where they are not contained.
    overlays: Option<OwnedFd>,
    /// What the kernel refused, and what is not contained therefore.
    pub(crate) lacks: Vec<String>,
}

impl Contained {
    /// The number of this process's open file that leads to the overlays' upper layers.
    pub(crate) fn overlays(&self) -> Option<i32> {
        self.overlays.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The way to a file of the run directory that a node's other processes do not have.
    pub(crate) fn in_runs(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default();
        Path::new(&handle(&self.runs)).join(name)
    }
}

/// A path of the host that is bound back.
struct Kept {
    path: PathBuf,
    handle: OwnedFd,
    writable: bool,
}

/// Gives the calling process, and what it starts from here on, files of their own.
///
/// # Errors
/// The kernel refuses something without which the host's files would be writable.
pub(crate) fn contain(paths: &Paths) -> Result<Contained, LabError> {
    let mut lacks = Vec::new();
    let runs = hold(&paths.runs)?;
    if paths.uncontained {
        leave_open()?;
        return Ok(Contained {
            runs,
            overlays: None,
            lacks,
        });
    }
    let kept = kept(paths)?;
    let folder = env::current_dir().unwrap_or_else(|_| "/".into());

    let new = root::assemble(Path::new(WORKSHOP), &mut lacks)?;
    let overlays = Some(hold(Path::new(WORKSHOP))?);
    for own in OWN {
        let target = below(&new, Path::new(own));
        let _ = fs::create_dir_all(&target);
        let mode = if own == "/tmp" {
            "mode=1777"
        } else {
            "mode=755"
        };
        mount_memory(&target, mode)?;
    }
    // Where /var/run is not a link to /run, it is the node's own likewise.
    let other = below(&new, Path::new("/var/run"));
    if other.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        mount_memory(&other, "mode=755")?;
    }
    device::assemble(&below(&new, Path::new("/dev")))?;
    kernel::assemble(&new, &mut lacks)?;
    for kept in &kept {
        bind_back(&new, kept)?;
    }

    switch_to(&new)?;
    // A folder that nobody named may be hidden.
    env::set_current_dir(&folder)
        .or_else(|_| env::set_current_dir("/"))
        .doing("enter the folder")?;
    privilege::give_up()?;
    Ok(Contained {
        runs,
        overlays,
        lacks,
    })
}

/// Gives the calling process a /run and a /proc of its own, and nothing else: sockets and process
/// numbers are the node's.
fn leave_open() -> Result<(), LabError> {
    if !is_guest() {
        return Err(LabError::machine(
            "start an engine that is not contained",
            "the kernel is the host's",
        )
        .help("run it in a virtual machine: `--lane vm:KERNEL`"));
    }
    for own in ["/run", "/var/run"] {
        if fs::symlink_metadata(own).is_ok_and(|found| found.is_dir()) {
            mount_memory(Path::new(own), "mode=755")?;
        }
    }
    kernel::fresh("proc", Path::new("/proc")).doing("mount a /proc of the node's own")
}

/// What is bound back, outer paths first.
fn kept(paths: &Paths) -> Result<Vec<Kept>, LabError> {
    let mut kept = Vec::new();
    let read = paths.read.iter().chain([&paths.runs]);
    let all = read
        .map(|path| (path, false))
        .chain(paths.write.iter().map(|path| (path, true)));
    for (path, writable) in all {
        // A command may name what is not there, or is no path at all.
        let Ok(path) = path.canonicalize() else {
            match writable {
                true => return Err(hold(path).err().unwrap_or_else(|| missing(path))),
                false => continue,
            }
        };
        let own = |own: &&str| path.starts_with(own) && path != Path::new(own);
        let is_the_kernels = ["/proc", "/sys", "/dev"]
            .iter()
            .any(|of| path.starts_with(of));
        // What is not hidden is visible anyway; the run directory changes meanwhile, which an
        // overlay does not follow.
        let wanted = writable || path == paths.runs || OWN.iter().any(own);
        if wanted && !is_the_kernels && path != Path::new("/") {
            let handle = hold(&path)?;
            kept.push(Kept {
                path,
                handle,
                writable,
            });
        }
    }
    kept.sort_by_key(|kept| (kept.path.components().count(), kept.writable));
    Ok(kept)
}

fn missing(path: &Path) -> LabError {
    LabError::machine(
        format!("keep {} writable", shown_path(&path)),
        "it is not there",
    )
}

fn hold(path: &Path) -> Result<OwnedFd, LabError> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .doing(format!("open {}", shown_path(&path)))
        .map_err(|error| error.help("what an engine is to keep must be there before the run"))
}

/// Another path to what is held.
fn handle(held: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", held.as_raw_fd())
}

/// An absolute path as one below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn bind_back(root: &Path, kept: &Kept) -> Result<(), LabError> {
    let doing = || format!("keep {} visible", shown_path(&kept.path));
    let target = below(root, &kept.path);
    let source = handle(&kept.handle);
    if fs::metadata(&source).doing(doing())?.is_dir() {
        fs::create_dir_all(&target).doing(doing())?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).doing(doing())?;
        }
        fs::File::create(&target).doing(doing())?;
    }
    bind(Path::new(&source), &target).doing(doing())?;
    sys::set_read_only(&target, !kept.writable, true).doing(doing())
}

/// Makes a folder or file another name of one that is there, mounts below it included.
fn bind(source: &Path, target: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, None::<&str>, flags, None::<&str>)
}

fn mount_memory(target: &Path, mode: &str) -> Result<(), LabError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("{TMPFS_SIZE},{mode}");
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .doing(format!("mount {} of the node's own", shown_path(&target)))
}

/// Makes a mount the root, over the one that was. As an initramfs is left, since the root of a
/// virtual machine is one and cannot be moved away (Linux:
/// `Documentation/filesystems/ramfs-rootfs-initramfs.rst`).
fn switch_to(root: &Path) -> Result<(), LabError> {
    const DOING: &str = "enter the node's root";
    env::set_current_dir(root).doing(DOING)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).doing(DOING)?;
    chroot(".").doing(DOING)?;
    env::set_current_dir("/").doing(DOING)
}
