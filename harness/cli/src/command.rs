//! Arguments, help, and what each command prints.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use wireproof_model::count::counted;
use wireproof_model::plan::Patience;
use wireproof_model::plan_text::plan_text;
use wireproof_model::reference;
use wireproof_model::text::shown_path;

use crate::doctor::Examination;
use crate::failure::{Failure, Status};
use crate::format::{self, FormatArguments};
use crate::input;
use crate::output::{
    all_was_printed, document, failed, print, print_error, print_json, print_report, report,
    status_of,
};
use crate::rpf::Matrix;
use crate::run::{self, in_sandbox, patience};
use crate::scenario;

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
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Show what a scenario means: addresses, promises, and the way of each packet
    Plan {
        /// A scenario file
        path: PathBuf,
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Judge a saved run again
    Judge {
        /// A run directory, or the one above it for its latest
        directory: PathBuf,
        /// Judge it by the promises of this scenario, which is about the same cluster
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Show which packets this kernel takes from a peer that is routed into a tunnel, setting by setting
    Rpf {
        /// Multiply every deadline, for a machine that is slow
        #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = patience)]
        patience: u32,
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Print what scenarios and descriptors of engines may say, as Markdown: every table, key, action and promise
    Grammar {
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Say what this machine can do, and what each missing thing costs
    Doctor {
        #[command(flatten)]
        format: FormatArguments,
    },
}

impl Verb {
    fn format(&self) -> FormatArguments {
        match self {
            Self::Run(arguments) => arguments.format,
            Self::Check { format, .. }
            | Self::Plan { format, .. }
            | Self::Judge { format, .. }
            | Self::Rpf { format, .. }
            | Self::Grammar { format }
            | Self::Doctor { format } => *format,
        }
    }
}

/// The program, from arguments to exit status.
pub fn main() -> ExitCode {
    // clap ends the process with status 2 on arguments that are wrong, and with 0 on `--help`.
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() && format::asks_for_json(env::args_os().skip(1)) {
            print_json(&json!({
                "title": null,
                "status": error.exit_code(),
                "error": error.to_string(),
            }));
        }
        error.exit()
    });
    let is_json = arguments.verb.format().is_json();
    let done = run_command(arguments.verb);
    match done.and_then(|code| all_was_printed().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => {
            print_error(&failure);
            if is_json {
                print_json(&failed(None, &failure));
            }
            failure.status().into()
        }
    }
}

fn run_command(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check { paths, format } => check(&paths, format.is_json()).map(ExitCode::from),
        Verb::Plan { path, format } => {
            let plan = scenario::read(&path)?;
            if format.is_json() {
                print_json(&json!(plan));
            } else {
                print(&plan_text(&plan));
            }
            Ok(Status::Held.into())
        }
        Verb::Judge {
            directory,
            expect,
            format,
        } => {
            let judged = match expect {
                Some(file) => scenario::judge_by(&directory, &file)?,
                None => scenario::judge_again(&directory)?,
            };
            let status = if format.is_json() {
                print_json(&report(&judged).json());
                status_of(&judged)
            } else {
                print_report(&judged)
            };
            Ok(status.into())
        }
        Verb::Rpf { patience, format } => in_sandbox(|| {
            let matrix = Matrix::of_this_kernel(Patience::times(patience))?;
            if format.is_json() {
                print_json(&matrix.json());
            } else {
                print(&matrix.table());
            }
            Ok(matrix.status())
        }),
        Verb::Grammar { format } => {
            if format.is_json() {
                print_json(&reference::json());
            } else {
                print(&reference::page());
            }
            Ok(Status::Held.into())
        }
        Verb::Doctor { format } => in_sandbox(|| {
            let examination = Examination::of_this_machine();
            if format.is_json() {
                print_json(&examination.json());
            } else {
                print(&examination.table());
            }
            Ok(examination.status())
        }),
    }
}

fn check(paths: &[PathBuf], is_json: bool) -> Result<Status, Failure> {
    let mut worst = Status::Held;
    let mut documents = Vec::new();
    for path in input::toml_files(paths)? {
        match scenario::read(&path) {
            Ok(plan) => {
                let pods = plan.nodes.iter().map(|node| node.pods.len()).sum::<usize>();
                let (nodes, promises) = (plan.nodes.len(), plan.promises.len());
                if is_json {
                    let found = json!({
                        "title": plan.title, "status": Status::Held as u8,
                        "nodes": nodes, "pods": pods, "promises": promises,
                    });
                    documents.push(document(&path, &found));
                    continue;
                }
                print(&format!(
                    "{}: {}, {}, {}\n",
                    shown_path(&path),
                    counted(nodes, "node"),
                    counted(pods, "pod"),
                    counted(promises, "promise")
                ));
            }
            Err(failure) => {
                print_error(&failure);
                documents.push(document(&path, &failed(None, &failure)));
                worst = worst.max(failure.status());
            }
        }
    }
    if is_json {
        print_json(&json!({ "status": worst as u8, "scenarios": documents }));
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
