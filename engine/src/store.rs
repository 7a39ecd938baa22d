//! The store of the cluster's resources: a directory, or Calico's etcd.
//!
//! A [`Feed`] holds a [`Snapshot`] that follows the store; what it costs is
//! proportional to what changes.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use serde_json::Value;
use tokio::sync::oneshot;
use wiremesh_plan::intent::family::PerFamily;
use wiremesh_plan::intent::publication::{Publication, node_identity, request_rotation};
use wiremesh_plan::intent::resource::{Identity, Resource, Wrong, read_partly};
use wiremesh_plan::intent::settings::Settings;
use wiremesh_plan::intent::statement::Statement;

use crate::hooks::Hooks;

mod snapshot;

mod catalogue;
mod document;

mod directory;
mod etcd;

use directory::Directory;
use etcd::Etcd;
pub(crate) use snapshot::{Doubts, Snapshot};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The argument names no store.
    #[error(
        "unknown store `{0}`\n  help: give a directory of Calico resources as dir:PATH, or Calico's etcd as etcd:URL[,URL...]"
    )]
    Kind(String),
    /// The argument names an etcd that cannot be.
    #[error(
        "no etcd: {0}\n  help: give it as etcd:http://ADDRESS:2379, or several with commas between them"
    )]
    Url(String),
    /// etcd cannot be used.
    #[error("cannot use the etcd at {url}: {what}")]
    Etcd { url: String, what: String },
    /// The directory is not there, or cannot be read.
    #[error("cannot read the store {}: {cause}\n  help: it is a directory of Calico resources, in YAML or JSON files", .path.display())]
    Directory { path: PathBuf, cause: io::Error },
    /// The machine has not what it takes to follow it.
    #[error(
        "cannot start a thread that reads the store: {0}\n  help: allow wiremesh more memory and threads (systemd: MemoryMax, TasksMax; prlimit: --as, --nproc)"
    )]
    Thread(io::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {cause}", .path.display())]
    Write { path: PathBuf, cause: io::Error },
    /// What is there cannot be edited without losing what is meant.
    #[error("{what}, so {identity} is not written\n  help: {help}")]
    Unclear {
        identity: Identity,
        /// What is in the way, with its place.
        what: String,
        help: &'static str,
    },
    /// There is no such resource.
    #[error("the store {store} has no {identity}")]
    Missing { store: String, identity: Identity },
}

/// What the cluster's settings are once something was stated of them.
#[derive(Debug)]
pub(crate) struct Stated {
    /// Whether the store was written: it is something else than before.
    pub(crate) written: bool,
    /// What the FelixConfiguration `default` asks for now.
    pub(crate) settings: Settings,
    /// What is wrong in it all the same.
    pub(crate) mistakes: Vec<Wrong>,
}

/// A store of resources.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// A directory, one file for each.
    Dir(Directory),
    /// Calico's etcd, one key for each.
    Etcd(Etcd),
}

/// What a store's feed reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These resources are others than before. None, if only the snapshot's digest or
    /// what is bad has changed, or if trouble is over and nothing changed meanwhile.
    Resources(BTreeSet<Identity>),
    /// Any resource may be another than before.
    Everything,
    /// The store cannot be reached, or answers garbage. The snapshot stays as it was, and the feed goes on
    /// trying by itself; whatever it reports next means that it is over.
    Trouble(String),
}

/// A store that is being followed.
#[derive(Debug)]
pub(crate) enum Feed {
    /// The feed of a directory.
    Dir(directory::Follower),
    /// The feed of an etcd.
    Etcd(etcd::Follower),
}

impl Feed {
    /// Waits until the snapshot changes, or cannot follow the store any more. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Changed {
        match self {
            Self::Dir(follower) => follower.changed().await,
            Self::Etcd(follower) => follower.changed().await,
        }
    }

    /// Whether the snapshot is one at all: an etcd that could not be reached yet has none.
    pub(crate) fn known(&self) -> bool {
        match self {
            Self::Dir(_) => true,
            Self::Etcd(follower) => follower.known(),
        }
    }

    /// The store as last seen; of what cannot be read, the last good state.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Dir(follower) => follower.snapshot(),
            Self::Etcd(follower) => follower.snapshot(),
        }
    }
}

impl FromStr for Store {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Dir(Directory::new(path))),
            Some(("etcd", urls)) => Ok(Self::Etcd(Etcd::new(urls)?)),
            // What is before an `@` may be a password.
            _ => Err(StoreError::Kind(match text.rsplit_once('@') {
                Some((_, rest)) => format!("…@{rest}"),
                None => text.to_owned(),
            })),
        }
    }
}

impl Store {
    /// Everything that is there. What is bad is listed, and no error.
    pub(crate) async fn read(&self) -> Result<Snapshot, StoreError> {
        match self {
            Self::Dir(directory) => directory.read(),
            Self::Etcd(etcd) => etcd.read().await,
        }
    }

    /// Follows the store. A directory must be there; an etcd is waited for, and until the feed reports
    /// something other than trouble its snapshot is not known.
    pub(crate) async fn feed(&self) -> Result<Feed, StoreError> {
        match self {
            Self::Dir(directory) => {
                let directory = directory.clone();
                // On a thread of its own: signals are obeyed while it reads.
                let (sender, receiver) = oneshot::channel();
                let start = move || drop(sender.send(directory::Follower::start(&directory)));
                let builder = thread::Builder::new().name("store".into());
                let thread = builder.spawn(start).map_err(StoreError::Thread)?;
                match receiver.await {
                    Ok(started) => Ok(Feed::Dir(started?)),
                    // It tells in any case, unless it panics.
                    Err(_) => match thread.join() {
                        Ok(()) => Err(StoreError::Thread(io::ErrorKind::BrokenPipe.into())),
                        Err(panic) => resume_unwind(panic),
                    },
                }
            }
            Self::Etcd(etcd) => Ok(Feed::Etcd(etcd.follow())),
        }
    }

    /// Where the store is reached, as far as it is given as IP addresses; nowhere, if it is a directory.
    pub(crate) fn endpoints(&self) -> Vec<SocketAddr> {
        match self {
            Self::Dir(_) => Vec::new(),
            Self::Etcd(etcd) => etcd.addresses(),
        }
    }

    /// The same store, with these hooks.
    pub(crate) fn with_hooks(mut self, hooks: &Hooks) -> Self {
        match &mut self {
            Self::Dir(directory) => directory.hooks = hooks.clone(),
            Self::Etcd(etcd) => etcd.hooks = hooks.clone(),
        }
        self
    }

    /// Publishes a node's own keys and addresses. Returns whether the store was written.
    pub(crate) async fn publish(
        &self,
        node: &str,
        publication: &Publication,
    ) -> Result<bool, StoreError> {
        let write = |document: &mut Value| publication.write(document);
        self.edit(&node_identity(node), None, write).await
    }

    /// Asks a node for a new key. Returns whether the store was written.
    pub(crate) async fn request_rotation(&self, node: &str) -> Result<bool, StoreError> {
        self.edit(&node_identity(node), None, request_rotation)
            .await
    }

    /// States something of the whole cluster. What is there in a shape that cannot be read is not written
    /// over.
    pub(crate) async fn state(&self, statement: &Statement) -> Result<Stated, StoreError> {
        let mut last = Value::Null;
        let mut unclear = None;
        let edit = |configuration: &mut Value| {
            unclear = read_partly(configuration, "").err();
            if unclear.is_none() {
                statement.write(configuration);
            }
            last.clone_from(configuration);
        };
        let identity = Statement::identity();
        let unstated = Some(Statement::unstated());
        let written = self.edit(&identity, unstated, edit).await?;
        if let Some(wrong) = unclear {
            return Err(StoreError::Unclear {
                identity,
                what: wrong.to_string(),
                help: "repair it by hand",
            });
        }
        let mut settings = Settings::default();
        let mut mistakes = Vec::new();
        if let Ok(reading) = read_partly(&last, "")
            && let Resource::Configuration(configuration) = reading.resource
        {
            mistakes = reading.wrong;
            mistakes.extend(settings.read(&configuration));
            // What was stated says it of each family that the nodes have.
            let nowhere = PerFamily::default();
            mistakes.extend(settings.unstated([&configuration], nowhere));
        }
        Ok(Stated {
            written,
            settings,
            mistakes,
        })
    }

    /// Reads a resource (`otherwise` if there is none), edits it, and writes it back if that changed it and
    /// nobody else has written it meanwhile; else it begins again. Returns whether the store was written.
    async fn edit(
        &self,
        identity: &Identity,
        otherwise: Option<Value>,
        edit: impl FnMut(&mut Value),
    ) -> Result<bool, StoreError> {
        match self {
            Self::Dir(directory) => directory.edit(identity, otherwise, edit),
            Self::Etcd(etcd) => etcd.edit(identity, otherwise, edit).await,
        }
    }
}
