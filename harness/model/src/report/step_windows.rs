//! Leaks and outages of each step in the report.

use std::fmt::{self, Write};

use serde::Serialize;

use super::Report;
use super::judgement::Judgement;
use crate::count::counted;
use crate::judge::{StepWindow, duration};
use crate::name::EndpointName;
use crate::plan::{Family, Plan, StepKind, StepPromise};

/// What one promise about a step came to, and what was measured of the step.
#[derive(Debug, Clone, Serialize)]
pub struct Through<'a> {
    /// Which step, counted from 1; 0 is the time before.
    pub step: usize,
    /// What happened, in words.
    pub action: String,
    /// What is promised.
    pub kind: StepKind,
    /// Until everything had settled, in microseconds; none of a step that never ran.
    pub settled: Option<u64>,
    /// Frames of protected flows that were readable on the wire; none of a step that never ran.
    pub leaked: Option<usize>,
    /// Such frames besides that are excused.
    pub excused: Option<usize>,
    /// The first and the last of those that are not, in microseconds since the step began.
    pub leak: Option<(u64, u64)>,
    /// The longest interruption of a flow that had to arrive throughout.
    pub outage: Option<Interruption<'a>>,
    /// What it came to.
    #[serde(flatten)]
    pub judged: Judgement<'a>,
}

/// How long a flow was interrupted.
#[derive(Debug, Clone, Serialize)]
pub struct Interruption<'a> {
    /// The time, in microseconds.
    pub micros: u64,
    /// Packets that never came.
    pub lost: usize,
    /// The flow's sender.
    pub from: Option<&'a EndpointName>,
    /// The flow's receiver.
    pub to: Option<&'a EndpointName>,
    /// The flow's IP family.
    pub family: Option<Family>,
    /// Between whom the flow goes, in words.
    #[serde(skip)]
    flow: Option<String>,
}

impl<'a> Through<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        promise: &StepPromise,
        window: Option<&StepWindow>,
        settled: Option<u64>,
        judged: Judgement<'a>,
    ) -> Self {
        let outage = window.and_then(|window| window.outage).map(|outage| {
            let flow = plan.flows.flows.get(usize::from(outage.flow.0));
            Interruption {
                micros: outage.micros,
                lost: outage.lost,
                from: flow.map(|flow| &flow.from),
                to: flow.map(|flow| &flow.to),
                family: flow.map(|flow| flow.family),
                flow: flow.map(|flow| flow.describe()),
            }
        });
        Self {
            step: promise.step,
            action: action(plan, promise.step),
            kind: promise.kind,
            settled,
            leaked: window.map(|window| window.leaked),
            excused: window.map(|window| window.excused),
            leak: window.and_then(|window| window.leak),
            outage,
            judged,
        }
    }

    /// `settled within 27 ms; 3 frames leaked, from 1 ms to 5 ms; longest outage 9 ms (pod-1 → pod-2)`;
    /// none of a step that never ran.
    fn measures(&self) -> Option<String> {
        let leaked = self.leaked?;
        let mut parts = Vec::new();
        if let Some(settled) = self.settled {
            parts.push(format!("settled within {}", duration(settled)));
        }
        parts.push(match self.leak {
            Some((first, last)) => format!(
                "{} leaked, from {} to {} after it began",
                counted(leaked, "frame"),
                duration(first),
                duration(last)
            ),
            None => "no frame leaked".into(),
        });
        if let Some(excused) = self.excused.filter(|excused| *excused > 0) {
            let are = if excused == 1 { "is" } else { "are" };
            parts.push(format!(
                "{} {are} excused",
                counted(excused, "readable frame")
            ));
        }
        parts.push(match &self.outage {
            Some(outage) => {
                let flow = outage.flow.as_ref().map(|flow| format!(" ({flow})"));
                let flow = flow.unwrap_or_default();
                format!("longest outage {}{flow}", duration(outage.micros))
            }
            None => "no packet lost".into(),
        });
        Some(parts.join("; "))
    }
}

/// What happened in a step, in words.
pub(super) fn action(plan: &Plan, step: usize) -> String {
    let planned = step.checked_sub(1).and_then(|at| plan.steps.get(at));
    planned.map_or_else(|| "start".into(), |step| step.action.describe())
}

/// One paragraph for each step. What differs from run to run is printed only if `measured`.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut last = None;
    let measured = measured && report.skipped.is_none();
    for promised in &report.through {
        let step = promised.step;
        if last.is_none() {
            let flows = counted(report.flows, "flow");
            writeln!(text, "\nthrough the steps, {flows}")?;
        }
        if last != Some(step) {
            writeln!(text, "  {step} {}", promised.action)?;
            if let Some(measures) = promised.measures().filter(|_| measured) {
                writeln!(text, "    {measures}")?;
            }
        }
        last = Some(step);
        let kind = match promised.kind {
            StepKind::Leak => "secrecy",
            StepKind::Outage => "service",
        };
        let Judgement { verdict, fact, .. } = &promised.judged;
        writeln!(text, "    {kind}, {}: {fact}", verdict.as_str())?;
    }
    Ok(())
}

/// `step 1 (kill every node's agent) must leave no protected flow readable`.
pub(super) fn sentence(plan: &Plan, promise: &StepPromise) -> String {
    let must = match promise.kind {
        StepKind::Leak => "must leave no protected flow readable",
        StepKind::Outage => "must not interrupt flows for long",
    };
    let step = promise.step;
    format!("step {step} ({}) {must}", action(plan, step))
}
