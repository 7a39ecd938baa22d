//! Calico resources in a directory, and the digest that tells its states apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;
use wireproof_model::resource::{self, ResourceFile};

use crate::error::{Doing, LabError};

/// A directory of Calico v3 resources, one file each.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// Writes the planned cluster's resources to a new directory.
    pub(crate) fn create(path: PathBuf, plan: &Plan) -> Result<Self, LabError> {
        fs::create_dir(&path).doing(format!("create {}", path.display()))?;
        for file in resource::files(plan) {
            let target = path.join(&file.name);
            fs::write(&target, &file.text).doing(format!("write {}", target.display()))?;
        }
        Ok(Self { path })
    }

    /// What engines are told as `{store}`.
    pub(crate) fn argument(&self) -> String {
        format!("dir:{}", self.path.display())
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
                self.remove(&file.name)?;
            }
        }
        for file in after.iter().filter(|file| !before.contains(file)) {
            let written: Value = serde_json::from_str(&file.text)
                .map_err(|error| LabError::machine(format!("read {}", file.name), error))?;
            self.edit(&file.name, |resource| {
                let status = resource["status"].take();
                *resource = written;
                if !status.is_null() {
                    resource["status"] = status;
                }
            })?;
        }
        Ok(())
    }

    /// Edits a resource, or makes it of nothing, as whoever has the directory's lock.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let target = self.path.join(name);
        let doing = || format!("write {}", target.display());
        let mut resource = fs::read(&target)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or(Value::Null);
        edit(&mut resource);
        // Nobody reads it half written.
        let fresh = self.path.join(format!(".{name}.wireproof"));
        fs::write(&fresh, format!("{resource:#}\n")).doing(doing())?;
        fs::rename(&fresh, &target).doing(doing())
    }

    fn remove(&self, name: &str) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let target = self.path.join(name);
        fs::remove_file(&target).doing(format!("remove {}", target.display()))
    }

    /// What everybody holds who edits a resource, so that no edit undoes another's.
    fn lock(&self) -> Result<Flock<File>, LabError> {
        let path = self.path.join(".lock");
        let doing = || format!("lock {}", path.display());
        let file = File::create(&path).doing(doing())?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| LabError::machine(doing(), errno))
    }

    /// Publishes a key as a node's, whoever has the private key.
    pub(crate) fn publish_key(&self, node: &NodeName, key: &str) -> Result<(), LabError> {
        self.edit(&format!("node.{node}.json"), |resource| {
            resource["status"]["wireguardPublicKey"] = Value::from(key);
        })
    }

    /// What engines announce as `X_WIREMESH_APPLIED`: the wrapping sum, over the resource
    /// files, of FNV-1a (64 bits) over the file's name, a zero byte, its content and a
    /// zero byte; as 16 hex digits.
    pub(crate) fn digest(&self) -> Result<String, LabError> {
        let fnv = |(name, content): (String, Vec<u8>)| {
            let bytes = name.bytes().chain([0]).chain(content).chain([0]);
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        };
        let hashes = self.files()?.into_iter().map(fnv);
        Ok(format!("{:016x}", hashes.fold(0, u64::wrapping_add)))
    }

    /// The public key that each node's engine has published.
    pub(crate) fn published_keys(&self) -> Result<BTreeMap<NodeName, String>, LabError> {
        let key_of = |(_, content): (String, Vec<u8>)| {
            let resource: Value = serde_json::from_slice(&content).ok()?;
            if resource["kind"] != "Node" {
                return None;
            }
            let name = resource["metadata"]["name"].as_str()?.parse().ok()?;
            let key = resource["status"]["wireguardPublicKey"].as_str()?;
            (!key.is_empty()).then(|| (name, key.to_owned()))
        };
        Ok(self.files()?.into_iter().filter_map(key_of).collect())
    }

    /// Every resource file. One that vanishes meanwhile was being replaced.
    fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let doing = || format!("read {}", self.path.display());
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).doing(doing())? {
            let name = entry
                .doing(doing())?
                .file_name()
                .to_string_lossy()
                .into_owned();
            let wanted = [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| name.ends_with(end));
            if !wanted || name.starts_with('.') {
                continue;
            }
            if let Ok(content) = fs::read(self.path.join(&name)) {
                files.insert(name, content);
            }
        }
        Ok(files)
    }
}
