//! A scenario holds, and its snapshots are what reviewers have read.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Failed;
use wireproof::scenario::{self, Asked, Told, run_name};
use wireproof_model::dataplane;
use wireproof_model::name::NodeName;
use wireproof_model::plan::Plan;
use wireproof_model::report::Report;
use wireproof_model::verdict::Outcome;

use crate::{root, runs, snapshot};

pub(crate) fn holds(path: &Path) -> Result<(), Failed> {
    let told = run(path, None)?;
    let report = Report::new(&told.plan, &told.evidence, &told.verdicts);
    let directory = told.directory.display().to_string();
    if report.exit_status() != 0 {
        return Err(report.failure(&directory).into());
    }
    snapshot::check(path, None, &report.snapshot());
    for (name, text) in dataplanes(&told) {
        snapshot::check(path, Some(name.as_str()), &text);
    }
    Ok(())
}

/// A scenario that not every machine can run: it holds, or each promise says why it was not tried.
pub(crate) fn holds_or_is_skipped(path: &Path) -> Result<(), Failed> {
    let told = run(path, None)?;
    let report = Report::new(&told.plan, &told.evidence, &told.verdicts);
    let promises = told.plan.promises.len() + told.plan.flows.promises.len();
    let skipped = told.evidence.skipped.is_some();
    let expected = match skipped {
        true => (3, Outcome::Skipped),
        false => (0, Outcome::Held),
    };
    let alike = told.verdicts.iter().all(|one| one.outcome == expected.1);
    if (report.exit_status(), alike, told.verdicts.len()) != (expected.0, true, promises) {
        return Err(report.failure(&told.directory.display().to_string()).into());
    }
    Ok(())
}

/// The dataplanes that reviewers have read, as they are now.
pub(crate) fn dataplanes(told: &Told) -> BTreeMap<NodeName, String> {
    let nodes = || told.evidence.nodes.iter();
    let keys: BTreeMap<_, _> = nodes()
        .flat_map(|(name, node)| {
            let keys = node.published_key.iter().chain(&node.published_key6);
            keys.map(|key| (key.clone(), name.clone()))
        })
        .collect();
    let read = |(name, _): &(&NodeName, _)| told.plan.snapshots.contains(name);
    let texts = nodes().filter(read).map(|(name, node)| {
        let mut text = dataplane::render(&node.dataplane, &keys);
        // A node keeps its key with its device; one that did not is for the reviewer to see.
        if node.key_history.len() > 1 {
            text += &format!(
                "\nkeys published one after the other: {}\n",
                node.key_history.len()
            );
        }
        (name.clone(), text)
    });
    texts.collect()
}

/// An engine that announces nothing is ready when its dataplane looks so, through every step.
pub(crate) fn needs_no_announcement() -> Result<(), Failed> {
    let engine = root().join("fixtures/engines/wiremesh-by-its-peers.toml");
    for scenario in [
        "one-command-encrypts-the-cluster",
        "disable-returns-to-plaintext",
    ] {
        let path = root().join(format!("scenarios/lifecycle/{scenario}.toml"));
        let told = run(&path, engine.to_str())?;
        let report = Report::new(&told.plan, &told.evidence, &told.verdicts);
        if report.exit_status() != 0 {
            return Err(report.failure(&told.directory.display().to_string()).into());
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
pub(crate) fn run(path: &Path, engine: Option<&str>) -> Result<Told, Failed> {
    let mut plan = scenario::read(path).map_err(Failed::from)?;
    let asked = Asked {
        instead: engine,
        wireguard: engine.is_none().then(|| wireguard(&plan)).flatten(),
        ..Asked::default()
    };
    let engine = scenario::engine_for(&mut plan, asked).map_err(Failed::from)?;
    let name = run_name(path);
    scenario::prove(plan, &engine, &runs(), &name, |_| {}).map_err(Failed::from)
}
