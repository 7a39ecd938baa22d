//! Arguments, help, and what each command prints.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use wireproof_lab::sandbox::{self, Side};
use wireproof_model::outline::outline;
use wireproof_model::report::Report;

use crate::doctor::Examination;
use crate::failure::{Failure, Status};
use crate::input;
use crate::lane::{self, Lane, Prepared, Progress};
use crate::list;
use crate::rpf::Matrix;
use crate::scenario::{self, Asked, Told, run_name};

/// Proves from packets on the wire what a WireGuard mesh encrypts.
///
/// Exit status: 0 every promise held; 1 a promise was broken; 2 the input is wrong;
/// 3 the machine or the run is at fault.
#[derive(Debug, Parser)]
#[command(name = "wireproof", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build each scenario's cluster, run the engine in it, probe, and judge
    Run(Run),
    /// Read scenarios and report every mistake in them; needs no privileges
    Check {
        /// Scenario files, or folders of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Show what a scenario means: addresses, promises, and the way of each packet
    Plan {
        /// A scenario file
        path: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Judge a saved run again
    Judge {
        /// A run directory
        directory: PathBuf,
        /// Print one JSON document and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Show which packets this kernel takes from a peer that is routed into a tunnel, setting by setting
    Rpf {
        /// Print one JSON document and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Say what this machine can do, and what each missing thing costs
    Doctor {
        /// Print one JSON document and nothing else
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Scenario files, or folders of them
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// List the scenarios, each with its fact and what it needs, and run none
    #[arg(long)]
    list: bool,
    /// Run this engine instead of the scenario's: a built-in name or a descriptor's file
    #[arg(long, value_name = "NAME|FILE")]
    engine: Option<String>,
    /// Ask the engine's agents for this fault, to see what breaks
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
    /// Run in this lane: `host`, or `vm:KERNEL` for a virtual machine
    #[arg(long, value_name = "LANE", default_value = "host")]
    lane: Lane,
    /// Have the engine's agents use this WireGuard, such as `kernel` or `userspace`
    #[arg(long, value_name = "NAME")]
    wireguard: Option<String>,
    /// Multiply every deadline and budget of time, for a machine that is slow
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: Option<u32>,
    /// Save what is observed, and leave it to others to judge
    #[arg(long, hide = true)]
    unjudged: bool,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
    /// Leave captures, logs and evidence below this folder
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The program, from arguments to exit status.
pub fn main() -> ExitCode {
    // clap ends the process with status 2 on arguments that are wrong.
    let arguments = Arguments::parse();
    match obey(arguments.verb) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.status().into()
        }
    }
}

fn obey(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(arguments) => run(&arguments),
        Verb::Check { paths } => check(&paths).map(ExitCode::from),
        Verb::Plan { path, format } => {
            let plan = scenario::read(&path)?;
            match format {
                Format::Text => print(&outline(&plan)),
                Format::Json => print_json(&json!(plan)),
            }
            Ok(Status::Held.into())
        }
        Verb::Judge { directory, json } => {
            let told = scenario::judge_again(&directory)?;
            let status = if json {
                print_json(&report(&told).json());
                status_of(&told)
            } else {
                tell(&told)
            };
            Ok(status.into())
        }
        Verb::Rpf { json } => in_sandbox(|| {
            let matrix = Matrix::of_this_kernel()?;
            if json {
                print_json(&matrix.json());
            } else {
                print(&matrix.table());
            }
            Ok(matrix.status())
        }),
        Verb::Doctor { json } => in_sandbox(|| {
            let examination = Examination::of_this_machine();
            if json {
                print_json(&examination.json());
            } else {
                print(&examination.table());
            }
            Ok(examination.status())
        }),
    }
}

fn in_sandbox(work: impl FnOnce() -> Result<Status, Failure>) -> Result<ExitCode, Failure> {
    match sandbox::enter()? {
        Side::Outside(code) => Ok(code),
        Side::Inside => work().map(ExitCode::from),
    }
}

fn check(paths: &[PathBuf]) -> Result<Status, Failure> {
    let mut worst = Status::Held;
    for path in input::toml_files(paths)? {
        match scenario::read(&path) {
            Ok(plan) => print(&format!(
                "{}: {} nodes, {} pods, {} promises\n",
                path.display(),
                plan.nodes.len(),
                plan.nodes.iter().map(|node| node.pods.len()).sum::<usize>(),
                plan.promises.len()
            )),
            Err(failure) => {
                eprintln!("{failure}");
                worst = worst.max(failure.status());
            }
        }
    }
    Ok(worst)
}

/// Every scenario is read before any is run, so that a mistake in the last one costs no time.
fn run(arguments: &Run) -> Result<ExitCode, Failure> {
    let paths = input::toml_files(&arguments.paths)?;
    let asked = Asked {
        instead: arguments.engine.as_deref(),
        fault: arguments.fault.as_deref(),
        wireguard: arguments.wireguard.as_deref(),
        patience: arguments.patience,
    };
    let mut prepared = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        let ready = scenario::read(&path).and_then(|mut plan| {
            let engine = scenario::engine_for(&mut plan, asked)?;
            Ok((plan, engine))
        });
        match ready {
            Ok((plan, engine)) => prepared.push(Prepared { path, plan, engine }),
            Err(failure) => wrong.push((path, failure)),
        }
    }
    if !wrong.is_empty() {
        let worst = wrong.iter().map(|(_, failure)| failure.status()).max();
        let worst = worst.unwrap_or(Status::BadInput);
        for (_, failure) in &wrong {
            eprintln!("{failure}");
        }
        if arguments.json {
            let documents = wrong
                .iter()
                .map(|(path, failure)| document(path, &failed(None, failure)));
            print_json(&summary(worst, documents.collect()));
        }
        return Ok(worst.into());
    }
    if arguments.list {
        let named: Vec<_> = prepared
            .iter()
            .map(|one| (one.path.as_path(), run_name(&one.path), &one.plan))
            .collect();
        let scenarios = named
            .iter()
            .map(|(path, name, plan)| (*path, name.as_str(), *plan));
        match arguments.json {
            true => print_json(&list::json(scenarios)),
            false => print(&list::text(scenarios)),
        }
        return Ok(Status::Held.into());
    }
    if arguments.unjudged {
        return in_sandbox(|| {
            for one in &prepared {
                let name = run_name(&one.path);
                scenario::observe(&one.plan, &one.engine, &arguments.runs, &name, |_| {})?;
            }
            Ok(Status::Held)
        });
    }
    in_sandbox(|| {
        let mut worst = Status::Held;
        let mut documents = Vec::new();
        let mut lines = String::new();
        let watcher = Watcher::new(arguments.json);
        lane::run(&arguments.lane, &prepared, asked, &arguments.runs, |news| {
            let (one, proven) = match news {
                Progress::Lane(text) => return watcher.line(text),
                Progress::Phase(number, phase) => {
                    return watcher.phase(&prepared[number].path, phase);
                }
                Progress::Over(number, proven) => (&prepared[number], proven),
            };
            watcher.clear();
            let status = match proven.as_ref() {
                Ok(told) if arguments.json => {
                    documents.push(document(&one.path, &report(told).json()));
                    status_of(told)
                }
                Ok(told) => {
                    lines += &report(told).line(&run_name(&one.path));
                    tell(told)
                }
                Err(failure) => {
                    lines += &format!("{:<70} did not come to its end\n", run_name(&one.path));
                    eprintln!("{}: {failure}", one.path.display());
                    documents.push(document(&one.path, &failed(Some(&one.plan.title), failure)));
                    failure.status()
                }
            };
            worst = worst.max(status);
        })?;
        if arguments.json {
            print_json(&summary(worst, documents));
        } else if prepared.len() > 1 {
            print(&format!("\n{lines}"));
        }
        Ok(worst)
    })
}

fn report(told: &Told) -> Report<'_> {
    Report::new(&told.plan, &told.evidence, &told.verdicts)
}

fn status_of(told: &Told) -> Status {
    match report(told).exit_status() {
        0 => Status::Held,
        1 => Status::Broken,
        _ => Status::Unfit,
    }
}

fn tell(told: &Told) -> Status {
    let directory = told.directory.display().to_string();
    let report = report(told);
    print(&report.table(&directory, io::stdout().is_terminal()));
    let failure = report.failure(&directory);
    if !failure.is_empty() {
        print(&format!("\n{failure}"));
    }
    status_of(told)
}

fn document(path: &Path, result: &Value) -> Value {
    let mut document = result.clone();
    document["scenario"] = json!(path.display().to_string());
    document
}

fn summary(worst: Status, documents: Vec<Value>) -> Value {
    json!({ "status": worst as u8, "scenarios": documents })
}

fn failed(title: Option<&str>, failure: &Failure) -> Value {
    json!({
        "title": title,
        "status": failure.status() as u8,
        "error": failure.to_string(),
    })
}

/// A reader that has gone away, such as `head`, is no reason to fail.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn print_json(document: &Value) {
    print(&format!("{document:#}\n"));
}

/// One line on standard error that says what goes on, where a person watches.
struct Watcher {
    watched: bool,
}

impl Watcher {
    fn new(quiet: bool) -> Self {
        Self {
            watched: !quiet && io::stderr().is_terminal(),
        }
    }

    fn phase(&self, path: &Path, phase: &str) {
        if self.watched {
            eprint!("\r\x1b[K{}: {phase} ...", path.display());
        }
    }

    fn line(&self, text: &str) {
        if self.watched {
            eprintln!("\r\x1b[K{text}");
        }
    }

    fn clear(&self) {
        if self.watched {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
