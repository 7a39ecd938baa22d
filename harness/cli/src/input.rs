//! Files that the user names, and those that a folder holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder of scenarios that is taken where none is named.
pub const SCENARIOS: &str = "scenarios";

/// A file's text.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, error))
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
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.is_dir() {
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
