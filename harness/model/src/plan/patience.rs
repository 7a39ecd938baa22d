//! Deadlines and budgets on a machine that is slower than they were written for.

use super::Plan;

impl Plan {
    /// Multiplies every deadline, and every budget of time. What is promised about packets stays as
    /// it is.
    pub fn wait_longer(&mut self, times: u32) {
        let longer = |millis: &mut u32| *millis = millis.saturating_mul(times);
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
