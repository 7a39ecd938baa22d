//! Where scenarios run: on this kernel, or in a virtual machine with another.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use wireproof_lab::artifact::RunDirectory;
use wireproof_lab::error::{Doing, LabError};
use wireproof_lab::program;
use wireproof_lab::run::EngineCommand;
use wireproof_lab::vm::{self, Job, Kernel, Machine, News, Outcome, Size};
use wireproof_model::plan::{Need, Plan};

use crate::engines;
use crate::failure::Failure;
use crate::scenario::{self, Asked, Told, run_name};

/// Memory of a guest in MiB: its root, what runs in it, and their captures until they are sent.
const MEMORY: u32 = 3072;

/// Where scenarios run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// This kernel.
    Host,
    /// A virtual machine with that kernel: a name below the folder of kernels, or a folder.
    Vm(String),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => write!(f, "host"),
            Self::Vm(kernel) => write!(f, "vm:{kernel}"),
        }
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "host" => Ok(Self::Host),
            Some(("vm", kernel)) if !kernel.is_empty() => Ok(Self::Vm(kernel.to_owned())),
            _ => Err("write `host`, or `vm:KERNEL` such as vm:debian-6.1".to_owned()),
        }
    }
}

/// A scenario that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// Its file.
    pub path: PathBuf,
    /// What it means.
    pub plan: Plan,
    /// What is tested by it.
    pub engine: EngineCommand,
}

/// What is told while scenarios run; the number is the scenario's place among the prepared.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Of the lane: that it is up, or what it does.
    Lane(&'a str),
    /// A phase of a scenario begins.
    Phase(usize, &'a str),
    /// A scenario is over.
    Over(usize, Box<Result<Told, Failure>>),
}

/// Runs all scenarios in a lane. Call it inside the sandbox.
///
/// # Errors
/// The lane cannot be set up. What happens to a scenario is told as its result.
pub fn run(
    lane: &Lane,
    prepared: &[Prepared],
    asked: Asked<'_>,
    runs: &Path,
    mut told: impl FnMut(Progress<'_>),
) -> Result<(), Failure> {
    match lane {
        Lane::Host => {
            for (number, one) in prepared.iter().enumerate() {
                let name = run_name(&one.path);
                let proven = scenario::prove(one.plan.clone(), &one.engine, runs, &name, |phase| {
                    told(Progress::Phase(number, phase));
                });
                told(Progress::Over(number, Box::new(proven)));
            }
            Ok(())
        }
        Lane::Vm(kernel) => run_in_machine(kernel, prepared, asked, runs, told),
    }
}

fn run_in_machine(
    kernel: &str,
    prepared: &[Prepared],
    asked: Asked<'_>,
    runs: &Path,
    mut told: impl FnMut(Progress<'_>),
) -> Result<(), Failure> {
    let machine = machine(kernel, prepared, asked, runs)?;
    let jobs = prepared.iter().map(|one| {
        let directory = RunDirectory::create(runs, &run_name(&one.path))?;
        Ok(Job {
            arguments: arguments(&absolute(&one.path)?, asked)?,
            directory: directory.path().to_owned(),
        })
    });
    let jobs = jobs.collect::<Result<Vec<_>, LabError>>()?;
    vm::work(&machine, &jobs, |news| match news {
        News::Up {
            release,
            acceleration,
            after,
        } => {
            let text = format!(
                "vm:{kernel}: Linux {release} is up after {} ms, by {}",
                after.as_millis(),
                acceleration.as_str()
            );
            told(Progress::Lane(&text));
        }
        News::Started(job) => told(Progress::Phase(job, "in the virtual machine")),
        News::Ended(job, outcome) => {
            let result = result(outcome, &jobs[job].directory);
            told(Progress::Over(job, Box::new(result)));
        }
    })?;
    Ok(())
}

/// What a machine's outcome says of a scenario.
fn result(outcome: Outcome, directory: &Path) -> Result<Told, Failure> {
    match outcome {
        Outcome::Lost { why } => Err(LabError::machine("run in a virtual machine", why)
            .help(format!("the run directory is {}", directory.display()))
            .into()),
        Outcome::Finished { complaints, .. } if !complaints.is_empty() => Err(Failure::Kernel {
            complaints,
            directory: directory.to_owned(),
        }),
        Outcome::Finished { status, said, .. } if !directory.join("evidence.json").is_file() => {
            let error = match status {
                Some(1) => LabError::engine("run in a virtual machine", said),
                _ => LabError::machine("run in a virtual machine", said),
            };
            Err(error.into())
        }
        Outcome::Finished { .. } => scenario::judge_again(directory),
    }
}

fn machine(
    kernel: &str,
    prepared: &[Prepared],
    asked: Asked<'_>,
    runs: &Path,
) -> Result<Machine, Failure> {
    let program = engines::wireproof()?;
    let mut programs: BTreeSet<PathBuf> = prepared
        .iter()
        .flat_map(|one| one.engine.programs.values().cloned())
        .collect();
    if prepared
        .iter()
        .any(|one| one.plan.needs().contains(&Need::Etcd))
    {
        programs.extend(program::find("etcd"));
    }
    // A WireGuard that is a program: any other is a word, and no file.
    let wireguards = prepared
        .iter()
        .filter_map(|one| one.engine.wireguard.as_ref());
    programs.extend(
        wireguards
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()),
    );
    let mut files = BTreeSet::new();
    for path in prepared
        .iter()
        .map(|one| one.path.as_path())
        .chain(descriptor(asked))
    {
        files.insert(absolute(path)?);
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let kernel = Kernel::find(kernel)?;
    let name = format!("vm-{}", kernel.release);
    Ok(Machine {
        kernel,
        size: Size {
            processors,
            memory: MEMORY,
        },
        workers: processors,
        program,
        patience: asked.patience,
        programs,
        files,
        directory: RunDirectory::create(runs, &name)?.path().to_owned(),
    })
}

/// The descriptor's file, where another engine than a built-in one is asked for.
fn descriptor<'a>(asked: Asked<'a>) -> Option<&'a Path> {
    asked.instead.map(Path::new).filter(|path| path.is_file())
}

fn arguments(path: &Path, asked: Asked<'_>) -> Result<Vec<String>, LabError> {
    let mut arguments = vec![path.display().to_string()];
    if let Some(engine) = asked.instead {
        let engine = match descriptor(asked) {
            Some(file) => absolute(file)?.display().to_string(),
            None => engine.to_owned(),
        };
        arguments.extend(["--engine".to_owned(), engine]);
    }
    for (option, value) in [("--fault", asked.fault), ("--wireguard", asked.wireguard)] {
        if let Some(value) = value {
            arguments.extend([option.to_owned(), value.to_owned()]);
        }
    }
    Ok(arguments)
}

fn absolute(path: &Path) -> Result<PathBuf, LabError> {
    path.canonicalize()
        .doing(format!("find {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_read_as_they_are_told() {
        for text in ["host", "vm:debian-6.1", "vm:/boot/mine"] {
            assert_eq!(text.parse::<Lane>().unwrap().to_string(), text);
        }
        for text in ["", "vm", "vm:", "qemu:x"] {
            assert!(text.parse::<Lane>().is_err(), "{text}");
        }
    }
}
