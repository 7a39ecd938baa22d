//! `wireproof run`: many scenarios, each in its lane, and what they came to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use wireproof_lab::host::memory::{Demand, Size};
use wireproof_lab::kernel::sandbox::{self, Side};

use crate::failure::{Failure, Status};
use crate::format::FormatArguments;
use crate::input;
use crate::lane::{self, Lane, Prepared, Progress, Started};
use crate::lanes::{self, Wanted};
use crate::list;
use crate::output::{
    Watcher, document, failed, keep_output, print, print_error, print_json, print_report, report,
    status_of, word,
};
use crate::scenario::{self, Asked, JudgedRun};
use crate::sweep::{self, Axes};
use wireproof_model::count::counted;
use wireproof_model::plan::Patience;
use wireproof_model::text::{line, shown_path};

/// So many bytes of memory are worth a line of their own.
const ANNOUNCED_MEMORY: u64 = 1 << 30;

/// What `wireproof run` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, or folders of them
    #[arg(default_value = input::SCENARIOS)]
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
    /// Run in this lane: `host`, `vm:KERNEL` for a virtual machine, or `auto` for the first of
    /// them that can run a scenario, each by itself
    #[arg(long, value_name = "LANE", default_value = "auto")]
    lane: Wanted,
    /// Have the engine's agents use this WireGuard, such as `kernel` or `userspace`
    #[arg(long, value_name = "NAME")]
    wireguard: Option<String>,
    /// Run each scenario in every combination, and show what differs: `wireguard,lane`, or with
    /// values `wireguard=userspace,kernel`, `lane=host,vm:debian-6.1`
    #[arg(long, value_name = "AXES")]
    matrix: Vec<String>,
    /// Multiply every deadline and budget of time, for a machine that is slow
    #[arg(long, value_name = "TIMES", value_parser = patience)]
    patience: Option<u32>,
    /// Save what is observed, and leave it to others to judge
    #[arg(long, hide = true)]
    unjudged: bool,
    #[command(flatten)]
    pub(crate) format: FormatArguments,
    /// Leave captures, logs and evidence below this folder
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
}

/// How many times as long everything may take.
///
/// # Errors
/// It is no whole number, 0, or more than [`Patience::MOST`].
pub(crate) fn patience(text: &str) -> Result<u32, String> {
    let times = text
        .parse()
        .ok()
        .filter(|times| (1..=Patience::MOST).contains(times));
    times.ok_or_else(|| format!("write a whole number from 1 to {}", Patience::MOST))
}

/// Does something in namespaces of its own.
///
/// # Errors
/// There can be none; or the error of the work.
pub(crate) fn in_sandbox(
    work: impl FnOnce() -> Result<Status, Failure>,
) -> Result<ExitCode, Failure> {
    match sandbox::enter()? {
        Side::Outside(code) => Ok(code),
        Side::Inside => {
            keep_output();
            work().map(ExitCode::from)
        }
    }
}

/// Every scenario is read before any is run, so that a mistake in the last one costs no time.
///
/// # Errors
/// The input is wrong, or a lane cannot be set up.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let asked = Asked {
        instead: arguments.engine.as_deref(),
        fault: arguments.fault.as_deref(),
        wireguard: arguments.wireguard.as_deref(),
        patience: arguments.patience,
    };
    let mut prepared = Vec::new();
    let mut wrong = Vec::new();
    for path in input::toml_files(&arguments.paths)? {
        match Prepared::read(&path, asked) {
            Ok(one) => prepared.push(one),
            Err(failure) => wrong.push((path, failure)),
        }
    }
    if !wrong.is_empty() {
        return Ok(print_failures(arguments, &wrong).into());
    }
    if arguments.list {
        let scenarios = prepared
            .iter()
            .map(|one| (one.path.as_path(), one.name.as_str(), &one.plan));
        match arguments.format.is_json() {
            true => print_json(&list::json(scenarios)),
            false => print(&list::text(scenarios)),
        }
        return Ok(Status::Held.into());
    }
    if arguments.runs.exists() && !arguments.runs.is_dir() {
        return Err(Failure::Unknown {
            what: format!("--runs {}: it is no folder", shown_path(&arguments.runs)),
            help: "name a folder, or one that is not there yet".into(),
        });
    }
    if arguments.unjudged {
        return in_sandbox(|| {
            for one in &prepared {
                scenario::observe(&one.plan, &one.engine, &arguments.runs, &one.name, |_| {})?;
            }
            Ok(Status::Held)
        });
    }
    if !arguments.matrix.is_empty() {
        let lane = match &arguments.lane {
            Wanted::One(lane) => Some(lane.clone()),
            Wanted::Auto => None,
        };
        let axes = Axes::parse(&arguments.matrix, arguments.wireguard.as_deref(), lane)?;
        let paths: Vec<_> = prepared.into_iter().map(|one| one.path).collect();
        let asked = Asked {
            wireguard: None,
            ..asked
        };
        return in_sandbox(|| {
            sweep::run(
                &axes,
                &paths,
                asked,
                &arguments.runs,
                arguments.format.is_json(),
            )
        });
    }
    in_sandbox(|| run_all(arguments, &prepared))
}

fn print_failures(arguments: &Arguments, wrong: &[(PathBuf, Failure)]) -> Status {
    let worst = wrong.iter().map(|(_, failure)| failure.status()).max();
    let worst = worst.unwrap_or(Status::BadInput);
    for (_, failure) in wrong {
        print_error(failure);
    }
    if arguments.format.is_json() {
        let documents = wrong
            .iter()
            .map(|(path, failure)| document(path, &failed(None, failure)));
        let documents: Vec<_> = documents.collect();
        print_json(&json!({ "status": worst as u8, "scenarios": documents }));
    }
    worst
}

fn run_all(arguments: &Arguments, prepared: &[Prepared]) -> Result<Status, Failure> {
    let mut summary = Summary::new(arguments.format.is_json());
    let watcher = Watcher::new(arguments.format.is_json());
    let ways = match &arguments.lane {
        Wanted::One(lane) => Ways {
            lanes: vec![(lane.clone(), prepared.iter().collect())],
            none: Vec::new(),
        },
        Wanted::Auto => Ways::of(prepared),
    };
    for (lane, group) in ways.lanes {
        lane::run(&lane, &group, &arguments.runs, |news| match news {
            Progress::Lane(text) => watcher.line(text),
            Progress::StartFailed(text) => {
                watcher.clear();
                print_error(text);
            }
            Progress::Machine(started) => summary.machine(&started),
            Progress::Left(failure) => {
                watcher.clear();
                summary.blame(&lane, &failure);
            }
            Progress::Begins(number) => announce(&watcher, group[number]),
            Progress::Phase(number, phase) => watcher.phase(&group[number].path, phase),
            Progress::Over(number, proven) => {
                watcher.clear();
                summary.add(group[number], Some(&lane), proven.as_ref());
            }
        })?;
    }
    for (one, why) in ways.none {
        let skipped = scenario::skip(&one.plan, why, &arguments.runs, &one.name);
        summary.add(one, None, &skipped);
    }
    match summary.document(prepared.len()) {
        Some(Document::Json(document)) => print_json(&document),
        Some(Document::Text(text)) => print(&text),
        None => {}
    }
    Ok(summary.worst)
}

fn announce(watcher: &Watcher, one: &Prepared) {
    match announcement(&one.path, &Demand::of(&one.plan)) {
        Announcement::Everybody(text) => {
            watcher.clear();
            print_error(text);
        }
        Announcement::Watcher(text) => watcher.phase(&one.path, &text),
    }
}

/// The memory that a scenario will need, and to whom it is printed.
#[derive(Debug, PartialEq, Eq)]
enum Announcement {
    /// It is much.
    Everybody(String),
    /// For the progress line, where a person watches.
    Watcher(String),
}

fn announcement(path: &Path, demand: &Demand) -> Announcement {
    let text = format!("needs about {} of memory", Size(demand.bytes()));
    match demand.bytes() >= ANNOUNCED_MEMORY {
        true => Announcement::Everybody(format!("{}: {text}: {demand}", shown_path(path))),
        false => Announcement::Watcher(text),
    }
}

/// Which scenarios go where.
struct Ways<'p> {
    lanes: Vec<(Lane, Vec<&'p Prepared>)>,
    /// Those that no lane can run, each with the reason.
    none: Vec<(&'p Prepared, String)>,
}

impl<'p> Ways<'p> {
    /// Each to the first lane that can run it.
    fn of(prepared: &'p [Prepared]) -> Self {
        let needs: Vec<_> = prepared.iter().map(Prepared::needs).collect();
        let (offers, chosen) = lanes::assign(&needs);
        let lanes = offers.into_iter().map(|offer| (offer.lane, Vec::new()));
        let mut ways = Self {
            lanes: lanes.collect(),
            none: Vec::new(),
        };
        for (one, chosen) in prepared.iter().zip(chosen) {
            match chosen {
                Ok(number) => ways.lanes[number].1.push(one),
                Err(why) => ways.none.push((one, why)),
            }
        }
        ways.lanes.retain(|(_, group)| !group.is_empty());
        ways
    }
}

/// What is printed at the end.
#[derive(Debug)]
enum Document {
    /// One JSON document, for programs.
    Json(Value),
    /// For a person.
    Text(String),
}

/// What all scenarios came to.
struct Summary {
    json: bool,
    worst: Status,
    documents: Vec<Value>,
    /// What is wrong with lanes.
    lanes: Vec<Value>,
    /// How virtual machines came to their runs.
    machines: Vec<Value>,
    lines: String,
    counts: BTreeMap<&'static str, usize>,
}

impl Summary {
    fn new(json: bool) -> Self {
        Self {
            json,
            worst: Status::Held,
            documents: Vec::new(),
            lanes: Vec::new(),
            machines: Vec::new(),
            lines: String::new(),
            counts: BTreeMap::new(),
        }
    }

    /// One more, from the lane that it ran in; none if it ran in none.
    fn add(&mut self, one: &Prepared, lane: Option<&Lane>, proven: &Result<JudgedRun, Failure>) {
        let (status, word) = match proven {
            Ok(judged) => (status_of(judged), word(judged)),
            Err(failure) if failure.status() == Status::Unfit => (Status::Unfit, "inconclusive"),
            Err(failure) => (failure.status(), "failed"),
        };
        self.worst = self.worst.or_worse(status);
        *self.counts.entry(word).or_default() += 1;
        let name = &line(&one.name);
        match proven {
            Ok(judged) if self.json => self.documents.push(report(judged).json()),
            Ok(judged) => {
                print_report(judged);
                self.lines += &match &judged.evidence.skipped {
                    Some(why) => format!("{name:<70} skipped: {why}\n"),
                    None => report(judged).line(name),
                };
            }
            Err(failure) => {
                self.lines += &format!("{name:<70} did not come to its end\n");
                print_error(format_args!("{}: {failure}", shown_path(&one.path)));
                self.documents.push(failed(Some(&one.plan.title), failure));
            }
        }
        if let Some(last) = self.documents.last_mut().filter(|_| self.json) {
            *last = document(&one.path, last);
            last["lane"] = json!(lane.map(Lane::to_string));
            last["outcome"] = json!(word);
            last["memory_mib"] = json!(Size(Demand::of(&one.plan).bytes()).mebibytes());
        }
    }

    /// A virtual machine that came to its first run, or was given up. That it took more than one start
    /// is in the text too.
    fn machine(&mut self, started: &Started) {
        self.machines.push(started.json());
        if !started.failed.is_empty() {
            self.lines += &format!("{:<70} {}\n", started.lane, started.text());
        }
    }

    /// What no scenario by itself is to blame for.
    fn blame(&mut self, lane: &Lane, failure: &Failure) {
        self.worst = self.worst.or_worse(failure.status());
        self.lines += &format!("{lane:<70} {failure}\n");
        print_error(failure);
        self.lanes.push(failed(None, failure));
    }

    fn text(&self) -> String {
        let all: usize = self.counts.values().sum();
        let counts = self
            .counts
            .iter()
            .map(|(word, count)| format!("{count} {word}"));
        let counts: Vec<_> = counts.collect();
        format!(
            "\n{}\n{}: {}\n",
            self.lines,
            counted(all, "scenario"),
            counts.join(", ")
        )
    }

    /// What is printed of all: of a single scenario a person has read all already.
    fn document(&self, scenarios: usize) -> Option<Document> {
        match self.json {
            true => Some(Document::Json(self.json())),
            false if scenarios > 1 => Some(Document::Text(self.text())),
            false => None,
        }
    }

    fn json(&self) -> Value {
        json!({
            "status": self.worst as u8,
            "counts": self.counts,
            "lanes": self.lanes,
            "machines": self.machines,
            "scenarios": self.documents,
        })
    }
}

#[cfg(test)]
mod tests;
