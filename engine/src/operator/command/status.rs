//! The `status` command.

use std::time::SystemTime;

use clap::Args;
use serde_json::json;
use wiremesh_plan::dataplane::change::diff;
use wiremesh_plan::dataplane::networks;
use wiremesh_plan::dataplane::retained_protection::RetainedProtection;
use wiremesh_plan::dataplane::roaming::EndpointHistory;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::PerFamily;

use super::{Failure, NodeArgument, print};
use crate::agent::{self, AgentError, output};
use crate::hooks::Hooks;
use crate::host::kernel::KernelCache;
use crate::host::netlink::Netlink;
use crate::operator::operate;
use crate::operator::status::{Status, VERSION};

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    node: NodeArgument,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Say what is pending, wrong, or in clear against the intent, and fail if anything is
    #[arg(long)]
    check: bool,
}

/// Prints how the node and its peers are.
///
/// # Errors
/// The store or the kernel cannot be read, the store has no such Node, or `--check` has found something. With
/// `--json` standard output has a document all the same.
pub(super) async fn run(arguments: StatusArguments) -> Result<(), Failure> {
    let node = arguments.node.node.clone();
    let is_json = arguments.json;
    match read(arguments).await {
        Ok((text, outcome)) => {
            print(&text);
            outcome
        }
        Err(failure) => {
            if is_json {
                let error = failure.to_string();
                let document = json!({"version": VERSION, "node": node, "error": error});
                print(&format!("{document:#}\n"));
            }
            Err(failure)
        }
    }
}

/// What is to be printed, and whether the command fails for it.
async fn read(arguments: StatusArguments) -> Result<(String, Result<(), Failure>), Failure> {
    let NodeArgument { node, store } = arguments.node;
    let snapshot = store.store.read().await?;
    let (cluster, wrong) = Cluster::new(&node, &snapshot.resources);
    let is_known = cluster.nodes.contains_key(&node);
    let bad = snapshot.problems();
    let doubts = snapshot.doubts(&node, &wrong);
    let wrong = wrong
        .iter()
        .map(|(identity, wrong)| format!("{identity}: {wrong}"));
    let mut problems: Vec<_> = bad.chain(wrong).collect();
    let is_whole = problems.is_empty();
    let mut kernel = KernelCache::unknown(&Hooks::default());
    kernel.refresh(&Netlink::open()?, &cluster.settings).await?;
    kernel.look_for_uplinks(cluster.nodes.get(&node), &cluster.settings);
    problems.extend(kernel.prefix_problems(&cluster.settings));
    problems.extend(snapshot.unready());
    problems.extend(output::too_large_mtus(&kernel, &cluster, &node));
    let endpoints = store.store.endpoints();
    let taken = agent::taken_ports(&kernel, &cluster, &node).await;
    problems.extend(agent::port_problems(&taken));
    let tables = agent::choose_tables(&kernel, &cluster, &node);
    problems.extend(agent::table_problems(&tables, &cluster, &node));
    let supported = PerFamily::each(|family| taken[family].is_none());
    let mut departed = RetainedProtection::default();
    departed.recall(&cluster, &node, kernel.firewall(), is_whole);
    problems.extend(departed.problems(&cluster, &node));
    problems.extend(departed.doubt(&cluster, &node, doubts.forbid_lifting(true)));
    let agent::Comparison {
        actual,
        mut desired,
        conflicts,
        bypasses,
    } = agent::Comparison::new(
        &kernel, &cluster, &node, &endpoints, supported, &tables, &departed,
    );
    problems.extend(networks::problems(&conflicts));
    if !is_known {
        // What is there stays: the agent waits for its Node.
        desired.clone_from(&actual);
        let help = operate::help_for_node(&node, &snapshot);
        let why = AgentError::NoNode(node.clone());
        problems.insert(0, format!("{why} ({help})"));
    }
    let why = doubts.forbid_lifting(actual.firewall.is_strict());
    let held = why.filter(|_| is_known && agent::lifts(&actual, &cluster.settings));
    if let Some(why) = held {
        // The agent changes nothing.
        desired.clone_from(&actual);
        problems.push(AgentError::Unread(why.clone()).to_string());
    }
    problems.extend(agent::bypass_problems(&bypasses, &cluster));
    agent::follow(
        &mut EndpointHistory::default(),
        &kernel,
        &cluster,
        &mut desired,
        &actual,
    );
    let status = Status {
        node: &node,
        cluster: &cluster,
        unread_nodes: &snapshot.unread_nodes(),
        devices: PerFamily::each(|family| {
            let name = &cluster.settings.tunnel[family].interface;
            kernel.backend(name).zip(kernel.device(name))
        }),
        actual: &actual,
        pending: &diff(&actual, &desired),
        problems: &problems,
        conflicts: &conflicts,
        bypasses: &bypasses,
        unread: snapshot.without_configuration().is_some(),
        held: held.is_some(),
        partly_known: !snapshot.bad.is_empty(),
        now: SystemTime::now(),
    };
    let text = match (arguments.json, arguments.check) {
        (true, _) => format!("{:#}\n", status.json()),
        (false, true) => status.checked_text(),
        (false, false) => status.text(),
    };
    let not_as_intended = arguments.check && !status.deviations().is_empty();
    let outcome = if !is_known {
        Err(AgentError::NoNode(node).into())
    } else if not_as_intended {
        Err(Failure::NotAsIntended)
    } else {
        Ok(())
    };
    Ok((text, outcome))
}
