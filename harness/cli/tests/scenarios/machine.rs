//! Scenarios on kernel WireGuard, in virtual machines: they hold there too, and what their nodes
//! look like differs from what reviewers have read only by what reviewers have read of that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use similar::TextDiff;
use wireproof::scenario::{self, JudgedRun};
use wireproof_lab::host::need;
use wireproof_lab::vm::kernel;
use wireproof_model::report::Report;
use wireproof_model::run_traits;

use crate::fleet::{self, Task};
use crate::{files, good, name, root, snapshot};

/// The cluster that everything is compared in.
const SEED: &str = "scenarios/azure-cni/seed-cluster.toml";

/// What runs where: a kernel, and the folders of scenarios, or single ones.
const CHOSEN: &[(&str, &[&str])] = &[
    ("debian-6.1", &["scenarios"]),
    (
        "debian-6.12",
        &[
            SEED,
            "scenarios/first/two-nodes.toml",
            "scenarios/lifecycle/disable-returns-to-plaintext.toml",
            "scenarios/engine/families/two-meshes-side-by-side.toml",
            "scenarios/transitions/both-families-through-a-mesh-s-life.toml",
        ],
    ),
];

/// The trials of all machines that this host can have. Their tasks are added to `tasks`.
pub(crate) fn trials(arguments: &Arguments, tasks: &mut BTreeSet<Task>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (kernel, folders) in CHOSEN {
        let there = kernel::names().iter().any(|name| name == kernel);
        for path in folders.iter().flat_map(|folder| files(folder)) {
            let named = format!("vm:{kernel} {}", name(&path));
            let (task, cannot) = task(kernel, path);
            let ignored = !there || cannot.is_some();
            if !ignored && fleet::is_asked(arguments, &named) {
                tasks.insert(task.clone());
            }
            if let Some(why) = cannot.filter(|_| there && !arguments.list) {
                eprintln!("ignored: {named}: {why}");
            }
            let trial = Trial::test(named, move || holds(&task));
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    trials
}

/// What a machine is asked for, and why it cannot be with kernel WireGuard.
fn task(kernel: &str, path: PathBuf) -> (Task, Option<String>) {
    let plan = scenario::read(&path).ok();
    // Of other engines' scenarios this lane has nothing to say.
    let wireguard = plan.as_ref().and_then(good::wireguard).map(|_| "kernel");
    let needs = plan.map(|plan| plan.needs_with(wireguard));
    let task = Task {
        kernel: kernel.to_owned(),
        path,
        fault: None,
        wireguard,
        patience: Some(fleet::PATIENCE),
    };
    (task, needs.and_then(|needs| need::contradiction(&needs)))
}

fn holds(task: &Task) -> Result<(), Failed> {
    let judged = fleet::result(task)?;
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    if report.exit_status() != 0 {
        return Err(report
            .failure(&judged.directory.display().to_string())
            .into());
    }
    for (node, text) in good::dataplanes(&judged) {
        compare(&task.path, node.as_str(), &text)?;
    }
    match task.path == root().join(SEED) {
        true => differs_as_known(&task.path, judged),
        false => Ok(()),
    }
}

/// The seed cluster differs between userspace WireGuard here and the kernel's there, on any kernel,
/// by what reviewers have read: what was observed, and node by node.
fn differs_as_known(path: &Path, mut there: JudgedRun) -> Result<(), Failed> {
    let here = good::run(path, None)?;
    snapshot::check(path, Some("kernel"), &difference(&here, &there));
    // A text that hides what differs would show nothing.
    for name in here.evidence.nodes.keys() {
        let routes = |there: &mut JudgedRun| {
            let node = there.evidence.nodes.get_mut(name);
            node.map(|node| std::mem::take(&mut node.dataplane.routes))
        };
        let lost = routes(&mut there).unwrap_or_default();
        if lost.is_empty() || !difference(&here, &there).contains(&format!("{name}: differs")) {
            return Err(format!("that routes of {name} are gone goes unnoticed").into());
        }
        if let Some(node) = there.evidence.nodes.get_mut(name) {
            node.dataplane.routes = lost;
        }
    }
    Ok(())
}

/// What does not differ from run to run by itself.
const OBSERVED: &[&str] = &[
    "tunnel device",
    "outer packets' DF bit",
    "outer packets in fragments",
    "outer packets' padding",
    "largest outer packet",
    "cookies",
];

fn difference(here: &JudgedRun, there: &JudgedRun) -> String {
    let [observed, other] =
        [here, there].map(|judged| run_traits::observations(&judged.plan, &judged.evidence));
    let mut text = String::new();
    for (one, other) in observed.iter().zip(&other) {
        if OBSERVED.contains(&one.what) {
            let value = match one.value == other.value {
                true => format!("{} in both", one.value),
                false => format!("{} here, {} there", one.value, other.value),
            };
            text += &format!("{}: {value}\n", one.what);
        }
    }
    let [planes, others] = [here, there].map(|judged| run_traits::dataplanes(&judged.evidence));
    for (node, plane) in &planes {
        let other = others.get(node).map_or("", String::as_str);
        text += &match plane == other {
            true => format!("{node}: the same\n"),
            false => {
                let diff = TextDiff::from_lines(plane.as_str(), other);
                format!("{node}: differs\n{}", diff.unified_diff().context_radius(1))
            }
        };
    }
    text
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
