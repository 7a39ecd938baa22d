//! Verdicts about delivery: whether a probe arrived and was answered, encrypted or not.

use super::case::PairCase;
use super::finding::Finding;
use crate::evidence::{Direction, Place};
use crate::journey::{Index, Leg, Seen};
use crate::plan::Endpoint;
use crate::verdict::Reached;

/// What is shown of a promise that holds.
pub(super) const ARRIVED: &str = "arrived, and so did its answer";

/// Each leg has to be seen where it ends, and its socket has to have got it.
pub(super) fn find<'a>(case: &PairCase<'_>, index: &Index<'a>) -> Finding<'a> {
    let mut frames = Vec::new();
    for (leg, received, what) in [
        (Leg::Request, case.outcome.delivered, "it"),
        (Leg::Answer, case.outcome.answered, "its answer"),
    ] {
        let (_, to) = case.ends(leg);
        let mut seen = case.tagged(leg, index);
        if seen.is_empty() && case.is_connection() {
            // No payload is sent before both sides have shaken hands.
            seen = case.addressed(leg, index);
        }
        let last = seen.last().copied();
        let back = leg == Leg::Answer;
        let Some(arrived) = seen.into_iter().find(|seen| is_at(seen, to)) else {
            let fact = format!("{what} never arrived at {}", to.name);
            let finding = Finding::broken(fact).with_frames(last.into_iter().collect());
            // By which way it should have come is open, so whatever is wrong on one may explain it.
            return match last {
                Some(_) => finding,
                None => finding.stopped(back, Reached::Sender),
            };
        };
        frames.push(arrived);
        if !received {
            let fact = format!("{what} arrived at {}, and the socket never got it", to.name);
            frames.reverse();
            return Finding::broken(fact).with_frames(frames);
        }
    }
    Finding::held(ARRIVED.into()).with_frames(frames)
}

/// Whether a packet has come in where an endpoint is.
fn is_at(seen: &Seen<'_>, end: &Endpoint<'_>) -> bool {
    let here = match (&seen.interface.place, end.pod) {
        (Place::Pod(name), Some(pod)) => *name == pod.name,
        (Place::Node(name), None) => *name == end.node.name,
        (Place::Pod(_) | Place::Node(_) | Place::Fabric, _) => false,
    };
    here && seen.sighting.direction == Direction::In
}
