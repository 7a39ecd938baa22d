//! What the flows showed of each step.

use std::fmt::{self, Write};

use super::Report;
use crate::count::counted;
use crate::judge::{StepWindow, step_windows, told};
use crate::plan::StepKind;

/// One paragraph for each step. What differs from run to run is told only if `measured`.
pub(super) fn write(text: &mut String, report: &Report<'_>, measured: bool) -> fmt::Result {
    let mut last = None;
    let step_windows = step_windows(report.plan, report.evidence);
    let measured = measured && report.evidence.skipped.is_none();
    for promised in report.of_steps() {
        let step = promised.promise.step;
        if last.is_none() {
            let flows = counted(report.plan.flows.flows.len(), "flow");
            writeln!(text, "\nthrough the steps, {flows}")?;
        }
        if last != Some(step) {
            writeln!(text, "  {step} {}", report.action(step))?;
            let window = step_windows.iter().find(|window| window.step == step);
            if let Some(window) = window.filter(|_| measured) {
                writeln!(text, "    {}", measures(report, window))?;
            }
        }
        last = Some(step);
        let kind = match promised.promise.kind {
            StepKind::Leak => "secrecy",
            StepKind::Outage => "service",
        };
        let (outcome, fact) = (promised.outcome().as_str(), promised.fact());
        writeln!(text, "    {kind}, {outcome}: {fact}")?;
    }
    Ok(())
}

/// `settled within 27 ms; 3 frames leaked, from 1 ms to 5 ms; longest outage 9 ms (pod-1 → pod-2)`.
fn measures(report: &Report<'_>, window: &StepWindow) -> String {
    let steps = &report.evidence.steps;
    let step = match window.step.checked_sub(1) {
        Some(at) => steps.get(at),
        None => Some(&report.evidence.start),
    };
    let mut parts = Vec::new();
    if let Some(step) = step {
        parts.push(format!("settled within {}", told(step.micros())));
    }
    parts.push(match window.leak {
        Some((first, last)) => format!(
            "{} leaked, from {} to {} after it began",
            counted(window.leaked, "frame"),
            told(first),
            told(last)
        ),
        None => "no frame leaked".into(),
    });
    if window.excused > 0 {
        let are = if window.excused == 1 { "is" } else { "are" };
        parts.push(format!(
            "{} {are} excused",
            counted(window.excused, "readable frame")
        ));
    }
    parts.push(match window.outage {
        Some(outage) => {
            let flow = report.plan.flows.flows.get(usize::from(outage.flow.0));
            let name = flow.map(|flow| format!(" ({})", flow.told()));
            format!(
                "longest outage {}{}",
                told(outage.micros),
                name.unwrap_or_default()
            )
        }
        None => "no packet lost".into(),
    });
    parts.join("; ")
}
