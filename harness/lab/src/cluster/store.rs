//! The store of the cluster's resources: a directory, or an etcd on the fabric.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use wireproof_model::name::NodeName;
use wireproof_model::plan::{self, Plan};
use wireproof_model::resource::{self, ResourceFile};

use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::cluster::topology::Topology;

/// Calico resources in a directory.
mod directory;

/// The JSON gateway of an etcd.
mod gateway;

/// An etcd on the fabric.
mod etcd;

use directory::Directory;
use etcd::Etcd;

/// How many resources a burst of events is about.
const BURST_RESOURCES: usize = 100;

/// The cluster's resources, as the engines share them.
#[derive(Debug)]
pub(crate) enum Store {
    /// A directory of Calico v3 resources, one file each.
    Directory(Directory),
    /// Calico's keys in an etcd.
    Etcd(Etcd),
}

/// Where a store has its data.
#[derive(Debug)]
pub(crate) enum Data {
    /// In the run directory.
    InRunDirectory,
    /// In this folder, as the lab reads it.
    Folder(PathBuf),
    /// Nowhere any more.
    Gone,
}

/// How far a store has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// Its content is this one and no other.
    Content(String),
    /// Its history has come to this revision.
    Revision(u64),
}

impl Position {
    /// Whether an engine that announced `applied` has seen all of it.
    pub(crate) fn is_reached(&self, applied: Option<&str>) -> bool {
        match self {
            Self::Content(digest) => applied == Some(digest),
            Self::Revision(revision) => {
                let seen = applied.and_then(|applied| applied.parse::<u64>().ok());
                seen >= Some(*revision)
            }
        }
    }
}

/// What somebody else's write leaves behind.
const WROTE: &str = "wireproof/wrote";

impl Store {
    /// Makes the planned store and writes the planned cluster's resources to it.
    pub(crate) fn create(
        plan: &Plan,
        topology: &Topology,
        directory: &RunDirectory,
    ) -> Result<Self, LabError> {
        let files = resource::files(plan);
        match &plan.store {
            plan::Store::Directory => Ok(Self::Directory(Directory::create(
                directory.store(),
                &files,
            )?)),
            plan::Store::Etcd { .. } => {
                let etcd = Etcd::create(plan, topology, directory)?;
                etcd.put(&files)?;
                Ok(Self::Etcd(etcd))
            }
        }
    }

    /// The value of `{store}` in the engine's arguments.
    pub(crate) fn argument(&self) -> String {
        match self {
            Self::Directory(directory) => directory.argument(),
            Self::Etcd(etcd) => etcd.argument(),
        }
    }

    /// Where all that it holds and held is.
    pub(crate) fn data(&self) -> Data {
        match self {
            Self::Directory(_) => Data::InRunDirectory,
            Self::Etcd(etcd) => etcd.database().map_or(Data::Gone, Data::Folder),
        }
    }

    /// Whether the engines can reach it.
    pub(crate) fn is_reachable(&self) -> bool {
        match self {
            Self::Directory(directory) => directory.is_there(),
            Self::Etcd(etcd) => etcd.is_up(),
        }
    }

    /// How far it has come; while it cannot be reached, how far it had come before.
    pub(crate) fn position(&self) -> Result<Position, LabError> {
        match self {
            Self::Directory(directory) => Ok(Position::Content(directory.digest()?)),
            Self::Etcd(etcd) => Ok(Position::Revision(etcd.revision()?)),
        }
    }

    /// Whether engines that announced this can all be in sync: looking costs more than asking.
    pub(crate) fn may_be_at(&self, applied: &[Option<&str>]) -> bool {
        let alike = || applied.windows(2).all(|pair| pair[0] == pair[1]);
        let all = applied.iter().all(Option::is_some);
        all && (matches!(self, Self::Etcd(_)) || alike())
    }

    /// The public key that each node's engine has published; of two, the one for IPv4.
    pub(crate) fn published_keys(&self) -> Result<BTreeMap<NodeName, String>, LabError> {
        let keys = [
            self.keys_in("wireguardPublicKeyV6")?,
            self.keys_in("wireguardPublicKey")?,
        ];
        Ok(keys.into_iter().flatten().collect())
    }

    /// The public key that each node's engine has published for IPv6.
    pub(crate) fn published_keys6(&self) -> Result<BTreeMap<NodeName, String>, LabError> {
        self.keys_in("wireguardPublicKeyV6")
    }

    fn keys_in(&self, field: &str) -> Result<BTreeMap<NodeName, String>, LabError> {
        let documents = match self {
            Self::Directory(directory) => directory.documents()?,
            Self::Etcd(etcd) => etcd.nodes()?,
        };
        let key_of = |content: Vec<u8>| {
            let resource: Value = serde_json::from_slice(&content).ok()?;
            if resource["kind"] != "Node" {
                return None;
            }
            let name = resource["metadata"]["name"].as_str()?.parse().ok()?;
            let key = resource["status"][field].as_str()?;
            (!key.is_empty()).then(|| (name, key.to_owned()))
        };
        Ok(documents.into_iter().filter_map(key_of).collect())
    }

    /// Makes of the resources of one moment those of another: what differs is written, with the
    /// status that a node has by then, and what there is no more is removed.
    pub(crate) fn change(
        &self,
        before: &[ResourceFile],
        after: &[ResourceFile],
    ) -> Result<(), LabError> {
        for file in before {
            if after.iter().all(|other| other.name != file.name) {
                self.remove(file)?;
            }
        }
        for file in after.iter().filter(|file| !before.contains(file)) {
            let written: Value = serde_json::from_str(&file.text)
                .map_err(|error| LabError::machine(format!("read {}", file.name), error))?;
            self.edit(file, |resource| {
                let status = resource["status"].take();
                resource.clone_from(&written);
                if !status.is_null() {
                    resource["status"] = status;
                }
            })?;
        }
        Ok(())
    }

    /// Publishes a key as a node's, whoever has the private key.
    pub(crate) fn publish_key(&self, node: &NodeName, key: &str) -> Result<(), LabError> {
        let unnamed = json!({"kind": "Node", "metadata": {"name": node}});
        let file = ResourceFile {
            name: format!("node.{node}.json"),
            text: unnamed.to_string(),
        };
        self.edit(&file, |resource| {
            resource["status"]["wireguardPublicKey"] = Value::from(key);
            // Once the node's agent has put its key right, the resource would be what it was
            // before, and whoever was in sync with it then would seem to be in sync now.
            resource["metadata"]["annotations"][WROTE] = Value::from(key);
        })
    }

    /// Takes a resource away.
    fn remove(&self, file: &ResourceFile) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.remove(file),
            Self::Etcd(etcd) => etcd.remove(file),
        }
    }

    /// Changes a resource, or `file` where there is none, and loses nothing that others
    /// write to it meanwhile.
    fn edit(&self, file: &ResourceFile, edit: impl FnMut(&mut Value)) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.edit(file, edit),
            Self::Etcd(etcd) => etcd.edit(file, edit),
        }
    }

    /// Nobody can reach it: the directory is renamed away, etcd is killed.
    pub(crate) fn down(&self) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.down(),
            Self::Etcd(etcd) => etcd.down(),
        }
    }

    /// It is back, with all that was written to it meanwhile.
    pub(crate) fn up(&self) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.up(),
            Self::Etcd(etcd) => etcd.up(),
        }
    }

    /// It takes connections and answers nothing (SIGSTOP).
    pub(crate) fn freeze(&self) -> Result<(), LabError> {
        self.etcd("freeze")?.freeze()
    }

    /// It goes on.
    pub(crate) fn thaw(&self) -> Result<(), LabError> {
        self.etcd("thaw")?.thaw()
    }

    /// It forgets its history, up to now.
    pub(crate) fn compact(&self) -> Result<(), LabError> {
        self.etcd("compact")?.compact()
    }

    /// Writes many times, to resources that concern no node.
    pub(crate) fn burst(&self, events: usize) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => (0..events)
                .map(burst_resource)
                .try_for_each(|file| directory.put(&file)),
            Self::Etcd(etcd) => {
                let files: Vec<_> = (0..events).map(burst_resource).collect();
                etcd.put(&files)
            }
        }
    }

    /// Something that is no resource takes the place of a node's, or of none: `text`, or
    /// the first half of what there is.
    pub(crate) fn spoil(
        &self,
        node: Option<&NodeName>,
        text: Option<&str>,
    ) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.spoil(node, text),
            Self::Etcd(etcd) => etcd.spoil(node, text),
        }
    }

    /// Undoes every [`spoil`](Self::spoil).
    pub(crate) fn repair(&self) -> Result<(), LabError> {
        match self {
            Self::Directory(directory) => directory.repair(),
            Self::Etcd(etcd) => etcd.repair(),
        }
    }

    fn etcd(&self, what: &str) -> Result<&Etcd, LabError> {
        match self {
            Self::Etcd(etcd) => Ok(etcd),
            Self::Directory(_) => Err(LabError::machine(
                format!("{what} the store"),
                "it is a directory",
            )),
        }
    }
}

/// What a `text` of none spoils a resource with.
fn half(content: &[u8]) -> &[u8] {
    match content {
        [] => b"{\"kind\": \"No",
        content => &content[..content.len() / 2],
    }
}

/// A configuration of a node that there is not.
fn burst_resource(number: usize) -> ResourceFile {
    let name = format!("node.burst-{}", number % BURST_RESOURCES);
    let resource = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": name},
        "spec": {"burst": number},
    });
    ResourceFile {
        name: format!("felixconfiguration.{name}.json"),
        text: resource.to_string(),
    }
}
