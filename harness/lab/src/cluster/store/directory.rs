//! Calico resources in a directory, and the digest of its content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use wireproof_model::name::NodeName;
use wireproof_model::resource::ResourceFile;
use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};

use super::half;

/// A directory of Calico v3 resources, one file each.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Where the engines look for it.
    path: PathBuf,
    /// Where it is.
    place: Mutex<PathBuf>,
    /// What spoilt files held.
    spoilt: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
}

impl Directory {
    pub(super) fn create(path: PathBuf, files: &[ResourceFile]) -> Result<Self, LabError> {
        fs::create_dir(&path).doing(format!("create {}", shown_path(&path)))?;
        let directory = Self {
            place: Mutex::new(path.clone()),
            path,
            spoilt: Mutex::default(),
        };
        files.iter().try_for_each(|file| directory.put(file))?;
        Ok(directory)
    }

    pub(super) fn is_there(&self) -> bool {
        self.place() == self.path
    }

    pub(super) fn argument(&self) -> String {
        format!("dir:{}", self.path.display())
    }

    /// What engines announce as `X_WIREMESH_APPLIED`: the wrapping sum, over the resource
    /// files, of FNV-1a (64 bits) over the file's name, a zero byte, its content and a
    /// zero byte; as 16 hex digits.
    pub(super) fn digest(&self) -> Result<String, LabError> {
        let fnv = |(name, content): (String, Vec<u8>)| {
            let bytes = name.bytes().chain([0]).chain(content).chain([0]);
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        };
        let hashes = self.files()?.into_iter().map(fnv);
        Ok(format!("{:016x}", hashes.fold(0, u64::wrapping_add)))
    }

    pub(super) fn documents(&self) -> Result<Vec<Vec<u8>>, LabError> {
        Ok(self.files()?.into_values().collect())
    }

    pub(super) fn put(&self, file: &ResourceFile) -> Result<(), LabError> {
        let _lock = self.lock(&file.name)?;
        self.write(&file.name, file.text.as_bytes())
    }

    pub(super) fn remove(&self, file: &ResourceFile) -> Result<(), LabError> {
        let target = self.place().join(&file.name);
        fs::remove_file(&target).doing(format!("remove {}", shown_path(&target)))
    }

    pub(super) fn edit(
        &self,
        file: &ResourceFile,
        mut edit: impl FnMut(&mut Value),
    ) -> Result<(), LabError> {
        let doing = || format!("edit {}", file.name);
        let _lock = self.lock(&file.name)?;
        let text = fs::read_to_string(self.place().join(&file.name));
        let text = text.unwrap_or_else(|_| file.text.clone());
        let mut value =
            serde_json::from_str(&text).map_err(|error| LabError::machine(doing(), error))?;
        edit(&mut value);
        self.write(&file.name, format!("{value:#}\n").as_bytes())
    }

    pub(super) fn down(&self) -> Result<(), LabError> {
        self.move_to(self.path.with_extension("away"))
    }

    pub(super) fn up(&self) -> Result<(), LabError> {
        self.move_to(self.path.clone())
    }

    pub(super) fn spoil(
        &self,
        node: Option<&NodeName>,
        text: Option<&str>,
    ) -> Result<(), LabError> {
        let name = match node {
            Some(node) => format!("node.{node}.json"),
            None => "garbage.json".into(),
        };
        let _lock = self.lock(&name)?;
        let before = fs::read(self.place().join(&name)).ok();
        let garbage = match text {
            Some(text) => text.as_bytes(),
            None => half(before.as_deref().unwrap_or_default()),
        };
        self.write(&name, garbage)?;
        let mut spoilt = self.spoilt.lock().unwrap_or_else(PoisonError::into_inner);
        spoilt.entry(name).or_insert(before);
        Ok(())
    }

    pub(super) fn repair(&self) -> Result<(), LabError> {
        let _lock = self.lock("what it held")?;
        let mut spoilt = self.spoilt.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, before) in std::mem::take(&mut *spoilt) {
            match before {
                Some(content) => self.write(&name, &content)?,
                None => fs::remove_file(self.place().join(&name)).doing("take garbage away")?,
            }
        }
        Ok(())
    }

    /// Keeps engines from writing meanwhile, with the lock that they take: one that has read a file would put
    /// the former content back.
    fn lock(&self, what: &str) -> Result<Flock<File>, LabError> {
        let doing = || format!("lock the store to write {what}");
        let path = self.place().join(".lock");
        let file = File::options().create(true).append(true).open(path);
        Flock::lock(file.doing(doing())?, FlockArg::LockExclusive)
            .map_err(|(_, errno)| LabError::machine(doing(), errno))
    }

    /// Nobody sees half of it.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), LabError> {
        let target = self.place().join(name);
        let doing = || format!("write {}", shown_path(&target));
        let fresh = self.place().join(format!(".{name}.new"));
        fs::write(&fresh, content).doing(doing())?;
        fs::rename(&fresh, &target).doing(doing())
    }

    fn place(&self) -> PathBuf {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }

    fn move_to(&self, path: PathBuf) -> Result<(), LabError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(&*place, &path).doing(format!("move the store to {}", shown_path(&path)))?;
        *place = path;
        Ok(())
    }

    /// Every resource file. One that vanishes meanwhile was being replaced.
    fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let place = self.place();
        let doing = || format!("read {}", shown_path(&place));
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&place).doing(doing())? {
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
            if let Ok(content) = fs::read(place.join(&name)) {
                files.insert(name, content);
            }
        }
        Ok(files)
    }
}
