//! Verdicts about every engine's conduct: that its log has no warning that nobody expects, that it stays small,
//! and that it ends when it is asked to.

use super::finding::Finding;
use super::secret;
use crate::dataplane::LinkKind;
use crate::evidence::{ConductEvidence, End, Evidence};
use crate::name::NodeName;
use crate::plan::{Conduct, EnginePromise, Plan, Warning, WireGuardKind};

/// Decides about one thing that a node's engine is promised to be.
pub(super) fn decide(
    node: &NodeName,
    promise: EnginePromise,
    plan: &Plan,
    evidence: &Evidence,
) -> Finding<'static> {
    let seen = evidence.conduct.get(node);
    let (wrong, right) = match (promise, seen) {
        (EnginePromise::Lives, seen) => return lives(node, seen),
        (EnginePromise::Secrets, _) => return secret::decide(node, plan, evidence),
        (EnginePromise::Log | EnginePromise::Memory | EnginePromise::Ends, None) => {
            let fact = format!("{node}: nobody looked at its engine");
            let is_first = plan.after(0).nodes.iter().any(|first| first.name == *node);
            return match is_first {
                true => Finding::broken(fact),
                false => Finding::open(fact),
            };
        }
        (EnginePromise::Log, Some(seen)) => (
            log(plan, node, seen),
            "its engine's log has no warning that the scenario does not name",
        ),
        (EnginePromise::Memory, Some(seen)) => (
            memory(&plan.conduct, seen),
            match seen.processes.is_empty() {
                true => "no process of its engine was left at the end",
                false => "its engine's processes had no more memory than the descriptor says",
            },
        ),
        (EnginePromise::Ends, Some(seen)) => (
            ends(&plan.conduct, seen),
            match seen.ends.is_empty() {
                true => "no agent of its engine was left to end",
                false => "its agents ended as the descriptor says",
            },
        ),
    };
    match wrong {
        Some(wrong) => Finding::broken(format!("{node}: {wrong}")),
        None => Finding::held(format!("{node}: {right}")),
    }
}

/// An agent that nobody asked to end, and that has failed, leaves it open: what was seen since shows what it
/// left, and not what the engine does. One that has done its work and ends is none of them.
fn lives(node: &NodeName, seen: Option<&ConductEvidence>) -> Finding<'static> {
    let failed = |end: &&End| !end.asked && !end.clean;
    let died = seen.and_then(|seen| seen.ends.iter().find(failed));
    match died {
        Some(end) => {
            let how = end.how.as_deref().unwrap_or("nobody knows how");
            Finding::open(format!("{node}: its engine's agent died: {how}"))
        }
        None => Finding::held(format!("{node}: its engine's agent did not die")),
    }
}

/// Whether a warning came that the scenario names.
pub(super) fn warned(warning: &Warning, evidence: &Evidence) -> Finding<'static> {
    let here = wireguard(evidence);
    let came = evidence.conduct.iter().any(|(node, seen)| {
        let mut warnings = seen.warnings.iter();
        warnings.any(|one| warning.covers(node, &one.text))
    });
    let whose = match &warning.node {
        Some(node) => format!("{node}'s engine"),
        None => "any engine".to_owned(),
    };
    let part = &warning.part;
    if came {
        Finding::held(format!("a warning of {whose} has `{part}`"))
    } else if warning.wireguard.is_some_and(|kind| kind != here) {
        let fact = format!("no warning with `{part}` has to come with this kind of WireGuard");
        Finding::held(fact)
    } else {
        Finding::broken(format!("no warning of {whose} has `{part}`"))
    }
}

/// A log without a line whose level is known shows nothing, whatever it lacks.
fn log(plan: &Plan, node: &NodeName, seen: &ConductEvidence) -> Option<String> {
    plan.conduct.log.as_ref()?;
    if seen.lines == 0 {
        return Some("no line of its engine's log has a level that the descriptor knows".into());
    }
    let mut odd = seen.warnings.iter().filter(|warning| {
        let expected = |one: &&Warning| one.covers(node, &warning.text);
        plan.warnings.iter().find(expected).is_none()
    });
    let first = odd.next()?;
    let others = match odd.next() {
        Some(_) => ", and more that the scenario does not name",
        None => ", which the scenario does not name",
    };
    Some(format!("its engine's log has `{}`{others}", first.text))
}

/// What did the encrypting: the kernel, if a node has a device of its kind, or had one.
fn wireguard(evidence: &Evidence) -> WireGuardKind {
    let nodes = evidence.nodes.values().map(|node| &node.dataplane);
    let earlier = evidence.states.iter().map(|state| &state.dataplane);
    let mut links = nodes.chain(earlier).flat_map(|plane| &plane.links);
    match links.any(|link| link.kind == LinkKind::Wireguard) {
        true => WireGuardKind::Kernel,
        false => WireGuardKind::Userspace,
    }
}

fn memory(conduct: &Conduct, seen: &ConductEvidence) -> Option<String> {
    let most = conduct.memory?;
    // Where its agent was still running, there is at least that.
    if seen.processes.is_empty() && !seen.ends.is_empty() {
        return Some("nobody has seen how much memory its engine has".into());
    }
    let large = seen.processes.iter().find(|process| process.peak > most)?;
    Some(format!(
        "`{}` has had {} KiB of memory, not at most {most}",
        large.command, large.peak
    ))
}

fn ends(conduct: &Conduct, seen: &ConductEvidence) -> Option<String> {
    let within = u64::from(conduct.ends_within?);
    let wrong = seen.ends.iter().find_map(|end| ended(end, within));
    let lost = || match seen.device {
        Some((true, false)) if conduct.keeps_device => {
            Some("the tunnel device went when its agent ended".to_owned())
        }
        _ => None,
    };
    wrong.or_else(lost)
}

fn ended(end: &End, within: u64) -> Option<String> {
    match &end.how {
        None => Some(format!(
            "its agent had not ended {within} ms after it was asked to"
        )),
        Some(how) if !end.asked => Some(format!("its agent ended unasked: {how}")),
        Some(how) if !end.clean => Some(format!("its agent, asked to end, ended with {how}")),
        Some(_) if end.micros > within.saturating_mul(1_000) => Some(format!(
            "its agent took {} ms to end, not at most {within}",
            end.micros / 1_000
        )),
        Some(_) => None,
    }
}
