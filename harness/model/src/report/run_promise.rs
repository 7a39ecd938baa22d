//! Promises about steps, dataplanes, hosts, engines and the evidence, in the report.

use serde::Serialize;

use super::judgement::Judgement;
use super::step_windows::action;
use crate::plan::{
    Budget, BudgetLimit, CalicoPart, DataplanePart, EnginePromise, HostPromise, Plan, PromiseKind,
};
use crate::verdict::Outcome;

/// Of what a promise is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// What a step may cost.
    Budget,
    /// What a node's dataplane has and lacks.
    Dataplane,
    /// What every host is promised.
    Host,
    /// How engines behave besides their work.
    Engine,
    /// A warning that the scenario names.
    Warning,
    /// The evidence of the run.
    Evidence,
}

/// What one of them came to.
#[derive(Debug, Clone, Serialize)]
pub struct RunPromise<'a> {
    /// Of what it is.
    pub subject: Subject,
    /// What it came to.
    #[serde(flatten)]
    pub judged: Judgement<'a>,
}

impl RunPromise<'_> {
    /// Whether it is to be printed besides the totals.
    pub(super) fn is_wrong(&self) -> bool {
        match self.judged.verdict {
            Outcome::Held | Outcome::Skipped => false,
            Outcome::Broken | Outcome::Inconclusive => true,
        }
    }

    /// `BROKEN line 12, dataplane of ada: no line has ...`.
    pub(super) fn text(&self) -> String {
        let judged = &self.judged;
        let line = judged.line.map(|line| format!("line {line}, "));
        let line = line.unwrap_or_default();
        match judged.is_missing() {
            true => format!(
                "{} {line}{}: {}",
                judged.verdict.as_str(),
                judged.promise,
                judged.fact
            ),
            false => format!("{} {line}{}", judged.verdict.as_str(), judged.fact),
        }
    }
}

/// Of what such a promise is, and the promise as a sentence; none if it is one that frames decide.
pub(super) fn describe(plan: &Plan, kind: &PromiseKind<'_>) -> Option<(Subject, String)> {
    Some(match kind {
        PromiseKind::Pair(_)
        | PromiseKind::Step(_)
        | PromiseKind::Size(_)
        | PromiseKind::Spoof(_)
        | PromiseKind::NeverPlaintext(_) => return None,
        PromiseKind::Budget(budget) => (Subject::Budget, of_budget(plan, *budget)),
        PromiseKind::Dataplane(check, part) => {
            let when = match check.after {
                None => String::new(),
                Some(0) => " at the start".into(),
                Some(step) => format!(" after step {step}"),
            };
            let must = match part {
                DataplanePart::Has(part) => format!("a line must have `{part}`"),
                DataplanePart::Lacks(part) => format!("no line may have `{part}`"),
                DataplanePart::Present(item) => format!("`{item}` must be there"),
                DataplanePart::Absent(item) => format!("`{item}` must not be there"),
            };
            let sentence = format!("dataplane of {}{when}: {must}", check.node);
            (Subject::Dataplane, sentence)
        }
        PromiseKind::Calico(node, family, part) => {
            let must = match part {
                CalicoPart::Device => {
                    "its tunnel device must have Calico's name, MTU, port and mark"
                }
                CalicoPart::Rule => {
                    "its rule must have Calico's mark, mask, priority and routing table"
                }
                CalicoPart::Peers => {
                    "its peers must have Calico's endpoints, keepalives and allowed IPs"
                }
            };
            let family = family.name();
            (Subject::Dataplane, format!("{node}, {family}: {must}"))
        }
        PromiseKind::Host(node, promise) => {
            let must = match promise {
                HostPromise::Links => "its links must stay up, and its root directory the same",
                HostPromise::ReversePath => {
                    "its reverse-path filter must drop what is spoofed and nothing else"
                }
                HostPromise::Unchanged => "what was there before the engine must stay",
            };
            (Subject::Host, format!("{node}: {must}"))
        }
        PromiseKind::Engine(node, promise) => {
            let must = match promise {
                EnginePromise::Lives => "its engine's agent must not die",
                EnginePromise::Log => {
                    "its engine's log must have no warning that the scenario does not name"
                }
                EnginePromise::Memory => "its engine's processes must stay small",
                EnginePromise::Ends => "its engine's agents must end when they are asked to",
                EnginePromise::Secrets => "the private keys of its devices must be nowhere else",
            };
            (Subject::Engine, format!("{node}: {must}"))
        }
        PromiseKind::Warning(warning) => {
            let whose = match &warning.node {
                Some(node) => format!("{node}'s engine"),
                None => "an engine".to_owned(),
            };
            let sentence = format!("a warning of {whose} must have `{}`", warning.part);
            (Subject::Warning, sentence)
        }
        PromiseKind::Evidence => (Subject::Evidence, "the evidence must be whole".to_owned()),
    })
}

fn of_budget(plan: &Plan, budget: Budget) -> String {
    let step = budget.step;
    let must = match budget.limit {
        BudgetLimit::Settles(within) => format!("must settle within {within} ms"),
        BudgetLimit::Writes(most) => format!("must take at most {most} kernel writes"),
    };
    format!("step {step} ({}) {must}", action(plan, step))
}
