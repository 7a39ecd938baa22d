//! Losses of packets to addresses that the fabric does not know, which prove nothing about an engine.
//!
//! The fabric delivers to the addresses of the plan alone. An engine, or who starts it, may give a
//! node's uplink another address, which the kernel may then prefer as the source of the tunnel's packets:
//! the other nodes' peers roam to it. A network of switches would carry that, and this fabric does not.

use super::case::PairCase;
use super::finding::Finding;
use crate::evidence::Evidence;
use crate::plan::{Family, Node, Plan, Protection};
use crate::verdict::{Outcome, Reached};
use crate::why::UPLINK;

/// The fact in place of the one that a packet was lost, if that broke a promise.
pub(super) fn excuse(
    case: &PairCase<'_>,
    finding: &Finding<'_>,
    plan: &Plan,
    evidence: &Evidence,
) -> Option<String> {
    let on_the_way = finding
        .stopped
        .is_some_and(|stopped| matches!(stopped.reached, Reached::Device | Reached::Wire));
    let is_lost = finding.outcome == Outcome::Broken && on_the_way;
    if !is_lost || case.promise.protection != Protection::Encrypted {
        return None;
    }
    let (from, to) = (case.from.node, case.to.node);
    let family = case.family();
    let unknown = |near: &Node, far: &Node| {
        let peers = evidence.nodes.get(&near.name)?.dataplane.wireguard.iter();
        let mut ends = peers
            .flat_map(|device| &device.peers)
            .filter_map(|peer| peer.endpoint);
        let addresses = &evidence.nodes.get(&far.name)?.dataplane.addresses;
        let end = ends.find(|end| {
            let mut of_uplink = addresses
                .iter()
                .filter(|has| has.interface.as_str() == UPLINK);
            Family::of(end.ip()) == family
                && end.ip() != family.address(far.address)
                && !plan.fabric.translates(end.ip(), end.port())
                && of_uplink.any(|has| has.address.addr() == end.ip())
        })?;
        Some(format!(
            "{}; {} sends to {}, which is on {UPLINK} of {} and which the fabric does not know: it delivers \
             to {} alone",
            finding.fact,
            near.name,
            end.ip(),
            far.name,
            family.address(far.address)
        ))
    };
    unknown(from, to).or_else(|| unknown(to, from))
}
