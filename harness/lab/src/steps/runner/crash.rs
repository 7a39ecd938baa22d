//! The crash action: an agent dies before and after each of its kernel writes, and has to recover.

use wireproof_model::name::NodeName;
use wireproof_model::plan::{Action, Plan, Step, Timeout};
use wireproof_model::resource;

use crate::base::error::LabError;
use crate::base::wait::Deadline;
use crate::cluster::tamper;
use crate::steps::dataplane_texts::DataplaneTexts;
use crate::steps::engine::{Fate, Until};

use super::StepRunner;

/// More writes than an agent needs for one provocation; one that goes on dying is broken.
const MAX_WRITES: u32 = 1_000;

impl StepRunner<'_, '_> {
    /// Lets the agent die at every point of its way through what `provoke` makes it do, until
    /// it gets to the end. Returns the number of points.
    pub(super) fn crash_everywhere(
        &mut self,
        number: usize,
        step: &Step,
        node: &NodeName,
        provoke: &Action,
    ) -> Result<u32, LabError> {
        let before = self.dataplane_texts(&self.plan.after(number).cluster.interface)?;
        let trial = Trial {
            plan: provoked(self.plan, number, step, provoke),
            number,
            allowed: self.plan.deadlines.of_step(step),
        };
        // What it comes to when nobody dies.
        self.provoke(&trial, node, provoke)?;
        self.engines.start_agents(std::slice::from_ref(node))?;
        let wanted = self.recovered(&trial, &before, provoke, None)?;
        self.undo(&trial, &before, provoke)?;

        let mut points = 0;
        for write in 1..=MAX_WRITES {
            for when in ["before", "after"] {
                let point = format!("{when}:{write}");
                self.provoke(&trial, node, provoke)?;
                self.engines.start_agent_to_crash(node, &point)?;
                let deadline = Deadline::of_work(trial.allowed);
                let fate = self.engines.wait_for_fate(node, self.store, deadline)?;
                match fate {
                    Fate::Died => points += 1,
                    // Its point is still before it.
                    Fate::InSync => self.engines.kill_agents(
                        std::slice::from_ref(node),
                        Deadline::of_work(trial.allowed),
                    )?,
                }
                self.engines.start_agents(std::slice::from_ref(node))?;
                self.recovered(&trial, &wanted, provoke, Some(&point))
                    .map_err(|error| LabError {
                        operation: format!("{}, after a crash {point}", error.operation),
                        ..error
                    })?;
                self.undo(&trial, &before, provoke)?;
                if fate == Fate::InSync {
                    return match points {
                        0 => Err(LabError::machine(
                            "make the agent crash",
                            "it does not die where WIREMESH_CRASH says",
                        )
                        .help(
                            "name a program that does in `test-agent` of the engine's descriptor",
                        )),
                        points => Ok(points),
                    };
                }
            }
        }
        let cause = format!("it died at each of {MAX_WRITES} writes");
        Err(LabError::refutation(
            "wait for an agent's last write",
            cause,
        ))
    }

    /// Ends the agent, and gives it something to do.
    fn provoke(
        &mut self,
        trial: &Trial,
        node: &NodeName,
        provoke: &Action,
    ) -> Result<(), LabError> {
        self.engines
            .kill_agents(std::slice::from_ref(node), Deadline::of_work(trial.allowed))?;
        match provoke {
            Action::Tamper { node, what, .. } => {
                let tunnels = self.tunnels(trial.number)?;
                tamper::tamper(self.topology.node(node)?, what, &tunnels)
            }
            _ => self.rewrite(&trial.plan, trial.number, trial.number + 1),
        }
    }

    /// Waits until everything is in sync, and returns what the dataplanes are then: `wanted`,
    /// where it is known.
    fn recovered(
        &mut self,
        trial: &Trial,
        wanted: &DataplaneTexts,
        provoke: &Action,
        point: Option<&str>,
    ) -> Result<DataplaneTexts, LabError> {
        let deadline = Deadline::of_work(trial.allowed);
        let after = trial.plan.after(trial.number + 1);
        self.settle(&after, &Until::InSync, deadline)?;
        let tunnel = &after.cluster.interface;
        let known = point.is_some() || matches!(provoke, Action::Tamper { .. });
        if known {
            self.wait_for_dataplane_texts(tunnel, wanted, deadline)?;
        }
        let now = self.dataplane_texts(tunnel)?;
        match wanted.changed(&now).filter(|_| known) {
            None => Ok(now),
            Some(change) => Err(LabError::refutation("recover", change)),
        }
    }

    /// Takes a configuration back; what was tampered with is repaired by now.
    fn undo(
        &mut self,
        trial: &Trial,
        before: &DataplaneTexts,
        provoke: &Action,
    ) -> Result<(), LabError> {
        if matches!(provoke, Action::Tamper { .. }) {
            return Ok(());
        }
        self.rewrite(&trial.plan, trial.number + 1, trial.number)?;
        let state = self.plan.after(trial.number);
        let deadline = Deadline::of_work(trial.allowed);
        self.settle(&state, &Until::InSync, deadline)?;
        self.wait_for_dataplane_texts(&state.cluster.interface, before, deadline)
    }

    /// Makes of the resources of one moment of a plan those of another.
    pub(super) fn rewrite(&self, plan: &Plan, from: usize, to: usize) -> Result<(), LabError> {
        let moment = |steps| resource::files_after(plan, steps);
        self.store.change(&moment(from), &moment(to))
    }
}

/// What is tried over and over.
struct Trial {
    /// The plan whose next step is the provocation.
    plan: Plan,
    number: usize,
    allowed: Timeout,
}

fn provoked(plan: &Plan, number: usize, step: &Step, provoke: &Action) -> Plan {
    let mut plan = plan.clone();
    plan.steps.truncate(number);
    plan.steps.push(Step {
        action: provoke.clone(),
        ..step.clone()
    });
    plan
}
