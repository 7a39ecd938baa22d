//! One run, from plan to evidence.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use wireproof_model::dataplane::{Dataplane, lost_link};
use wireproof_model::evidence::{Evidence, NodeEvidence, Round, Timing};
use wireproof_model::name::NodeName;
use wireproof_model::plan::{Change, Node, NodeChange, Plan, State};
use wireproof_model::tag::Magic;

use crate::base::artifact::RunDirectory;
use crate::base::error::{Blame, Doing, LabError};
use crate::base::wait::Deadline;
use crate::cluster::store::Store;
use crate::cluster::topology::{Topology, UPLINK, disable_offloads_of_tunnels, tallies};
use crate::kernel::neighbour;
use crate::kernel::packet::now;
use crate::observe::beacon::BeaconSender;
use crate::observe::capture::Capture;
use crate::observe::counter::{self, Counters};
use crate::observe::drop_watch::{self, DropWatch};
use crate::observe::lookup;
use crate::observe::snapshot;
use crate::observe::state;
use crate::steps::conduct;
use crate::steps::engine::Engines;
use crate::steps::key_history::KeyHistory;
use crate::steps::runner::StepRunner;
use crate::steps::secret::Secrets;
use crate::traffic::bulk;
use crate::traffic::probe;
use crate::traffic::responder::Responders;
use crate::traffic::size_probe;
use crate::traffic::spoof;
use crate::traffic::witness::Witness;

pub use crate::steps::engine::EngineCommand;

/// How long the observers may take on a quick machine to see what is put before their eyes.
const BEACONS: Duration = Duration::from_secs(30);

/// Builds the cluster, lets the engine do its work, probes, and returns what was observed. Everything that was
/// built is gone when this returns, however it ends. `phase` is called with the name of each phase as it
/// begins.
///
/// # Errors
/// The machine cannot do what the plan needs, or the engine ends, or does not get
/// ready within its deadline.
pub fn run(
    plan: &Plan,
    engine: &EngineCommand,
    directory: &RunDirectory,
    phase: impl FnMut(&str),
) -> Result<Evidence, LabError> {
    let before = neighbour::refused();
    let result = build_and_observe(plan, engine, directory, phase);
    let moved = before.zip(neighbour::refused());
    let refused = moved.map_or(0, |(before, after)| after.saturating_sub(before));
    match result {
        Ok(evidence) => Ok(Evidence {
            neighbours_refused: refused,
            ..evidence
        }),
        // Packets were lost, by which the engine may have been kept from its work.
        Err(error) if refused > 0 => Err(LabError {
            blame: Blame::Machine,
            help: Some(format!(
                "the machine's neighbour table was full meanwhile ({refused} new neighbours were refused): \
                 run fewer labs at once, or {}",
                neighbour::REMEDY
            )),
            ..error
        }),
        Err(error) => Err(error),
    }
}

fn build_and_observe(
    plan: &Plan,
    engine: &EngineCommand,
    directory: &RunDirectory,
    mut phase: impl FnMut(&str),
) -> Result<Evidence, LabError> {
    let mut clock = Clock::default();
    let magic = draw_magic()?;
    let patience = plan.deadlines.patience;

    phase("setup");
    let mut topology = Topology::build(plan)?;
    let store = Store::create(plan, &topology, directory)?;
    let mut engines = Engines::boot(&mut topology, engine, directory, &store, patience)?;
    clock.lap("setup");

    let lab = Lab {
        plan,
        directory,
        magic,
        store: &store,
    };
    let observed = observe(&lab, &mut topology, &mut engines, &mut clock, &mut phase);
    let observed = observed.map_err(|error| blame_link(error, plan, &topology));

    phase("teardown");
    drop(engines);
    drop(store);
    drop(topology);
    clock.lap("teardown");

    Ok(Evidence {
        timings: clock.timings,
        ..observed?
    })
}

/// What stays as it is from the first agent's start to the last look.
struct Lab<'a> {
    plan: &'a Plan,
    directory: &'a RunDirectory,
    magic: Magic,
    store: &'a Store,
}

/// Everything between setup and teardown.
fn observe(
    lab: &Lab<'_>,
    topology: &mut Topology,
    engines: &mut Engines<'_>,
    clock: &mut Clock,
    phase: &mut impl FnMut(&str),
) -> Result<Evidence, LabError> {
    let Lab {
        plan,
        directory,
        magic,
        store,
    } = *lab;
    let beacons_allowed = || Deadline::after(plan.deadlines.patience.allows(BEACONS));
    let dropped = DropWatch::begin();
    let capture = Capture::arm(plan, topology, magic, directory)?;
    let mut sender = BeaconSender::new(plan, topology, &capture, magic, Vec::new())?;
    sender.send_round(Round::Armed, &capture, beacons_allowed())?;
    let beacons = sender.finish();
    let mut witness = Witness::new(capture);
    clock.lap("arming");

    let before = dataplanes(plan, topology)?;
    clock.lap("first look");

    phase("convergence");
    let mut history = KeyHistory::default();
    let mut secrets = Secrets::default();
    let mut runner = StepRunner::new(plan, topology, engines, store, &mut witness)?;
    let start = runner.start()?;
    let mut states = state::look(plan, runner.topology, store, 0)?;
    history.note(store.published_keys()?);
    secrets.note(runner.topology, runner.engines, store)?;
    runner.begin_flows(magic)?;
    let mut steps = Vec::with_capacity(plan.steps.len());
    for (number, step) in plan.steps.iter().enumerate() {
        steps.push(runner.step(number, step)?);
        states.extend(state::look(plan, runner.topology, store, number + 1)?);
        history.note(store.published_keys()?);
        secrets.note(runner.topology, runner.engines, store)?;
    }
    let mut flows = witness.end_flows(&plan.at_last());
    clock.lap("convergence");

    phase("probing");
    // Who probes, and where they are, is what the last step has left.
    let last = &plan.with(plan.at_last());
    witness.capture.follow(topology)?;
    for node in &last.nodes {
        disable_offloads_of_tunnels(topology.node(&node.name)?)?;
    }
    let responders = Responders::open(last, topology, magic)?;
    let mut sender = BeaconSender::new(last, topology, &witness.capture, magic, beacons)?;
    let earlier = Earlier {
        dataplanes: before,
        counters: counter::of_nodes(last, topology, dropped.as_ref().ok())?,
        rules: rule_counts(last, topology)?,
    };
    let probing = now();
    witness.capture.keep_all_from(probing)?;
    sender.send_round(Round::Opening, &witness.capture, beacons_allowed())?;
    let probes = probe::send_all(last, topology, magic, &responders, &witness.capture)?;
    let sizes = size_probe::measure(last, topology, magic)?;
    let spoofs = spoof::send_spoofed(last, topology, magic, &dropped)?;
    sender.send_round(Round::Closing, &witness.capture, beacons_allowed())?;
    // Observers may see the end of a connection or not, so these come last.
    let bulks = bulk::transfer(last, topology, magic)?;
    let captured = witness.end(&mut flows)?;
    let beacons = sender.finish();
    drop(responders);
    clock.lap("probing");

    phase("observation");
    let mut nodes = observe_nodes(last, topology, store, &history, earlier, &dropped)?;
    for space in &topology.nodes {
        if let Some(node) = nodes.get_mut(&space.name) {
            node.root_hidden = engines.has_hidden_root(space)?;
        }
    }
    let drops = drop_watch::evidence(&dropped, topology)?;
    let wire = tallies(&topology.fabric)?;
    secrets.note(topology, engines, store)?;
    secrets.search_servers(topology, plan.deadlines.patience)?;
    let conduct = conduct::end(plan, topology, engines, directory)?;
    secrets.search_files(topology, engines, store, directory)?;
    clock.lap("observation");

    secrets.conclude(Evidence {
        magic,
        interfaces: captured.interfaces,
        observers: captured.observers,
        beacons,
        sightings: captured.sightings,
        probing,
        flows,
        probes,
        sizes,
        bulks,
        spoofs,
        nodes,
        drops,
        states,
        conduct,
        secrets: None,
        wire,
        start,
        steps,
        neighbours_refused: 0,
        skipped: None,
        lost: Vec::new(),
        timings: Vec::new(),
    })
}

/// What the nodes were like before.
struct Earlier {
    /// Before the first agent; of those that were there.
    dataplanes: BTreeMap<NodeName, Dataplane>,
    /// Before the first probe.
    counters: BTreeMap<NodeName, Counters>,
    /// The same, of rules of nftables.
    rules: BTreeMap<NodeName, Counters>,
}

/// What the lab cannot do once an engine has taken a node's link away is no machine's fault.
fn blame_link(error: LabError, plan: &Plan, topology: &Topology) -> LabError {
    if error.blame != Blame::Machine {
        return error;
    }
    // A step that connects a node anew may have ended in between.
    let is_steady =
        |node: &&Node| plan.states().all(|state| has(&state, node)) && !reboots(plan, node);
    let mut lost = plan.nodes.iter().filter(is_steady).filter_map(|node| {
        let namespace = topology.node(&node.name).ok()?;
        let plane = snapshot::dataplane(namespace, &plan.cluster.interface).ok()?;
        lost_link(&plane, node, &UPLINK.parse().ok()?)
    });
    match lost.next() {
        Some(lost) => LabError {
            blame: Blame::Engine,
            refuted: true,
            cause: format!("{}; {lost}, and it was up before the engine", error.cause),
            ..error
        },
        None => error,
    }
}

fn has(state: &State, node: &Node) -> bool {
    state.nodes.iter().any(|present| present.name == node.name)
}

/// Whether a step takes a node's network away and connects it again.
fn reboots(plan: &Plan, node: &Node) -> bool {
    let reboot = Change::Node(&node.name, NodeChange::Reboot);
    plan.steps.iter().any(|step| step.action.change() == reboot)
}

/// What rules of nftables have counted so far.
fn rule_counts(plan: &Plan, topology: &Topology) -> Result<BTreeMap<NodeName, Counters>, LabError> {
    let of_node = |node: &Node| {
        let counts = snapshot::rule_counts(topology.node(&node.name)?)?;
        Ok((node.name.clone(), counts))
    };
    plan.nodes.iter().map(of_node).collect()
}

/// What the nodes that are there at first look like.
fn dataplanes(plan: &Plan, topology: &Topology) -> Result<BTreeMap<NodeName, Dataplane>, LabError> {
    let look = |node: &Node| {
        let namespace = topology.node(&node.name)?;
        let plane = snapshot::dataplane(namespace, &plan.cluster.interface)?;
        Ok((node.name.clone(), plane))
    };
    plan.after(0).nodes.iter().map(look).collect()
}

fn observe_nodes(
    plan: &Plan,
    topology: &Topology,
    store: &Store,
    history: &KeyHistory,
    mut earlier: Earlier,
    dropped: &Result<DropWatch, String>,
) -> Result<BTreeMap<NodeName, NodeEvidence>, LabError> {
    let (keys, keys6) = (store.published_keys()?, store.published_keys6()?);
    let tunnel = &plan.cluster.interface;
    let after = counter::of_nodes(plan, topology, dropped.as_ref().ok())?;
    plan.nodes
        .iter()
        .map(|node| {
            let namespace = topology.node(&node.name)?;
            let dataplane = snapshot::dataplane(namespace, tunnel)?;
            let none = Counters::new();
            let of_node =
                |all: &BTreeMap<NodeName, Counters>| all.get(&node.name).unwrap_or(&none).clone();
            let rules = snapshot::rule_counts(namespace)?
                .into_iter()
                .map(|(rule, count)| {
                    let before = of_node(&earlier.rules).get(&rule).copied();
                    (rule, count.saturating_sub(before.unwrap_or(0)))
                });
            let evidence = NodeEvidence {
                moved: counter::moved(&of_node(&earlier.counters), &of_node(&after)),
                rule_counts: rules.collect(),
                root_hidden: false,
                lookups: lookup::lookups(plan, node, namespace, &dataplane)?,
                dataplane,
                before: earlier.dataplanes.remove(&node.name),
                published_key: keys.get(&node.name).cloned(),
                published_key6: keys6.get(&node.name).cloned(),
                key_history: history.0.get(&node.name).cloned().unwrap_or_default(),
                drops: counter::drops(namespace)?,
            };
            Ok((node.name.clone(), evidence))
        })
        .collect()
}

/// The only randomness of a run.
fn draw_magic() -> Result<Magic, LabError> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .doing("draw the run's tag")?;
    Ok(Magic(bytes))
}

struct Clock {
    last: Instant,
    timings: Vec<Timing>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            last: Instant::now(),
            timings: Vec::new(),
        }
    }
}

impl Clock {
    fn lap(&mut self, phase: &str) {
        let micros = u64::try_from(self.last.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.timings.push(Timing {
            phase: phase.into(),
            micros,
        });
        self.last = Instant::now();
    }
}
