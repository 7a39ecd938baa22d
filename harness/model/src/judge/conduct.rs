//! What every engine is promised to be besides right: that its log has no warning that nobody
//! expects, that it stays small, and that it ends when it is asked to.

use super::breach::{About, Breach};
use crate::dataplane::LinkKind;
use crate::evidence::{ConductEvidence, End, Evidence};
use crate::name::NodeName;
use crate::plan::{Conduct, Plan, WireGuardKind};

/// Every such promise that was broken.
pub(super) fn breaches(plan: &Plan, evidence: &Evidence) -> Vec<Breach> {
    // Who says how its agents end is held to that.
    let fallen = match plan.conduct.ends_within {
        Some(_) => Vec::new(),
        None => fallen(evidence),
    };
    if !plan.conduct.is_judged() {
        return fallen;
    }
    let told = |node: &NodeName, told: Vec<String>| {
        let node = node.clone();
        let breach = move |told| Breach {
            note: None,
            why: None,
            line: None,
            told: format!("{node}: {told}"),
            about: About::Conduct,
        };
        told.into_iter().map(breach).collect::<Vec<_>>()
    };
    let first = plan.after(0).nodes.into_iter().map(|node| node.name);
    let unseen = first.filter(|name| !evidence.conduct.contains_key(name));
    let unseen = unseen.flat_map(|name| told(&name, vec!["nobody looked at its engine".into()]));
    let seen = evidence.conduct.iter().flat_map(|(name, seen)| {
        let broken = [
            log(plan, name, seen),
            memory(&plan.conduct, seen),
            ends(&plan.conduct, seen),
        ];
        told(name, broken.into_iter().flatten().collect())
    });
    let unsaid = unsaid(plan, evidence);
    unseen.chain(seen).chain(unsaid).chain(fallen).collect()
}

/// Agents that nobody asked to end, and that have failed: what was seen since shows what they left,
/// and not what the engine does. One that has done its work and ends is none of them.
fn fallen(evidence: &Evidence) -> Vec<Breach> {
    let failed = |end: &&End| !end.asked && !end.clean;
    let each = evidence.conduct.iter().filter_map(|(node, seen)| {
        let end = seen.ends.iter().find(failed)?;
        let how = end.how.as_deref().unwrap_or("nobody knows how");
        Some(Breach {
            note: None,
            why: None,
            line: None,
            told: format!("{node}: its engine's agent died: {how}"),
            about: About::Unseen,
        })
    });
    each.collect()
}

/// A log without a line whose level is known shows nothing, whatever it lacks.
fn log(plan: &Plan, node: &NodeName, seen: &ConductEvidence) -> Option<String> {
    plan.conduct.log.as_ref()?;
    if seen.lines == 0 {
        return Some("no line of its engine's log has a level that the descriptor knows".into());
    }
    let mut odd = seen.warnings.iter().filter(|warning| {
        let expected = |one: &&crate::plan::Warning| one.covers(node, &warning.text);
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

/// Warnings that were named and never came.
fn unsaid(plan: &Plan, evidence: &Evidence) -> Vec<Breach> {
    if plan.conduct.log.is_none() {
        return Vec::new();
    }
    let came = |one: &&crate::plan::Warning| {
        let mut nodes = evidence.conduct.iter();
        nodes.any(|(node, seen)| {
            let mut warnings = seen.warnings.iter();
            warnings.any(|warning| one.covers(node, &warning.text))
        })
    };
    let here = wireguard(evidence);
    let named = plan.warnings.iter().filter(|one| !one.sometimes);
    let named = named.filter(|one| one.wireguard.is_none_or(|kind| kind == here));
    let missing = named.filter(|one| !came(one)).map(|one| Breach {
        note: None,
        why: None,
        line: Some(one.line),
        told: match &one.node {
            Some(node) => format!("no warning of {node}'s engine has `{}`", one.says),
            None => format!("no warning of any engine has `{}`", one.says),
        },
        about: About::Scenario,
    });
    missing.collect()
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
