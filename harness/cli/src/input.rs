//! Files that the user names, and those that a folder holds.

use std::fs::{self, FileType, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::failure::Failure;

/// The folder of scenarios that is taken where none is named.
pub const SCENARIOS: &str = "scenarios";

/// The longest file that a person writes, in bytes: a scenario or a descriptor.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The text of a file that a person has written.
///
/// # Errors
/// It cannot be read, is no regular file, is longer than 4 MiB, or is not UTF-8.
pub fn text(path: &Path) -> Result<String, Failure> {
    read(path, MAX_FILE_BYTES)
}

/// The text of a file that a run has left, of any length.
///
/// # Errors
/// As [`text`].
pub fn saved(path: &Path) -> Result<String, Failure> {
    read(path, u64::MAX - 1)
}

/// Nothing but a regular file is read: a FIFO that has no writer, or a device that never ends, would
/// keep the program for ever.
fn read(path: &Path, longest: u64) -> Result<String, Failure> {
    let wrong = |cause: &dyn std::fmt::Display| unreadable(path, cause);
    let mut open = OpenOptions::new();
    // A FIFO is opened at once, and a terminal does not become the program's own.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = open.read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(|error| wrong(&error))?;
    let kind = file.metadata().map_err(|error| wrong(&error))?.file_type();
    if !kind.is_file() {
        return Err(wrong(&format!("it is {}, not a file", kind_of(kind))));
    }
    let mut bytes = Vec::new();
    let read = file.take(longest + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > longest) {
        return Err(wrong(&format!(
            "it is longer than {} MiB, which no scenario or descriptor has to be",
            longest >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let begun = before.iter().rposition(|byte| *byte == b'\n');
        let begun = &before[begun.map_or(0, |position| position + 1)..];
        let column = String::from_utf8_lossy(begun).chars().count() + 1;
        wrong(&format!("line {line}, column {column} is not UTF-8"))
    })
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Each named `.toml` file, and those below each named folder, in the order of their paths.
///
/// # Errors
/// One is not there, or a folder holds none.
pub fn toml_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path == Path::new(SCENARIOS) && !path.exists() {
            return Err(Failure::Unknown {
                what: format!("there is no folder `{SCENARIOS}` here"),
                help: format!(
                    "name scenario files or folders, or start wireproof where the folder `{SCENARIOS}` is"
                ),
            });
        }
        if !path.is_dir() {
            fs::metadata(path).map_err(|error| unreadable(path, error))?;
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        collect(path, &mut found)?;
        if found.is_empty() {
            return Err(unreadable(path, "the folder holds no .toml file"));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let path = entry.path();
        let kind = entry.file_type();
        let kind = kind.map_err(|error| unreadable(&path, error))?;
        // A link to a folder may lead back to where it is.
        if kind.is_symlink() && path.is_dir() {
            continue;
        }
        if kind.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "toml") {
            found.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, cause: impl std::fmt::Display) -> Failure {
    Failure::Unreadable {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}
