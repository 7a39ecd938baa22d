//! Encrypt or drop from the first packet after a boot.
//!
//! What refuses plaintext is in the kernel, and goes with it. So the agent keeps the rules in a
//! file, and `wiremesh guard` sets them again before the network is up, long before an agent has
//! heard of the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::firewall::Firewall;
use crate::nft::{self, NftError};

/// The file's name.
const FILE: &str = "guard.json";

/// Where the rules are kept, and what is in it.
#[derive(Debug)]
pub(crate) struct Guard {
    directory: PathBuf,
    /// What was written last; none if that is unknown.
    kept: Option<Option<Firewall>>,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error("cannot keep the guard's rules in {path}: {cause}")]
    Keep { path: PathBuf, cause: io::Error },
    #[error("cannot read the guard's rules from {path}: {cause}")]
    Read { path: PathBuf, cause: String },
    #[error(transparent)]
    Nft(#[from] NftError),
}

impl Guard {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            kept: None,
        }
    }

    /// Keeps what refuses plaintext; of a firewall that refuses nothing, nothing.
    ///
    /// # Errors
    /// The directory cannot be written. It is tried again whenever this is called.
    pub(crate) fn keep(&mut self, firewall: &Firewall) -> Result<(), GuardError> {
        let strict = firewall.is_strict().then_some(firewall);
        if self.kept.as_ref().map(Option::as_ref) == Some(strict) {
            return Ok(());
        }
        let path = self.directory.join(FILE);
        let done = match strict {
            Some(firewall) => write(&path, &Firewall::default().transaction(firewall)),
            None => remove(&path),
        };
        done.map_err(|cause| GuardError::Keep { path, cause })?;
        self.kept = Some(strict.cloned());
        Ok(())
    }
}

/// Sets the rules that were kept in a directory; says whether there were any.
///
/// # Errors
/// There is a file that cannot be read, or the kernel refuses what is in it.
pub(crate) async fn restore(directory: &Path) -> Result<bool, GuardError> {
    let path = directory.join(FILE);
    let fail = |cause: String| GuardError::Read {
        path: path.clone(),
        cause,
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fail(error.to_string())),
    };
    let rules: Value = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
    nft::transact(&rules).await?;
    Ok(true)
}

/// A reader, or a power cut, meets the old file or the new one.
fn write(path: &Path, rules: &Value) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let draft = path.with_extension("new");
    fs::write(&draft, rules.to_string())?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::firewall::{Protected, Wanted};

    fn strict() -> Firewall {
        Firewall::new(&Wanted {
            mark: 0x10,
            strict: Some(Protected {
                networks: BTreeSet::from(["10.0.0.0/8".parse().unwrap()]),
                ..Protected::default()
            }),
            ..Wanted::default()
        })
    }

    #[test]
    fn what_refuses_is_kept_and_what_does_not_is_not() {
        let directory = std::env::temp_dir().join(format!("wiremesh-guard-{}", std::process::id()));
        let path = directory.join(FILE);
        let mut guard = Guard::new(directory.clone());
        guard.keep(&Firewall::default()).unwrap();
        assert!(!path.exists());
        guard.keep(&strict()).unwrap();
        let rules: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(rules, Firewall::default().transaction(&strict()));
        guard.keep(&Firewall::default()).unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told_each_time() {
        let mut guard = Guard::new("/proc/none".into());
        guard.keep(&Firewall::default()).unwrap();
        for _ in 0..2 {
            let error = guard.keep(&strict()).unwrap_err().to_string();
            assert!(error.contains("/proc/none/guard.json"), "{error}");
        }
    }
}
