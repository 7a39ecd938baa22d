//! The commands of the operator, and what a node runs when it boots.

use wireproof_model::name::NodeName;
use wireproof_model::text::shown_path;

use crate::base::error::LabError;
use crate::base::wait::{Deadline, Wait};
use crate::cluster::init::Ended;

use super::{Engines, tail};

impl Engines<'_> {
    /// The operator's command that switches encryption on.
    pub(crate) fn enable(&mut self, deadline: Deadline) -> Result<(), LabError> {
        self.operate("enable", &self.descriptor.enable, deadline)
    }

    /// The operator's command that switches encryption off.
    pub(crate) fn disable(&mut self, deadline: Deadline) -> Result<(), LabError> {
        self.operate("disable", &self.descriptor.disable, deadline)
    }

    /// Replaces a node's key with the operator's command, run on that node.
    pub(crate) fn rotate_key(
        &mut self,
        node: &NodeName,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        self.operate_on(
            Some(node),
            "rotate-key",
            &self.descriptor.rotate_key,
            deadline,
        )
    }

    /// What a node runs when it boots, before it has a network.
    pub(crate) fn boot_node(
        &mut self,
        node: &NodeName,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        match &self.descriptor.boot {
            Some(_) => self.operate_on(Some(node), "boot", &self.descriptor.boot, deadline),
            None => Ok(()),
        }
    }

    /// Runs the operator's command on the first node, and waits for its end.
    fn operate(
        &mut self,
        verb: &str,
        words: &Option<Vec<String>>,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        self.operate_on(None, verb, words, deadline)
    }

    /// As [`operate`](Self::operate), on a node that may be named.
    fn operate_on(
        &mut self,
        node: Option<&NodeName>,
        verb: &str,
        words: &Option<Vec<String>>,
        deadline: Deadline,
    ) -> Result<(), LabError> {
        let doing = format!("run the engine's `{verb}` command");
        let words = words.as_ref().ok_or_else(|| {
            LabError::machine(&doing, format!("its descriptor has no `{verb}`")).help(format!(
                "add `{verb} = [..]` to the descriptor, or leave the step out"
            ))
        })?;
        let mut names = self.nodes.iter().map(|init| &init.name).enumerate();
        let chosen = names.find(|(_, name)| match node {
            Some(node) => node == *name,
            None => self.present.contains(*name),
        });
        let Some((position, first)) = chosen.map(|(position, name)| (position, name.clone()))
        else {
            return Ok(());
        };
        let words = self.command(words, Some(&first))?;
        self.commands += 1;
        let id = self.commands;
        let log = self.directory.path().join(format!("{verb}.{id}.log"));
        self.order(position, id, words, &log)?;
        let ended = self.states.wait_until(
            Wait {
                who: first.as_str(),
                until: &format!("the engine's `{verb}` command has ended"),
                look: &format!("{} is what it printed", shown_path(&log)),
            },
            deadline,
            |states| {
                let node = states.get(&first)?;
                if let Some(cause) = node.not_started.get(&id) {
                    return Some(Err(LabError::machine(&doing, cause)));
                }
                node.ended.get(&id).map(|how| Ok(*how))
            },
            |_| format!("it runs{}", tail(&log)),
        )??;
        if ended == Ended::Status(0) {
            return Ok(());
        }
        Err(LabError::engine(doing, format!("{ended}{}", tail(&log))))
    }
}
