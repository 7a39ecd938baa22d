//! What every host is promised, whatever the scenario is about: that its links stay up, that its
//! reverse-path filter has nothing to drop, and that what was there before the engine stays.

/// What of a dataplane is not as it was.
mod lost;

use super::breach::{About, Breach};
use crate::dataplane::{Link, LinkKind, lost_link};
use crate::evidence::{Evidence, NodeEvidence, Place, REVERSE_PATH};
use crate::plan::{DropBy, Drops, Family, Node, Plan, RpFilter, SPOOFED};

/// The kernel's reason for what [`REVERSE_PATH`] counts.
const BY_SOURCE: &str = "IP_RPFILTER";

/// Every such promise that was broken.
pub(super) fn breaches(plan: &Plan, evidence: &Evidence) -> Vec<Breach> {
    let last = plan.with(plan.at_last());
    let mut broken = Vec::new();
    for node in &last.nodes {
        let Some(seen) = evidence.nodes.get(&node.name) else {
            continue;
        };
        let place = Place::Node(node.name.clone());
        let named = evidence.drops.at(&place);
        let named = named.map(|reasons| reasons.get(BY_SOURCE).copied().unwrap_or(0));
        let breach = |told: String, note| Breach {
            about: About::Scenario,
            line: None,
            told: format!("{}: {told}", node.name),
            note,
            why: None,
        };
        let dropped = reverse_path(plan, &last, node, evidence, named);
        let dropped = dropped.map(|told| {
            let counted = seen.drops.get(REVERSE_PATH).copied().unwrap_or_default();
            let reasons = evidence.drops.told(&place);
            breach(told, Some(format!("{REVERSE_PATH} {counted}; {reasons}")))
        });
        match links(node, seen) {
            // With a link other things are lost: the link is what it is about.
            Some((told, why)) => {
                broken.push(Breach {
                    why: Some(why),
                    ..breach(told, None)
                });
                broken.extend(dropped);
            }
            None => {
                let other = || hidden_root(seen).or_else(|| untouched(plan, seen));
                broken.extend(dropped.or_else(|| Some(breach(other()?, None))));
            }
        }
    }
    broken
}

/// Its processes have another root directory than before the engine.
fn hidden_root(seen: &NodeEvidence) -> Option<String> {
    let told = "something is mounted over the root directory that was there before the engine";
    seen.root_hidden.then(|| told.to_owned())
}

/// A link of the lab's that was up before the engine and is not any more, and what has become of it.
/// No step leaves one down.
fn links(node: &Node, seen: &NodeEvidence) -> Option<(String, String)> {
    let before = seen.before.as_ref()?;
    let is_own = |link: &&Link| {
        let of_pod = node.pods.iter().any(|pod| pod.interface == link.name);
        of_pod || ["lo", "eth0"].contains(&link.name.as_str()) || link.kind == LinkKind::Bridge
    };
    let mut own = before.links.iter().filter(|link| link.up).filter(is_own);
    own.find_map(|link| {
        let why = lost_link(&seen.dataplane, node, &link.name)?;
        let told = format!("{} was up before the engine and is not any more", link.name);
        Some((told, why))
    })
}

/// In normal running nothing is dropped by its source, but what was spoofed to be. `named` is how
/// often the kernel gave that reason, where that is known: a second witness.
fn reverse_path(
    plan: &Plan,
    last: &Plan,
    node: &Node,
    evidence: &Evidence,
    named: Option<u64>,
) -> Option<String> {
    if node.rp_filter != RpFilter::Strict || !is_normal(plan, node) {
        return None;
    }
    let spoofed = last.spoofs.iter().filter(|spoof| {
        let through = last.endpoint(&spoof.through);
        let tried = evidence.spoofs.iter().any(|one| one.id == spoof.id);
        tried
            && spoof.drop == DropBy::ReversePath
            && through.is_some_and(|through| through.node.name == node.name)
    });
    let expected: u64 = spoofed.map(|_| SPOOFED).sum();
    let drops = &evidence.nodes.get(&node.name)?.drops;
    let counted = drops.get(REVERSE_PATH).copied().unwrap_or_default();
    // How many more differs from run to run.
    match counted.max(named.unwrap_or(0)).cmp(&expected) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some("its reverse-path filter dropped too few packets".into()),
        std::cmp::Ordering::Greater => {
            Some("its reverse-path filter dropped packets that it must not".into())
        }
    }
}

/// Whether nothing provokes such drops. Without host encryption, what a pod sends to another node
/// goes there in clear and would be answered through the tunnel (calico#9751). While somebody
/// breaks a dataplane, or an address moves, nodes disagree for a time about what is behind a tunnel.
fn is_normal(plan: &Plan, node: &Node) -> bool {
    let hosts = plan.states().all(|state| state.cluster.host_encryption);
    let calm = plan
        .steps
        .iter()
        .all(|step| match step.action.change().drops() {
            Drops::Nowhere => true,
            Drops::At(there) => *there != node.name,
            Drops::Everywhere => false,
        });
    plan.cluster.speaks(Family::Ipv4) && hosts && calm
}

/// What was there before the engine, and is not there any more or is another thing.
fn untouched(plan: &Plan, seen: &NodeEvidence) -> Option<String> {
    let before = seen.before.as_ref()?;
    let others = plan
        .steps
        .iter()
        .any(|step| step.action.change().is_of_hosts());
    let lost = (!others)
        .then(|| lost::lost(before, &seen.dataplane))
        .flatten()?;
    Some(format!(
        "what was there before the engine did not stay: {lost}"
    ))
}
