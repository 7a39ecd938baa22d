//! Deadlines and budgets on a machine that is slower than they were written for.

use super::Plan;

impl Plan {
    /// Multiplies every deadline, every budget of time, and the time between two packets of a flow: a
    /// slow machine bears fewer of them beside its work, and what they measure lasts longer there. Where
    /// the wire harms packets they come as they did, since so do its rates and delays. What is promised
    /// about packets stays as it is.
    pub fn wait_longer(&mut self, times: u32) {
        let is_harmed = self.states().any(|state| !state.fabric.faults.is_empty());
        let longer = |millis: &mut u32| *millis = millis.saturating_mul(times);
        if !is_harmed {
            longer(&mut self.flows.every);
        }
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
