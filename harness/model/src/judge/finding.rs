//! A finding: a verdict without its promise's number.

use super::exhibit::exhibit;
use crate::journey::Seen;
use crate::plan::PromiseId;
use crate::verdict::{Explanation, Outcome, Reached, Stopped, Verdict};

/// A finding: a verdict without its promise's number.
pub(super) struct Finding<'a> {
    pub(super) outcome: Outcome,
    pub(super) fact: String,
    pub(super) frames: Vec<Seen<'a>>,
    pub(super) notes: Vec<String>,
    pub(super) stopped: Option<Stopped>,
    /// What is behind it, where that is known without a packet's way.
    pub(super) why: Option<Box<Explanation>>,
}

impl<'a> Finding<'a> {
    pub(super) fn new(outcome: Outcome, fact: String) -> Self {
        Self {
            outcome,
            fact,
            frames: Vec::new(),
            notes: Vec::new(),
            stopped: None,
            why: None,
        }
    }

    pub(super) fn held(fact: String) -> Self {
        Self::new(Outcome::Held, fact)
    }

    pub(super) fn broken(fact: String) -> Self {
        Self::new(Outcome::Broken, fact)
    }

    pub(super) fn open(why: String) -> Self {
        Self::new(Outcome::Inconclusive, why)
    }

    pub(super) fn with_frames(self, frames: Vec<Seen<'a>>) -> Self {
        Self { frames, ..self }
    }

    pub(super) fn stopped(self, answer: bool, reached: Reached) -> Self {
        Self {
            stopped: Some(Stopped { answer, reached }),
            ..self
        }
    }

    /// With what differs from run to run, or from machine to machine.
    pub(super) fn with_note(self, note: String) -> Self {
        Self {
            notes: vec![note],
            ..self
        }
    }

    pub(super) fn with_why(self, why: Explanation) -> Self {
        Self {
            why: Some(Box::new(why)),
            ..self
        }
    }

    pub(super) fn about(self, promise: PromiseId) -> Verdict {
        Verdict {
            promise,
            outcome: self.outcome,
            fact: self.fact,
            exhibits: self.frames.iter().map(exhibit).collect(),
            notes: self.notes,
            why: self.why.map(|why| *why),
        }
    }
}
