//! Totals: how many promises of each kind held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Report;
use super::judgement::Judgement;
use super::pair::Promised;
use super::run_promise::Subject;
use crate::count::counted;
use crate::plan::{Class, Protection};
use crate::verdict::Outcome;

/// How many promises of one kind came to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum Total {
    /// Pairs of one traffic class that must look alike.
    Pairs {
        /// The traffic class.
        class: Class,
        /// How their packets must look.
        expected: Protection,
        /// How many pairs.
        pairs: usize,
        /// How many promises, by what they came to.
        verdicts: BTreeMap<Outcome, usize>,
    },
    /// Other promises of one kind.
    Promises {
        /// What they are about.
        about: &'static str,
        /// Whether they are promised of every run, whatever its scenario states.
        every_run: bool,
        /// How many, by what they came to.
        verdicts: BTreeMap<Outcome, usize>,
    },
    /// Probes of which nothing is promised.
    Unjudged {
        /// How many probes there are without a promise.
        probes: usize,
    },
}

impl Total {
    /// Whether it shows nothing of a scenario: it is of promises that every run has.
    pub(super) fn is_of_every_run(&self) -> bool {
        match self {
            Self::Pairs { .. } | Self::Unjudged { .. } => false,
            Self::Promises { every_run, .. } => *every_run,
        }
    }
}

impl fmt::Display for Total {
    /// `cross host 36 pairs: encrypted, 108 of 108 held`, `sizes 4 promises: 4 held`.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairs {
                class,
                expected,
                pairs,
                verdicts,
            } => {
                let all: usize = verdicts.values().sum();
                let held = verdicts.get(&Outcome::Held).copied().unwrap_or(0);
                let (class, expected) = (class.as_str(), expected.as_str());
                let pairs = counted(*pairs, "pair");
                write!(to, "{class} {pairs}: {expected}, {held} of {all} held")?;
                let others = verdicts
                    .iter()
                    .filter(|(outcome, _)| **outcome != Outcome::Held);
                let mut others = others.map(|(outcome, count)| (outcome.as_str(), count));
                others.try_for_each(|(outcome, count)| write!(to, ", {count} {outcome}"))
            }
            Self::Promises {
                about, verdicts, ..
            } => {
                let all: usize = verdicts.values().sum();
                let counts = verdicts
                    .iter()
                    .map(|(outcome, count)| format!("{count} {}", outcome.as_str()));
                let counts: Vec<_> = counts.collect();
                write!(
                    to,
                    "{about} {}: {}",
                    counted(all, "promise"),
                    counts.join(", ")
                )
            }
            Self::Unjudged { probes: 1 } => {
                to.write_str("no promise: 1 probe was sent and is not judged")
            }
            Self::Unjudged { probes } => {
                write!(
                    to,
                    "no promise: {probes} probes were sent and are not judged"
                )
            }
        }
    }
}

/// All totals of a report, in its order.
pub(super) fn totals(report: &Report<'_>) -> Vec<Total> {
    let mut totals = of_pairs(report);
    let through = report.through.iter().map(|one| &one.judged);
    let sizes = report.sizes.promises.iter().map(|one| &one.judged);
    let spoofs = report.spoofs.iter().map(|one| &one.judged);
    let never = report.never_plaintext.iter().map(|one| &one.judged);
    let of_run = |subjects: &'static [Subject]| {
        let all = report.run_promises.iter();
        let own = all.filter(|one| subjects.contains(&one.subject));
        own.map(|one| &one.judged)
    };
    totals.extend(total("through the steps", false, through));
    totals.extend(total("sizes", false, sizes));
    totals.extend(total("spoofed packets", false, spoofs));
    totals.extend(total("never in plaintext", false, never));
    totals.extend(total("budgets of steps", false, of_run(&[Subject::Budget])));
    totals.extend(total("dataplanes", false, of_run(&[Subject::Dataplane])));
    totals.extend(total("warnings", false, of_run(&[Subject::Warning])));
    totals.extend(total("hosts", true, of_run(&[Subject::Host])));
    totals.extend(total("engines", true, of_run(&[Subject::Engine])));
    let unjudged = report.pairs.iter().filter(|one| one.judgement().is_none());
    let probes = unjudged.count();
    totals.extend((probes > 0).then_some(Total::Unjudged { probes }));
    totals
}

fn of_pairs(report: &Report<'_>) -> Vec<Total> {
    let mut kinds = BTreeMap::<_, (BTreeSet<_>, BTreeMap<Outcome, usize>)>::new();
    for pair in &report.pairs {
        let Promised::Protection {
            class,
            expected,
            judged,
            ..
        } = &pair.promised
        else {
            continue;
        };
        let (pairs, verdicts) = kinds.entry((*class, *expected)).or_default();
        pairs.insert((pair.from, pair.to));
        *verdicts.entry(judged.verdict).or_default() += 1;
    }
    let totals = kinds
        .into_iter()
        .map(|((class, expected), (pairs, verdicts))| Total::Pairs {
            class,
            expected,
            pairs: pairs.len(),
            verdicts,
        });
    totals.collect()
}

/// None where nothing of the kind is promised.
fn total<'j>(
    about: &'static str,
    every_run: bool,
    promises: impl Iterator<Item = &'j Judgement<'j>>,
) -> Option<Total> {
    let mut verdicts = BTreeMap::<Outcome, usize>::new();
    for judged in promises {
        *verdicts.entry(judged.verdict).or_default() += 1;
    }
    (!verdicts.is_empty()).then_some(Total::Promises {
        about,
        every_run,
        verdicts,
    })
}
