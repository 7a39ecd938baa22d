//! Who speaks to whom, and what is promised about it.
//!
//! Every ordered pair of endpoints is probed with every protocol. What the
//! cluster's intent does not decide is probed without a promise.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::EndpointName;
use crate::plan::{
    Cluster, Family, Origin, Plan, Probe, ProbeId, Promise, PromiseId, Protection, Protocol,
};
use crate::problem::{Problem, known_words};
use crate::scenario::{self, Scenario};

use super::line;
use super::placement::Placement;

/// The smallest payload in bytes: room for five whole tags.
const PAYLOAD_MIN: usize = 64;

/// WireGuard pads to this many bytes (`noise`: messages hide their exact length).
const PADDING: usize = 16;

/// An ordered pair and a protocol.
type Subject = (EndpointName, EndpointName, Protocol);

/// What the author promises, and on which line.
pub(super) type Stated = BTreeMap<Subject, (Protection, u32)>;

/// The author's promises. Reports those about nobody, and those that repeat or contradict others.
pub(super) fn stated(
    scenario: &Scenario,
    text: &str,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) -> Stated {
    let mut by_subject = BTreeMap::<Subject, &scenario::Promise>::new();
    for promise in &scenario.promises {
        let protocols = protocols(promise, problems);
        if !are_a_pair(promise, placement, last, problems) {
            continue;
        }
        let mut told = false;
        for protocol in protocols {
            let subject = (
                promise.from.get_ref().clone(),
                promise.to.get_ref().clone(),
                protocol,
            );
            match by_subject.get(&subject) {
                Some(first) if !told => {
                    problems.push(said_before(promise, first, protocol));
                    told = true;
                }
                Some(_) => {}
                None => {
                    by_subject.insert(subject, promise);
                }
            }
        }
    }
    by_subject
        .into_iter()
        .map(|(subject, promise)| {
            (
                subject,
                (*promise.expect.get_ref(), line(text, promise.place.start)),
            )
        })
        .collect()
}

/// A probe for every ordered pair and protocol, with at least `least` bytes of payload.
pub(super) fn probes(plan: &Plan, least: Option<u16>) -> Vec<Probe> {
    let least = least.map_or(PAYLOAD_MIN, usize::from);
    let state = plan.at_last();
    let endpoints = state.endpoints();
    let pairs = endpoints
        .iter()
        .flat_map(|from| endpoints.iter().map(move |to| (from, to)))
        .filter(|(from, to)| from.name != to.name);
    pairs
        .flat_map(|(from, to)| {
            protocols_of(&plan.cluster)
                .into_iter()
                .map(move |protocol| (from, to, protocol))
        })
        .zip(0..=u16::MAX)
        .map(|((from, to, protocol), id)| Probe {
            id: ProbeId(id),
            from: from.name.clone(),
            to: to.name.clone(),
            protocol,
            payload: payload(id, least),
        })
        .collect()
}

/// A promise for every probe that the author or the cluster's intent says something about.
pub(super) fn promises(plan: &Plan, stated: &Stated) -> Vec<Promise> {
    let state = plan.at_last();
    let endpoints: BTreeMap<_, _> = state
        .endpoints()
        .into_iter()
        .map(|endpoint| (endpoint.name.clone(), endpoint))
        .collect();
    let expected = plan.probes.iter().filter_map(|probe| {
        let (from, to) = (endpoints.get(&probe.from)?, endpoints.get(&probe.to)?);
        let subject = (probe.from.clone(), probe.to.clone(), probe.protocol);
        let (protection, origin) = match stated.get(&subject) {
            Some((protection, line)) => (*protection, Origin::Stated { line: *line }),
            None if state.are_apart(from, to) => return None,
            None => (
                state.protection(from, to, probe.protocol.family())?,
                Origin::Derived,
            ),
        };
        Some((probe, from.class(to), protection, origin))
    });
    (0..)
        .zip(expected)
        .map(|(id, (probe, class, protection, origin))| Promise {
            id: PromiseId(id),
            probe: probe.id,
            from: probe.from.clone(),
            to: probe.to.clone(),
            protocol: probe.protocol,
            class,
            protection,
            origin,
        })
        .collect()
}

/// Bytes of payload. Five steps of the padding between neighbours are more than their headers
/// differ by, so that a neighbour's ciphertext never has the length of one's own.
fn payload(id: u16, least: usize) -> u16 {
    let steps = usize::from(id) * 5 % 16;
    u16::try_from(least + PADDING * steps).unwrap_or(u16::MAX)
}

/// What a cluster speaks.
fn protocols_of(cluster: &Cluster) -> Vec<Protocol> {
    let families = cluster.families.iter();
    families.flat_map(|family| Protocol::of(*family)).collect()
}

/// The protocols of a promise, each once; all where none is named.
fn protocols(promise: &scenario::Promise, problems: &mut Vec<Problem>) -> BTreeSet<Protocol> {
    let Some(written) = &promise.protocols else {
        let all = Family::ALL.into_iter();
        return all.flat_map(Protocol::of).collect();
    };
    if written.get_ref().is_empty() {
        problems.push(Problem::new(
            "a promise about no protocol",
            written.span(),
            "this list is empty",
            "leave `protocols` out for all of `icmp`, `udp` and `tcp`",
        ));
    }
    let mut protocols = BTreeSet::new();
    for protocol in written.get_ref() {
        if !protocols.insert(*protocol.get_ref()) {
            problems.push(Problem::new(
                format!("`{}` is listed twice", protocol.get_ref().as_str()),
                protocol.span(),
                "again here",
                "remove one of the two",
            ));
        }
    }
    protocols
}

/// Whether a promise is about two endpoints that exist.
fn are_a_pair(
    promise: &scenario::Promise,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) -> bool {
    let before = problems.len();
    let known: Vec<&str> = placement
        .endpoints
        .iter()
        .map(EndpointName::as_str)
        .collect();
    for end in [&promise.from, &promise.to] {
        let name = end.get_ref();
        if !placement.endpoints.contains(name) {
            problems.push(Problem::new(
                format!("unknown endpoint `{name}`"),
                end.span(),
                "no node or pod has this name",
                known_words("endpoint", name.as_str(), &known),
            ));
        } else if !last.contains(name) {
            problems.push(Problem::new(
                format!("a promise about `{name}`, which is gone"),
                end.span(),
                "not there after the last step",
                "promises are about the cluster after the last step: remove it",
            ));
        }
    }
    if promise.from == promise.to && before == problems.len() {
        let problem = Problem::new(
            format!("a promise of `{}` to itself", promise.from),
            promise.to.span(),
            "the same endpoint",
            "a promise is about packets from one endpoint to another",
        );
        problems.push(problem.and(promise.from.span(), "as this"));
    }
    before == problems.len()
}

fn said_before(
    promise: &scenario::Promise,
    first: &scenario::Promise,
    protocol: Protocol,
) -> Problem {
    let about = format!(
        "`{}` to `{}` ({})",
        promise.from,
        promise.to,
        protocol.as_str()
    );
    let (now, then) = (promise.expect.get_ref(), first.expect.get_ref());
    if now == then {
        Problem::new(
            format!("two promises about {about}"),
            promise.place.clone(),
            "again here",
            "remove one of the two",
        )
        .and(first.place.clone(), "first here")
    } else {
        Problem::new(
            format!("contradicting promises about {about}"),
            promise.expect.span(),
            format!("`{}` here", now.as_str()),
            "remove one of the two, or let each name other `protocols`",
        )
        .and(first.expect.span(), format!("`{}` here", then.as_str()))
    }
}
