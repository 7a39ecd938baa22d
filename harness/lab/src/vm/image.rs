//! The guest's first root: this program, what it runs, their libraries, and modules.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use wireproof_model::plan::Patience;

use crate::base::error::{Doing, LabError};
use crate::base::machine::ORDERS;
use crate::base::program::{find, program};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::library;

/// Where it finds modules, named so that their order is the order to load them in.
pub(crate) const MODULES: &str = "/modules";

/// What a guest is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// This program's path, there as here.
    pub(crate) program: PathBuf,
    /// The folder to work in, there as here.
    pub(crate) folder: PathBuf,
    /// The arguments of each run.
    pub(crate) jobs: Vec<Vec<String>>,
    /// How many run at a time.
    pub(crate) workers: usize,
    /// What the guest's own deadlines are multiplied by.
    pub(crate) patience: Patience,
}

/// The root as an archive in memory, for qemu to read. `files` and `programs` have the same
/// absolute paths there as here.
///
/// # Errors
/// A file is missing or cannot be read.
pub(crate) fn assemble(
    kernel: &Kernel,
    orders: &Orders,
    programs: &[PathBuf],
    files: &[PathBuf],
) -> Result<OwnedFd, LabError> {
    const DOING: &str = "put the guest's first root together";
    let memory = memfd_create("wireproof-initramfs", MFdFlags::MFD_CLOEXEC).doing(DOING)?;
    let mut archive = Archive::new(BufWriter::new(fs::File::from(memory)));
    // A node hides /run and /var/run, and hides nothing that comes to be there later: without the
    // latter the first nodes' tunnels would share one socket.
    for folder in [
        "/dev", "/proc", "/sys", "/run", "/var", "/var/run", "/tmp", "/runs", "/root", "/etc",
    ] {
        archive.folder(Path::new(folder)).doing(DOING)?;
    }
    archive.folder(&orders.folder).doing(DOING)?;
    archive
        .link(Path::new("/init"), &orders.program)
        .doing(DOING)?;
    let system = ["nft"].iter().filter_map(|name| find(name));
    let mut copied = BTreeSet::new();
    for path in programs
        .iter()
        .cloned()
        .chain(system)
        .chain([orders.program.clone()])
    {
        if !copied.insert(path.clone()) {
            continue;
        }
        archive
            .file(&path, 0o755, &without_symbols(&path)?)
            .doing(DOING)?;
        for library in library::needed_by(&path)? {
            if copied.insert(library.clone()) {
                let content = read(&library)?;
                archive.file(&library, 0o755, &content).doing(DOING)?;
            }
        }
    }
    for path in files {
        if copied.insert(path.clone()) {
            archive.file(path, 0o644, &read(path)?).doing(DOING)?;
        }
    }
    for (number, module) in kernel.modules()?.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        let path = Path::new(MODULES).join(format!("{number:03}-{name}"));
        archive.file(&path, 0o644, &read(module)?).doing(DOING)?;
    }
    let text = serde_json::to_vec(orders).map_err(|e| LabError::machine(DOING, e))?;
    archive.file(Path::new(ORDERS), 0o644, &text).doing(DOING)?;
    let file = archive.finish().doing(DOING)?;
    let file = file.into_inner().map_err(|e| LabError::machine(DOING, e))?;
    Ok(file.into())
}

fn read(path: &Path) -> Result<Vec<u8>, LabError> {
    fs::read(path).doing(format!("read {}", path.display()))
}

/// A program without what only debuggers read, where there is a tool to take it out: a guest has
/// to unpack it all.
fn without_symbols(path: &Path) -> Result<Vec<u8>, LabError> {
    let whole = read(path)?;
    let is_executable = fs::metadata(path).is_ok_and(|of| of.permissions().mode() & 0o111 != 0);
    if !is_executable {
        return Err(LabError::machine(
            format!("take {} along", path.display()),
            "it is not executable",
        ));
    }
    // An anonymous file, because what is stripped is written in places, not in order.
    let Ok(memory) = memfd_create("wireproof-stripped", MFdFlags::empty()) else {
        return Ok(whole);
    };
    let mut file = fs::File::from(memory);
    let output = program("strip")
        .args(["--strip-debug", "-o"])
        .arg(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg(path)
        .output();
    let mut stripped = Vec::new();
    let worked = output.is_ok_and(|output| output.status.success())
        && file.rewind().is_ok()
        && file.read_to_end(&mut stripped).is_ok()
        && stripped.starts_with(b"\x7fELF");
    Ok(if worked { stripped } else { whole })
}
