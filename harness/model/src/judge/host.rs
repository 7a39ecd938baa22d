//! Verdicts about every host, in every scenario: that its links stay up, that its reverse-path filter has
//! nothing to drop, and that what was there before the engine stays.

/// Parts of a dataplane that are not as they were, and what there is instead.
mod lost;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::finding::Finding;
use crate::dataplane::{Link, LinkKind, lost_link};
use crate::evidence::{Evidence, NodeEvidence, Place, REVERSE_PATH};
use crate::name::NodeName;
use crate::plan::{DropBy, HostPromise, Node, Plan, SPOOFED};
use crate::verdict::{Explanation, Outcome};

/// The kernel's reason for what [`REVERSE_PATH`] counts.
const BY_SOURCE: &str = "IP_RPFILTER";

/// The hosts of a run, as they are at its end.
pub(super) struct Hosts<'a> {
    last: Plan,
    /// Nodes that came with a step: no one looked at them before their engine.
    later: BTreeSet<String>,
    evidence: &'a Evidence,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(plan: &Plan, evidence: &'a Evidence) -> Self {
        Self {
            last: plan.with(plan.at_last()),
            later: plan.later.iter().map(ToString::to_string).collect(),
            evidence,
        }
    }

    /// Decides what one node is promised.
    pub(super) fn decide(&self, name: &NodeName, promise: HostPromise) -> Finding<'static> {
        let node = self.last.nodes.iter().find(|node| node.name == *name);
        let Some((node, seen)) = node.zip(self.evidence.nodes.get(name)) else {
            return Finding::open(format!("{name}: nobody looked at it"));
        };
        match promise {
            HostPromise::Links if self.later.contains(node.name.as_str()) => root(node, seen),
            HostPromise::Links => links(node, seen),
            HostPromise::ReversePath => self.reverse_path(node, seen),
            HostPromise::Unchanged => unchanged(node, seen),
        }
    }

    /// In normal running nothing is dropped by its source, but what was spoofed to be. How often the kernel
    /// gave that reason, where that is known, is a second witness.
    fn reverse_path(&self, node: &Node, seen: &NodeEvidence) -> Finding<'static> {
        let place = Place::Node(node.name.clone());
        let named = self.evidence.drops.at(&place);
        let named = named.map(|reasons| reasons.get(BY_SOURCE).copied().unwrap_or(0));
        let spoofed = self.last.spoofs.iter().filter(|spoof| {
            let through = self.last.endpoint(&spoof.through);
            let tried = self.evidence.spoofs.iter().any(|one| one.id == spoof.id);
            tried
                && spoof.drop == DropBy::ReversePath
                && through.is_some_and(|through| through.node.name == node.name)
        });
        let expected: u64 = spoofed.map(|_| SPOOFED).sum();
        let counted = seen.drops.get(REVERSE_PATH).copied().unwrap_or_default();
        // How many more differs from run to run.
        let fact = match counted.max(named.unwrap_or(0)).cmp(&expected) {
            Ordering::Equal => {
                let right = format!(
                    "{}: its reverse-path filter dropped what it must",
                    node.name
                );
                return Finding::held(right);
            }
            Ordering::Less => "its reverse-path filter dropped too few packets",
            Ordering::Greater => "its reverse-path filter dropped packets that it must not",
        };
        let reasons = self.evidence.drops.describe(&place);
        Finding::broken(format!("{}: {fact}", node.name))
            .with_note(format!("{REVERSE_PATH} {counted}; {reasons}"))
    }
}

/// Whether the lab's links that were up are up, and the root directory is the one of before.
fn links(node: &Node, seen: &NodeEvidence) -> Finding<'static> {
    if seen.before.is_none() {
        return unseen_before(node);
    }
    if let Some((fact, why)) = lost_link_of(node, seen) {
        let why = Explanation::of_cause(node.name.to_string(), why);
        return Finding::broken(format!("{}: {fact}", node.name)).with_why(why);
    }
    match root(node, seen) {
        held if held.outcome == Outcome::Held => {
            Finding::held(format!("{}: its links are up", node.name))
        }
        hidden => hidden,
    }
}

/// Whether the processes have the root directory of before the engine.
fn root(node: &Node, seen: &NodeEvidence) -> Finding<'static> {
    let name = &node.name;
    match seen.root_hidden {
        true => Finding::broken(format!(
            "{name}: something is mounted over the root directory that was there before the engine"
        )),
        false => Finding::held(format!("{name}: its root directory is the same")),
    }
}

/// Whether what was there before the engine is there as it was. A link that is lost takes other things with
/// it: then the link is what it is about.
fn unchanged(node: &Node, seen: &NodeEvidence) -> Finding<'static> {
    let Some(before) = &seen.before else {
        return unseen_before(node);
    };
    if lost_link_of(node, seen).is_some() {
        return links(node, seen);
    }
    match lost::lost(before, &seen.dataplane) {
        Some(lost) => Finding::broken(format!(
            "{}: what was there before the engine did not stay: {lost}",
            node.name
        )),
        None => Finding::held(format!(
            "{}: what was there before the engine stayed",
            node.name
        )),
    }
}

fn unseen_before(node: &Node) -> Finding<'static> {
    let name = &node.name;
    Finding::open(format!("{name}: nobody looked at it before the engine"))
}

/// A link of the lab's that was up before the engine and is not any more, and what has become of it.
/// No step leaves one down.
fn lost_link_of(node: &Node, seen: &NodeEvidence) -> Option<(String, String)> {
    let before = seen.before.as_ref()?;
    let is_own = |link: &&Link| {
        let of_pod = node.pods.iter().any(|pod| pod.interface == link.name);
        of_pod || ["lo", "eth0"].contains(&link.name.as_str()) || link.kind == LinkKind::Bridge
    };
    let mut own = before.links.iter().filter(|link| link.up).filter(is_own);
    own.find_map(|link| {
        let why = lost_link(&seen.dataplane, node, &link.name)?;
        let fact = format!("{} was up before the engine and is not any more", link.name);
        Some((fact, why))
    })
}
