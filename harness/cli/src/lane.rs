//! A lane: this kernel, or a virtual machine with another, in which scenarios run.

use std::collections::BTreeSet;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use wireproof_lab::base::artifact::RunDirectory;
use wireproof_lab::base::error::{Doing, LabError};
use wireproof_lab::base::program;
use wireproof_lab::host::memory::{Demand, Room, Size as Memory, rooms};
use wireproof_lab::run::EngineCommand;
use wireproof_lab::vm::{self, Job, Kernel, Machine, News, Outcome, Size};
use wireproof_model::count::counted;
use wireproof_model::plan::{Need, Plan};
use wireproof_model::text::shown_path;

use crate::engines;
use crate::failure::Failure;
use crate::run_name::run_name;
use crate::scenario::{self, Asked, JudgedRun};

/// Memory of a guest in MiB: its root, what runs in it, and their captures until they are sent.
const MEMORY: u64 = 3072;

/// As much of it as is its kernel's and its root's, in MiB.
const ROOT: u64 = 768;

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
    /// The scenario's file.
    pub path: PathBuf,
    /// Its run directories, below where all are.
    pub name: String,
    /// What it means.
    pub plan: Plan,
    /// What is tested by it.
    pub engine: EngineCommand,
    /// The engine that was asked for instead of its own.
    instead: Option<String>,
    /// How many times as long everything may take.
    patience: Option<u32>,
}

impl Prepared {
    /// Reads a scenario, and finds its engine.
    ///
    /// # Errors
    /// As [`scenario::read`] and [`scenario::engine_for`].
    pub fn read(path: &Path, asked: Asked<'_>) -> Result<Self, Failure> {
        let mut plan = scenario::read(path)?;
        let engine = scenario::engine_for(&mut plan, asked)?;
        Ok(Self {
            path: path.to_owned(),
            name: run_name(path)?,
            plan,
            engine,
            instead: asked.instead.map(str::to_owned),
            patience: asked.patience,
        })
    }

    /// The same with run directories of its own.
    pub(crate) fn below(mut self, folder: &str) -> Self {
        self.name = format!("{}/{folder}", self.name);
        self
    }

    /// Everything that it needs of a lane.
    pub fn needs(&self) -> BTreeSet<Need> {
        scenario::needs_of(&self.plan, &self.engine)
    }

    /// The descriptor's file, where another engine than a built-in one is asked for.
    fn descriptor(&self) -> Option<&Path> {
        let file = self.instead.as_deref().map(Path::new);
        file.filter(|path| path.is_file())
    }

    /// The arguments of `wireproof run` for it in a machine, where its files have the same paths.
    fn arguments(&self) -> Result<Vec<String>, LabError> {
        let mut arguments = vec![absolute(&self.path)?.display().to_string()];
        let engine = match self.descriptor() {
            Some(file) => Some(absolute(file)?.display().to_string()),
            None => self.instead.clone(),
        };
        let (fault, wireguard) = (self.engine.fault.clone(), self.engine.wireguard.clone());
        for (option, value) in [
            ("--engine", engine),
            ("--fault", fault),
            ("--wireguard", wireguard),
        ] {
            arguments.extend(
                value
                    .into_iter()
                    .flat_map(|value| [option.to_owned(), value]),
            );
        }
        Ok(arguments)
    }
}

/// Progress reported while scenarios run; the number is the scenario's place among the prepared.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Of the lane: that it is up, or what it does.
    Lane(&'a str),
    /// A scenario begins.
    Begins(usize),
    /// A virtual machine came to no run, and whether it is started again.
    StartFailed(&'a str),
    /// A virtual machine runs something, or is given up.
    Machine(Started),
    /// What all runs together have left in the lane's kernel, and that should not be there, or what it
    /// complained of when none of them ran.
    Left(Failure),
    /// A phase of a scenario begins.
    Phase(usize, &'a str),
    /// A scenario is over.
    Over(usize, Box<Result<JudgedRun, Failure>>),
}

/// How a virtual machine came to its first run, or that it came to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The lane that it is.
    pub lane: String,
    /// How many starts it took.
    pub starts: usize,
    /// What each start failed by that came to no run.
    pub failed: Vec<String>,
    /// Its kernel and how it is run, if it runs something.
    pub up: Option<Up>,
}

/// A virtual machine that runs something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// Its kernel, as that names itself.
    pub release: String,
    /// How it is run.
    pub acceleration: &'static str,
    /// Time from its last start.
    pub after: Duration,
}

impl Started {
    /// In one line: how many starts it took, and why not one.
    pub fn text(&self) -> String {
        let end = match self.up {
            Some(_) => "came to its first run in",
            None => "came to no run in",
        };
        let starts = counted(self.starts, "start");
        match self.failed.is_empty() {
            true => format!("{end} {starts}"),
            false => format!("{end} {starts}: {}", self.failed.join("; ")),
        }
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        let up = self.up.as_ref();
        json!({
            "lane": self.lane,
            "starts": self.starts,
            "failed_starts": self.failed,
            "kernel": up.map(|up| &up.release),
            "acceleration": up.map(|up| up.acceleration),
            "boot_milliseconds": up.map(|up| u64::try_from(up.after.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

/// Runs scenarios in a lane. Call it inside the sandbox.
///
/// # Errors
/// The lane cannot be set up. What happens to a scenario is in its result.
pub fn run(
    lane: &Lane,
    prepared: &[&Prepared],
    runs: &Path,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<(), Failure> {
    match lane {
        Lane::Host => {
            for (number, one) in prepared.iter().enumerate() {
                progress(Progress::Begins(number));
                let phase = |phase: &str| progress(Progress::Phase(number, phase));
                let proven = scenario::prove(one.plan.clone(), &one.engine, runs, &one.name, phase);
                progress(Progress::Over(number, Box::new(proven)));
            }
            Ok(())
        }
        Lane::Vm(kernel) => run_in_machine(kernel, prepared, runs, progress),
    }
}

fn run_in_machine(
    kernel: &str,
    prepared: &[&Prepared],
    runs: &Path,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<(), Failure> {
    let machine = machine(kernel, prepared, runs)?;
    let jobs = prepared.iter().map(|one| {
        let directory = RunDirectory::create(runs, &one.name)?;
        Ok(Job {
            arguments: one.arguments()?,
            directory: directory.path().to_owned(),
        })
    });
    let jobs = jobs.collect::<Result<Vec<_>, LabError>>()?;
    let lane = format!("vm:{kernel}");
    let mut failed = Vec::new();
    vm::work(&machine, &jobs, |news| match news {
        News::StartFailed {
            why,
            console,
            again,
        } => {
            failed.push(why);
            progress(Progress::StartFailed(&start_failed(
                &lane, &failed, &console, again,
            )));
            if !again {
                let failed = mem::take(&mut failed);
                progress(Progress::Machine(Started {
                    lane: lane.clone(),
                    starts: failed.len(),
                    failed,
                    up: None,
                }));
            }
        }
        News::Up {
            release,
            acceleration,
            after,
        } => {
            let acceleration = acceleration.as_str();
            let text = format!(
                "{lane}: Linux {release} is up after {} ms, by {acceleration}",
                after.as_millis(),
            );
            progress(Progress::Lane(&text));
            let failed = mem::take(&mut failed);
            progress(Progress::Machine(Started {
                lane: lane.clone(),
                starts: failed.len() + 1,
                failed,
                up: Some(Up {
                    release,
                    acceleration,
                    after,
                }),
            }));
        }
        News::Started(job) => {
            progress(Progress::Begins(job));
            progress(Progress::Phase(job, "in the virtual machine"));
        }
        News::Ended(job, outcome) => {
            let result = result(outcome, &jobs[job].directory);
            progress(Progress::Over(job, Box::new(result)));
        }
        News::Complained(complaints) => progress(Progress::Left(Failure::Kernel {
            complaints,
            directory: machine.directory.clone(),
        })),
        News::Left(remains) => {
            let text = format!("{lane}: {remains}");
            progress(Progress::Lane(&text));
            if !remains.is_clean() {
                progress(Progress::Left(Failure::Kernel {
                    complaints: vec![text],
                    directory: machine.directory.clone(),
                }));
            }
        }
    })?;
    Ok(())
}

/// The message about the last of several starts that came to no run.
fn start_failed(lane: &str, failed: &[String], console: &Path, again: bool) -> String {
    let number = failed.len();
    let why = failed.last().map_or("", String::as_str);
    let then = match again {
        true => "it is started again",
        false => "it is given up",
    };
    format!(
        "{lane}: start {number} came to no run: {why}\n  {then}; its console is in {}",
        shown_path(&console)
    )
}

/// The result of a scenario, from its machine's outcome.
fn result(outcome: Outcome, directory: &Path) -> Result<JudgedRun, Failure> {
    match outcome {
        Outcome::Lost { why } => Err(LabError::machine("run in a virtual machine", why)
            .help(format!("the run directory is {}", shown_path(&directory)))
            .into()),
        Outcome::Finished { complaints, .. } if !complaints.is_empty() => Err(Failure::Kernel {
            complaints,
            directory: directory.to_owned(),
        }),
        Outcome::Finished {
            status, error_text, ..
        } if !directory.join("evidence.json").is_file() => {
            let error = match status {
                Some(1) => LabError::engine("run in a virtual machine", error_text),
                _ => LabError::machine("run in a virtual machine", error_text),
            };
            Err(error.into())
        }
        Outcome::Finished { .. } => scenario::conclude_saved(directory),
    }
}

fn machine(kernel: &str, prepared: &[&Prepared], runs: &Path) -> Result<Machine, Failure> {
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
    let read = |one: &&Prepared| [Some(one.path.clone()), one.descriptor().map(Path::to_owned)];
    for path in prepared.iter().flat_map(read).flatten() {
        files.insert(absolute(&path)?);
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let kernel = Kernel::find(kernel)?;
    let name = format!("vm-{}", kernel.release);
    Ok(Machine {
        kernel,
        size: Size {
            processors,
            memory: memory_of(prepared, processors),
        },
        workers: processors,
        program,
        patience: prepared.first().and_then(|one| one.patience),
        programs,
        files,
        directory: RunDirectory::create(runs, &name)?.path().to_owned(),
    })
}

/// Memory of a guest in MiB in which as many of these run at a time. The host has to have what is more than
/// usual; what a guest has not, it refuses by itself.
fn memory_of(prepared: &[&Prepared], workers: usize) -> u32 {
    let demands = prepared.iter().map(|one| {
        let demand = Demand::of(&one.plan).with_files(&one.plan);
        Memory(demand.bytes()).mebibytes()
    });
    let left = rooms().iter().map(Room::left).min();
    let left = left.map_or(u64::MAX, |left| Memory(left).mebibytes());
    let memory = guest_memory(demands.collect(), workers, left);
    u32::try_from(memory).unwrap_or(u32::MAX)
}

/// The same of demands and what the host has left, all in MiB.
fn guest_memory(mut demands: Vec<u64>, workers: usize, left: u64) -> u64 {
    demands.sort_unstable_by(|one, other| other.cmp(one));
    let together: u64 = demands.iter().take(workers).sum();
    (together + ROOT).min(left).max(MEMORY)
}

fn absolute(path: &Path) -> Result<PathBuf, LabError> {
    path.canonicalize()
        .doing(format!("find {}", shown_path(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_memory_for_what_runs_in_it_together_as_far_as_its_host_has() {
        assert_eq!(guest_memory(vec![200, 300], 2, 20_000), MEMORY);
        assert_eq!(guest_memory(vec![200, 3000, 2000], 2, 20_000), 5000 + ROOT);
        assert_eq!(guest_memory(vec![200, 3000, 2000], 1, 20_000), 3000 + ROOT);
        assert_eq!(guest_memory(vec![9000], 2, 4000), 4000);
        assert_eq!(guest_memory(vec![9000], 2, 1000), MEMORY);
    }

    #[test]
    fn lanes_parse_as_they_are_printed() {
        for text in ["host", "vm:debian-6.1", "vm:/boot/mine"] {
            assert_eq!(text.parse::<Lane>().unwrap().to_string(), text);
        }
        for text in ["", "vm", "vm:", "qemu:x"] {
            assert!(text.parse::<Lane>().is_err(), "{text}");
        }
    }
}
