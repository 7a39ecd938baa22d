//! Files that an engine, the store and the lab have written.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use wireproof_model::evidence::SecretPlace;

use super::{Place, Secrets, name_below};
use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::cluster::store::{Data, Store};
use crate::cluster::topology::Topology;
use crate::steps::engine::Engines;

/// Folders of a node in memory that its processes write to; what they change of the host's is in overlays.
const OWN: [&str; 4] = ["/tmp", "/run", "/var/run", "/dev/shm"];

/// Folders in which programs keep what they write, for a node that is not contained.
const UNCONTAINED: [&str; 5] = ["/etc", "/var", "/root", "/home", "/opt"];

/// The most files that are searched below one folder.
const MAX_FILES: usize = 20_000;

impl Secrets {
    /// Logs, state directories, captures, a store of files, and what the lab wrote beside them.
    pub(super) fn search_run_directory(&mut self, directory: &RunDirectory) {
        let root = directory.path();
        for path in entries(root) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let kind = match () {
                () if name.ends_with(".engine.log") => SecretPlace::Log,
                () if name.ends_with(".state") => SecretPlace::State,
                () if name.ends_with(".pcapng") => SecretPlace::Capture,
                () if name == "store" || name.starts_with("store.") => SecretPlace::Store,
                () => SecretPlace::Evidence,
            };
            self.search_tree(&path, root, kind, "");
        }
    }

    /// What the nodes' processes wrote to filesystems that are gone with the node, and to what the engine's
    /// descriptor lets them write. Paths are those of the node, so that none leads to the host's files.
    pub(super) fn search_written(
        &mut self,
        topology: &Topology,
        engines: &Engines<'_>,
    ) -> Result<(), LabError> {
        for space in &topology.nodes {
            let (node, writable) = (&space.name, engines.writable());
            let overlays = engines.overlays(node);
            space.namespace.enter_with_mounts(|| {
                let prefix = format!("{node}:");
                let root = Path::new("");
                let mut search =
                    |path: &Path| self.search_tree(path, root, SecretPlace::File, &prefix);
                OWN.iter().for_each(|folder| search(Path::new(folder)));
                writable.iter().for_each(|path| search(path));
                let Some(overlays) = overlays else {
                    UNCONTAINED
                        .iter()
                        .for_each(|folder| search(Path::new(folder)));
                    return Ok(());
                };
                // The node's first process has it open.
                let overlays = PathBuf::from(format!("/proc/1/fd/{overlays}"));
                let uppers = entries(&overlays).into_iter().filter(|path| {
                    let name = path.file_name().unwrap_or_default();
                    name.to_string_lossy().starts_with("upper")
                });
                let uppers: Vec<_> = uppers.collect();
                for upper in &uppers {
                    self.search_tree(upper, upper, SecretPlace::File, &format!("{node}:/"));
                }
                if uppers.is_empty() {
                    self.unsearched(&format!("files of {node}"), "its overlays cannot be read");
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What a store has that is no part of the run directory.
    pub(super) fn search_store(&mut self, store: &Store) {
        match store.data() {
            Data::InRunDirectory => {}
            Data::Folder(folder) if folder.is_dir() => {
                self.search_tree(&folder, &folder, SecretPlace::Store, "");
            }
            Data::Folder(_) | Data::Gone => self.unsearched("the store", "its host has ended"),
        }
    }

    /// Every file below `path`, on the same filesystem; what is mounted below is somebody else's. Names are
    /// those below `root`.
    fn search_tree(&mut self, path: &Path, root: &Path, kind: SecretPlace, prefix: &str) {
        let Ok(found) = fs::symlink_metadata(path) else {
            return;
        };
        let mut waiting = vec![(path.to_owned(), found.dev())];
        let mut files = 0;
        while let Some((path, filesystem)) = waiting.pop() {
            if files > MAX_FILES {
                let name = format!("{prefix}{}", name_below(root, &path));
                return self.unsearched(&name, &format!("there are more than {MAX_FILES} files"));
            }
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            if found.dev() != filesystem {
                continue;
            }
            if found.is_dir() {
                waiting.extend(entries(&path).into_iter().map(|path| (path, filesystem)));
            } else if found.is_file() {
                files += 1;
                self.search_file(
                    &path,
                    &found,
                    kind,
                    &format!("{prefix}{}", name_below(root, &path)),
                );
            }
        }
    }

    fn search_file(&mut self, path: &Path, found: &Metadata, kind: SecretPlace, name: &str) {
        let mode =
            matches!(kind, SecretPlace::State | SecretPlace::File).then(|| found.mode() & 0o7777);
        // Somebody may have put another kind of file there meanwhile: it is not followed, nor waited for.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        match File::options().read(true).custom_flags(flags).open(path) {
            Ok(mut file) => self.search(&Place { kind, name, mode }, &mut file),
            Err(error) => self.unsearched(name, &error.to_string()),
        }
    }
}

/// What a folder has, in the order of the names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}
