//! Virtual machines that work for trials: each is started once for its share of what is asked of a
//! kernel, and works while other trials do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use libtest_mimic::Arguments;
use wireproof::failure::Failure;
use wireproof::lane::{self, Lane, Prepared, Progress};
use wireproof::lanes;
use wireproof::scenario::{self, Asked, JudgedRun};
use wireproof_lab::base::error::LabError;
use wireproof_model::plan::{Need, Plan};

use crate::runs;

/// How many times as long what an emulated machine may have to run may take, also where none is
/// needed: reviewers read the same budgets everywhere.
pub(crate) const PATIENCE: u32 = 20;

/// One run in a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    pub(crate) kernel: String,
    pub(crate) path: PathBuf,
    pub(crate) fault: Option<String>,
    pub(crate) wireguard: Option<&'static str>,
    pub(crate) patience: Option<u32>,
}

impl Task {
    fn prepare(&self) -> Result<Prepared, Failure> {
        let asked = Asked {
            instead: None,
            fault: self.fault.as_deref(),
            wireguard: self.wireguard,
            patience: self.patience,
        };
        Prepared::read(&self.path, asked)
    }
}

/// Where a scenario runs that not every kernel can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// In a machine with that kernel.
    In(String),
    /// Nowhere, because of this.
    Nowhere(String),
}

static ELSEWHERE: OnceLock<BTreeMap<PathBuf, Elsewhere>> = OnceLock::new();

/// What each task came to, as soon as it is known.
static RESULTS: Mutex<BTreeMap<Task, Result<JudgedRun, Failure>>> = Mutex::new(BTreeMap::new());
static NEWS: Condvar = Condvar::new();

/// Finds out which of these scenarios this kernel cannot run, and which can. Call it once, inside
/// the sandbox.
pub(crate) fn look_around(paths: &[PathBuf]) {
    let needy = paths.iter().filter_map(|path| {
        let needs = scenario::read(path).ok()?.needs();
        (!needs.is_empty()).then_some((path, needs))
    });
    let (paths, needs): (Vec<_>, Vec<_>) = needy.unzip();
    let (offers, chosen) = lanes::assign(&needs);
    let elsewhere = paths.into_iter().zip(chosen).filter_map(|(path, chosen)| {
        let lane = chosen.map(|number| &offers[number].lane);
        match lane {
            Ok(Lane::Host) => None,
            Ok(Lane::Vm(kernel)) => Some((path.clone(), Elsewhere::In(kernel.clone()))),
            Err(why) => Some((path.clone(), Elsewhere::Nowhere(why))),
        }
    });
    let _ = ELSEWHERE.set(elsewhere.collect());
}

/// Where a scenario runs that does not run here.
pub(crate) fn elsewhere(path: &Path) -> Option<&'static Elsewhere> {
    ELSEWHERE.get()?.get(path)
}

/// The patience that a scenario's trials have wherever they run.
pub(crate) fn patience(plan: &Plan) -> Option<u32> {
    plan.needs().contains(&Need::Netem).then_some(PATIENCE)
}

/// Whether the arguments choose a trial of that name, as libtest does.
pub(crate) fn is_asked(arguments: &Arguments, name: &str) -> bool {
    let matches = |wanted: &String| match arguments.exact {
        true => name == wanted,
        false => name.contains(wanted.as_str()),
    };
    !arguments.ignored
        && !arguments.list
        && arguments.filter.as_ref().is_none_or(matches)
        && !arguments.skip.iter().any(matches)
}

/// Tasks that are worth a second machine with the same kernel: a boot takes as long as one or two of them.
const WORTH_A_BOOT: usize = 12;

/// Starts a machine for each kernel that there are tasks for; for many tasks as many as there are processors,
/// since an emulated machine keeps no more than one of them busy.
pub(crate) fn start(tasks: BTreeSet<Task>) {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let kernels: BTreeSet<_> = tasks.iter().map(|task| task.kernel.clone()).collect();
    for kernel in kernels {
        let tasks = tasks.iter().filter(|task| task.kernel == kernel);
        let tasks: Vec<_> = tasks.cloned().collect();
        let machines = processors.min(tasks.len() / WORTH_A_BOOT).max(1);
        // What takes long stands side by side, as folders do: each machine gets some of it.
        for machine in 0..machines {
            let own = tasks.iter().skip(machine).step_by(machines);
            let (kernel, own) = (kernel.clone(), own.cloned().collect());
            thread::spawn(move || work(kernel, own));
        }
    }
}

fn work(kernel: String, tasks: Vec<Task>) {
    let mut ready = Vec::new();
    for task in &tasks {
        match task.prepare() {
            Ok(prepared) => ready.push((task, prepared)),
            Err(failure) => set_result(task, Err(failure)),
        }
    }
    // What one machine is asked for has one patience.
    let by = |wanted: Option<u32>| {
        ready
            .iter()
            .filter(move |(task, _)| task.patience == wanted)
    };
    let patiences: BTreeSet<_> = ready.iter().map(|(task, _)| task.patience).collect();
    let mut why = None;
    for patience in patiences {
        let batch: Vec<_> = by(patience).collect();
        let prepared: Vec<_> = batch.iter().map(|(_, prepared)| prepared).collect();
        let lane = Lane::Vm(kernel.clone());
        let mut last = None;
        let mut left = None;
        let done = lane::run(&lane, &prepared, &runs(), |news| match news {
            // What all of them leave behind is known after the last, and is the last one's failure.
            Progress::Over(number, result) => {
                if let Some((task, result)) = last.replace((batch[number].0, *result)) {
                    set_result(task, result);
                }
            }
            Progress::Left(failure) => left = Some(failure),
            Progress::StartFailed(text) => eprintln!("{text}"),
            Progress::Lane(_)
            | Progress::Begins(_)
            | Progress::Phase(..)
            | Progress::Machine(_) => {}
        });
        if let Some((task, result)) = last {
            set_result(task, left.map_or(result, Err));
        }
        why = done.err().map(|failure| failure.to_string()).or(why);
    }
    // Whatever has no result yet has none.
    let why = why.unwrap_or_else(|| "the machine never told of it".to_owned());
    for task in &tasks {
        let known = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.contains_key(task);
        drop(known);
        if !is_known {
            let error = LabError::machine("run in a virtual machine", why.clone());
            set_result(task, Err(error.into()));
        }
    }
}

fn set_result(task: &Task, result: Result<JudgedRun, Failure>) {
    let mut known = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(task.clone(), result);
    NEWS.notify_all();
}

/// Waits for what a task comes to; ask once.
pub(crate) fn result(task: &Task) -> Result<JudgedRun, Failure> {
    let mut known = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match known.remove(task) {
            Some(result) => return result,
            None => known = NEWS.wait(known).unwrap_or_else(PoisonError::into_inner),
        }
    }
}
