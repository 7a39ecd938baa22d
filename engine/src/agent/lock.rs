//! One agent for each state directory: two would set the kernel against each other for ever.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::error::AgentError;

/// The file's name in the state directory. The kernel releases its lock when the process ends, however it ends.
const FILE: &str = "agent.lock";

/// Locks the state directory for as long as the file is held, and writes the process's id for people. None where
/// the directory cannot be written: encryption is worth more than the lock.
///
/// # Errors
/// Another agent holds the lock.
pub(super) fn lock(state: &Path) -> Result<Option<File>, AgentError> {
    let path = state.join(FILE);
    match try_lock(state, &path) {
        Ok(file) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(AgentError::Another {
            process: holder(&path),
            state: PathBuf::from(state),
        }),
        Err(TryLockError::Error(error)) => {
            tracing::info!(
                "cannot lock {}: {error}: this agent cannot detect a second one on the node",
                path.display()
            );
            Ok(None)
        }
    }
}

fn try_lock(state: &Path, path: &Path) -> Result<File, TryLockError> {
    fs::create_dir_all(state).map_err(TryLockError::Error)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // A link that somebody put there is not followed, and a FIFO is not waited for.
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let mut file = options.open(path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    // The id is for people alone.
    let _: io::Result<()> = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The process that holds the lock, as it wrote it.
fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_until_the_first_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let first = lock(&state).unwrap().unwrap();
        let refused = lock(&state).unwrap_err().to_string();
        let process = std::process::id();
        assert_eq!(
            refused,
            format!(
                "another agent (process {process}) keeps its state in {}: end it, or give this one a \
                 directory of its own with `--state`",
                state.display()
            )
        );
        drop(first);
        assert!(lock(&state).unwrap().is_some());
    }

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
