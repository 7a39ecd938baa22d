//! Deadlines: how long the lab waits for the engines, a probe and a step, multiplied on a slow machine.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Conduct, Plan, Step};

/// Upper bounds of the lab's waits, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From the engines' start, or a step, until every node is in sync.
    pub ready: u32,
    /// From a probe's first packet until its answer.
    pub probe: u32,
    /// What is in these, and multiplies the lab's own deadlines.
    #[serde(default, skip_serializing_if = "Patience::is_usual")]
    pub patience: Patience,
}

/// How many times as long everything may take as on a quick machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patience(u32);

/// A time within which something has to happen, with the machine's patience in it.
///
/// Nothing makes one but a patience, from what a quick machine needs, and a plan, whose own times it
/// multiplies. So nobody can wait for the bare constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout {
    time: Duration,
    patience: Patience,
}

impl Patience {
    /// Gives nothing any time: each wait that ends in an error ends at once, with its message.
    pub const NONE: Self = Self(0);

    /// The most that anybody is asked for.
    pub const MOST: u32 = 100;

    /// So many times as long.
    pub const fn times(times: u32) -> Self {
        Self(times)
    }

    /// Whether it is that of a quick machine.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// For what has to come, or the run ends: `usual` is what a quick machine needs at most.
    pub fn allows(self, usual: Duration) -> Timeout {
        Timeout {
            time: usual.saturating_mul(self.0),
            patience: self,
        }
    }

    /// For what may not come, which is evidence then: never less than `usual`.
    pub fn watches(self, usual: Duration) -> Timeout {
        Timeout {
            time: usual.saturating_mul(self.0.max(1)),
            patience: self,
        }
    }

    /// A greater one to try; none where there is none.
    pub fn more(self) -> Option<Self> {
        let more = self.0.saturating_mul(2).clamp(2, Self::MOST);
        (more > self.0).then_some(Self(more))
    }

    /// So many times another one.
    #[must_use]
    pub fn of(self, other: Self) -> Self {
        Self(self.0.saturating_mul(other.0))
    }

    fn planned(self, millis: u32) -> Timeout {
        Timeout {
            time: Duration::from_millis(millis.into()),
            patience: self,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Timeout {
    /// As a time.
    pub fn time(self) -> Duration {
        self.time
    }

    /// The patience that is in it.
    pub fn patience(self) -> Patience {
        self.patience
    }

    /// Longer by `usual` on a quick machine.
    #[must_use]
    pub fn and(self, usual: Duration) -> Self {
        let more = self.patience.watches(usual).time;
        Self {
            time: self.time.saturating_add(more),
            ..self
        }
    }
}

impl Deadlines {
    /// For the engines, from their start until every node is in sync.
    pub fn ready(&self) -> Timeout {
        self.patience.planned(self.ready)
    }

    /// From a probe's first packet until its answer.
    pub fn probe(&self) -> Timeout {
        self.patience.planned(self.probe)
    }

    /// Until everything has settled after a step.
    pub fn of_step(&self, step: &Step) -> Timeout {
        self.patience.planned(step.deadline)
    }

    /// For as long as a step may interrupt a flow.
    pub fn outage(&self, step: &Step) -> Timeout {
        self.patience.planned(step.outage)
    }

    /// For an agent that is asked to end; none where nothing is promised about it.
    pub fn end(&self, conduct: &Conduct) -> Option<Timeout> {
        let millis = conduct.ends_within?;
        Some(self.patience.planned(millis))
    }
}

impl Plan {
    /// Multiplies every deadline, the lab's own too, every budget of time, and the time between two
    /// packets of a flow: a slow machine bears fewer of them beside its work, and what they measure
    /// lasts longer there. Where the wire impairs packets they come as they did, since so do its rates
    /// and delays. What is promised about packets stays as it is.
    pub fn wait_longer(&mut self, patience: Patience) {
        let times = patience.0.max(1);
        let is_impaired = self
            .states()
            .any(|state| !state.fabric.impairments.is_empty());
        let longer = |millis: &mut u32| *millis = millis.saturating_mul(times);
        if !is_impaired {
            longer(&mut self.flows.every);
        }
        longer(&mut self.deadlines.patience.0);
        longer(&mut self.deadlines.ready);
        longer(&mut self.deadlines.probe);
        if let Some(millis) = &mut self.conduct.ends_within {
            longer(millis);
        }
        for step in &mut self.steps {
            longer(&mut step.deadline);
            longer(&mut step.outage);
            if let Some(millis) = &mut step.settles_within {
                longer(millis);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn patience_multiplies_waits_for_arrival_and_for_absence() {
        let slow = Patience::times(20);
        assert_eq!(slow.allows(SECOND).time(), 20 * SECOND);
        assert_eq!(slow.watches(SECOND).time(), 20 * SECOND);
        assert_eq!(slow.allows(SECOND).and(SECOND).time(), 40 * SECOND);
        // Without any patience evidence is what it was.
        assert_eq!(Patience::NONE.allows(SECOND).time(), Duration::ZERO);
        assert_eq!(Patience::NONE.watches(SECOND).time(), SECOND);
        let longest = Patience::times(u32::MAX).allows(Duration::MAX);
        assert_eq!(longest.time(), Duration::MAX);
    }

    #[test]
    fn a_greater_patience_is_suggested_up_to_the_maximum() {
        let more = |times| Patience::times(times).more();
        assert_eq!(
            [0, 1, 20, 80].map(more),
            [2, 2, 40, 100].map(|times| Some(Patience::times(times)))
        );
        assert_eq!(more(100), None);
    }
}
