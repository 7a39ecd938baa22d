//! Every scenario, every bad input and every broken engine is a trial.
//!
//! `cargo test --test scenarios azure-cni` runs those whose name holds `azure-cni`.
//! When a snapshot changed, read the `.snap.new` beside it (`cargo insta review`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use fleet::{Elsewhere, Task};
use libtest_mimic::{Arguments, Trial};
use wireproof::failure::Failure;
use wireproof::input::toml_files;
use wireproof::scenario;
use wireproof_lab::kernel::sandbox::{self, Side};

mod bad;
mod broken;
mod fleet;
mod good;
mod impatient;
mod machine;
mod matrix;
mod program;
mod reasons;
mod snapshot;
mod why;

fn main() -> ExitCode {
    if let Some(code) = wireproof_lab::cluster::init::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // Trials wait for most of their time: two for each processor keep it busy.
    let processors = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * processors);
    // A list of trials needs no privileges, and nextest asks for one first.
    if !arguments.list {
        match sandbox::enter() {
            Ok(Side::Inside) => {}
            Ok(Side::Outside(code)) => return code,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(3);
            }
        }
    }
    let mut trials: Vec<Trial> = Vec::new();
    let mut away = Away::look_around(&arguments);
    for path in files("scenarios") {
        for fault in faults(&path) {
            let (name, path) = (format!("{} broken-by {fault}", name(&path)), path.clone());
            let task = good::task(&path, Some(&fault));
            let trial = Trial::test(name, move || broken::is_broken_by(&path, &fault));
            trials.extend(away.unless_here(trial, task));
        }
        let task = good::task(&path, None);
        let trial = Trial::test(name(&path), move || good::holds(&path));
        trials.extend(away.unless_here(trial, task));
    }
    for path in files("fixtures/bad") {
        trials.push(Trial::test(name(&path), move || bad::is_refused(&path)));
    }
    for path in files("fixtures/broken") {
        trials.push(Trial::test(name(&path), move || broken::is_wrong(&path)));
    }
    for path in files("fixtures/why") {
        trials.push(Trial::test(name(&path), move || {
            why::names_the_tampering(&path)
        }));
    }
    for path in files("fixtures/open") {
        let task = good::task(&path, None);
        let trial = Trial::test(name(&path), move || broken::is_open(&path));
        trials.extend(away.unless_here(trial, task));
    }
    for folder in ["faults", "firewalls", "links"] {
        for path in files(&format!("fixtures/engines/{folder}")) {
            trials.push(Trial::test(name(&path), move || broken::is_caught(&path)));
        }
    }
    for path in files("fixtures/engines/failures") {
        trials.push(Trial::test(name(&path), move || broken::is_reported(&path)));
    }
    trials.push(Trial::test(
        "fixtures/engines/none",
        broken::no_engine_is_caught,
    ));
    trials.push(Trial::test(
        "fixtures/engines/wiremesh-by-its-peers",
        good::needs_no_announcement,
    ));
    trials.push(Trial::test(
        "fixtures/engines/a-lost-key",
        broken::a_lost_key_is_noticed,
    ));
    trials.push(Trial::test(
        "fixtures/engines/dies",
        broken::a_dead_agent_leaves_it_open,
    ));
    trials.push(Trial::test("drop-reasons", reasons::agree_with_counters));
    trials.push(Trial::test("rpf-matrix", matrix::is_as_expected));
    trials.extend(impatient::trials());
    trials.extend(program::trials());
    // Last: they wait for machines that work meanwhile.
    let kernels = machine::trials(&arguments, &mut away.tasks);
    trials.extend(away.trials.into_iter().chain(kernels));
    fleet::start(away.tasks);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Trials of scenarios that this kernel cannot run.
struct Away<'a> {
    arguments: &'a Arguments,
    trials: Vec<Trial>,
    tasks: BTreeSet<Task>,
}

impl<'a> Away<'a> {
    fn look_around(arguments: &'a Arguments) -> Self {
        if !arguments.list {
            fleet::look_around(&[files("scenarios"), files("fixtures/open")].concat());
        }
        Self {
            arguments,
            trials: Vec::new(),
            tasks: BTreeSet::new(),
        }
    }

    /// Takes a trial away to where it can run; ignored is one that no machine here can run. A scenario that is
    /// wrong stays, and its trial fails.
    fn unless_here(&mut self, trial: Trial, task: Result<Task, Failure>) -> Option<Trial> {
        let Ok(task) = task else { return Some(trial) };
        match fleet::elsewhere(&task.path) {
            None => return Some(trial),
            Some(Elsewhere::Nowhere(why)) => {
                eprintln!("ignored: {}: {why}", trial.name());
                self.trials.push(trial.with_ignored_flag(true));
            }
            Some(Elsewhere::In(_)) => {
                if fleet::is_asked(self.arguments, trial.name()) {
                    self.tasks.insert(task);
                }
                self.trials.push(trial);
            }
        }
        None
    }
}

/// The faults that must break a scenario; one that is wrong fails in its own trial.
fn faults(path: &Path) -> Vec<String> {
    scenario::read(path).map_or_else(|_| Vec::new(), |plan| plan.broken_by)
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Where the runs of the trials leave their files.
fn runs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("runs")
}

fn files(folder: &str) -> Vec<PathBuf> {
    toml_files(&[root().join(folder)]).unwrap_or_default()
}

/// A trial is named after its file: `scenarios/azure-cni/seed-cluster`.
fn name(path: &Path) -> String {
    let path = path.with_extension("");
    path.strip_prefix(root())
        .unwrap_or(&path)
        .display()
        .to_string()
}
