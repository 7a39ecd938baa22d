//! A directory of resources: reading, watching, compare-and-write.
//!
//! One YAML or JSON file holds one resource. The file's name is free; what it holds
//! says which resource it is. Names that start with a dot are not read: writes go to
//! such a file first, which then takes the place of the old one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::resource::{self, Identity, Resource};

/// What changes a store's content.
const INSIDE: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);

/// What puts another directory in a store's place.
const OUTSIDE: AddWatchFlags = AddWatchFlags::IN_CREATE.union(AddWatchFlags::IN_MOVED_TO);

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The argument is not `dir:PATH`.
    #[error("unknown store `{0}`\n  help: give a directory of Calico resources as dir:PATH")]
    Kind(String),
    /// The directory is not there, or cannot be read.
    #[error("cannot read the store {}: {cause}\n  help: it is a directory of Calico resources, one YAML or JSON file each", .path.display())]
    Directory { path: PathBuf, cause: io::Error },
    /// A file cannot be written.
    #[error("cannot write {}: {cause}", .path.display())]
    Write { path: PathBuf, cause: io::Error },
    /// There is no such resource.
    #[error("the store {} has no {identity}", .path.display())]
    Missing { path: PathBuf, identity: Identity },
}

/// A store of resources.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    path: PathBuf,
}

impl FromStr for Store {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Ok(Self { path: path.into() }),
            _ => Err(StoreError::Kind(text.to_owned())),
        }
    }
}

/// A file's content that is not a resource, or not one that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadFile {
    /// Its name.
    pub(crate) name: String,
    /// Which resource it holds, if it says so.
    pub(crate) identity: Option<Identity>,
    /// What is wrong.
    pub(crate) what: String,
}

/// The store at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// What could be read.
    pub(crate) resources: BTreeMap<Identity, Resource>,
    /// What could not.
    pub(crate) bad: Vec<BadFile>,
    /// Tells this moment's content from any other's: FNV-1a over names and contents.
    pub(crate) digest: String,
}

/// A resource with the file it is in.
struct Document {
    file: PathBuf,
    value: Value,
}

impl Store {
    /// Everything that is there. Bad files are listed, not errors.
    pub(crate) fn read(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        let mut hash = Fnv::default();
        for (name, content) in self.files()? {
            hash.take(name.as_bytes());
            hash.take(&content);
            let bad = |identity, what| BadFile {
                name: name.clone(),
                identity,
                what,
            };
            let value = match parse(&name, &content) {
                Ok(value) => value,
                Err(what) => {
                    snapshot.bad.push(bad(None, what));
                    continue;
                }
            };
            match resource::read(&value) {
                Err(wrong) => {
                    let identity = identity_of(&value);
                    snapshot.bad.push(bad(identity, wrong.to_string()));
                }
                Ok((identity, _)) if snapshot.resources.contains_key(&identity) => {
                    let what = format!("another file holds {identity} already");
                    snapshot.bad.push(bad(None, what));
                }
                Ok((identity, resource)) => {
                    snapshot.resources.insert(identity, resource);
                }
            }
        }
        snapshot.digest = hash.digits();
        Ok(snapshot)
    }

    /// Tells `changed` whenever something in the directory changes, for as long as somebody
    /// listens; also when another directory takes its place.
    pub(crate) fn watch(&self, changed: mpsc::Sender<()>) -> Result<(), StoreError> {
        let fail = |cause: io::Error| StoreError::Directory {
            path: self.path.clone(),
            cause,
        };
        let path = self.path.canonicalize().map_err(fail)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|errno| fail(errno.into()))?;
        let watch = |path: &Path, events| {
            inotify
                .add_watch(path, events)
                .map_err(|errno| fail(errno.into()))
        };
        watch(&path, INSIDE)?;
        // The root directory has no parent, and is never replaced.
        let outside = path
            .parent()
            .map(|parent| watch(parent, OUTSIDE))
            .transpose()?;
        std::thread::spawn(move || {
            while let Ok(events) = inotify.read_events() {
                let mut relevant = false;
                for event in events {
                    let name = event.name.as_deref();
                    if Some(event.wd) == outside {
                        let replaced = name.is_some() && name == path.file_name();
                        // If it is gone again by now, there will be another event when it comes back.
                        relevant |= replaced && inotify.add_watch(&path, INSIDE).is_ok();
                    } else {
                        relevant |=
                            name.is_none_or(|name| !name.as_encoded_bytes().starts_with(b"."));
                    }
                }
                // A full queue already says that something has changed.
                if relevant
                    && matches!(
                        changed.try_send(()),
                        Err(mpsc::error::TrySendError::Closed(()))
                    )
                {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Sets what a node has published; an empty text takes it back. Says whether the store was written.
    pub(crate) fn publish_key(&self, node: &str, key: &str) -> Result<bool, StoreError> {
        let identity = Identity {
            kind: "Node".into(),
            namespace: String::new(),
            name: node.into(),
        };
        self.edit(&identity, None, |node| {
            let published = node["status"]["wireguardPublicKey"]
                .as_str()
                .unwrap_or_default();
            // A node that has published nothing has nothing to take back.
            if published == key {
                return;
            }
            let status = member(node, "status");
            if key.is_empty() {
                if let Some(status) = status.as_object_mut() {
                    status.remove("wireguardPublicKey");
                }
            } else {
                status["wireguardPublicKey"] = json!(key);
            }
        })
    }

    /// Sets fields of the FelixConfiguration `default`, which is made if it is not there.
    /// Says whether the store was written.
    pub(crate) fn configure(&self, fields: &[(&str, Value)]) -> Result<bool, StoreError> {
        let identity = Identity {
            kind: "FelixConfiguration".into(),
            namespace: String::new(),
            name: "default".into(),
        };
        let fresh = json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "FelixConfiguration",
            "metadata": {"name": "default"},
            "spec": {},
        });
        self.edit(&identity, Some(fresh), |configuration| {
            let spec = member(configuration, "spec");
            for (name, value) in fields {
                spec[*name] = value.clone();
            }
        })
    }

    /// Reads a resource, edits it, and writes it back if that changed it. Other writers wait meanwhile.
    fn edit(
        &self,
        identity: &Identity,
        otherwise: Option<Value>,
        edit: impl FnOnce(&mut Value),
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
                    path: self.path.clone(),
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
        let fail = |cause| StoreError::Directory {
            path: self.path.clone(),
            cause,
        };
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
}

fn is_resource(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    !name.starts_with('.') && matches!(end, Some("yaml" | "yml" | "json"))
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

fn identity_of(value: &Value) -> Option<Identity> {
    Some(Identity {
        kind: value["kind"].as_str()?.to_owned(),
        namespace: value["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        name: value["metadata"]["name"].as_str()?.to_owned(),
    })
}

/// A mapping inside a mapping, made if it is not there or is none.
fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value[name].is_object() {
        value[name] = json!({});
    }
    &mut value[name]
}

/// FNV-1a, 64 bits: tells contents apart, and is no defence against anybody.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// The bytes and a zero byte.
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn digits(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests;
