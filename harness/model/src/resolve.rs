//! Resolution of a scenario to a plan.
//!
//! First everything about single keys and values is checked, while reading; then,
//! in a file that reads well, how they fit together. Both times all problems are
//! reported at once, and none that only follows from another.

/// Placement: pods and the nodes that they are on.
mod placement;

/// Allocation of addresses to nodes and pods.
mod address;

/// Blocks of Calico IPAM.
mod ipam;

/// A subnet for each node.
mod rack;

/// The fabric between the nodes, and its impairments.
mod fabric;

/// A bridge on each node, and a subnet for its pods.
mod bridge;

/// Hosts outside the cluster.
mod client;

/// Phantoms: nodes that exist only in the store.
mod phantom;

/// NAT in front of nodes.
mod nat;

/// The store of the cluster's resources.
mod store;

/// The steps of the plan: their actions, deadlines and budgets.
mod step;

/// The sequence of the steps: which nodes and pods exist after each, and whether each step is possible.
mod sequence;

/// `[[promise]]`: what the author states about pairs of endpoints: about one, a class, or all.
mod statement;

/// The pairs of endpoints that are probed, and what is promised about each.
mod promise;

/// Flows: packets that are sent throughout every step, and the promises about them.
mod flow;

/// `[[mtu]]`: the packet sizes that are sent, and what is promised about them.
mod mtu;

/// Budgets of steps: whether a run can break each, and whether one can keep it.
mod budget;

/// Steps about a node's key: whether that node has one.
mod key;

/// `[[dataplane]]`: the checks of nodes' dataplanes, and whether all of them can hold.
mod dataplane_check;

/// `[[warning]]`: the warnings of the engine that are expected.
mod warning;

/// Settings of the tunnel devices by the keys of `[cluster]`: names, ports and MTUs.
mod tunnel;

/// `[[spoof]]`: the spoofed packets, and whether what is promised about them is possible.
mod spoof;

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::name::{EndpointName, EngineName, IfName, NodeName, PodName};
use crate::plan::{
    self, Addressing, BRIDGED, Cluster, Deadlines, Family, Node, POD_MTU, POOL, Patience, Plan,
    Pod, RouteSource, RpFilter,
};
use crate::problem::{Lines, Problem, Problems, known_names, known_words};
use crate::scenario::{self, Scenario};

use address::Addresses;
use placement::Placement;

/// The engine of a scenario that names none.
const ENGINE: &str = "wiremesh";

/// Bytes that the fabric, and a node's uplink, carry if the scenario does not set it.
const MTU: u16 = 1500;

/// Deadlines in milliseconds.
const DEADLINES: Deadlines = Deadlines {
    ready: 20_000,
    probe: 3_000,
    patience: Patience::times(1),
};

/// Resolves a scenario: reads it, checks it, allocates addresses, derives probes and promises.
/// `file` is its name as the user gave it; `engines` are the names that it may use.
///
/// # Errors
/// All that is wrong with it.
pub fn plan(file: &str, text: &str, engines: &[EngineName]) -> Result<Plan, Problems> {
    let scenario = Scenario::read(file, text)?;
    let lines = &Lines::of(text);
    let mut problems = Vec::new();
    let engine = engine(&scenario, engines, &mut problems);
    let placement = placement::place(&scenario, &mut problems);
    let fabric = fabric::fabric(&scenario, lines);
    fabric::check(&scenario, &placement, &mut problems);
    let (route_source, addressing) = sources(&scenario.cluster);
    let pods_from = match (route_source, addressing) {
        (RouteSource::WorkloadIps, Addressing::Veth) => fabric.subnet,
        (RouteSource::WorkloadIps, Addressing::Bridge) => BRIDGED,
        (RouteSource::CalicoIpam, _) => POOL,
    };
    let given = address::given(&scenario, &fabric, pods_from, &mut problems);
    rack::check(&scenario, &placement, &fabric, &mut problems);
    if route_source == RouteSource::CalicoIpam {
        ipam::check(&scenario, &placement, &mut problems);
    }
    if addressing == Addressing::Bridge {
        bridge::check(&scenario, &placement, &mut problems);
    }
    client::check(&scenario, &fabric, &mut problems);
    phantom::check(&scenario, &placement, &mut problems);
    nat::check(&scenario, &mut problems);
    store::check(&scenario, &placement, &mut problems);
    let course = sequence::check(&scenario, &placement, &mut problems);
    budget::check(&scenario, &mut problems);
    let snapshots = snapshots(&scenario, &placement, &mut problems);
    let dataplane_checks = dataplane_check::checks(&scenario, lines, &course.nodes, &mut problems);
    statement::check(&scenario, &placement, &course.last, &mut problems);
    mtu::check(&scenario, &placement, &course.last, &mut problems);
    warning::check(&scenario, &placement, engine.as_ref(), &mut problems);
    spoof::check(&scenario, &placement, &course.last, &mut problems);
    let (Some(engine), true) = (engine, problems.is_empty()) else {
        return Err(Problems::new(file, text, problems));
    };
    let mut given = given;
    let shares = match (route_source, addressing) {
        (RouteSource::WorkloadIps, Addressing::Veth) => Shares::new(),
        (RouteSource::WorkloadIps, Addressing::Bridge) => bridge::allocate(&placement, &mut given),
        (RouteSource::CalicoIpam, _) => ipam::allocate(&placement, &mut given),
    };
    let allocate = match fabric.rack {
        Some(_) => rack::allocate,
        None => address::allocate,
    };
    let addresses = allocate(&scenario, &placement, &fabric, given)
        .map_err(|problem| Problems::new(file, text, vec![problem]))?;

    let store = store::store(&scenario, &fabric, &addresses)
        .map_err(|problem| Problems::new(file, text, vec![problem]))?;
    let ready = scenario.deadline.ready.unwrap_or(DEADLINES.ready);
    let mut plan = Plan {
        title: scenario.title.clone(),
        engine,
        throws: false,
        calico_values: false,
        conduct: plan::Conduct::default(),
        warnings: warning::warnings(&scenario, lines),
        broken_by: scenario.broken_by.clone(),
        snapshots,
        fabric,
        cluster: cluster(&scenario),
        store,
        nodes: nodes(&scenario, &placement, &addresses, &shares),
        clients: client::clients(&scenario),
        phantoms: Vec::new(),
        later: course.later,
        steps: step::steps(&scenario, lines, ready),
        facts: dataplane_checks,
        probes: Vec::new(),
        promises: Vec::new(),
        flows: plan::Flows::default(),
        limits: plan::MtuPlan::default(),
        spoofs: Vec::new(),
        never_plaintext: Vec::new(),
        deadlines: Deadlines {
            ready,
            probe: scenario.deadline.probe.unwrap_or(DEADLINES.probe),
            ..DEADLINES
        },
    };
    plan.phantoms = phantom::phantoms(&scenario, &plan)
        .map_err(|problem| Problems::new(file, text, vec![problem]))?;
    plan.fabric.nat = nat::nat(&scenario, lines, &plan.nodes);
    let stated = statement::stated(&plan, &scenario, lines)
        .map_err(|problems| Problems::new(file, text, problems))?;
    plan.probes = promise::probes(&plan, scenario.probes.payload, &stated);
    plan.promises = promise::promises(&plan, &stated);
    plan.flows = flow::flows(&plan, &scenario.flows, &statement::watched(&scenario));
    let mut useless = key::unreplaced(&scenario, &plan);
    useless.extend(tunnel::names(&scenario, &plan));
    useless.extend(budget::unseen(&scenario, &plan));
    if !useless.is_empty() {
        return Err(Problems::new(file, text, useless));
    }
    plan.limits = mtu::limits(&plan, &scenario.limits, lines);
    plan.spoofs = spoof::spoofs(&plan, &scenario.spoofs, lines);
    let crowded = [
        mtu::crowded(&plan, &scenario.limits),
        spoof::crowded(&scenario.spoofs),
    ];
    let crowded: Vec<_> = crowded.into_iter().flatten().collect();
    if !crowded.is_empty() {
        return Err(Problems::new(file, text, crowded));
    }
    let before = [
        plan.promises.len(),
        plan.flows.promises.len(),
        plan.limits.promises.len(),
        plan.spoofs.len(),
    ];
    plan.never_plaintext = statement::never_plaintext(&plan, &scenario, lines, before.iter().sum());
    Ok(plan)
}

fn engine(
    scenario: &Scenario,
    engines: &[EngineName],
    problems: &mut Vec<Problem>,
) -> Option<EngineName> {
    let wanted = scenario
        .engine
        .as_ref()
        .map_or(ENGINE, |name| name.get_ref().as_str());
    let found = engines.iter().find(|name| name.as_str() == wanted);
    if found.is_none() {
        let known: Vec<&str> = engines.iter().map(EngineName::as_str).collect();
        problems.push(Problem::new(
            format!("unknown engine `{wanted}`"),
            scenario.engine.as_ref().map_or(0..0, Spanned::span),
            "no such engine",
            known_words("engine", wanted, &known),
        ));
    }
    found.cloned()
}

/// The nodes whose dataplanes are snapshotted: those listed, or all.
fn snapshots(
    scenario: &Scenario,
    placement: &Placement,
    problems: &mut Vec<Problem>,
) -> Vec<NodeName> {
    let Some(listed) = &scenario.snapshots else {
        return placement.nodes.keys().cloned().collect();
    };
    let known: Vec<&str> = placement.nodes.keys().map(NodeName::as_str).collect();
    for node in listed {
        if !placement.nodes.contains_key(node.get_ref()) {
            problems.push(Problem::new(
                format!("unknown node `{}`", node.get_ref()),
                node.span(),
                "no such node",
                known_names("node", node.get_ref().as_str(), &known),
            ));
        }
    }
    listed.iter().map(|node| node.get_ref().clone()).collect()
}

/// In the order of reports; IPv4 where none is named.
fn families(written: &scenario::Cluster) -> Vec<Family> {
    let named = written.families.iter().flatten();
    let named: BTreeSet<_> = named.map(|family| *family.get_ref()).collect();
    match named.is_empty() {
        true => vec![Family::Ipv4],
        false => named.into_iter().collect(),
    }
}

fn cluster(scenario: &Scenario) -> Cluster {
    let written = &scenario.cluster;
    let mut cluster = Cluster {
        cluster_type: written.kind.clone(),
        wireguard: written.wireguard.unwrap_or(true),
        host_encryption: written.host_encryption.unwrap_or(true),
        route_source: sources(written).0,
        addressing: sources(written).1,
        families: families(written),
        interface: IfName::of_calico_tunnel(),
        listen_port: plan::LISTEN_PORT,
        mtu: None,
        keepalive: written.keepalive.unwrap_or(0),
        settings: written.settings.clone(),
    };
    tunnel::apply(written, &mut cluster);
    cluster.read_settings(&BTreeSet::new());
    cluster
}

/// Where the pods' addresses come from, and how nodes connect them.
fn sources(written: &scenario::Cluster) -> (RouteSource, Addressing) {
    let source = written.route_source.as_ref();
    let addressing = written.addressing.as_ref();
    (
        source.map(|source| *source.get_ref()).unwrap_or_default(),
        addressing.map(|one| *one.get_ref()).unwrap_or_default(),
    )
}

/// What each node has of the pods' addresses.
type Shares = BTreeMap<NodeName, ipam::Share>;

fn nodes(
    scenario: &Scenario,
    placement: &Placement,
    addresses: &Addresses,
    shares: &Shares,
) -> Vec<Node> {
    let (route_source, addressing) = sources(&scenario.cluster);
    let prefix = addressing.veth_prefix(route_source);
    let hosts = scenario.cluster.host_encryption.unwrap_or(true);
    let node = |written: &scenario::Node| {
        let name = written.name.get_ref().clone();
        let pods = placement.nodes.get(&name).into_iter().flatten();
        let mut node = Node {
            address: *addresses.get(&EndpointName::from(&name))?,
            mtu: written.mtu.unwrap_or(MTU),
            rp_filter: written.rp_filter.unwrap_or(RpFilter::Strict),
            wireguard: written.wireguard.unwrap_or(true),
            pods: pods
                .filter_map(|pod| {
                    Some(Pod {
                        name: pod.clone(),
                        address: *addresses.get(&EndpointName::from(pod))?,
                        interface: IfName::of_pod(prefix, pod),
                        mtu: mtu_of(scenario, pod),
                        rp_filter: rp_filter_of(scenario, pod),
                    })
                })
                .collect(),
            settings: written.settings.clone(),
            blocks: shares
                .get(&name)
                .map(|share| share.blocks.clone())
                .unwrap_or_default(),
            external: false,
            bridge: shares.get(&name).and_then(|share| share.bridge),
            tunnel_address: shares
                .get(&name)
                .and_then(|share| share.tunnel)
                .filter(|_| !hosts),
            name,
        };
        node.read_settings(&BTreeSet::new());
        Some(node)
    };
    scenario.nodes.iter().filter_map(node).collect()
}

/// MTU of a pod's link, in bytes.
fn mtu_of(scenario: &Scenario, pod: &PodName) -> u16 {
    let mut written = scenario.pods.iter();
    let written = written.find(|written| written.name.get_ref() == pod);
    written.and_then(|pod| pod.mtu).unwrap_or(POD_MTU)
}

/// The reverse-path filter of the node's end of a pod's link.
fn rp_filter_of(scenario: &Scenario, pod: &PodName) -> RpFilter {
    let mut written = scenario.pods.iter();
    let written = written.find(|written| written.name.get_ref() == pod);
    written.and_then(|pod| pod.rp_filter).unwrap_or_default()
}

#[cfg(test)]
mod tests;
