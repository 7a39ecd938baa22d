//! Names of run directories.

use std::path::{Component, Path, PathBuf};

use wireproof_lab::base::error::{Doing, LabError};

use wireproof_model::text::shown_path;

use crate::input::SCENARIOS;

/// The name of a scenario's run directories below `--runs`: the path of its file without `.toml` and, where
/// it is in the folder `scenarios` of the working directory, without that folder; of a file that is not
/// below the working directory its whole path. So no two files share a name, and none leads out.
///
/// # Errors
/// The file, or the working directory, is not there.
pub fn run_name(path: &Path) -> Result<String, LabError> {
    let doing = || format!("find {}", shown_path(&path));
    let here = Path::new(".")
        .canonicalize()
        .doing("find the working directory")?;
    let file = path.canonicalize().doing(doing())?;
    Ok(name_in(&here, &file, Path::exists))
}

/// The name of an absolute `file`, seen from the folder `here`.
fn name_in(here: &Path, file: &Path, exists: impl Fn(&Path) -> bool) -> String {
    let near = file.strip_prefix(here).unwrap_or(file);
    let short = near.strip_prefix(SCENARIOS).ok();
    // Another file may have the short name as its own.
    let short = short.filter(|short| !exists(&here.join(short)));
    let mut name = PathBuf::new();
    for part in short.unwrap_or(near).components() {
        if let Component::Normal(part) = part {
            name.push(part);
        }
    }
    let stem = name.with_extension("");
    // Runs have numbers, and `latest` is a link: `a/1.toml` must not be run where `a.toml` is.
    match stem.file_name().and_then(|last| last.to_str()) {
        Some(last) if last == "latest" || last.parse::<u32>().is_ok() => name,
        _ => stem,
    }
    .display()
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(file: &str) -> String {
        name_in(Path::new("/x"), Path::new(file), |_| false)
    }

    #[test]
    fn a_run_is_named_after_its_scenario() {
        assert_eq!(
            name("/x/scenarios/azure-cni/seed-cluster.toml"),
            "azure-cni/seed-cluster"
        );
        assert_eq!(name("/x/a/b/mine.toml"), "a/b/mine");
        assert_eq!(name("/x/mine.toml"), "mine");
    }

    #[test]
    fn files_of_one_name_have_runs_of_their_own() {
        let files = [
            "/x/a/mine.toml",
            "/x/b/mine.toml",
            "/y/a/mine.toml",
            "/y/scenarios/a/mine.toml",
        ];
        assert_eq!(
            files.map(name),
            ["a/mine", "b/mine", "y/a/mine", "y/scenarios/a/mine"]
        );
        let both = |path: &Path| path == Path::new("/x/a/mine.toml");
        let long = name_in(Path::new("/x"), Path::new("/x/scenarios/a/mine.toml"), both);
        assert_eq!(long, "scenarios/a/mine");
    }

    #[test]
    fn no_run_is_where_the_runs_of_another_are() {
        assert_eq!(name("/x/a/1.toml"), "a/1.toml");
        assert_eq!(name("/x/a/latest.toml"), "a/latest.toml");
    }
}
