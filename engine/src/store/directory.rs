//! A directory of resources: reading, following, compare-and-write.
//!
//! A YAML or JSON file holds resources: one, several documents, or lists. The file's name is free;
//! what it holds says which resources they are. Names that start with a dot are not read: writes go
//! to such a file first, which then takes the place of the old one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::StoreError;
use super::catalogue::{Catalogue, Content, Contents, Snapshot};
use super::document::{Documents, Format, Place};
use crate::hooks::Hooks;
use crate::resource::Identity;

mod file;

mod follow;

pub(crate) use follow::Follower;

/// A directory of resources.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    pub(super) hooks: Hooks,
}

/// A resource in the file that it is in.
struct Found {
    file: PathBuf,
    documents: Documents,
    place: Place,
}

impl Directory {
    /// The one at `path`.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            hooks: Hooks::default(),
        }
    }

    /// Everything that is there. Bad files are listed, not errors.
    pub(super) fn read(&self) -> Result<Snapshot, StoreError> {
        let mut catalogue = Catalogue::default();
        let mut digest = Digest::default();
        for (name, content) in self.files()? {
            digest.set(&name, Some(&content));
            catalogue.put_file(&name, contents_of(&name, content));
        }
        catalogue.set_digest(digest.digits());
        Ok(catalogue.into_snapshot())
    }

    /// Reads a resource, edits it, and writes it back if that changed it. Other writers wait meanwhile.
    pub(super) fn edit(
        &self,
        identity: &Identity,
        otherwise: Option<Value>,
        mut edit: impl FnMut(&mut Value),
    ) -> Result<bool, StoreError> {
        let _lock = self.lock()?;
        let found = self.find(identity)?;
        let fresh = found.is_none();
        let mut found = match (found, otherwise) {
            (Some(found), _) => found,
            (None, Some(value)) => {
                let name = format!("{}.{}.yaml", identity.kind.to_lowercase(), identity.name);
                let documents = Documents::one(value);
                Found {
                    file: self.path.join(name),
                    place: Place::ONLY,
                    documents,
                }
            }
            (None, None) => {
                return Err(StoreError::Missing {
                    store: self.path.display().to_string(),
                    identity: identity.clone(),
                });
            }
        };
        let before = found.documents.clone();
        if let Some(value) = found.documents.at(found.place) {
            edit(value);
        }
        if found.documents == before && !fresh {
            return Ok(false);
        }
        self.write(&found)?;
        Ok(true)
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        let path = self.path.join(".lock");
        let fail = |cause| StoreError::Write {
            path: path.clone(),
            cause,
        };
        let file = file::open_lock(&path).map_err(fail)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| fail(errno.into()))
    }

    /// Where the resource is that counts: as in a catalogue the first by name of those that are right. Where
    /// all are wrong it is the first of them: what is written there shows once that one is put right.
    fn find(&self, identity: &Identity) -> Result<Option<Found>, StoreError> {
        let mut found = Vec::new();
        for (name, content) in self.files()? {
            let Ok(documents) = parse(&name, content) else {
                continue;
            };
            for (place, value) in documents.resources() {
                let content = Content::read(&value);
                if content.identity() == Some(identity) {
                    let file = self.path.join(&name);
                    let documents = documents.clone();
                    let rank = (content.is_bad(), documents.name(&name, place));
                    found.push((
                        rank,
                        Found {
                            file,
                            documents,
                            place,
                        },
                    ));
                }
            }
        }
        let first = found
            .into_iter()
            .min_by(|(one, _), (other, _)| one.cmp(other));
        Ok(first.map(|(_, found)| found))
    }

    /// In the file's own format.
    fn write(&self, found: &Found) -> Result<(), StoreError> {
        let fail = |cause| StoreError::Write {
            path: found.file.clone(),
            cause,
        };
        let format = Format::of(&found.file.to_string_lossy());
        let text = found.documents.text(format);
        let text = text.map_err(|what| fail(io::Error::other(what)))?;
        file::replace(&found.file, &text).map_err(fail)
    }

    /// Every resource file by name. One that vanishes meanwhile was being replaced.
    fn files(&self) -> Result<BTreeMap<String, file::Content>, StoreError> {
        let fail = |cause| self.unreadable(cause);
        let folder = File::open(&self.path).map_err(fail)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            if let Some(name) = name.to_str()
                && is_resource(name)
                && let Some(content) = file::read(&folder, name)
            {
                files.insert(name.to_owned(), content);
            }
        }
        Ok(files)
    }

    fn unreadable(&self, cause: impl Into<io::Error>) -> StoreError {
        StoreError::Directory {
            path: self.path.clone(),
            cause: cause.into(),
        }
    }
}

fn is_resource(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    !name.starts_with('.') && matches!(end, Some("yaml" | "yml" | "json"))
}

/// What a file holds for a catalogue: a name and a content for each resource, or why it is unreadable.
fn contents_of(name: &str, content: file::Content) -> Contents {
    let documents = parse(name, content)?;
    let resources = documents.resources().into_iter();
    let named = |(place, value)| (documents.name(name, place), Content::read(&value));
    Ok(resources.map(named).collect())
}

fn parse(name: &str, content: file::Content) -> Result<Documents, String> {
    Documents::parse(Format::of(name), &content?)
}

/// Tells a directory's states apart: the wrapping sum of each file's hash, so that one
/// file's change costs one file's reading.
#[derive(Debug, Default)]
struct Digest {
    hashes: BTreeMap<String, u64>,
    sum: u64,
}

impl Digest {
    /// Says whether the file's content (`None`: it is gone) is another than before.
    fn set(&mut self, name: &str, content: Option<&file::Content>) -> bool {
        let new = content.map(|content| match content {
            Ok(content) => fnv(name.as_bytes(), content),
            Err(what) => fnv(name.as_bytes(), what.as_bytes()),
        });
        let old = match new {
            Some(hash) => self.hashes.insert(name.to_owned(), hash),
            None => self.hashes.remove(name),
        };
        let sum = self.sum.wrapping_sub(old.unwrap_or_default());
        self.sum = sum.wrapping_add(new.unwrap_or_default());
        old != new
    }

    fn digits(&self) -> String {
        format!("{:016x}", self.sum)
    }
}

/// FNV-1a, 64 bits, over a name, a zero byte, a content and a zero byte: tells contents
/// apart, and is no defence against anybody.
fn fnv(name: &[u8], content: &[u8]) -> u64 {
    let bytes = name.iter().chain(&[0]).chain(content).chain(&[0]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
