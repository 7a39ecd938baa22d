//! The lab's end of a node's first process: orders go in, messages come out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use wireproof_model::name::NodeName;
use wireproof_model::plan::Patience;

use crate::base::error::{Doing, LabError};
use crate::base::wait::{Deadline, Wait, Watched, some_of};
use crate::base::worker::begin;
use crate::cluster::containment::Paths;
use crate::cluster::init::{self, CommandId, Ended, News, Order, ProcessSignal, Receiver};
use crate::kernel::namespace::Namespace;

/// How long the first processes may take to set their nodes up on a quick machine.
const SETUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The state of a node, as its first process has reported it.
#[derive(Debug, Default)]
pub(crate) struct NodeState {
    pub(crate) ready: bool,
    /// The inode of the node's process namespace.
    pub(crate) processes: u64,
    /// What of the host is not kept from its processes.
    pub(crate) lacks: Vec<String>,
    pub(crate) root: init::Root,
    /// The number of its open file that leads to the overlays.
    pub(crate) overlays: Option<i32>,
    pub(crate) unfit: Option<String>,
    pub(crate) not_started: BTreeMap<CommandId, String>,
    pub(crate) started: BTreeSet<CommandId>,
    pub(crate) ended: BTreeMap<CommandId, Ended>,
    pub(crate) status: Option<String>,
    pub(crate) applied: Option<String>,
    /// Kernel writes of the agent so far, if it counts them.
    pub(crate) writes: Option<u64>,
    /// Comparisons with the kernel that no event had caused, so far, if it counts them.
    pub(crate) resyncs: Option<u64>,
}

/// The states of all nodes.
pub(crate) type NodeStates = Watched<BTreeMap<NodeName, NodeState>>;

/// A node's first process. Dropping it ends it, and with it every process of the node.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) name: NodeName,
    child: Child,
    orders: ChildStdin,
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end();
    }
}

impl Init {
    /// Ends it, and with it every process of the node.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal to processes of its node.
    pub(crate) fn signal(&self, to: Receiver, signal: ProcessSignal) -> Result<(), LabError> {
        self.order(&Order::Signal { to, signal })
    }

    /// Gives it an order.
    pub(crate) fn order(&self, order: &Order) -> Result<(), LabError> {
        let mut line = serde_json::to_string(order)
            .map_err(|error| LabError::machine("write an order", error))?;
        line.push('\n');
        (&self.orders)
            .write_all(line.as_bytes())
            .doing("give an order to the node's first process")
            .map_err(|error| error.at(&self.name))
    }
}

/// Starts it; what it reports is noted in `states` from here on.
pub(crate) fn start_init(
    name: &NodeName,
    namespace: &mut Namespace,
    paths: Paths,
    states: &Arc<NodeStates>,
) -> Result<Init, LabError> {
    let doing = || "start the node's first process";
    let program = std::env::current_exe().doing(doing())?;
    let task = init::Task {
        name: name.to_string(),
        paths,
    };
    let task = serde_json::to_string(&task).map_err(|error| LabError::machine(doing(), error))?;
    let mut command = Command::new(program);
    command
        .arg(init::ARGUMENT)
        .arg(task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    // What an earlier one has told counts no more.
    states.change(|states| states.insert(name.clone(), NodeState::default()));
    let mut child = namespace.spawn_init(&mut command)?;
    let (Some(orders), Some(news)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(LabError::machine(doing(), "it has no pipes").at(name));
    };
    let states = Arc::clone(states);
    let node = name.clone();
    // Ends when the node's first process does.
    begin(format!("news-{name}"), move || {
        for line in BufReader::new(news).lines().map_while(Result::ok) {
            if let Ok(news) = serde_json::from_str(&line) {
                states.change(|states| note(states.entry(node.clone()).or_default(), news));
            }
        }
    })
    .map_err(|error| error.at(name))?;
    Ok(Init {
        name: name.clone(),
        child,
        orders,
    })
}

/// Waits until every node's first process has set its node up.
pub(crate) fn wait_until_set_up(states: &NodeStates, patience: Patience) -> Result<(), LabError> {
    states.wait_until(
        Wait {
            who: "nodes",
            until: "every node's first process has set it up",
            look: "fewer labs at once leave it more of the processors",
        },
        Deadline::after(patience.allows(SETUP_TIMEOUT)),
        |states| {
            let unfit = states
                .iter()
                .find_map(|(name, node)| Some((name.clone(), node.unfit.clone()?)));
            match unfit {
                Some((name, cause)) => {
                    Some(Err(LabError::machine("set the node up", cause).at(name)))
                }
                None => states.values().all(|node| node.ready).then_some(Ok(())),
            }
        },
        |states| {
            let waiting = states.iter().filter(|(_, node)| !node.ready);
            let names: Vec<_> = waiting.map(|(name, _)| name.as_str()).collect();
            let all = states.len();
            format!(
                "{} of {all} have; not {}",
                all - names.len(),
                some_of(&names)
            )
        },
    )?
}

/// What of the host this machine's kernel does not keep from a node's processes, or not as it
/// should be.
pub(crate) fn survey_containment() -> Result<Vec<String>, LabError> {
    let name: NodeName = "survey"
        .parse()
        .map_err(|error| LabError::machine("name a node", error))?;
    let states = Arc::new(NodeStates::default());
    let paths = Paths {
        runs: "/".into(),
        ..Paths::default()
    };
    let _init = start_init(&name, &mut Namespace::create("survey")?, paths, &states)?;
    wait_until_set_up(&states, Patience::default())?;
    let states = states.lock();
    Ok(states
        .get(&name)
        .map(|node| node.lacks.clone())
        .unwrap_or_default())
}

fn note(node: &mut NodeState, news: News) {
    match news {
        News::Ready {
            processes,
            lacks,
            root,
            overlays,
        } => {
            node.root = root;
            node.overlays = overlays;
            node.ready = true;
            node.lacks = lacks;
            node.processes = processes;
        }
        News::Unfit { cause } => node.unfit = Some(cause),
        News::NotStarted { id, cause } => {
            node.not_started.insert(id, cause);
        }
        News::Started { id } => {
            node.started.insert(id);
        }
        News::Ended { id, how } => {
            node.ended.insert(id, how);
        }
        News::Notified { text } => {
            for line in text.lines() {
                match line.split_once('=') {
                    Some(("STATUS", status)) => node.status = Some(status.to_owned()),
                    Some(("X_WIREMESH_APPLIED", digest)) => {
                        node.applied = Some(digest.to_owned());
                    }
                    Some(("X_WIREMESH_WRITES", count)) => node.writes = count.parse().ok(),
                    Some(("X_WIREMESH_RESYNCS", count)) => node.resyncs = count.parse().ok(),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_set_up_is_named() {
        let states = NodeStates::default();
        for (name, ready) in [("ada", true), ("bob", false)] {
            let node = NodeState {
                ready,
                ..NodeState::default()
            };
            states.change(|states| states.insert(name.parse().unwrap(), node));
        }
        let error = wait_until_set_up(&states, Patience::NONE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "wait until every node's first process has set it up (nodes): not within 0 ms; \
             last seen: 1 of 2 have; not bob"
        );
        assert_eq!(
            error.help.as_deref(),
            Some(
                "fewer labs at once leave it more of the processors; \
                 on a machine that is slow or busy, `--patience 2`"
            )
        );
        // Whose fault it is does not depend on how long it was waited for.
        assert_eq!(error.blame, crate::base::error::Blame::Machine);
    }
}
