//! A directory of resources: reading, following, compare-and-write.
//!
//! A YAML or JSON file holds resources: one, several documents, or lists. The file's name is free; its content
//! determines which resources they are. Names that start with a dot are not read: writes go to such a file
//! first, which then takes the place of the old one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use wiremesh_plan::intent::resource::Identity;

use super::StoreError;
use super::catalogue::{Catalogue, Content, Contents};
use super::document::{Documents, Format, Item, Place};
use super::snapshot::{Mistake, Snapshot};
use crate::hooks::Hooks;

mod file;

mod parse;

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
    /// Its name in messages.
    called: String,
    /// How well it can be read.
    rank: u8,
    /// Why it cannot be used, if it cannot.
    problem: Option<String>,
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
        let (mut all, unreadable) = self.find(identity)?;
        if otherwise.is_some() {
            refuse_unclear(identity, &all, &unreadable)?;
        }
        let found = (!all.is_empty()).then(|| all.remove(0));
        let fresh = found.is_none();
        let mut found = match (found, otherwise) {
            (Some(found), _) => found,
            (None, Some(value)) => {
                let name = format!("{}.{}.yaml", identity.kind.to_lowercase(), identity.name);
                let documents = Documents::one(value);
                Found {
                    called: name.clone(),
                    rank: 0,
                    problem: None,
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
        if let Some(value) = found.documents.at(&found.place) {
            edit(value);
        }
        if found.documents == before && !fresh {
            return Ok(false);
        }
        if let Some(mistake) = found.documents.any_double() {
            // Writing keeps one of both, which need not be the one that is meant.
            return Err(StoreError::Unclear {
                identity: identity.clone(),
                what: mistake.at(&found.file.display().to_string()),
                help: REPAIR,
            });
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

    /// Where the resource is, first where it counts: as in a catalogue the first by name of those that are
    /// right. Where all are wrong it is the first of them: what is written there shows once that one is put
    /// right. And what is wrong with what may be any resource.
    fn find(&self, identity: &Identity) -> Result<(Vec<Found>, Vec<String>), StoreError> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        for (name, content) in self.files()? {
            let file = self.path.join(&name);
            let documents = match parse(&name, content) {
                Ok(documents) => documents,
                Err(mistake) => {
                    unreadable.push(mistake.at(&file.display().to_string()));
                    continue;
                }
            };
            for item in documents.resources() {
                let called = documents.name(&name, &item.place);
                let place = item.place.clone();
                let content = content_of(item, &called);
                let problem = || {
                    let mistake = content.mistakes().into_iter().next()?;
                    let called = documents.name(&file.display().to_string(), &place);
                    Some(mistake.at(&called)).filter(|_| content.rank() == 2)
                };
                if content.identity() == Some(identity) {
                    found.push(Found {
                        rank: content.rank(),
                        problem: problem(),
                        called,
                        file: file.clone(),
                        documents: documents.clone(),
                        place,
                    });
                } else if content.identity().is_none() {
                    unreadable.extend(problem());
                }
            }
        }
        found.sort_by(|one, other| (one.rank, &one.called).cmp(&(other.rank, &other.called)));
        Ok((found, unreadable))
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

/// What to do about what cannot be read.
const REPAIR: &str = "repair the file, or remove it";

/// Whether a resource is where nobody can tell which document counts, or is not there as far as can be
/// read: another one beside it would hide what is meant.
fn refuse_unclear(
    identity: &Identity,
    found: &[Found],
    unreadable: &[String],
) -> Result<(), StoreError> {
    let refuse = |what: String, help| {
        Err(StoreError::Unclear {
            identity: identity.clone(),
            what,
            help,
        })
    };
    match found {
        [] => match unreadable.first() {
            Some(what) => refuse(what.clone(), REPAIR),
            None => Ok(()),
        },
        [first] => match &first.problem {
            Some(what) => refuse(what.clone(), REPAIR),
            None => Ok(()),
        },
        [first, second, ..] => refuse(
            format!("{} and {} both hold it", first.called, second.called),
            "delete one of them",
        ),
    }
}

fn is_resource(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    let is_end = |known: &str| end.is_some_and(|end| end.eq_ignore_ascii_case(known));
    !name.starts_with('.') && ["yaml", "yml", "json"].into_iter().any(is_end)
}

/// What a file holds for a catalogue: a name and a content for each resource, or why it is unreadable.
fn contents_of(name: &str, content: file::Content) -> Contents {
    let documents = parse(name, content)?;
    let resources = documents.resources().into_iter();
    let named = |item: Item| {
        let name = documents.name(name, &item.place);
        let content = content_of(item, &name);
        (name, content)
    };
    Ok(resources.map(named).collect())
}

/// What a resource is that is called `name`.
fn content_of(item: Item, name: &str) -> Content {
    match item.double {
        None => Content::read(&item.value, name),
        Some(mistake) => Content::ambiguous(&item.value, name, mistake),
    }
}

fn parse(name: &str, content: file::Content) -> Result<Documents, Mistake> {
    Documents::parse(Format::of(name), &content.map_err(Mistake::from)?)
}

/// Distinguishes a directory's states: the wrapping sum of each file's hash, so that one file's change costs
/// one file's reading.
#[derive(Debug, Default)]
struct Digest {
    hashes: BTreeMap<String, u64>,
    sum: u64,
}

impl Digest {
    /// Returns whether the file's content (`None`: it is gone) is another than before.
    fn set(&mut self, name: &str, content: Option<&file::Content>) -> bool {
        self.set_hash(name, content.map(|content| hash_of(name, content)))
    }

    /// The same by the content's hash.
    fn set_hash(&mut self, name: &str, new: Option<u64>) -> bool {
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

fn hash_of(name: &str, content: &file::Content) -> u64 {
    match content {
        Ok(content) => fnv(name.as_bytes(), content),
        Err(what) => fnv(name.as_bytes(), what.as_bytes()),
    }
}

/// FNV-1a, 64 bits, over a name, a zero byte, a content and a zero byte: distinguishes contents apart, and is
/// no defence against anybody.
fn fnv(name: &[u8], content: &[u8]) -> u64 {
    let bytes = name.iter().chain(&[0]).chain(content).chain(&[0]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
