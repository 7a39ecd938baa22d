//! The rules of encrypt or drop, kept for the first packet after a boot.
//!
//! What refuses plaintext is in the kernel, and goes with it. So the agent keeps the rules in a file, and
//! `wiremesh guard` sets them again before the network is up, long before an agent has read the store.

use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::Value;
use wiremesh_plan::dataplane::firewall::Firewall;

use crate::host::nft::{self, NftError};

/// The rules of last resort, where the kept ones cannot be used.
mod closed;

/// The file's name.
const FILE: &str = "guard.json";

/// How large the file may be, in bytes: 100,000 networks take 10 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where the rules are kept, and what is in it.
#[derive(Debug)]
pub(crate) struct Guard {
    directory: PathBuf,
    /// What was written last; none if that is unknown.
    kept: Option<Option<Firewall>>,
    /// The file after that; none if there was none.
    stamp: Option<Stamp>,
}

/// What changes when a file is written, or another takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    #[error("cannot keep the guard's rules in {}: {cause}{}", .path.display(), advice(cause))]
    Keep { path: PathBuf, cause: io::Error },
    /// Plaintext is dropped all the same.
    #[error(
        "the guard's rules in {} cannot be used: {cause}\n  until the agent has read the store, \
         everything is dropped but the loopback, local pods, what stays on the link, and the store \
         at {store}\n  help: start the agent; to let everything pass in clear, run `nft delete table \
         inet wiremesh`",
        .path.display()
    )]
    Closed {
        path: PathBuf,
        cause: String,
        store: String,
    },
    /// Plaintext is not dropped.
    #[error(
        "encrypt or drop is NOT in force: the guard's rules in {} cannot be used: {cause}; and \
         dropping everything failed: {error}",
        .path.display()
    )]
    Open {
        path: PathBuf,
        cause: String,
        error: String,
    },
}

/// What helps where a file cannot be written.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull => "\n  help: free space on its disk",
        io::ErrorKind::QuotaExceeded => "\n  help: raise this user's disk quota",
        io::ErrorKind::FileTooLarge => {
            "\n  help: raise the limit of a file's size: `ulimit -f`, `LimitFSIZE=`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "\n  help: name a directory that can be written with --state"
        }
        _ => "",
    }
}

impl Guard {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            kept: None,
            stamp: None,
        }
    }

    /// Keeps what refuses plaintext; of a firewall that refuses nothing, nothing. Returns whether the file was
    /// another than the one that was written last.
    ///
    /// # Errors
    /// The directory cannot be written. It is tried again whenever this is called.
    pub(crate) fn keep(&mut self, firewall: &Firewall) -> Result<bool, GuardError> {
        // What drops nothing yet would be refused at the boot, and the node be cut off for it.
        let strict = firewall.drops_plaintext().then_some(firewall);
        let path = self.directory.join(FILE);
        let touched = self.kept.is_some() && stamp(&path) != self.stamp;
        if !touched && self.kept.as_ref().map(Option::as_ref) == Some(strict) {
            return Ok(false);
        }
        let done = match strict {
            Some(firewall) => write(&path, &Firewall::default().transaction(firewall)),
            None => remove(&path),
        };
        let stamp = stamp(&path);
        done.map_err(|cause| GuardError::Keep { path, cause })?;
        self.kept = Some(strict.cloned());
        self.stamp = stamp;
        Ok(touched)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Stamp {
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// Sets the rules that were kept in a directory; returns whether there were any. Where they cannot be used,
/// strict mode was on and nobody knows for which networks: everything is dropped but what the agent needs to
/// read the store, which is at `store`.
///
/// # Errors
/// The file cannot be used, or the kernel refuses what is in it.
pub(crate) async fn restore(directory: &Path, store: &[SocketAddr]) -> Result<bool, GuardError> {
    let path = directory.join(FILE);
    let cause = match read(&path) {
        Ok(None) => return Ok(false),
        Ok(Some(firewall)) => match set(&firewall).await {
            Ok(()) => return Ok(true),
            Err(error) => error.to_string(),
        },
        Err(cause) => cause,
    };
    if let Err(error) = set(&closed::firewall(store)).await {
        let error = error.to_string();
        return Err(GuardError::Open { path, cause, error });
    }
    let store: Vec<_> = store.iter().map(ToString::to_string).collect();
    let store = match store.as_slice() {
        [] => "an address that is not known here".into(),
        known => known.join(", "),
    };
    Err(GuardError::Closed { path, cause, store })
}

/// The symbolic link that leads nowhere, if that is why there is no file: somebody has made it for what
/// should be there.
fn dangling(path: &Path) -> Option<&Path> {
    path.ancestors().find(|part| {
        let is_link = fs::symlink_metadata(part).is_ok_and(|found| found.is_symlink());
        is_link && fs::metadata(part).is_err()
    })
}

/// None if there is no file.
fn read(path: &Path) -> Result<Option<Firewall>, String> {
    let opened = fs::File::options()
        .read(true)
        // A pipe must not hold up the boot.
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match dangling(path) {
                None => Ok(None),
                Some(link) => Err(format!(
                    "{} is a symbolic link to what is not there",
                    link.display()
                )),
            };
        }
        Err(error) => return Err(error.to_string()),
    };
    let is_file = file.metadata().is_ok_and(|found| found.is_file());
    if !is_file {
        return Err("it is not a regular file".into());
    }
    let mut text = Vec::new();
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut text);
    read.map_err(|error| error.to_string())?;
    let rules: Value =
        serde_json::from_slice(&text).map_err(|error| format!("it is not JSON: {error}"))?;
    Firewall::read_strict(&rules).map(Some)
}

/// Sets rules where there were none, and sees that the kernel has them.
async fn set(firewall: &Firewall) -> Result<(), NftError> {
    nft::transact(&Firewall::default().transaction(firewall)).await?;
    match nft::read().await?.drops_plaintext() {
        true => Ok(()),
        false => Err(nft::not_kept()),
    }
}

/// A reader, or a power cut, meets the old file or the new one.
fn write(path: &Path, rules: &Value) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let draft = path.with_extension("new");
    fs::write(&draft, rules.to_string())?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
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
    use wiremesh_plan::dataplane::firewall::{Protected, Wanted};

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
    fn only_rules_that_refuse_plaintext_are_saved() {
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

    #[tokio::test]
    async fn strict_rules_that_protect_no_network_yet_do_not_cut_a_node_off_at_its_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let alone = Firewall::new(&Wanted {
            mark: 0x10,
            strict: Some(Protected::default()),
            ..Wanted::default()
        });
        assert!(alone.is_strict());
        let mut guard = Guard::new(folder.path().to_owned());
        guard.keep(&alone).unwrap();
        assert!(!restore(folder.path(), &[]).await.unwrap());
        // Another node comes, and goes.
        guard.keep(&strict()).unwrap();
        assert!(path.exists());
        guard.keep(&alone).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_somebody_else_has_written_or_deleted_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut guard = Guard::new(folder.path().to_owned());
        assert!(!guard.keep(&strict()).unwrap());
        let right = fs::read(&path).unwrap();
        let spoil: [fn(&Path); 3] = [
            |path| fs::write(path, "null").unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/dev/null", path).unwrap();
            },
        ];
        for spoil in spoil {
            assert!(!guard.keep(&strict()).unwrap());
            spoil(&path);
            assert!(guard.keep(&strict()).unwrap());
            assert_eq!(fs::read(&path).unwrap(), right);
        }
        guard.keep(&Firewall::default()).unwrap();
        fs::write(&path, right).unwrap();
        assert!(guard.keep(&Firewall::default()).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn saved_rules_are_read_and_nothing_else_is_taken_for_rules() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path), Ok(None));
        Guard::new(folder.path().to_owned())
            .keep(&strict())
            .unwrap();
        assert_eq!(read(&path), Ok(Some(strict())));
        let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let commands = good["nftables"].as_array().unwrap();
        let with = |commands: &[Value]| serde_json::json!({"nftables": commands}).to_string();
        let drops = |command: &&Value| !command.to_string().contains("\"drop\"");
        let harmless: Vec<_> = commands.iter().filter(drops).cloned().collect();
        let empty: Vec<_> = commands
            .iter()
            .filter(|command| command["add"].get("element").is_none())
            .cloned()
            .collect();
        let flush = [
            commands.as_slice(),
            &[serde_json::json!({"flush": {"ruleset": null}})],
        ]
        .concat();
        let foreign = with(commands).replace("\"wiremesh\"", "\"filter\"");
        let short = with(commands);
        for (text, expected) in [
            ("null", "it holds no nftables commands"),
            ("{}", "it holds no nftables commands"),
            (
                "",
                "it is not JSON: EOF while parsing a value at line 1 column 0",
            ),
            ("{\"nftables\": []}", "it holds rules that drop nothing"),
            (
                &with(&commands[..4]),
                "it holds commands that the agent does not write",
            ),
            (&with(&harmless), "it holds rules that drop nothing"),
            (&with(&empty), "it holds rules that drop nothing"),
            (&with(&flush), "it holds a command that is not the agent's"),
            (
                &with(&commands[1..]),
                "it holds commands that the agent does not write",
            ),
            (
                &foreign,
                "it holds a command for a table that is not the agent's",
            ),
            (&short[..short.len() / 2], "it is not JSON"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        fs::remove_file(&path).unwrap();
        for target in ["none", "/nowhere/none", FILE] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains("symbolic link"), "{target}: {error}");
            fs::remove_file(&path).unwrap();
        }
        // So does the directory's own name, on a disk that is not mounted.
        let link = folder.path().join("state");
        std::os::unix::fs::symlink("not-mounted", &link).unwrap();
        let error = read(&link.join(FILE)).unwrap_err();
        assert_eq!(
            error,
            format!("{} is a symbolic link to what is not there", link.display())
        );
        // A directory that is not there was never asked for anything.
        assert_eq!(read(&folder.path().join("none").join(FILE)), Ok(None));
        fs::create_dir(&path).unwrap();
        assert_eq!(read(&path), Err("it is not a regular file".into()));
        fs::remove_dir(&path).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(read(&folder.path().join("file").join(FILE)).is_err());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&path), Err("it is not a regular file".into()));
    }

    #[test]
    fn a_write_error_has_a_remedy_for_its_errno() {
        for (errno, help) in [
            (nix::errno::Errno::ENOSPC, "free space"),
            (nix::errno::Errno::EDQUOT, "quota"),
            (nix::errno::Errno::EFBIG, "`ulimit -f`"),
            (nix::errno::Errno::EROFS, "--state"),
        ] {
            let error = GuardError::Keep {
                path: FILE.into(),
                cause: errno.into(),
            };
            let text = error.to_string();
            assert!(text.contains(help) && text.contains("os error"), "{text}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_reported_each_time() {
        let mut guard = Guard::new("/proc/none".into());
        guard.keep(&Firewall::default()).unwrap();
        for _ in 0..2 {
            let error = guard.keep(&strict()).unwrap_err().to_string();
            assert!(error.contains("/proc/none/guard.json"), "{error}");
        }
    }
}
