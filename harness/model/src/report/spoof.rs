//! Spoofed packets in the report.

use serde::Serialize;

use super::judgement::Judgement;
use crate::plan::{DropBy, Plan, Spoof};

/// What became of the packets of one spoof.
#[derive(Debug, Clone, Serialize)]
pub struct SpoofResult<'a> {
    /// Whom they pretend to be from, and where they come in.
    pub about: String,
    /// The packets, and what has to become of them.
    pub spoof: &'a Spoof,
    /// What it came to.
    #[serde(flatten)]
    pub judged: Judgement<'a>,
}

impl<'a> SpoofResult<'a> {
    pub(super) fn new(plan: &Plan, spoof: &'a Spoof, judged: Judgement<'a>) -> Self {
        Self {
            about: about(plan, spoof),
            spoof,
            judged,
        }
    }
}

/// Whom they pretend to be from, and where they come in: `from the wire as pod-1 → pod-2 ipv4`.
fn about(plan: &Plan, spoof: &Spoof) -> String {
    let through = plan.endpoint(&spoof.through);
    let entry = match through.and_then(|through| through.pod) {
        Some(pod) => pod.name.to_string(),
        None => "the wire".to_owned(),
    };
    format!(
        "from {entry} as {} → {} {}",
        spoof.source,
        spoof.to,
        spoof.family.as_str()
    )
}

/// What is promised, as a sentence.
pub(super) fn sentence(plan: &Plan, spoof: &Spoof) -> String {
    let must = match spoof.drop {
        DropBy::ReversePath => "must be dropped by the reverse-path filter",
        DropBy::Rule => "must be dropped by a rule",
        DropBy::Tunnel => "must go into the tunnel and not come out of it",
        DropBy::Nothing => "arrive",
    };
    let (about, line) = (about(plan, spoof), spoof.line);
    format!("line {line}, spoofed packets {about}: {must}")
}
