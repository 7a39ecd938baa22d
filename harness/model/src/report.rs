//! The report: verdicts as a document, in the words of the scenario. It is serialized as JSON; tables,
//! snapshots and failures are texts made of it alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::evidence::{ConductEvidence, DropEvidence, Evidence, Timing};
use crate::judge::FabricEffect;
use crate::name::{EngineName, NodeName};
use crate::plan::Plan;
use crate::verdict::{Outcome, Verdict};

/// The verdict about one promise, with its sentence.
mod judgement;

/// Promises about pairs, and probes without a promise, in the report.
mod pair;

/// Rows of the table: pairs with the same verdict in one line.
mod row;

/// Sections: promises of one kind as lines under a heading.
mod section;

/// Leaks and outages of each step in the report.
mod step_windows;

/// Effects of the fabric in the report.
mod fabric_effects;

/// MTUs in the report.
mod mtu;

/// Spoofed packets in the report.
mod spoof;

/// Pairs that are never plaintext, in the report.
mod never_plaintext;

/// Promises about steps, dataplanes, hosts, engines and the evidence, in the report.
mod run_promise;

/// The engines' conduct in the report.
mod conduct;

/// Totals: how many promises of each kind held.
mod total;

/// Plan, evidence and verdicts to a report.
mod build;

/// The report as a table.
mod table;

/// Explanations of broken promises as text.
mod why;

/// The text of failures, with the frames that prove them.
mod failure;

pub use judgement::Judgement;
pub use mtu::{SizeResult, Sizes};
pub use never_plaintext::NeverPlaintextResult;
pub use pair::{Pair, Promised};
pub use run_promise::{RunPromise, Subject};
pub use spoof::SpoofResult;
pub use step_windows::{Interruption, Through};
pub use table::COLOURS;
pub use total::Total;

/// A frame of a capture file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The file's name in the run directory.
    pub file: String,
    /// Its number there, counted from 1.
    pub number: u32,
}

impl Frame {
    /// As exhibits name it: `fabric.pcapng #12`.
    fn named(text: &str) -> Option<Self> {
        let (file, number) = text.rsplit_once(" #")?;
        Some(Self {
            file: file.to_owned(),
            number: number.parse().ok()?,
        })
    }
}

/// The report of one run. Times are in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Report<'a> {
    /// What the scenario shows.
    pub title: &'a str,
    /// The scenario's file, for the caller to fill in.
    pub scenario: Option<String>,
    /// The engine under test.
    pub engine: &'a EngineName,
    /// The exit status: see [`Report::exit_status`].
    pub status: u8,
    /// Why nothing was tried, where nothing was.
    pub skipped: Option<&'a str>,
    /// How many promises of each kind came to what.
    pub totals: Vec<Total>,
    /// One entry for each promise about a pair, then one for each probe of which nothing is promised.
    pub pairs: Vec<Pair<'a>>,
    /// How many flows there were.
    pub flows: usize,
    /// What the flows showed of each step.
    pub through: Vec<Through<'a>>,
    /// What the sizes of packets came to.
    pub sizes: Sizes<'a>,
    /// What became of spoofed packets.
    pub spoofs: Vec<SpoofResult<'a>>,
    /// What must never be readable.
    pub never_plaintext: Vec<NeverPlaintextResult<'a>>,
    /// What is promised of steps, dataplanes, hosts, engines and the evidence.
    pub run_promises: Vec<RunPromise<'a>>,
    /// What the fabric did to packets.
    pub wire: Vec<FabricEffect>,
    /// What is known of each node.
    pub nodes: BTreeMap<&'a NodeName, NodeResult<'a>>,
    /// The longest time until everything had settled.
    pub convergence: u64,
    /// Kernel writes from the start to the last step, if the engine counts them.
    pub writes: Option<u64>,
    /// From the start of the agents until they were in sync.
    pub start: StepResult<'a>,
    /// Each step that ran.
    pub steps: Vec<StepResult<'a>>,
    /// How each node's engine behaved besides its work.
    pub conduct: &'a BTreeMap<NodeName, ConductEvidence>,
    /// What the kernel dropped, by its own reasons.
    pub drops: &'a DropEvidence,
    /// How long each phase took.
    pub timings: &'a [Timing],
}

/// What is known of a node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeResult<'a> {
    /// The public key that its engine published.
    pub public_key: Option<&'a str>,
    /// What its counters of dropped packets moved by.
    pub drops: &'a BTreeMap<String, u64>,
}

/// What a step came to.
#[derive(Debug, Clone, Serialize)]
pub struct StepResult<'a> {
    /// Counted from 1; 0 is the start.
    pub step: usize,
    /// What happened, in words.
    pub action: &'a str,
    /// Until everything had settled.
    pub micros: u64,
    /// Kernel writes; none if no agent counts them.
    pub writes: Option<u64>,
    /// What the kernel notified of changes in each node's network, by kind.
    pub notifications: &'a BTreeMap<NodeName, BTreeMap<String, u64>>,
    /// How many points an agent was made to die at.
    pub crash_points: Option<u32>,
    /// What else there is to know.
    pub note: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// The report of `verdicts` about a run of `plan` that left `evidence`.
    pub fn new(plan: &'a Plan, evidence: &'a Evidence, verdicts: &'a [Verdict]) -> Self {
        build::report(plan, evidence, verdicts)
    }

    /// 0 if every promise held; 1 if one was broken; 3 if none was broken but one is open or skipped,
    /// if an impairment of the wire hit nothing, or if nothing is promised of a pair: such a run proves
    /// nothing.
    pub fn exit_status(&self) -> u8 {
        self.status
    }

    fn worst(&self) -> u8 {
        let is_any = |outcome| self.judgements().any(|one| one.verdict == outcome);
        if is_any(Outcome::Broken) {
            return 1;
        }
        let is_open = self.judgements().any(|one| one.verdict != Outcome::Held);
        let is_idle = self.wire.iter().any(FabricEffect::is_idle);
        match is_open || is_idle || !self.pairs.iter().any(|pair| pair.judgement().is_some()) {
            true => 3,
            false => 0,
        }
    }

    /// What every promise came to, in the report's order.
    pub fn judgements(&self) -> impl Iterator<Item = &Judgement<'a>> {
        let pairs = self.pairs.iter().filter_map(Pair::judgement);
        let through = self.through.iter().map(|one| &one.judged);
        let sizes = self.sizes.promises.iter().map(|one| &one.judged);
        let spoofs = self.spoofs.iter().map(|one| &one.judged);
        let never = self.never_plaintext.iter().map(|one| &one.judged);
        let run = self.run_promises.iter().map(|one| &one.judged);
        let packets = pairs.chain(through).chain(sizes).chain(spoofs).chain(never);
        packets.chain(run)
    }

    /// Whether nothing is wrong but the engine's conduct, about which a scenario states nothing.
    pub fn is_conduct_all_that_broke(&self) -> bool {
        let broken = |judged: &Judgement<'_>| judged.verdict == Outcome::Broken;
        let of_run = &self.run_promises;
        let of_engines = of_run.iter().filter(|one| one.subject == Subject::Engine);
        let of_engines = of_engines.filter(|one| broken(&one.judged)).count();
        let is_open = of_run
            .iter()
            .any(|one| one.judged.verdict == Outcome::Inconclusive);
        let all = self.judgements().filter(|judged| broken(judged)).count();
        all > 0 && all == of_engines && !is_open
    }

    /// For a terminal, at most 120 columns wide. `directory` is where the run's files are.
    pub fn table(&self, directory: &str, colour: bool) -> String {
        table::table(self, directory, colour)
    }

    /// One line for a list of many runs: what held, how soon it settled, and what it cost.
    pub fn line(&self, name: &str) -> String {
        table::line(self, name)
    }

    /// The table without what differs from run to run: only words of the plan and of the verdicts.
    pub fn snapshot(&self) -> String {
        table::snapshot(self)
    }

    /// Each promise that did not hold, with the frames that show it; empty if all held.
    pub fn failure(&self, directory: &str) -> String {
        failure::failure(self, directory)
    }

    /// The comment, in its capture file, on each frame that shows why a promise did not hold; first of those
    /// that decide.
    pub fn comments(&self) -> Vec<(Frame, String)> {
        failure::comments(self)
    }

    /// The report for programs. What a scenario's run holds is described in `harness/guide.md`.
    ///
    /// # Panics
    /// Never: a report has no map whose keys are not words.
    #[expect(
        clippy::expect_used,
        reason = "a report is text, numbers and lists of them"
    )]
    pub fn json(&self) -> Value {
        serde_json::to_value(self).expect("a report is a document")
    }
}

#[cfg(test)]
mod tests;
