//! Arguments, help, and what each command prints.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use wireproof_model::count::counted;
use wireproof_model::outline::outline;
use wireproof_model::plan::Patience;
use wireproof_model::text::shown_path;

use crate::doctor::Examination;
use crate::failure::{Failure, Status};
use crate::input;
use crate::rpf::Matrix;
use crate::run::{self, in_sandbox, patience};
use crate::scenario;
use crate::tell::{all_was_printed, print, print_json, report, say, status_of, tell};

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
    Run(run::Arguments),
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
        /// A run directory, or the one above it for its latest
        directory: PathBuf,
        /// Judge it by the promises of this scenario, which is about the same cluster
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// Print one JSON document and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Show which packets this kernel takes from a peer that is routed into a tunnel, setting by setting
    Rpf {
        /// Multiply every deadline, for a machine that is slow
        #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = patience)]
        patience: u32,
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
    let done = run_command(arguments.verb);
    match done.and_then(|code| all_was_printed().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure);
            failure.status().into()
        }
    }
}

fn run_command(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check { paths } => check(&paths).map(ExitCode::from),
        Verb::Plan { path, format } => {
            let plan = scenario::read(&path)?;
            match format {
                Format::Text => print(&outline(&plan)),
                Format::Json => print_json(&json!(plan)),
            }
            Ok(Status::Held.into())
        }
        Verb::Judge {
            directory,
            expect,
            json,
        } => {
            let told = match expect {
                Some(file) => scenario::judge_by(&directory, &file)?,
                None => scenario::judge_again(&directory)?,
            };
            let status = if json {
                print_json(&report(&told).json());
                status_of(&told)
            } else {
                tell(&told)
            };
            Ok(status.into())
        }
        Verb::Rpf { patience, json } => in_sandbox(|| {
            let matrix = Matrix::of_this_kernel(Patience::times(patience))?;
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

fn check(paths: &[PathBuf]) -> Result<Status, Failure> {
    let mut worst = Status::Held;
    for path in input::toml_files(paths)? {
        match scenario::read(&path) {
            Ok(plan) => print(&format!(
                "{}: {}, {}, {}\n",
                shown_path(&path),
                counted(plan.nodes.len(), "node"),
                counted(
                    plan.nodes.iter().map(|node| node.pods.len()).sum::<usize>(),
                    "pod"
                ),
                counted(plan.promises.len(), "promise")
            )),
            Err(failure) => {
                say(&failure);
                worst = worst.max(failure.status());
            }
        }
    }
    Ok(worst)
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
