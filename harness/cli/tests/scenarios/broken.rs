//! Broken engines are caught: each fault breaks promises, and the verdicts name them.

use std::path::Path;

use libtest_mimic::Failed;
use wireproof::failure::Failure;
use wireproof::scenario::{self, Asked, JudgedRun};
use wireproof_lab::base::error::Blame;
use wireproof_model::plan::Class;
use wireproof_model::report::Report;
use wireproof_model::verdict::Outcome;

use crate::{good, root, runs, snapshot, why};

/// The cluster in which nearly every fault shows.
const SEED: &str = "scenarios/azure-cni/seed-cluster.toml";

/// The cluster of two nodes in which a firewall or a lost link shows.
const TWO: &str = "scenarios/first/two-nodes.toml";

/// The same, of engines whose name ends with [`IPV6`].
const TWO_IPV6: &str = "scenarios/engine/families/ipv6-alone.toml";

const IPV6: &str = "-ipv6";

/// The scenarios in which the other faults show.
const ELSEWHERE: &[(&str, &str)] = &[(
    "mortal-tunnel",
    "scenarios/lifecycle/a-killed-agent-leaves-the-mesh-up.toml",
)];

/// Faults of conduct. Of any other fault the log or the memory is no proof that a scenario sees it.
const CONDUCT: &[&str] = &[
    "ends-in-failure",
    "hoards-memory",
    "ignores-sigterm",
    "mortal-tunnel",
    "noisy-log",
];

/// Faults that take a private key out of its device, and what the verdict says about each.
const SECRETS: &[(&str, &str)] = &[
    ("logs-private-key", "is in the log: node-"),
    ("key-in-state", "is in the state directory: node-"),
    (
        "key-in-store",
        "is in the store: store/keys.txt (decimal numbers)",
    ),
    ("key-in-file", "is in a file: node-"),
    ("key-on-command-line", "is in a command line: tail on node-"),
    ("key-in-environment", "is in an environment: sleep on node-"),
    (
        "key-in-metrics",
        "is in an HTTP answer: http://127.0.0.1:9095/metrics on node-",
    ),
    (
        "key-in-firewall",
        "is in the evidence: evidence.json (hexadecimal)",
    ),
    (
        "open-control-socket",
        "users other than root can read its private key: /var/run/wireguard/",
    ),
];

/// An engine with a fault breaks the promises that its snapshot names.
pub(crate) fn is_caught(engine: &Path) -> Result<(), Failed> {
    let stem = engine.file_stem().and_then(|stem| stem.to_str());
    let elsewhere = ELSEWHERE.iter().find(|(fault, _)| Some(*fault) == stem);
    let in_seed = engine
        .parent()
        .is_some_and(|folder| folder.ends_with("faults"));
    let scenario = match elsewhere {
        Some((_, scenario)) => scenario,
        None if in_seed => SEED,
        None if stem.is_some_and(|stem| stem.ends_with(IPV6)) => TWO_IPV6,
        None => TWO,
    };
    let judged = good::run(&root().join(scenario), engine.to_str())?;
    why::is_explained(stem.unwrap_or_default(), &judged)?;
    breaks(engine, &judged)
}

/// A scenario breaks under an engine with one of the faults that it names: a promise, the
/// engine's deadline, or a dataplane that is not the one that reviewers have read. An agent
/// that ends is no proof: it may not know the fault.
pub(crate) fn is_broken_by(path: &Path, fault: &str) -> Result<(), Failed> {
    let status = match good::prove(path, Some(fault))? {
        Ok(judged) => {
            why::is_explained(fault, &judged)?;
            let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
            let mut dataplanes = good::dataplanes(&judged).into_iter();
            if let Some((_, words)) = SECRETS.iter().find(|(known, _)| *known == fault) {
                return says(&judged, words);
            }
            let seen = match CONDUCT.contains(&fault) || !report.is_conduct_all_that_broke() {
                true => report.exit_status(),
                false => 0,
            };
            match seen {
                0 if dataplanes
                    .any(|(node, text)| snapshot::differs(path, node.as_str(), &text)) =>
                {
                    1
                }
                status => status,
            }
        }
        Err(Failure::Lab(error)) if error.blame == Blame::Engine && error.refuted => 1,
        Err(failure) => return Err(format!("not what the fault does: {failure}").into()),
    };
    match status {
        1 => Ok(()),
        other => Err(format!("exit status {other} instead of 1 in spite of `{fault}`").into()),
    }
}

/// A broken promise has these words, and the evidence has no key.
fn says(judged: &JudgedRun, words: &str) -> Result<(), Failed> {
    let mut verdicts = judged.verdicts.iter();
    let found =
        verdicts.any(|verdict| verdict.outcome == Outcome::Broken && verdict.fact.contains(words));
    match found {
        true => Ok(()),
        false => Err(format!(
            "no broken promise has `{words}`; the run is {}",
            judged.directory.display()
        )
        .into()),
    }
}

/// A scenario whose author is wrong breaks under the engine that is right.
pub(crate) fn is_wrong(scenario: &Path) -> Result<(), Failed> {
    breaks(scenario, &good::run(scenario, None)?)
}

/// A scenario in which nothing is wrong, and not enough is shown either.
pub(crate) fn is_open(scenario: &Path) -> Result<(), Failed> {
    ends_with(3, scenario, &good::run(scenario, None)?)
}

/// The exit status is 1, and the snapshot beside `file` has what broke.
fn breaks(file: &Path, judged: &JudgedRun) -> Result<(), Failed> {
    ends_with(1, file, judged)
}

fn ends_with(status: u8, file: &Path, judged: &JudgedRun) -> Result<(), Failed> {
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    if report.exit_status() != status {
        return Err(format!(
            "exit status {} instead of {status}; the run is {}",
            report.exit_status(),
            judged.directory.display()
        )
        .into());
    }
    snapshot::check(file, None, &report.snapshot());
    Ok(())
}

/// An agent that is restarted takes its device over, and with it its key; where the tunnel
/// ended with the agent, there is a new one.
pub(crate) fn a_lost_key_is_noticed() -> Result<(), Failed> {
    let scenario = root().join("scenarios/lifecycle/a-restarted-agent-takes-over-the-mesh.toml");
    let fault = root().join("fixtures/engines/faults/mortal-tunnel.toml");
    for (engine, expected) in [(None, 1), (fault.to_str(), 2)] {
        let judged = good::run(&scenario, engine)?;
        for (name, node) in &judged.evidence.nodes {
            if node.key_history.len() != expected {
                let history = &node.key_history;
                return Err(format!("{name} has published {history:?}, not {expected}").into());
            }
        }
    }
    Ok(())
}

/// Without an engine nothing is encrypted, and what needs no encryption still holds.
pub(crate) fn no_engine_is_caught() -> Result<(), Failed> {
    let judged = good::run(&root().join(SEED), Some("none"))?;
    for (promise, verdict) in judged.plan.promises.iter().zip(&judged.verdicts) {
        let right = match promise.class {
            Class::SameHost => Outcome::Held,
            Class::CrossHost | Class::HostToHost => Outcome::Broken,
            Class::Mixed | Class::External => {
                return Err("the seed cluster has no such pair".into());
            }
        };
        if verdict.outcome != right {
            return Err(format!(
                "{} > {} {}: {} ({})",
                promise.from,
                promise.to,
                promise.protocol.as_str(),
                verdict.outcome.as_str(),
                verdict.fact
            )
            .into());
        }
    }
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    snapshot::check(
        &root().join("fixtures/engines/none.toml"),
        None,
        &report.snapshot(),
    );
    Ok(())
}

/// Whatever holds beside an engine that dies, it was not the engine that held it.
pub(crate) fn a_dead_agent_leaves_it_open() -> Result<(), Failed> {
    let scenario = root().join("scenarios/first/what-an-author-states-is-judged-too.toml");
    let engine = root().join("fixtures/engines/dies.toml");
    let judged = good::run(&scenario, engine.to_str())?;
    let report = Report::new(&judged.plan, &judged.evidence, &judged.verdicts);
    let failure = report.failure("");
    let expected = "INCONCLUSIVE ada: its engine's agent died: exit status 3";
    match failure.contains(expected) {
        true => Ok(()),
        false => Err(format!("not `{expected}`: {failure}").into()),
    }
}

/// An engine that fails is reported within its deadline, with the message that its snapshot holds.
pub(crate) fn is_reported(engine: &Path) -> Result<(), Failed> {
    let mut plan = scenario::read(&root().join(SEED)).map_err(Failed::from)?;
    // Long enough for an engine that works, short enough for one that never will.
    plan.deadlines.ready = 3_000;
    let nodes: Vec<_> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let found = scenario::engine_for(
        &mut plan,
        Asked {
            instead: engine.to_str(),
            ..Asked::default()
        },
    );
    let stem = engine
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let proven =
        found.and_then(|engine| scenario::prove(plan, &engine, &runs(), stem, |_| {}).map(drop));
    let failure = match proven {
        Ok(()) => return Err("the engine was taken for a working one".into()),
        Err(failure) => failure,
    };
    let fault = match &failure {
        Failure::Lab(error) => error.blame,
        Failure::Content(_)
        | Failure::Unreadable { .. }
        | Failure::Unknown { .. }
        | Failure::Kernel { .. } => {
            return Err(format!("not the engine's failure: {failure}").into());
        }
    };
    let expected = if stem == "missing" {
        Blame::Machine
    } else {
        Blame::Engine
    };
    if fault != expected {
        return Err(format!("{fault:?} is at fault instead of {expected:?}: {failure}").into());
    }
    // Which node's engine fails first is chance.
    let message = nodes.iter().fold(failure.to_string(), |text, node| {
        text.replace(&format!("({node})"), "(<node>)")
    });
    snapshot::check(engine, None, &portable(&message));
    Ok(())
}

/// A message without what differs from machine to machine and from run to run.
fn portable(message: &str) -> String {
    let runs = runs().display().to_string();
    let mut text = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(&runs) {
        let (before, path) = rest.split_at(at);
        let end = path.find([' ', ')', '\n']).unwrap_or(path.len());
        text.push_str(before);
        text.push_str("<run directory>");
        rest = &path[end..];
    }
    without_stall(text + rest).replace(&root().display().to_string(), "<root>")
}

/// A message without the time in which other programs had the processors: it is the machine's.
fn without_stall(message: String) -> String {
    let stalled = message
        .split_once(" ms in which other programs had the processors")
        .and_then(|(before, after)| Some((before.rsplit_once(", not counting ")?.0, after)));
    match stalled {
        Some((before, after)) => format!("{before}{after}"),
        None => message,
    }
}
