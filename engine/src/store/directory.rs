//! A directory of resources: reading, following, compare-and-write.
//!
//! One YAML or JSON file holds one resource. The file's name is free; what it holds
//! says which resource it is. Names that start with a dot are not read: writes go to
//! such a file first, which then takes the place of the old one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::StoreError;
use super::catalogue::{Catalogue, Content, Snapshot, identity_of};
use crate::fault::Fault;
use crate::resource::Identity;

mod follow;

pub(crate) use follow::Follower;

/// A directory of resources.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    faults: Vec<Fault>,
}

/// A resource with the file it is in.
struct Document {
    file: PathBuf,
    value: Value,
}

impl Directory {
    /// The one at `path`.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            faults: Vec::new(),
        }
    }

    /// With these things left out.
    pub(super) fn spoil(&mut self, faults: &[Fault]) {
        self.faults = faults.to_vec();
    }

    /// Everything that is there. Bad files are listed, not errors.
    pub(super) fn read(&self) -> Result<Snapshot, StoreError> {
        let mut catalogue = Catalogue::default();
        let mut digest = Digest::default();
        for (name, content) in self.files()? {
            digest.set(&name, Some(&content));
            catalogue.put(&name, Some(content_of(&name, &content)));
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
        let mut document = match (found, otherwise) {
            (Some(document), _) => document,
            (None, Some(value)) => Document {
                file: self.path.join(format!(
                    "{}.{}.yaml",
                    identity.kind.to_lowercase(),
                    identity.name
                )),
                value,
            },
            (None, None) => {
                return Err(StoreError::Missing {
                    store: self.path.display().to_string(),
                    identity: identity.clone(),
                });
            }
        };
        let before = document.value.clone();
        edit(&mut document.value);
        if document.value == before && !fresh {
            return Ok(false);
        }
        self.write(&document)?;
        Ok(true)
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        let path = self.path.join(".lock");
        let fail = |cause| StoreError::Write {
            path: path.clone(),
            cause,
        };
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fail)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| fail(errno.into()))
    }

    fn find(&self, identity: &Identity) -> Result<Option<Document>, StoreError> {
        let document = |(name, content): (String, Vec<u8>)| {
            let value = parse(&name, &content).ok()?;
            (identity_of(&value).as_ref() == Some(identity)).then(|| Document {
                file: self.path.join(name),
                value,
            })
        };
        Ok(self.files()?.into_iter().find_map(document))
    }

    /// In the file's own format, on the disk before it takes the old one's place.
    fn write(&self, document: &Document) -> Result<(), StoreError> {
        let fail = |cause| StoreError::Write {
            path: document.file.clone(),
            cause,
        };
        let text = if document.file.extension().is_some_and(|end| end == "json") {
            serde_json::to_string_pretty(&document.value).map_err(|e| fail(io::Error::other(e)))?
                + "\n"
        } else {
            serde_yaml_ng::to_string(&document.value).map_err(|e| fail(io::Error::other(e)))?
        };
        let name = document
            .file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let temporary = document.file.with_file_name(format!(".{name}.new"));
        let mut file = File::create(&temporary).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        file.sync_data().map_err(fail)?;
        fs::rename(&temporary, &document.file).map_err(fail)
    }

    /// Every resource file by name. One that vanishes meanwhile was being replaced.
    fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let fail = |cause| self.unreadable(cause);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if is_resource(name)
                && let Ok(content) = fs::read(&path)
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

fn content_of(name: &str, content: &[u8]) -> Content {
    match parse(name, content) {
        Ok(value) => Content::read(&value),
        Err(what) => Content::Bad(None, what),
    }
}

fn parse(name: &str, content: &[u8]) -> Result<Value, String> {
    let value = if name.ends_with(".json") {
        serde_json::from_slice::<Value>(content)
            .map_err(|error| format!("it is not JSON: {error}"))?
    } else {
        serde_yaml_ng::from_slice::<Value>(content)
            .map_err(|error| format!("it is not YAML: {error}"))?
    };
    if !value.is_object() {
        return Err("it holds no resource".into());
    }
    Ok(value)
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
    fn set(&mut self, name: &str, content: Option<&[u8]>) -> bool {
        let new = content.map(|content| fnv(name.as_bytes(), content));
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
