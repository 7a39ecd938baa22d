//! A promise that is about no pair of endpoints and did not hold.

use crate::verdict::Outcome;

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// What the scenario, or every one, says of its cluster.
    Scenario,
    /// What every engine is promised to be besides right.
    Conduct,
    /// What the scenario says of something that nobody looked at: it is open.
    Unseen,
}

/// A promise that is about no pair and did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Whose promise it was.
    pub about: About,
    /// The scenario's line that promises it; none if it is promised to every host.
    pub line: Option<u32>,
    /// What it was about, and what was seen instead.
    pub told: String,
    /// What differs from run to run, or from machine to machine.
    pub note: Option<String>,
    /// What is behind it, where more is known than what was seen.
    pub why: Option<String>,
}

impl Breach {
    /// How it was decided.
    pub fn outcome(&self) -> Outcome {
        match self.about {
            About::Scenario | About::Conduct => Outcome::Broken,
            About::Unseen => Outcome::Inconclusive,
        }
    }

    /// As reports say it.
    pub fn text(&self) -> String {
        match self.line {
            Some(line) => format!("line {line}, {}", self.told),
            None => self.told.clone(),
        }
    }
}
