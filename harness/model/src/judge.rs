//! Judgement: plan and evidence to verdicts.
//!
//! A promise is decided in this order. What was seen where it must not be breaks
//! it, whatever else the observers missed. After that, observers that cannot have
//! seen everything leave it open. Then it has to be shown: every stop of the
//! request's way and of the answer's, ciphertext between the nodes where there
//! must be some, and the word of both sockets.

use crate::evidence::Evidence;
use crate::journey::Index;
use crate::plan::Plan;
use crate::verdict::Verdict;

/// One pair and protocol: the promise, its probe and the probe's outcome.
mod case;

/// Whether the captures were whole, so that "nothing was seen" proves something.
mod watch;

/// Exhibits: frames that prove a verdict.
mod exhibit;

/// A finding: a verdict without its promise's number.
mod finding;

/// Losses of evidence, and the promises that need what was lost.
mod loss;

/// Leaks: frames that must not be where they are.
mod leak;

/// The transport message that carried each packet through a tunnel, by length and time.
mod crossing;

/// The request or the answer of a probe, interface by interface.
mod leg;

/// Verdicts about delivery: whether a probe arrived and was answered, encrypted or not.
mod delivery;

/// Throw routes: whether a node's own tables keep a plaintext destination out of the tunnel.
mod throw_route;

/// Losses while the kernel's table of neighbours is full, which prove nothing about an engine.
mod neighbour;

/// Losses of packets to addresses that the fabric does not know, which prove nothing about an engine.
mod address;

/// Verdicts about one pair and one protocol.
mod pair;

/// The last stop of a TCP segment that never arrived.
mod segment;

/// The tunnels' outer packets on the wire.
mod outer_packets;

/// Verdicts about MTUs: the largest packet that must arrive, and the ICMP errors for larger ones.
mod mtu;

/// Verdicts about spoofed packets.
mod spoof;

pub use outer_packets::{OuterPackets, outer_packets};

/// Verdicts about every host, in every scenario: its links, its reverse-path filter, and its former dataplane.
mod host;

/// `[[dataplane]]`: what nodes' dataplanes must have and lack.
mod dataplane_check;

/// Private keys: that each is in its device alone.
mod secret;

/// Verdicts about every engine's conduct: its log, its memory and its end.
mod conduct;

/// Whether a node's dataplane has Calico's values.
mod calico_values;

/// Verdicts about budgets of steps: the time until everything has settled, and the engine's kernel writes.
mod budget;

/// Verdicts that need no frame: budgets, dataplane checks, hosts, conduct, and whether the evidence is whole.
mod run_promises;

/// Checks of delays of the fabric: whether the flows' packets came late.
mod delay;

/// Whether each impairment (loss, delay, NAT) hit packets.
mod fabric_effect;

/// Checks of a NAT: whether it rewrote a node's ports, as captured on both sides.
mod nat;

/// Effects of the fabric on packets.
mod impairment_effects;

/// Verdicts about a plan that was not tried.
mod skipped;

pub use fabric_effect::FabricEffect;
pub use impairment_effects::fabric_effects;

/// The step that ran at a moment, and the states of the cluster whose promises count then.
mod step_clock;

/// Leak windows: frames of flows that should not have been readable, and what excuses them.
mod flow_leak;

/// Outages: how long flows were interrupted, in microseconds.
mod outage;

/// Verdicts about the flows in each step: leaks and outages.
mod step_windows;

/// Verdicts about pairs that are never plaintext on the wire in the whole run.
mod never_plaintext;

pub use outage::Outage;
pub(crate) use step_clock::duration;
pub use step_windows::{StepWindow, step_windows};

use case::PairIndex;
use finding::Finding;
use loss::Losses;
use pair::PairJudge;

/// Decides about [every promise](Plan::every_promise) of the plan, in its order. A promise that the
/// evidence is not enough for is [`Outcome::Inconclusive`], with the reason.
pub fn judge(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    if let Some(why) = &evidence.skipped {
        return skipped::judge(plan, why);
    }
    let throughout = step_windows::judge(plan, evidence);
    let never_plaintext = never_plaintext::judge(plan, evidence);
    // The probes were sent when every step had run.
    let whole = plan;
    let plan = &plan.with(plan.at_last());
    let index = Index::new(evidence);
    let register = PairIndex::new(plan, evidence);
    let losses = Losses::new(whole, evidence);
    let reopen = |verdict| losses.reopen(verdict);
    let limits = neighbour::of_losses(mtu::judge(plan, evidence, &index), evidence);
    let spoofs = neighbour::of_spoofs(spoof::judge(plan, evidence), evidence);
    let every = whole.every_promise();
    let run = run_promises::judge(&every, whole, evidence, &losses);
    let pairs = PairJudge::new(plan, evidence, &losses);
    plan.promises
        .iter()
        .map(|promise| match register.case(promise) {
            Ok(case) => pairs.decide(&case),
            Err(why) => Finding::open(why).about(promise.id),
        })
        .chain(throughout.into_iter().map(reopen))
        .chain(limits.map(reopen))
        .chain(spoofs.map(reopen))
        .chain(never_plaintext.into_iter().map(reopen))
        .chain(run)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
