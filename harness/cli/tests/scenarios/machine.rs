//! Scenarios on kernel WireGuard, in virtual machines: they hold there too, and what their nodes
//! look like differs from what reviewers have read only by what reviewers have read of that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;
use wireproof::lane::{self, Lane, Prepared, Progress};
use wireproof::scenario::{self, Asked, Told};
use wireproof_lab::vm::kernel;
use wireproof_model::report::Report;

use crate::{files, good, name, runs, snapshot};

/// What runs where: a kernel, and the folders of scenarios, or single ones. Emulation is slow; all
/// of them run by `wireproof run --lane vm:KERNEL scenarios`.
const CHOSEN: &[(&str, &[&str])] = &[
    (
        "debian-6.1",
        &[
            "scenarios/azure-cni",
            "scenarios/first",
            "scenarios/lifecycle",
            "scenarios/mixed",
            "scenarios/engine/families/two-meshes-side-by-side.toml",
            "scenarios/engine/flat/ipv6-on-a-switch.toml",
            "scenarios/engine/ipam",
            "scenarios/engine/scale",
            "fixtures/needs",
        ],
    ),
    ("debian-6.12", &["scenarios/azure-cni/seed-cluster.toml"]),
];

/// What each scenario came to, as soon as it is known.
type Results = Arc<(Mutex<BTreeMap<PathBuf, Result<Told, String>>>, Condvar)>;

/// The trials of all machines that this host can have. A machine is started once for all trials
/// that are asked for, and works while the others do.
pub(crate) fn trials(arguments: &Arguments) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (kernel, folders) in CHOSEN {
        let there = kernel::names().iter().any(|name| name == kernel);
        let paths: Vec<_> = folders.iter().flat_map(|folder| files(folder)).collect();
        let named = |path: &Path| format!("vm:{kernel} {}", name(path));
        let asked: Vec<_> = paths
            .iter()
            .filter(|path| there && is_asked(arguments, &named(path)))
            .cloned()
            .collect();
        let results = Results::default();
        if !asked.is_empty() && !arguments.list {
            start(kernel, asked, &results);
        }
        for path in paths {
            let results = results.clone();
            let trial = Trial::test(named(&path), move || holds(&path, &results));
            trials.push(trial.with_ignored_flag(!there));
        }
    }
    trials
}

/// Whether the arguments choose a trial of that name, as libtest does.
fn is_asked(arguments: &Arguments, name: &str) -> bool {
    let matches = |wanted: &String| match arguments.exact {
        true => name == wanted,
        false => name.contains(wanted.as_str()),
    };
    !arguments.ignored
        && arguments.filter.as_ref().is_none_or(matches)
        && !arguments.skip.iter().any(matches)
}

fn start(kernel: &str, paths: Vec<PathBuf>, results: &Results) {
    let (lane, results) = (Lane::Vm(kernel.to_owned()), results.clone());
    thread::spawn(move || {
        let tell = |path: PathBuf, result| {
            let mut known = results.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(path, result);
            results.1.notify_all();
        };
        let asked = Asked {
            wireguard: Some("kernel"),
            ..Asked::default()
        };
        let mut prepared = Vec::new();
        for path in &paths {
            // Of other engines' scenarios this lane has nothing to say.
            let asked = match scenario::read(path) {
                Ok(plan) if good::wireguard(&plan).is_some() => asked,
                Ok(_) | Err(_) => Asked::default(),
            };
            match Prepared::read(path, asked) {
                Ok(one) => prepared.push(one),
                Err(failure) => tell(path.clone(), Err(failure.to_string())),
            }
        }
        let prepared: Vec<_> = prepared.iter().collect();
        let done = lane::run(&lane, &prepared, &runs(), |news| {
            if let Progress::Over(number, result) = news {
                let path = prepared[number].path.clone();
                tell(path, result.map_err(|failure| failure.to_string()));
            }
        });
        let why = match done {
            Ok(()) => "the machine never told of it".to_owned(),
            Err(failure) => failure.to_string(),
        };
        // Whatever has no result yet has none.
        for path in paths {
            let known = results.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_known = known.contains_key(&path);
            drop(known);
            if !is_known {
                tell(path, Err(why.clone()));
            }
        }
    });
}

fn holds(path: &Path, results: &Results) -> Result<(), Failed> {
    let mut known = results.0.lock().unwrap_or_else(PoisonError::into_inner);
    let told = loop {
        match known.remove(path) {
            Some(result) => break result?,
            None => {
                known = results
                    .1
                    .wait(known)
                    .unwrap_or_else(PoisonError::into_inner)
            }
        }
    };
    drop(known);
    let report = Report::new(&told.plan, &told.evidence, &told.verdicts);
    let skipped = told.evidence.skipped.is_some();
    if report.exit_status() != if skipped { 3 } else { 0 } {
        return Err(report.failure(&told.directory.display().to_string()).into());
    }
    if skipped
        && !told
            .plan
            .needs()
            .contains(&wireproof_model::plan::Need::Userspace)
    {
        return Err(format!("it was skipped: {:?}", told.evidence.skipped).into());
    }
    for (node, text) in good::dataplanes(&told) {
        compare(path, node.as_str(), &text)?;
    }
    Ok(())
}

/// The lines in which a node differs from the one with userspace WireGuard, against those that
/// reviewers have read; no file where nothing does.
fn compare(path: &Path, node: &str, text: &str) -> Result<(), Failed> {
    let Some(usual) = snapshot::known(path, node) else {
        return Ok(());
    };
    let (usual, text) = (usual.trim_end(), text.trim_end());
    let part = format!("{node}.kernel");
    if usual == text {
        return match fs::exists(path.with_extension(format!("{part}.snap"))) {
            Ok(false) => Ok(()),
            _ => Err(format!("{node} no longer differs: delete its .kernel.snap").into()),
        };
    }
    let diff = TextDiff::from_lines(usual, text);
    let diff = diff.unified_diff().context_radius(1).to_string();
    snapshot::check(path, Some(&part), &diff);
    Ok(())
}
