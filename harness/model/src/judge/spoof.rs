//! Verdicts about spoofed packets.
//!
//! That one did not arrive proves nothing by itself: it has to be seen coming in, and the same packet with a
//! genuine source, sent after it on the same way, has to arrive. The frames bear the right Ethernet address, so
//! that nobody had to ask for one.

use super::exhibit::exhibit;
use crate::evidence::{Direction, Evidence, Place, Role, Sighting, SpoofOutcome};
use crate::journey::Seen;
use crate::plan::{DropBy, Endpoint, Plan, SPOOFED, Spoof};
use crate::tag::Tag;
use crate::verdict::{Explanation, Outcome, Verdict};
use crate::why;

/// The kernel's name for a packet that the reverse-path filter dropped.
const BY_SOURCE: &str = "IP_RPFILTER";

/// The kernel's name for a packet that a rule dropped.
const BY_RULE: &str = "NETFILTER_DROP";

/// Decides about every spoof. `plan` is what it is after the last step.
pub(super) fn judge(plan: &Plan, evidence: &Evidence) -> Vec<Verdict> {
    let decide = |spoof: &Spoof| {
        let judge = SpoofJudge {
            plan,
            evidence,
            spoof,
        };
        let (outcome, fact, frames) = match judge.find() {
            Ok(fact) => (Outcome::Held, fact, Vec::new()),
            Err(finding) => finding,
        };
        let why = judge.why(outcome, &fact);
        Verdict {
            promise: spoof.promise,
            outcome,
            fact,
            exhibits: frames.iter().map(exhibit).collect(),
            notes: judge.notes(),
            why,
        }
    };
    plan.spoofs.iter().map(decide).collect()
}

/// Why a promise is not held.
type Finding<'a> = (Outcome, String, Vec<Seen<'a>>);

fn open<'a>(why: impl Into<String>) -> Finding<'a> {
    (Outcome::Inconclusive, why.into(), Vec::new())
}

fn broken<'a>(fact: impl Into<String>) -> Finding<'a> {
    (Outcome::Broken, fact.into(), Vec::new())
}

struct SpoofJudge<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
    spoof: &'a Spoof,
}

impl<'a> SpoofJudge<'a> {
    /// Why packets were taken that nothing dropped.
    fn why(&self, outcome: Outcome, fact: &str) -> Option<Explanation> {
        let arrived = self.outcome().is_some_and(|outcome| outcome.received > 0);
        if outcome != Outcome::Broken || self.spoof.drop == DropBy::Nothing || !arrived {
            return None;
        }
        let end = |name| self.plan.endpoint(name);
        let through = end(&self.spoof.through)?;
        let source = end(&self.spoof.source)?;
        let to = end(&self.spoof.to)?;
        let ends = [&through, &source, &to];
        why::of_spoofed(self.plan, self.evidence, ends, self.spoof.family, fact)
    }

    fn find(&self) -> Result<String, Finding<'a>> {
        let unknown = || open("the plan names no such endpoint");
        let through = self.plan.endpoint(&self.spoof.through);
        let through = through.ok_or_else(unknown)?;
        let to = self.plan.endpoint(&self.spoof.to).ok_or_else(unknown)?;
        let outcome = self.outcome().ok_or_else(|| open("nothing was spoofed"))?;
        let spoofed = self.tagged(Tag::Spoofed(self.spoof.id));
        if self.spoof.drop != DropBy::Nothing {
            self.stays_out(&through, outcome, &spoofed)?;
        }
        self.came_in(&through, &spoofed)?;
        if outcome.genuine < SPOOFED {
            let fact = "the same packets with a genuine source did not arrive either";
            return Err(open(fact));
        }
        let node = &through.node.name;
        match self.spoof.drop {
            DropBy::ReversePath => {
                self.nothing_was_missed(&through, &to)?;
                self.by_reverse_path(&through, outcome)?;
                Ok(format!(
                    "dropped by {node}'s reverse-path filter, which counted each"
                ))
            }
            DropBy::Rule => {
                self.nothing_was_missed(&through, &to)?;
                self.by_rule(&through, outcome)?;
                Ok(format!("dropped by a rule of {node}"))
            }
            DropBy::Tunnel => {
                self.nothing_was_missed(&through, &to)?;
                self.by_tunnel(&through, outcome, &spoofed)?;
                Ok(format!(
                    "went into {node}'s tunnel; {} takes no such source from there",
                    to.node.name
                ))
            }
            DropBy::Nothing if outcome.received < SPOOFED => Err(broken(format!(
                "did not arrive at {}; with a genuine source they do",
                to.name
            ))),
            DropBy::Nothing => Ok(format!("arrive at {} as if they were genuine", to.name)),
        }
    }

    /// Nothing got past the link that it came in by. What was seen counts, whatever was missed.
    fn stays_out(
        &self,
        through: &Endpoint<'_>,
        outcome: &SpoofOutcome,
        spoofed: &[Seen<'a>],
    ) -> Result<(), Finding<'a>> {
        let to = &self.spoof.to;
        if outcome.received > 0 {
            return Err((
                Outcome::Broken,
                format!("arrived at the socket of {to}"),
                spoofed.iter().rev().take(1).copied().collect(),
            ));
        }
        let tunnelled =
            |seen: &Seen<'_>| self.spoof.drop == DropBy::Tunnel && enters_tunnel(through, seen);
        let past = spoofed
            .iter()
            .find(|seen| !is_before(through, seen) && !tunnelled(seen));
        past.map_or(Ok(()), |seen| {
            let (name, place) = (&seen.interface.name, seen.interface.place.name());
            let fact = format!("got as far as {name} of {place}");
            Err((Outcome::Broken, fact, vec![*seen]))
        })
    }

    fn came_in(&self, through: &Endpoint<'_>, spoofed: &[Seen<'a>]) -> Result<(), Finding<'a>> {
        let node = &through.node.name;
        let entries = spoofed.iter().filter(|seen| is_entry(through, seen));
        match u64::try_from(entries.count()) {
            Ok(SPOOFED..) => Ok(()),
            count => Err(open(format!(
                "{} of {SPOOFED} spoofed packets were seen to come in at {node}",
                count.unwrap_or(u64::MAX)
            ))),
        }
    }

    /// Whoever could have seen them arrive has seen the others arrive, and dropped nothing.
    fn nothing_was_missed(
        &self,
        through: &Endpoint<'_>,
        to: &Endpoint<'_>,
    ) -> Result<(), Finding<'a>> {
        let places = [
            Some(Place::Node(through.node.name.clone())),
            Some(Place::Node(to.node.name.clone())),
            to.pod.map(|pod| Place::Pod(pod.name.clone())),
        ];
        for place in places.into_iter().flatten() {
            let mut observers = self.evidence.observers.iter();
            match observers.find(|observer| observer.place == place) {
                None => return Err(open(format!("{} has no observer", place.name()))),
                Some(observer) if observer.dropped > 0 => {
                    let name = place.name();
                    return Err(open(format!("the observer of {name} dropped frames")));
                }
                Some(_) => {}
            }
        }
        let Some(pod) = to.pod else {
            return Ok(());
        };
        let twins = self.tagged(Tag::Genuine(self.spoof.id));
        let seen = twins.iter().any(|seen| {
            seen.interface.place == Place::Pod(pod.name.clone())
                && seen.sighting.direction == Direction::In
        });
        let why = || open(format!("no genuine packet was seen at {}", pod.name));
        seen.then_some(()).ok_or_else(why)
    }

    fn by_reverse_path(
        &self,
        through: &Endpoint<'_>,
        outcome: &SpoofOutcome,
    ) -> Result<(), Finding<'a>> {
        if outcome.counted != SPOOFED {
            return Err(broken(format!(
                "did not arrive, but {}'s reverse-path filter counted {} instead of {SPOOFED}",
                through.node.name, outcome.counted
            )));
        }
        self.named(BY_SOURCE, outcome)
    }

    fn by_rule(&self, through: &Endpoint<'_>, outcome: &SpoofOutcome) -> Result<(), Finding<'a>> {
        if outcome.counted > 0 {
            return Err(broken(format!(
                "did not arrive, but by {}'s reverse-path filter, not by a rule",
                through.node.name
            )));
        }
        self.named(BY_RULE, outcome)
    }

    fn by_tunnel(
        &self,
        through: &Endpoint<'_>,
        outcome: &SpoofOutcome,
        spoofed: &[Seen<'a>],
    ) -> Result<(), Finding<'a>> {
        let node = &through.node.name;
        if outcome.counted > 0 {
            return Err(broken(format!(
                "did not arrive, but by {node}'s reverse-path filter, not by the tunnel"
            )));
        }
        let entered = spoofed.iter().filter(|seen| enters_tunnel(through, seen));
        match u64::try_from(entered.count()) {
            Ok(SPOOFED..) => Ok(()),
            _ => Err(broken(format!(
                "did not arrive, and never went into {node}'s tunnel"
            ))),
        }
    }

    /// The kernel names that reason, where it can be asked.
    fn named(&self, reason: &str, outcome: &SpoofOutcome) -> Result<(), Finding<'a>> {
        let Ok(reasons) = &outcome.reasons else {
            return Ok(());
        };
        match reasons.get(reason).copied().unwrap_or(0) {
            SPOOFED.. => return Ok(()),
            0 => {}
            count => {
                let fact = format!("the kernel names {reason} for {count} of {SPOOFED} only");
                return Err(broken(format!("did not arrive, but {fact}")));
            }
        }
        let named: Vec<_> = reasons.keys().map(String::as_str).collect();
        let named = match named.is_empty() {
            true => "no reason".into(),
            false => named.join(", "),
        };
        Err(broken(format!(
            "did not arrive, but the kernel names {named}, not {reason}"
        )))
    }

    fn outcome(&self) -> Option<&'a SpoofOutcome> {
        let mut all = self.evidence.spoofs.iter();
        all.find(|outcome| outcome.id == self.spoof.id)
    }

    fn tagged(&self, tag: Tag) -> Vec<Seen<'a>> {
        let tagged = |(_, sighting): &(usize, &Sighting)| sighting.tag == Some(tag);
        let sightings = self.evidence.sightings.iter().enumerate().filter(tagged);
        sightings
            .filter_map(|(rank, sighting)| {
                Some(Seen {
                    rank,
                    sighting,
                    interface: self.evidence.interface(sighting.interface)?,
                })
            })
            .collect()
    }

    /// What differs from machine to machine.
    fn notes(&self) -> Vec<String> {
        match self.outcome().map(|outcome| &outcome.reasons) {
            Some(Ok(reasons)) => reasons
                .iter()
                .map(|(reason, count)| format!("the kernel dropped {count} as {reason}"))
                .collect(),
            Some(Err(why)) => vec![format!(
                "the kernel's drop reasons are not available: {why}"
            )],
            None => Vec::new(),
        }
    }
}

/// Whether a frame is on the link that it came in by.
fn is_before(through: &Endpoint<'_>, seen: &Seen<'_>) -> bool {
    let outside = match (through.pod, &seen.interface.role) {
        (None, Role::Port(node)) => *node == through.node.name,
        (Some(pod), Role::PodUplink) => seen.interface.place == Place::Pod(pod.name.clone()),
        _ => false,
    };
    // A bridge hands what comes in by a port on to itself.
    let bridged = through.pod.is_some()
        && through.node.bridge.is_some()
        && seen.interface.role == Role::Other
        && seen.interface.place == Place::Node(through.node.name.clone())
        && seen.sighting.direction == Direction::In;
    bridged || is_entry(through, seen) || (outside && seen.sighting.direction == Direction::Out)
}

/// Whether a frame comes into the node there.
fn is_entry(through: &Endpoint<'_>, seen: &Seen<'_>) -> bool {
    let link = match (through.pod, &seen.interface.role) {
        (None, Role::Uplink) => true,
        (Some(pod), Role::PodLink(name)) => *name == pod.name,
        _ => false,
    };
    link && seen.interface.place == Place::Node(through.node.name.clone())
        && seen.sighting.direction == Direction::In
}

/// Whether a frame goes into the node's tunnel.
fn enters_tunnel(through: &Endpoint<'_>, seen: &Seen<'_>) -> bool {
    seen.interface.role == Role::Tunnel
        && seen.interface.place == Place::Node(through.node.name.clone())
        && seen.sighting.direction == Direction::Out
}
