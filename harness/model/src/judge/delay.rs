//! Checks of delays of the fabric: whether the flows' packets came late.
//!
//! netem never sends a packet early (Linux: `net/sched/sch_netem.c`, `netem_dequeue`), while a slow machine
//! makes any late: so it is what comes soon that distinguishes a delay from another, or from none.

use crate::evidence::{Evidence, Nanos};
use crate::name::{EndpointName, NodeName};
use crate::plan::{Impairment, ImpairmentKind, Plan, State};

/// How many packets that an impairment should have delayed came when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrivals {
    /// As late as the delay, or later.
    late: u64,
    /// Sooner, by no more than the jitter.
    sooner: u64,
    /// Sooner than that: these were not delayed.
    ahead: u64,
}

impl Arrivals {
    /// Why these are not what the impairment makes of packets; none if they are.
    pub(super) fn unlike(self, kind: ImpairmentKind) -> Option<String> {
        let ImpairmentKind::Delay {
            millis,
            jitter,
            reorder,
        } = kind
        else {
            return None;
        };
        let all = self.late + self.sooner + self.ahead;
        let least = millis.saturating_sub(jitter);
        if all == 0 {
            Some("no packet was there to be timed".into())
        } else if self.ahead > 0 && reorder == 0 {
            let ahead = self.ahead;
            Some(format!("{ahead} of {all} packets came before {least} ms"))
        } else if self.late + self.sooner == 0 {
            Some(format!("none of {all} packets took {least} ms"))
        } else if jitter > 0 && self.sooner == 0 {
            Some(format!("none of {all} packets came before {millis} ms"))
        } else if reorder > 0 && self.ahead == 0 {
            Some(format!("none of {all} packets overtook others"))
        } else {
            None
        }
    }
}

/// When the packets came that an impairment should have delayed: those of flows; without flows those of
/// probes, there and back.
pub(super) fn arrivals(plan: &Plan, evidence: &Evidence, impairment: &Impairment) -> Arrivals {
    let mut arrivals = Arrivals::default();
    let ImpairmentKind::Delay { millis, jitter, .. } = impairment.kind else {
        return arrivals;
    };
    let least = millis.saturating_sub(jitter);
    let mut count = |took: u64, times: u64| match took {
        _ if took >= times * u64::from(millis) * 1_000 => arrivals.late += 1,
        _ if took >= times * u64::from(least) * 1_000 => arrivals.sooner += 1,
        _ => arrivals.ahead += 1,
    };
    let states: Vec<_> = plan.states().collect();
    let is_slow = |state: usize, from: &EndpointName, to: &EndpointName| {
        let delay = states.get(state).and_then(|state| delay(state, from, to));
        delay.is_some_and(|delay| delay.line == impairment.line)
    };
    for flow in &plan.flows.flows {
        let sent = evidence.flows.iter().filter(|sent| sent.id == flow.id);
        for (since, packet) in sent.flat_map(|sent| sent.packets.iter().map(|it| (sent.since, it)))
        {
            let at = Nanos(since.0 + packet.sent * 1_000);
            let mut moments = moments(evidence, at).into_iter();
            let is_its = moments.all(|state| is_slow(state, &flow.from, &flow.to));
            if let Some(received) = packet.received.filter(|_| is_its) {
                count(received.saturating_sub(packet.sent), 1);
            }
        }
    }
    let probes = plan.probes.iter().zip(&evidence.probes);
    for (probe, outcome) in probes.filter(|_| plan.flows.flows.is_empty()) {
        let [there, back] = [(&probe.from, &probe.to), (&probe.to, &probe.from)];
        let ways = [there, back].map(|(from, to)| is_slow(plan.steps.len(), from, to));
        let times = ways.into_iter().filter(|is_slow| *is_slow).count();
        if let Some(took) = outcome.round_trip_us.filter(|_| times > 0) {
            count(took, times as u64);
        }
    }
    arrivals
}

/// What delays the packets from one endpoint to another.
fn delay<'s>(state: &'s State, from: &EndpointName, to: &EndpointName) -> Option<&'s Impairment> {
    let [from, to] = [from, to].map(|name| state.endpoint(name));
    let (from, to) = (&from?.node.name, &to?.node.name);
    of_node(state, to).filter(|_| from != to)
}

/// The numbers of the states that a moment belongs to: while a step is under way, two.
fn moments(evidence: &Evidence, at: Nanos) -> Vec<usize> {
    let steps = evidence.steps.iter();
    let step = steps.take_while(|step| step.began <= at).count();
    let is_under_way = step > 0
        && evidence
            .steps
            .get(step - 1)
            .is_some_and(|it| at <= it.settled);
    match is_under_way {
        true => vec![step - 1, step],
        false => vec![step],
    }
}

/// What delays a node's packets: the last impairment that does.
fn of_node<'s>(state: &'s State, node: &NodeName) -> Option<&'s Impairment> {
    let is_node = state.nodes.iter().any(|one| one.name == *node);
    let delays = |impairment: &&Impairment| {
        matches!(impairment.kind, ImpairmentKind::Delay { .. })
            && impairment.node.as_ref().is_none_or(|of| of == node)
    };
    let mut impairments = state.fabric.impairments.iter().rev().filter(|_| is_node);
    impairments.find(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(millis: u16, jitter: u16, reorder: u16) -> ImpairmentKind {
        ImpairmentKind::Delay {
            millis,
            jitter,
            reorder,
        }
    }

    #[test]
    fn each_part_of_a_delay_has_to_show() {
        let came = |late, sooner, ahead| Arrivals {
            late,
            sooner,
            ahead,
        };
        let plain = [
            (came(9, 0, 0), None),
            (came(0, 0, 0), Some("no packet was there to be timed")),
            (came(9, 0, 1), Some("1 of 10 packets came before 20 ms")),
        ];
        for (arrivals, why) in plain {
            assert_eq!(arrivals.unlike(delay(20, 0, 0)).as_deref(), why);
        }
        let shaken = delay(20, 5, 0);
        assert_eq!(came(5, 4, 0).unlike(shaken), None);
        let why = came(9, 0, 0).unlike(shaken);
        assert_eq!(why.as_deref(), Some("none of 9 packets came before 20 ms"));
        let mixed = delay(20, 0, 25);
        assert_eq!(came(5, 0, 2).unlike(mixed), None);
        let why = came(9, 0, 0).unlike(mixed);
        assert_eq!(why.as_deref(), Some("none of 9 packets overtook others"));
        let why = came(0, 0, 9).unlike(mixed);
        assert_eq!(why.as_deref(), Some("none of 9 packets took 20 ms"));
        assert_eq!(
            came(0, 0, 0).unlike(ImpairmentKind::Loss { percent: 1 }),
            None
        );
    }
}
