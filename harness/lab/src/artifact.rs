//! The run directory: what a run leaves behind, and where.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wireproof_model::evidence::Place;
use wireproof_model::name::NodeName;

use crate::error::{Doing, LabError};

/// A directory of one run. No two runs share one, so an earlier attempt's files stay as they were.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The next free number below `base/name`, counted from 1.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn create(base: &Path, name: &str) -> Result<Self, LabError> {
        let parent = base.join(name);
        let doing = || format!("create a run directory below {}", parent.display());
        fs::create_dir_all(&parent).doing(doing())?;
        let parent = parent.canonicalize().doing(doing())?;
        for attempt in 1_u32.. {
            let path = parent.join(attempt.to_string());
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(doing()),
            }
        }
        Err(LabError::machine(doing(), "every number is taken"))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Calico resources that the engines read.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// What a node's engine printed.
    pub(crate) fn engine_log(&self, node: &NodeName) -> PathBuf {
        self.path.join(format!("{node}.engine.log"))
    }

    /// What a node's engine keeps over a boot.
    pub(crate) fn engine_state(&self, node: &NodeName) -> PathBuf {
        self.path.join(format!("{node}.state"))
    }

    /// A namespace's capture. Reports name the frames in it by number.
    pub(crate) fn capture(&self, place: &Place) -> PathBuf {
        self.path.join(capture_file(place))
    }

    /// Saves a value as JSON, such as `evidence.json`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, file: &str, value: &impl Serialize) -> Result<(), LabError> {
        let doing = || format!("save {}", self.path.join(file).display());
        let text = serde_json::to_string(value).map_err(|e| LabError::machine(doing(), e))?;
        self.save_text(file, &text)
    }

    /// Saves a text, such as `report.txt`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_text(&self, file: &str, text: &str) -> Result<(), LabError> {
        let path = self.path.join(file);
        fs::write(&path, text).doing(format!("save {}", path.display()))
    }
}

/// The name of a namespace's capture file.
pub fn capture_file(place: &Place) -> String {
    match place {
        Place::Fabric => "fabric.pcapng".into(),
        Place::Node(name) => format!("{name}.pcapng"),
        Place::Pod(name) => format!("{name}.pcapng"),
    }
}
