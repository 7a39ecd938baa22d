//! One file of a directory: read with bounds, and written without following a link.
//!
//! Reading follows links, since a Kubernetes ConfigMap is mounted by links, and then takes only a
//! regular file of at most [`LIMIT`] bytes. A FIFO or a device is not even opened: a FIFO would
//! wait for a writer, and opening a device can do something.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// The largest file that is read, in bytes; etcd takes 1.5 MiB a resource, a ConfigMap 1 MiB.
pub(super) const LIMIT: u64 = 4 * 1024 * 1024;

/// The message about a link whose target is not there: what it held is unknown, and not gone. Of a ConfigMap
/// whose files are mounted by links it may come back at once.
const NOWHERE: &str = "it is a link that leads nowhere";

/// What a file holds, or why it cannot be used.
pub(super) type Content = Result<Vec<u8>, String>;

/// What the file `name` in `folder` holds; None if it is not there.
pub(super) fn read(folder: &File, name: &str) -> Option<Content> {
    match open(folder, name) {
        Ok(file) => Some(file.and_then(take)),
        Err(Errno::ENOENT) => leads_nowhere(folder, name).then(|| Err(NOWHERE.into())),
        Err(errno) => Some(Err(format!("it cannot be opened: {}", errno.desc()))),
    }
}

/// Whether the name is that of a link; without one the file is gone, or is being replaced.
fn leads_nowhere(folder: &File, name: &str) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let named = openat(folder, name, flags, Mode::empty()).map(File::from);
    named.is_ok_and(|named| named.metadata().is_ok_and(|found| found.is_symlink()))
}

/// Opens a regular file. `O_PATH` gives a descriptor without opening what it names; what that
/// descriptor names cannot become another file between the look at it and the reading.
fn open(folder: &File, name: &str) -> Result<Result<File, String>, Errno> {
    let named = openat(
        folder,
        name,
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let named = File::from(named);
    let found = match named.metadata() {
        Ok(found) => found,
        Err(error) => return Ok(Err(format!("it cannot be looked at: {error}"))),
    };
    if !found.is_file() {
        return Ok(Err("it is no regular file, and is not read".into()));
    }
    if found.len() > LIMIT {
        return Ok(Err(too_large()));
    }
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(format!("/proc/self/fd/{}", named.as_raw_fd()));
    Ok(file.map_err(|error| format!("it cannot be opened: {error}")))
}

fn take(file: File) -> Content {
    let mut content = Vec::new();
    // The size that was told need not be the size that is there.
    file.take(LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    match u64::try_from(content.len()) {
        Ok(length) if length <= LIMIT => Ok(content),
        _ => Err(too_large()),
    }
}

fn too_large() -> String {
    format!("it is larger than {} MiB", LIMIT / 1024 / 1024)
}

/// Opens the file whose lock keeps other writers out.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options()
        .create(true)
        .append(true)
        .custom_flags(flags.bits())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Puts `text` in the place of the file at `path`, on the disk before it takes the old one's place.
///
/// # Errors
/// `path` is a link: its target may be anything, and the link may be another program's.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other(
            "it is a link or no regular file\n  help: put the file itself into the store; links are read and never written",
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    let create = || {
        File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)
    };
    let mut file = match create() {
        // Left by a writer that died: this one holds the lock. A link is removed, not its target.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary)?;
            create()?
        }
        created => created?,
    };
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}
