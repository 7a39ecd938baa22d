//! The steps of a plan: their actions, deadlines and budgets.

use crate::plan::{self, Step};
use crate::problem::Lines;
use crate::scenario::{self, Scenario};

/// The steps of the plan. `ready` is the deadline, in milliseconds, of each step that states none.
pub(super) fn steps(scenario: &Scenario, lines: &Lines, ready: u32) -> Vec<Step> {
    let step = |written: &scenario::Step| Step {
        action: written.action.clone(),
        deadline: written.deadline.unwrap_or(ready),
        settles_within: written.settles_within,
        outage: written.outage.unwrap_or(plan::OUTAGE),
        leaks: written.leaks.map(u32::from),
        line: lines.line(written.place("action").start),
        writes: written.writes.map(u32::from),
    };
    scenario.steps.iter().map(step).collect()
}
