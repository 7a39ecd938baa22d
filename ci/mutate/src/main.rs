//! Puts mutated input through `wireproof` and `wiremesh`: scenarios through `check` and `plan`, stores
//! through `status` and an agent that stays alive.
//!
//! ```text
//! seed, case -> mutant -> the program under test -> how it ended, what it printed -> kept failures
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::{Args, Parser, Subcommand};

/// Seeded random numbers.
mod random;

/// Mutations of bytes.
mod bytes;

/// How a program under test ends, and what it prints.
mod program;

/// Cases, progress and failures.
mod course;

/// Mutants of scenarios.
mod scenario;

/// Scenarios through `wireproof check` and `wireproof plan`.
mod check;

/// Values of Calico's resources at the edges.
mod edges;

/// Mutants of stores.
mod store;

/// Stores through `wiremesh status` and `wiremesh show`.
mod status;

/// An agent that stays alive.
mod agent;

/// Stores through that agent, with good ones in between.
mod living;

/// Namespaces of this program's own.
mod namespace;

/// Exit status: 0 all was as it must be; 1 a case was not; 2 the arguments are wrong; 3 the machine is
/// at fault.
#[derive(Debug, Parser)]
#[command(
    name = "mutate",
    about = "Puts mutated input through wireproof and wiremesh"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Scenarios through `wireproof check`, and those that are right through `wireproof plan`
    Scenarios(Cases),
    /// Stores through `wiremesh status` and an agent that stays alive, in namespaces of its own
    Stores(Cases),
}

#[derive(Debug, Args)]
struct Cases {
    /// What the mutants follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first case
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// The most cases
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// The most seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Where cases are kept that are not as they must be
    #[arg(long, value_name = "DIR", default_value = "target/mutated")]
    keep: PathBuf,
    /// Where wireproof and wiremesh are; else beside this program
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Tries a kept case again, and nothing else
    #[arg(long, value_name = "PATH")]
    replay: Option<PathBuf>,
}

impl Cases {
    fn course(&self, name: &'static str) -> Course {
        Course::new(
            name,
            self.seed,
            self.first,
            self.count,
            self.seconds,
            self.keep.clone(),
        )
    }

    fn program(&self, name: &str) -> io::Result<PathBuf> {
        let folder = match &self.programs {
            Some(folder) => folder.clone(),
            None => std::env::current_exe()?
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        };
        fs::canonicalize(folder.join(name)).map_err(|error| {
            let help = format!("build it first: cargo build -p {name}");
            io::Error::other(format!(
                "{}: {error}\n  help: {help}",
                folder.join(name).display()
            ))
        })
    }
}

use course::Course;

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Scenarios(cases) => scenarios(&cases),
        Verb::Stores(cases) => match namespace::entered() {
            Ok(None) => stores(&cases),
            Ok(Some(code)) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutate: {error}");
            ExitCode::from(3)
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

fn scenarios(cases: &Cases) -> io::Result<bool> {
    let folder = tempfile::tempdir()?;
    let check = check::Check {
        wireproof: &cases.program("wireproof")?,
        folder: folder.path(),
    };
    if let Some(path) = &cases.replay {
        return Ok(replayed(path, check.alone(path)?));
    }
    let mut course = cases.course("scenarios");
    check.all(&scenario::Seeds::read(&root())?, &mut course)?;
    println!("{}", course.progress());
    Ok(course.is_fine())
}

fn stores(cases: &Cases) -> io::Result<bool> {
    // A file system of this run's own, in memory.
    let folder = tempfile::tempdir_in("/run")?;
    let seeds = store::seeds()?;
    let living = living::Living {
        wiremesh: &cases.program("wiremesh")?,
        folder: folder.path(),
        seeds: &seeds,
    };
    if let Some(path) = &cases.replay {
        return Ok(replayed(path, living.alone(path)?));
    }
    let mut course = cases.course("stores");
    let done = living.all(&mut course);
    println!("{}", course.progress());
    done.map(|()| course.is_fine())
}

/// Says what became of a kept case.
fn replayed(path: &Path, fault: Option<String>) -> bool {
    match &fault {
        Some(what) => eprintln!("FAILED {}: {what}", path.display()),
        None => println!("{} is as it must be", path.display()),
    }
    fault.is_none()
}
