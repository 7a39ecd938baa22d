//! Paths of the host that the engine's processes see: those of its commands, the store and its state; and where
//! they look for programs.

use std::fs;
use std::path::{Path, PathBuf};

use wireproof_model::name::NodeName;
use wireproof_model::text::shown_path;

use crate::base::artifact::RunDirectory;
use crate::base::error::{Doing, LabError};
use crate::base::program::search_path;
use crate::cluster::containment::Paths;
use crate::cluster::store::Store;

use super::EngineCommand;

/// On that node. What it keeps over a boot is made here, since nothing is made outside later.
pub(super) fn of(
    engine: &EngineCommand,
    directory: &RunDirectory,
    store: &Store,
    node: &NodeName,
) -> Result<Paths, LabError> {
    let state = directory.engine_state(node);
    fs::create_dir_all(&state).doing(format!("make {}", shown_path(&state)))?;
    let mut write = engine.descriptor.writable.clone();
    write.push(state);
    if let Some(folder) = store.argument().strip_prefix("dir:") {
        write.push(folder.into());
    }
    let read = engine.programs.values().cloned();
    let read = read.chain(named(engine));
    Ok(Paths {
        read: read.chain(std::env::current_dir()).collect(),
        write,
        runs: directory.path().to_owned(),
        uncontained: !engine.descriptor.contained,
    })
}

/// Every absolute path that a command, its environment or the search for programs names.
fn named(engine: &EngineCommand) -> Vec<PathBuf> {
    let descriptor = &engine.descriptor;
    let commands = [
        &descriptor.agent,
        &descriptor.test_agent,
        &descriptor.enable,
        &descriptor.disable,
        &descriptor.rotate_key,
        &descriptor.boot,
    ];
    let search = search_path();
    let words = commands.into_iter().flatten().flatten();
    let words = words.chain(descriptor.env.values()).chain([&search]);
    let words = words.chain(&engine.wireguard);
    // `--config=PATH`, `A:B`, `file:PATH`.
    words
        .flat_map(|word| word.split(['=', ':', ',']))
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .map(Path::to_owned)
        .collect()
}

/// The `PATH` of an engine's processes: the user's own, and after it the folders of the programs that its
/// descriptor names, so that a shell that one of its commands is finds the others.
pub(super) fn search<'a>(path: &str, programs: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let mut path = path.to_owned();
    for folder in programs.into_iter().filter_map(|program| program.parent()) {
        let folder = folder.display().to_string();
        if !folder.is_empty() && path.split(':').all(|known| known != folder) {
            path = format!("{path}:{folder}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_of_an_engine_finds_the_programs_of_its_descriptor_after_the_user_s_own() {
        let programs = ["/usr/bin/dash", "/b/wiremesh", "/b/wiremesh-test"].map(PathBuf::from);
        assert_eq!(search("/a:/usr/bin", &programs), "/a:/usr/bin:/b");
        assert_eq!(search("/a", &[PathBuf::from("wiremesh")]), "/a");
    }
}
