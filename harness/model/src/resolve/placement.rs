//! Placement: pods and the nodes that they are on.
//!
//! A node lists its pods, or a pod names its node; both may be stated, as long as they agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{EndpointName, NodeName, PodName};
use crate::plan::{Protocol, STORE_HOST};
use crate::problem::{Problem, Span, known_names};
use crate::scenario::Scenario;

use super::families;

/// The most nodes and pods together for which each ordered pair has a probe of each
/// protocol of so many families, and all probes have 16-bit numbers.
fn most_endpoints(families: usize) -> usize {
    let probes = |endpoints: usize| endpoints * (endpoints - 1) * families * Protocol::IPV4.len();
    let fit = (2..).take_while(|endpoints| probes(*endpoints) <= usize::from(u16::MAX) + 1);
    fit.last().unwrap_or_default()
}

/// Names that stand for something else: the wire's capture file, the store's host, the loopback
/// device, and what the kernel calls all interfaces and the next one (`devinet_sysctl_register`).
const RESERVED: &[&str] = &["fabric", STORE_HOST, "lo", "all", "default"];

/// Who is where.
#[derive(Debug)]
pub(super) struct Placement {
    /// Every node with its pods.
    pub(super) nodes: BTreeMap<NodeName, BTreeSet<PodName>>,
    /// Every node and pod that is named anywhere, rightly placed or not.
    pub(super) endpoints: BTreeSet<EndpointName>,
}

/// One place of the file that puts a pod on a node.
struct Mention<'a> {
    node: &'a NodeName,
    place: Span,
    /// In a node's list, not in the pod's own table.
    listed: bool,
}

type Mentions<'a> = BTreeMap<&'a PodName, Vec<Mention<'a>>>;

/// Places every pod, and reports each that is on no node or on two, and names that clash.
pub(super) fn place(scenario: &Scenario, problems: &mut Vec<Problem>) -> Placement {
    let mentions = mentions(scenario, problems);
    for (pod, mentions) in &mentions {
        report_second_places(pod, mentions, problems);
    }
    let named = names_in_order(scenario, &mentions);
    report_names(scenario, &named, problems);

    let mut nodes: BTreeMap<NodeName, BTreeSet<PodName>> = scenario
        .nodes
        .iter()
        .map(|node| (node.name.get_ref().clone(), BTreeSet::new()))
        .collect();
    for (pod, mentions) in mentions {
        if let Some(first) = mentions.first()
            && let Some(pods) = nodes.get_mut(first.node)
        {
            pods.insert(pod.clone());
        }
    }
    Placement {
        nodes,
        endpoints: named.into_iter().map(|(name, _)| name).collect(),
    }
}

/// Every mention of every pod, in the order of the file.
fn mentions<'a>(scenario: &'a Scenario, problems: &mut Vec<Problem>) -> Mentions<'a> {
    let mut mentions = Mentions::new();
    for node in &scenario.nodes {
        for pod in &node.pods {
            mentions.entry(pod.get_ref()).or_default().push(Mention {
                node: node.name.get_ref(),
                place: pod.span(),
                listed: true,
            });
        }
    }
    let nodes: Vec<&str> = scenario
        .nodes
        .iter()
        .map(|node| node.name.get_ref().as_str())
        .collect();
    let there: BTreeSet<&str> = nodes.iter().copied().collect();
    for pod in &scenario.pods {
        let name = pod.name.get_ref();
        let of_pod = mentions.entry(name).or_default();
        match &pod.node {
            Some(node) if there.contains(node.get_ref().as_str()) => of_pod.push(Mention {
                node: node.get_ref(),
                place: node.span(),
                listed: false,
            }),
            Some(node) => problems.push(Problem::new(
                format!("unknown node `{node}`"),
                node.span(),
                "no such node",
                known_names("node", node.get_ref().as_str(), &nodes),
            )),
            None if of_pod.is_empty() => problems.push(Problem::new(
                format!("pod `{name}` is on no node"),
                pod.name.span(),
                "no node lists this pod",
                format!("add `{name}` to a node's `pods`, or add `node = \"NAME\"` here"),
            )),
            None => {}
        }
    }
    for mentions in mentions.values_mut() {
        mentions.sort_by_key(|mention| mention.place.start);
    }
    mentions
}

fn report_second_places(pod: &PodName, mentions: &[Mention<'_>], problems: &mut Vec<Problem>) {
    let Some((first, others)) = mentions.split_first() else {
        return;
    };
    for other in others {
        if other.node != first.node {
            let problem = Problem::new(
                format!("pod `{pod}` is on two nodes"),
                other.place.clone(),
                format!("on `{}` here", other.node),
                "a pod is on one node: remove one of the two",
            );
            problems.push(problem.and(first.place.clone(), format!("on `{}` here", first.node)));
        } else if other.listed && first.listed {
            let problem = Problem::new(
                format!("pod `{pod}` is listed twice"),
                other.place.clone(),
                "again here",
                "remove one of the two",
            );
            problems.push(problem.and(first.place.clone(), "first here"));
        }
    }
}

/// Every node and pod once, at its first place, in the order of the file.
fn names_in_order(scenario: &Scenario, mentions: &Mentions<'_>) -> Vec<(EndpointName, Span)> {
    let nodes = scenario
        .nodes
        .iter()
        .map(|node| (EndpointName::from(node.name.get_ref()), node.name.span()));
    let clients = scenario.clients.iter();
    let clients = clients.map(|client| {
        (
            EndpointName::from(client.name.get_ref()),
            client.name.span(),
        )
    });
    let listed = mentions.iter().filter_map(|(pod, mentions)| {
        let first = mentions.iter().find(|mention| mention.listed)?;
        Some((*pod, first.place.clone()))
    });
    let mut pods: BTreeMap<&PodName, Span> = scenario
        .pods
        .iter()
        .map(|pod| (pod.name.get_ref(), pod.name.span()))
        .collect();
    for (pod, place) in listed {
        let known = pods.entry(pod).or_insert_with(|| place.clone());
        if place.start < known.start {
            *known = place;
        }
    }
    let mut named: Vec<_> = nodes
        .chain(clients)
        .chain(
            pods.into_iter()
                .map(|(pod, place)| (EndpointName::from(pod), place)),
        )
        .collect();
    named.sort_by_key(|(_, place)| place.start);
    named
}

fn report_names(scenario: &Scenario, named: &[(EndpointName, Span)], problems: &mut Vec<Problem>) {
    if scenario.nodes.is_empty() {
        problems.push(Problem::new(
            "a cluster without nodes",
            0..0,
            "nothing in this file begins with `[node.NAME]`",
            "add `[node.node-1]` and, below it, `pods = [\"pod-1\"]`",
        ));
    } else if let [(name, place)] = named {
        problems.push(Problem::new(
            "a cluster without a pair",
            place.clone(),
            format!("`{name}` is alone: nothing can be proven"),
            "add a pod to it, `pods = [\"pod-1\"]`, or another node",
        ));
    }
    let mut seen = BTreeMap::<&EndpointName, &Span>::new();
    for (name, place) in named {
        if RESERVED.contains(&name.as_str()) {
            problems.push(Problem::new(
                format!("`{name}` is a reserved name"),
                place.clone(),
                "no node or pod can have this name",
                format!("take a name other than `{}`", RESERVED.join("`, `")),
            ));
        }
        if let Some(first) = seen.insert(name, place) {
            let problem = Problem::new(
                format!("`{name}` is two things at once"),
                place.clone(),
                "again here",
                "promises name nodes and pods alike: rename one of the two",
            );
            problems.push(problem.and(first.clone(), "first here"));
        }
    }
    let most = most_endpoints(families(&scenario.cluster).len());
    if let Some((name, place)) = named.get(most) {
        let kinds = match scenario.clients.is_empty() {
            true => "nodes and pods",
            false => "nodes, pods and clients",
        };
        problems.push(Problem::new(
            format!("{} {kinds} are too many", named.len()),
            place.clone(),
            format!("`{name}` is one more than {most}"),
            format!("take at most {most} {kinds} together: every ordered pair is probed"),
        ));
    }
}
