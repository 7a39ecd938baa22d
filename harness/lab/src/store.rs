//! Calico resources in a directory, and the digest that tells its states apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;
use wireproof_model::resource;

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
