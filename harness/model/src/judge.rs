//! Plan and evidence to verdicts.
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

/// A promise with all that is known about it.
mod case;

/// Whether the observers could have seen what a promise forbids.
mod watch;

/// Frames shown as evidence.
mod exhibit;

/// A verdict that does not know its promise yet.
mod finding;

/// What the evidence has lost, and which promises need it.
mod loss;

/// Frames that must not be where they are.
mod leak;

/// Which transport message carried which packet.
mod crossing;

/// One leg of a probe, from stop to stop.
mod leg;

/// Whether a probe arrived and was answered, whatever it looked like.
mod delivery;

/// Whether a node's own tables keep a plaintext destination out of the tunnel.
mod throw_route;

/// What is lost while the kernel's table of neighbours is full says nothing of an engine.
mod neighbour;

/// What goes to an address that the fabric does not know says nothing of an engine.
mod address;

/// What is promised of one pair and one protocol.
mod pair;

/// Where the part of a payload ended that never arrived.
mod segment;

/// The tunnels' packets on the wire.
mod outer_packets;

/// What is promised about the sizes of packets.
mod mtu;

/// What has become of spoofed packets.
mod spoof;

pub use outer_packets::{OuterPackets, outer_packets};

/// What every host is promised, whatever the scenario is about.
mod host;

/// `[[dataplane]]`: what nodes' dataplanes must have and lack.
mod dataplane_check;

/// What every engine is promised to be besides right.
mod conduct;

/// What a step may cost.
mod budget;

/// Promises that are decided without a frame.
mod run_promises;

/// Whether what the fabric delays came late.
mod delay;

/// One thing that the fabric does to packets.
mod fabric_effect;

/// Whether a NAT hid a node.
mod nat;

/// What the fabric did to packets.
mod wire;

/// Verdicts on a plan that was not tried.
mod skipped;

pub use fabric_effect::FabricEffect;
pub use wire::fabric_effects;

/// A run by its steps.
mod step_clock;

/// Frames of flows that should not have been readable, and what excuses them.
mod leak_window;

/// How long flows were interrupted.
mod outage;

/// What the flows show of each step.
mod step_windows;

/// What nobody may read in the whole run.
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
