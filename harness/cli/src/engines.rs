//! Engines under test: built in, or from a descriptor's file.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use wireproof_lab::base::error::LabError;
use wireproof_lab::base::program;
use wireproof_lab::run::EngineCommand;
use wireproof_model::engine::Descriptor;
use wireproof_model::name::EngineName;
use wireproof_model::text::shown_path;

use crate::failure::Failure;
use crate::input;

/// The descriptors that come with the program, by name. Their files are links to those in
/// `fixtures/engines`, since a crate is packaged with what is in its folder, and with nothing else.
const BUILT_IN: &[(&str, &str)] = &[
    ("none", include_str!("engines/none.toml")),
    ("wiremesh", include_str!("engines/wiremesh.toml")),
];

/// The names that a scenario may use.
pub fn built_in() -> Vec<EngineName> {
    BUILT_IN
        .iter()
        .filter_map(|(name, _)| name.parse().ok())
        .collect()
}

/// The engine of that name, or the one that a descriptor's file describes, with its programs found:
/// that of its `test-agent` where it is `tested`.
///
/// # Errors
/// There is no such engine, its descriptor is wrong, or a program of it is missing.
pub fn find(name_or_file: &str, tested: bool) -> Result<EngineCommand, Failure> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_file) {
        let descriptor = Descriptor::parse(&format!("{name}.toml"), text)?;
        return with_programs(descriptor, Path::new(""), tested);
    }
    let path = Path::new(name_or_file);
    if path.extension().is_none_or(|end| end != "toml") {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(Failure::Unknown {
            what: format!("unknown engine `{name_or_file}`"),
            help: format!(
                "known engines: {}; or give the path of a descriptor, such as my-engine.toml",
                names.join(", ")
            ),
        });
    }
    let descriptor = Descriptor::parse(name_or_file, &input::text(path)?)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    with_programs(descriptor, folder, tested)
}

/// Names of WireGuards that an engine has or finds by itself; others are programs.
const WIREGUARDS: &[&str] = &["auto", "kernel", "userspace"];

/// Programs that are WireGuards, and how each is installed: that one is not is the machine's fault.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("wireguard-go", "Debian: apt-get install wireguard-go"),
    ("boringtun-cli", "cargo install --locked boringtun-cli"),
];

/// A WireGuard as an engine is asked for it: a word, or a program's absolute path.
///
/// # Errors
/// There is no such program.
pub fn wireguard(name: &str) -> Result<String, Failure> {
    if WIREGUARDS.contains(&name) {
        return Ok(name.to_owned());
    }
    let path = program::find(name).ok_or_else(|| {
        let (doing, cause) = (
            format!("find the WireGuard `{name}`"),
            "there is no such program",
        );
        let known = PROGRAMS.iter().find(|(program, _)| *program == name);
        match known {
            Some((_, remedy)) => LabError::machine(doing, cause).help(*remedy),
            None => LabError::request(doing, cause)
                .help(format!("give {}, or a program", WIREGUARDS.join(", "))),
        }
    })?;
    Ok(path.display().to_string())
}

fn with_programs(
    descriptor: Descriptor,
    base: &Path,
    tested: bool,
) -> Result<EngineCommand, Failure> {
    let mut programs = BTreeMap::new();
    let test_agent = match tested {
        true => &descriptor.test_agent,
        false => &None,
    };
    let commands = [
        &descriptor.agent,
        test_agent,
        &descriptor.enable,
        &descriptor.disable,
        &descriptor.rotate_key,
        &descriptor.boot,
    ];
    for word in commands
        .into_iter()
        .flatten()
        .filter_map(|words| words.first())
    {
        programs.insert(word.clone(), program(word, base)?);
    }
    Ok(EngineCommand {
        descriptor,
        programs,
        fault: None,
        wireguard: None,
    })
}

/// A program's absolute path: relative to the descriptor if it has a slash, else beside this
/// program, else in `PATH`.
fn program(word: &str, base: &Path) -> Result<PathBuf, Failure> {
    let candidates: Vec<PathBuf> = if word.contains('/') {
        vec![base.join(word)]
    } else {
        beside_this_program()
            .into_iter()
            .chain(env::var_os("PATH").iter().flat_map(env::split_paths))
            .map(|folder| folder.join(word))
            .collect()
    };
    let found = candidates
        .iter()
        .find(|candidate| candidate.is_file())
        .and_then(|candidate| candidate.canonicalize().ok());
    found.ok_or_else(|| {
        let (cause, help) = match &candidates[..] {
            [only] if word.contains('/') => (
                format!("there is no file {}", shown_path(&only)),
                "its path is relative to the descriptor's folder",
            ),
            _ => (
                "it is neither beside wireproof nor in PATH".into(),
                if matches!(word, "wiremesh" | "wiremesh-test") {
                    "build it: cargo build -p wiremesh"
                } else {
                    "give its path in the descriptor, relative to the descriptor's folder"
                },
            ),
        };
        LabError::machine(format!("find the engine's program `{word}`"), cause)
            .help(help)
            .into()
    })
}

/// The `wireproof` that a virtual machine runs: this program, or for a test the one beside it.
///
/// # Errors
/// There is none.
pub fn wireproof() -> Result<PathBuf, Failure> {
    program("wireproof", Path::new(""))
}

/// The folder of this program; for a test, which Cargo puts in `deps`, the one above too.
fn beside_this_program() -> Vec<PathBuf> {
    let Ok(program) = env::current_exe() else {
        return Vec::new();
    };
    program
        .ancestors()
        .skip(1)
        .take(2)
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use wireproof_model::engine::Ready;
    use wireproof_model::plan::Action;

    use super::*;

    fn built_in(name: &str) -> Descriptor {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name).unwrap();
        Descriptor::parse(name, text).unwrap()
    }

    #[test]
    fn the_engines_that_come_with_the_program_are_right() {
        let ours = built_in("wiremesh");
        assert!(ours.supports(&Action::Enable) && ours.supports(&Action::Disable));
        assert_eq!(ours.ready, Ready::Notify);
        assert!(ours.conduct.log.is_some() && ours.conduct.keeps_device);
        let none = built_in("none");
        assert_eq!((none.agent, none.ready), (None, Ready::None));
    }

    #[test]
    fn a_fault_is_asked_of_the_program_for_tests() {
        let ours = built_in("wiremesh");
        let program = |words: Option<&Vec<String>>| words.and_then(|words| words.first()).cloned();
        assert_eq!(program(ours.agent.as_ref()).as_deref(), Some("wiremesh"));
        assert_eq!(
            program(ours.asked_agent()).as_deref(),
            Some("wiremesh-test")
        );
        let (agent, asked) = (
            ours.agent.unwrap_or_default(),
            ours.test_agent.unwrap_or_default(),
        );
        assert_eq!(agent[1..], asked[1..]);
    }
}
