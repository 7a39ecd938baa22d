//! The run directory: the files that a run leaves, and their names.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wireproof_model::evidence::Place;
use wireproof_model::name::NodeName;
use wireproof_model::text::shown_path;

use crate::base::error::{Doing, LabError};

/// The link to the newest attempt, beside the attempts.
const LATEST: &str = "latest";

/// A directory of one run. No two runs share one, so an earlier attempt's files stay as they were.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// One that is there.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The next number below `base/name`, counted from 1. `base/name/latest` leads to it.
    ///
    /// # Errors
    /// The directory cannot be made, a link on the way leads out of `base`, or `latest` is no link.
    pub fn create(base: &Path, name: &str) -> Result<Self, LabError> {
        let doing = || {
            format!(
                "create a run directory below {}",
                shown_path(&base.join(name))
            )
        };
        let parent = folder_below(base, name, &doing)?;
        let latest = parent.join(LATEST);
        if fs::symlink_metadata(&latest).is_ok_and(|found| !found.is_symlink()) {
            let cause = format!(
                "{} is no link, which the newest run has to be",
                shown_path(&latest)
            );
            return Err(LabError::machine(doing(), cause)
                .help("move it elsewhere, or give another `--runs`"));
        }
        let last = newest(&parent).doing(doing())?;
        for attempt in last.saturating_add(1)..=u32::MAX {
            let path = parent.join(attempt.to_string());
            match fs::create_dir(&path) {
                Ok(()) => {
                    // Some filesystems have no links. The run is worth more than a short name for it.
                    let _ = point_to_newest(&parent, attempt);
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(doing()),
            }
        }
        let full = LabError::machine(doing(), "every number is taken");
        Err(full.help("move the folder with the largest number elsewhere"))
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
        let doing = || format!("save {}", shown_path(&self.path.join(file)));
        let text = serde_json::to_string(value).map_err(|e| LabError::machine(doing(), e))?;
        self.save_text(file, &text)
    }

    /// Saves a text, such as `report.txt`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_text(&self, file: &str, text: &str) -> Result<(), LabError> {
        let path = self.path.join(file);
        fs::write(&path, text).doing(format!("save {}", shown_path(&path)))
    }
}

/// Makes the folder `name` below `base`, and returns its path without links. A link in `base` that leads out of
/// it is not followed: whoever names a folder for all runs means that folder.
fn folder_below(base: &Path, name: &str, doing: &dyn Fn() -> String) -> Result<PathBuf, LabError> {
    fs::create_dir_all(base).doing(doing())?;
    let base = base.canonicalize().doing(doing())?;
    let mut folder = base.clone();
    for part in Path::new(name).components() {
        folder.push(part);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).doing(doing());
            }
            Ok(()) | Err(_) => {}
        }
        let real = folder.canonicalize();
        if folder.is_symlink() && !real.as_ref().is_ok_and(|real| real.starts_with(&base)) {
            let cause = format!(
                "{} is a link that leads out of {}",
                shown_path(&folder),
                shown_path(&base)
            );
            return Err(
                LabError::machine(doing(), cause).help("remove the link, or give another `--runs`")
            );
        }
        folder = real.doing(doing())?;
    }
    Ok(folder)
}

/// The newest attempt's number; 0 if there is none.
fn newest(parent: &Path) -> io::Result<u32> {
    let mut newest = 0;
    for entry in fs::read_dir(parent)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}

/// Makes `latest` lead to the newest attempt, in one step. `own` is this process's attempt: it
/// keeps the names of links apart that processes make at once. Whoever made the link last looks
/// again after it, so it never stays behind an attempt that has come meanwhile.
fn point_to_newest(parent: &Path, own: u32) -> io::Result<()> {
    let made = parent.join(format!(".{LATEST}.{own}"));
    let mut linked = 0;
    loop {
        let newest = newest(parent)?;
        if newest <= linked {
            return Ok(());
        }
        symlink(newest.to_string(), &made)?;
        if let Err(error) = fs::rename(&made, parent.join(LATEST)) {
            fs::remove_file(&made)?;
            return Err(error);
        }
        linked = newest;
    }
}

/// The run directory that is meant by a path: it, or what `latest` leads to in it or as it. A `latest` that
/// leads to anything but an attempt beside it is nobody's.
pub fn attempt(path: &Path) -> PathBuf {
    let link = match path.ends_with(LATEST) {
        true => path.to_owned(),
        false => path.join(LATEST),
    };
    match (fs::read_link(&link), link.parent()) {
        (Ok(number), Some(parent)) if is_number(&number) => parent.join(number),
        _ => path.to_owned(),
    }
}

fn is_number(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|name| name.parse::<u32>().is_ok())
}

/// The name of a namespace's capture file.
pub fn capture_file(place: &Place) -> String {
    match place {
        Place::Fabric => "fabric.pcapng".into(),
        Place::Node(name) => format!("{name}.pcapng"),
        Place::Pod(name) => format!("{name}.pcapng"),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn create(base: &Path) -> PathBuf {
        RunDirectory::create(base, "theme/fact").unwrap().path
    }

    #[test]
    fn latest_leads_to_the_newest_attempt() {
        let base = Scratch::new("newest");
        let parent = base.0.join("theme/fact");
        for number in ["1", "2", "3"] {
            assert_eq!(create(&base.0), parent.join(number));
            assert_eq!(attempt(&parent), parent.join(number));
            assert_eq!(attempt(&parent.join(LATEST)), parent.join(number));
        }
    }

    #[test]
    fn an_attempt_that_is_gone_leaves_no_number_to_a_later_one() {
        let base = Scratch::new("gone");
        create(&base.0);
        let second = create(&base.0);
        fs::remove_dir(base.0.join("theme/fact/1")).unwrap();
        assert_eq!(create(&base.0), second.with_file_name("3"));
    }

    #[test]
    fn without_a_number_left_there_is_an_error() {
        let base = Scratch::new("full");
        fs::create_dir_all(base.0.join("theme/fact/4294967295")).unwrap();
        let error = RunDirectory::create(&base.0, "theme/fact").unwrap_err();
        assert!(
            error.to_string().contains("every number is taken"),
            "{error}"
        );
    }

    #[test]
    fn no_link_is_followed_out_of_the_folder_of_runs() {
        let (base, other) = (Scratch::new("links"), Scratch::new("elsewhere"));
        let link = base.0.join("theme");
        for target in [other.0.clone(), base.0.join("nowhere"), base.0.join("..")] {
            symlink(&target, &link).unwrap();
            let error = RunDirectory::create(&base.0, "theme/fact").unwrap_err();
            let expected = format!(
                "{} is a link that leads out of {}",
                link.display(),
                base.0.display()
            );
            assert_eq!(error.cause, expected);
            assert!(error.help.is_some());
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(fs::read_dir(&other.0).unwrap().count(), 0);
        // One that stays in it is as good as a folder, and so is one that is the folder.
        symlink("real", &link).unwrap();
        fs::create_dir(base.0.join("real")).unwrap();
        let all = other.0.join("all");
        symlink(&base.0, &all).unwrap();
        assert_eq!(create(&all), base.0.join("real/fact/1"));
    }

    #[test]
    fn a_latest_that_is_no_link_to_an_attempt_is_not_followed() {
        let base = Scratch::new("latest");
        let first = create(&base.0);
        let latest = first.with_file_name(LATEST);
        fs::remove_file(&latest).unwrap();
        symlink("/etc", &latest).unwrap();
        assert_eq!(attempt(&latest), latest);
        // The next run puts it right.
        assert_eq!(
            attempt(&create(&base.0).with_file_name(LATEST)),
            first.with_file_name("2")
        );
        fs::remove_file(&latest).unwrap();
        fs::create_dir(&latest).unwrap();
        let error = RunDirectory::create(&base.0, "theme/fact").unwrap_err();
        let expected = format!(
            "{} is no link, which the newest run has to be",
            latest.display()
        );
        assert_eq!(error.cause, expected);
    }

    #[test]
    fn an_attempt_that_is_named_is_meant() {
        let base = Scratch::new("named");
        let first = create(&base.0);
        create(&base.0);
        assert_eq!(attempt(&first), first);
    }

    #[test]
    fn attempts_that_begin_at_once_leave_latest_at_the_newest() {
        let base = Scratch::new("at-once");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..8).for_each(|_| drop(create(&base.0))));
            }
        });
        let parent = base.0.join("theme/fact");
        assert_eq!(attempt(&parent), parent.join("64"));
        let left = fs::read_dir(&parent).unwrap().count();
        assert_eq!(left, 65, "no link stays under the name it was made with");
    }

    /// A folder that goes with its value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("wireproof-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
