//! One agent for each state directory: two would set the kernel against each other for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, c_int, c_short, flock};

use super::error::AgentError;

/// The file's name in the state directory.
const FILE: &str = "agent.lock";

/// Locks the state directory for as long as the file is held and the process lives. None where the directory cannot
/// be written: encryption is worth more than the lock.
///
/// The lock is a record lock (fcntl(2)), which belongs to the process alone: one of flock(2) would stay with a child
/// that an agent had forked when it was killed, and the next agent would be refused.
///
/// # Errors
/// Another agent holds the lock.
pub(super) fn lock(state: &Path) -> Result<Option<File>, AgentError> {
    let path = state.join(FILE);
    let report = |error: io::Error| {
        tracing::info!(
            "cannot lock {}: {error}: this agent cannot detect a second one on the node",
            path.display()
        );
        Ok(None)
    };
    let file = match open(state, &path) {
        Ok(file) => file,
        Err(error) => return report(error),
    };
    match fcntl(&file, FcntlArg::F_SETLK(&whole(F_WRLCK))) {
        Ok(_) => Ok(Some(file)),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(AgentError::Another {
            process: holder(&file),
            state: PathBuf::from(state),
        }),
        Err(error) => report(error.into()),
    }
}

fn open(state: &Path, path: &Path) -> io::Result<File> {
    fs::create_dir_all(state)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // A symbolic link is not followed, and opening a FIFO does not block.
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    options.open(path)
}

/// A lock of the whole file.
fn whole(kind: c_int) -> flock {
    // The constants are small numbers of another type than the fields.
    let short = |value: c_int| c_short::try_from(value).unwrap_or_default();
    flock {
        l_type: short(kind),
        l_whence: short(SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The process that holds the lock, if this process can see it.
fn holder(file: &File) -> Option<u32> {
    let mut found = whole(F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut found)).ok()?;
    let is_held = c_int::from(found.l_type) != F_UNLCK;
    u32::try_from(found.l_pid)
        .ok()
        .filter(|pid| is_held && *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_used_and_a_link_keep_no_agent_from_running() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(lock(&file).unwrap().is_none());
        std::os::unix::fs::symlink(&file, folder.path().join(FILE)).unwrap();
        assert!(lock(folder.path()).unwrap().is_none());
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }
}
