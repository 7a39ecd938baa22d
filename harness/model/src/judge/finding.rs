//! A verdict that does not know its promise yet.

use super::exhibit::exhibit;
use crate::journey::Seen;
use crate::plan::Promise;
use crate::verdict::{Outcome, Reached, Stopped, Verdict};

/// A verdict that does not know its promise yet.
pub(super) struct Finding<'a> {
    pub(super) outcome: Outcome,
    pub(super) fact: String,
    pub(super) frames: Vec<Seen<'a>>,
    pub(super) notes: Vec<String>,
    pub(super) stopped: Option<Stopped>,
}

impl<'a> Finding<'a> {
    pub(super) fn new(outcome: Outcome, fact: String) -> Self {
        Self {
            outcome,
            fact,
            frames: Vec::new(),
            notes: Vec::new(),
            stopped: None,
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

    pub(super) fn about(self, promise: &Promise) -> Verdict {
        Verdict {
            promise: promise.id,
            outcome: self.outcome,
            fact: self.fact,
            exhibits: self.frames.iter().map(exhibit).collect(),
            notes: self.notes,
            why: None,
        }
    }
}
