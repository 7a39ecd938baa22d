//! The engines' conduct: warnings in their logs, the memory they have had, and how they end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use wireproof_model::evidence::{ConductEvidence, LogWarning, Process};
use wireproof_model::name::NodeName;
use wireproof_model::plan::{LogForm, LogLine, Plan};

use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::base::log::ended;
use crate::base::wait::Deadline;
use crate::cluster::process;
use crate::cluster::topology::Topology;
use crate::observe::snapshot;
use crate::steps::engine::Engines;

/// Different warnings of one log that are kept.
const MAX_WARNINGS: usize = 100;

/// The conduct of each node's engine.
type Conducts = BTreeMap<NodeName, ConductEvidence>;

/// Looks at the engines' processes, asks the agents to end, and reads what they have left. The
/// last thing that is done with them.
pub(crate) fn end(
    plan: &Plan,
    topology: &Topology,
    engines: &mut Engines<'_>,
    directory: &RunDirectory,
) -> Result<Conducts, LabError> {
    let conduct = &plan.conduct;
    let mut all = Conducts::new();
    // That an agent has fallen matters for whatever engine it is.
    engines.note_fallen();
    if !conduct.is_judged() {
        take_ends(engines, &mut all);
        return Ok(all);
    }
    for (name, processes) in processes(engines) {
        all.entry(name).or_default().processes = processes;
    }
    let running = engines.running(None);
    if let Some(allowed) = plan.deadlines.end(conduct) {
        let before = devices(plan, topology, &running)?;
        engines.stop_all(Deadline::after(allowed))?;
        let after = devices(plan, topology, &running)?;
        for name in &running {
            let there = |devices: &BTreeMap<NodeName, bool>| devices.get(name).copied();
            all.entry(name.clone()).or_default().device = there(&before).zip(there(&after));
        }
    }
    take_ends(engines, &mut all);
    // Whoever has ever had an agent has its log; what it says last is about its end.
    for node in &plan.nodes {
        let file = directory.engine_log(&node.name);
        if let (Some(form), true) = (&conduct.log, file.exists()) {
            read(&file, form, all.entry(node.name.clone()).or_default());
        }
    }
    Ok(all)
}

fn take_ends(engines: &mut Engines<'_>, into: &mut Conducts) {
    for (name, ends) in std::mem::take(&mut engines.ends) {
        into.entry(name).or_default().ends = ends;
    }
}

/// Whether nodes' tunnel devices answer. A process that is about to go with its agent does not,
/// though its device may still be there.
fn devices(
    plan: &Plan,
    topology: &Topology,
    nodes: &[NodeName],
) -> Result<BTreeMap<NodeName, bool>, LabError> {
    let cluster = &plan.at_last().cluster;
    let first = cluster.families.first().copied().unwrap_or_default();
    let tunnel = cluster.tunnel(first);
    let look = |name: &NodeName| {
        let there = snapshot::answers(topology.node(name)?, &tunnel)?;
        Ok((name.clone(), there))
    };
    nodes.iter().map(look).collect()
}

fn read(file: &Path, form: &LogForm, into: &mut ConductEvidence) {
    // A log may hold whatever was printed.
    let bytes = fs::read(file).unwrap_or_default();
    let mut counts = BTreeMap::<String, u64>::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        match form.read(line) {
            LogLine::Bare => {}
            LogLine::Harmless => into.lines += 1,
            LogLine::Warning(text) => {
                into.lines += 1;
                if !counts.contains_key(text) && counts.len() < MAX_WARNINGS {
                    into.warnings.push(LogWarning {
                        text: text.to_owned(),
                        times: 0,
                    });
                }
                if counts.len() < MAX_WARNINGS || counts.contains_key(text) {
                    *counts.entry(text.to_owned()).or_default() += 1;
                }
            }
        }
    }
    let notice = ended();
    if bytes.trim_ascii_end().ends_with(notice.as_bytes()) {
        into.warnings.push(LogWarning {
            text: notice.clone(),
            times: 1,
        });
        counts.insert(notice, 1);
    }
    for warning in &mut into.warnings {
        warning.times = counts.get(&warning.text).copied().unwrap_or_default();
    }
}

/// What the nodes' processes are, without their first ones. The whole of `/proc` is looked
/// through once: a process is a node's if it is in the node's process namespace.
fn processes(engines: &Engines<'_>) -> BTreeMap<NodeName, Vec<Process>> {
    let homes = engines.process_namespaces();
    let mut found = BTreeMap::<NodeName, Vec<Process>>::new();
    for process in process::all() {
        let Some(name) = homes.get(&process.namespace) else {
            continue;
        };
        if let Some(process) = evidence(&process) {
            found.entry(name.clone()).or_default().push(process);
        }
    }
    for processes in found.values_mut() {
        processes.sort_by(|one, other| one.command.cmp(&other.command));
    }
    found
}

/// One process; none if it is a namespace's first, or has ended.
fn evidence(of: &process::Process) -> Option<Process> {
    let status = fs::read_to_string(of.folder.join("status")).ok()?;
    if of.is_first() {
        return None;
    }
    let peak = process::field(&status, "VmHWM")?;
    let peak = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    let line = fs::read(of.folder.join("cmdline")).ok()?;
    Some(Process {
        command: command(&String::from_utf8_lossy(&line)),
        peak,
    })
}

/// The program without its folder, and the verb behind it.
fn command(line: &str) -> String {
    let mut words = line.split('\0');
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let verb = words.next().filter(|word| {
        let mut letters = word.chars();
        !word.is_empty() && letters.all(|letter| letter.is_ascii_lowercase())
    });
    match verb {
        Some(verb) => format!("{program} {verb}"),
        None => program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_called_by_its_program_and_verb() {
        assert_eq!(
            command("/x/target/debug/wiremesh\0agent\0--node\0ada\0"),
            "wiremesh agent"
        );
        assert_eq!(command("nft\0--json\0monitor\0"), "nft");
        assert_eq!(command(""), "");
    }
}
