//! Verdicts about promises, with their facts and explanations.

/// Explanations of broken promises.
mod explanation;

use serde::{Deserialize, Serialize};

use crate::evidence::Nanos;
use crate::plan::PromiseId;

pub use explanation::{Explanation, Reached, Stopped};

/// The decision about one promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// About which promise.
    pub promise: PromiseId,
    /// How it was decided.
    pub outcome: Outcome,
    /// The fact that decided it, in one line; for a held promise, what was seen.
    pub fact: String,
    /// The frames that show it, first the one that decides.
    pub exhibits: Vec<Exhibit>,
    /// What else helps to find the cause: counts, and other words that differ from run to run.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why it broke, as far as the nodes' dataplanes show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Explanation>,
}

/// The four ways to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Proven from packets.
    Held,
    /// Refuted from packets.
    Broken,
    /// The observers could not have seen it either way.
    Inconclusive,
    /// Not tried, with a reason.
    Skipped,
}

impl Outcome {
    /// As written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "BROKEN",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Skipped => "skipped",
        }
    }
}

/// A frame shown as evidence, where a reader can find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhibit {
    /// The time at which it was seen.
    pub at: Nanos,
    /// The capture file's name and the frame's number in it: `fabric.pcapng #12`.
    pub capture: String,
    /// The frame in one line: `port ada in: 10.240.0.5 > 10.240.0.65 icmp echo request, 128 bytes, probe 7`.
    pub frame: String,
}
