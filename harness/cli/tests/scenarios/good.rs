//! A scenario holds, and its snapshots are what reviewers have read.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Failed;
use wireproof::failure::Failure;
use wireproof::lane::Prepared;
use wireproof::scenario::{self, Asked, JudgedRun};
use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;
use wireproof_model::report::Report;
use wireproof_model::run_traits;

use crate::fleet::{self, Elsewhere, Task};
use crate::{root, runs, snapshot};

pub(crate) fn holds(path: &Path) -> Result<(), Failed> {
    let judged = run(path, None)?;
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    let directory = judged.directory.display().to_string();
    if report.exit_status() != 0 {
        return Err(report.failure(&directory).into());
    }
    snapshot::check(path, None, &report.snapshot());
    for (name, text) in dataplanes(&judged) {
        snapshot::check(path, Some(name.as_str()), &text);
    }
    Ok(())
}

/// The dataplanes that reviewers have read, as they are now.
pub(crate) fn dataplanes(judged: &JudgedRun) -> BTreeMap<NodeName, String> {
    let mut texts = run_traits::dataplanes(&judged.evidence);
    texts.retain(|name, _| judged.plan.snapshots.contains(name));
    texts
}

/// An engine that announces nothing is ready when its dataplane looks so, through every step.
pub(crate) fn needs_no_announcement() -> Result<(), Failed> {
    let engine = root().join("fixtures/engines/wiremesh-by-its-peers.toml");
    for scenario in [
        "one-command-encrypts-the-cluster",
        "disable-returns-to-plaintext",
    ] {
        let path = root().join(format!("scenarios/lifecycle/{scenario}.toml"));
        let judged = run(&path, engine.to_str())?;
        let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
        if report.exit_status() != 0 {
            return Err(report
                .failure(&judged.directory.display().to_string())
                .into());
        }
    }
    Ok(())
}

/// The WireGuard that a scenario's engine is asked for: the same on every machine, whether its
/// kernel has one or not. Only this repository's engine has a choice.
pub(crate) fn wireguard(plan: &Plan) -> Option<&'static str> {
    (plan.engine.as_str() == "wiremesh").then_some("userspace")
}

/// Runs a scenario, with another engine where one is named.
pub(crate) fn run(path: &Path, engine: Option<&str>) -> Result<JudgedRun, Failed> {
    match engine {
        None => prove(path, None)?.map_err(Failed::from),
        Some(engine) => {
            let asked = Asked {
                instead: Some(engine),
                ..Asked::default()
            };
            let one = Prepared::read(path, asked).map_err(Failed::from)?;
            scenario::prove(one.plan, &one.engine, &runs(), &one.name, |_| {}).map_err(Failed::from)
        }
    }
}

/// Runs a scenario in the lane that can run it, with a fault of the engine where one is named.
///
/// # Errors
/// Nothing can be run; what goes wrong after that is the result.
pub(crate) fn prove(
    path: &Path,
    fault: Option<&str>,
) -> Result<Result<JudgedRun, Failure>, Failed> {
    let task = task(path, fault).map_err(Failed::from)?;
    if !task.kernel.is_empty() {
        return Ok(fleet::result(&task));
    }
    let asked = Asked {
        fault,
        wireguard: task.wireguard,
        patience: task.patience,
        ..Asked::default()
    };
    let mut one = Prepared::read(path, asked).map_err(Failed::from)?;
    if fault.is_some() {
        hurry(&mut one.plan);
    }
    let name = match fault {
        Some(fault) => format!("{}/{fault}", one.name),
        None => one.name,
    };
    let proven = scenario::prove(one.plan, &one.engine, &runs(), &name, |_| {});
    Ok(proven)
}

/// Answers that a fault keeps away are not waited for as long as those that must come: half of all
/// trials would do nothing else for six seconds. What the fault is must show in the explanation anyway.
/// Where the wire loses packets, answers are late without a fault.
fn hurry(plan: &mut Plan) {
    let mut moments = (0..=plan.steps.len()).map(|steps| plan.after(steps).fabric);
    if moments.all(|fabric| fabric.impairments.is_empty()) {
        plan.deadlines.probe = plan.deadlines.probe.min(1_000);
    }
}

/// What a machine would be asked for; without a kernel this host can do it.
pub(crate) fn task(path: &Path, fault: Option<&str>) -> Result<Task, Failure> {
    let plan = scenario::read(path)?;
    let kernel = match fleet::elsewhere(path) {
        Some(Elsewhere::In(kernel)) => kernel.clone(),
        Some(Elsewhere::Nowhere(_)) | None => String::new(),
    };
    Ok(Task {
        kernel,
        path: path.to_owned(),
        fault: fault.map(str::to_owned),
        wireguard: wireguard(&plan),
        patience: fleet::patience(&plan),
    })
}
