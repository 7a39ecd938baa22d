//! `[[promise]]`: what the author states about pairs: about one, a class, or all.
//!
//! Of several promises about one pair the one counts that names more of its two ends, and of those the one that
//! names a class: `from = "web"` beats a promise about everybody.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::name::EndpointName;
use crate::plan::{Endpoint, Family, NeverPlaintext, Plan, PromiseId, Protection, Protocol};
use crate::problem::{Lines, Problem, known_names};
use crate::scenario::{Expectation, PairPromise, Scenario};

use super::families;
use super::placement::Placement;

/// An ordered pair, a protocol, and the least payload where the author asks for one.
pub(super) type Subject = (EndpointName, EndpointName, Protocol, Option<u16>);

/// What the author promises of whom, and on which line.
pub(super) type Stated = BTreeMap<Subject, (Protection, u32)>;

/// Reports promises about nobody, about nothing, and in words that contradict each other.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) {
    let cluster_families = families(&scenario.cluster);
    for promise in &scenario.promises {
        let before = problems.len();
        names(promise, placement, last, problems);
        if before == problems.len() {
            problems.extend(to_itself(promise));
        }
        lists(promise, problems);
        problems.extend(absent_family(promise, &cluster_families));
        if *promise.expect.get_ref() == Expectation::NeverPlaintext {
            problems.extend(too_narrow(promise));
        }
    }
}

/// What is promised of probes, by subject.
///
/// # Errors
/// Two promises contradict each other, or are the same; or one is about no pair.
pub(super) fn stated(
    plan: &Plan,
    scenario: &Scenario,
    lines: &Lines,
) -> Result<Stated, Vec<Problem>> {
    let state = plan.at_last();
    let endpoints = state.endpoints();
    let mut problems = Vec::new();
    let mut chosen = BTreeMap::<Subject, &PairPromise>::new();
    let mut reported = BTreeSet::new();
    for promise in of_probes(scenario) {
        let mut any = false;
        for subject in subjects(plan, &endpoints, promise) {
            any = true;
            match chosen.get(&subject) {
                Some(first) if rank(first) > rank(promise) => {}
                Some(first) if rank(first) == rank(promise) => {
                    if clash(first, promise) && reported.insert(promise.place.start) {
                        problems.push(repeated(promise, first, &subject));
                    }
                }
                Some(_) | None => {
                    chosen.insert(subject, promise);
                }
            }
        }
        if !any {
            problems.push(about_no_pair(promise));
        }
    }
    let used: BTreeSet<_> = chosen.values().map(|one| one.place.start).collect();
    let unused = of_probes(scenario).filter(|one| !used.contains(&one.place.start));
    if problems.is_empty() {
        problems.extend(unused.map(overruled));
    }
    problems.extend(stated_in_clear(plan, scenario, &chosen));
    problems.extend(too_many(scenario, endpoints.len(), &chosen, plan));
    if !problems.is_empty() {
        return Err(problems);
    }
    let stated = chosen.into_iter().filter_map(|(subject, promise)| {
        let Expectation::Of(protection) = *promise.expect.get_ref() else {
            return None;
        };
        Some((subject, (protection, lines.line(promise.place.start))))
    });
    Ok(stated.collect())
}

/// What nobody may read, of everyone who exists at some time. Their numbers begin at `first`.
pub(super) fn never_plaintext(
    plan: &Plan,
    scenario: &Scenario,
    lines: &Lines,
    first: usize,
) -> Vec<NeverPlaintext> {
    let endpoints = plan.endpoints();
    let never = scenario.promises.iter().filter(|promise| is_never(promise));
    let numbered = never.zip(u32::try_from(first).unwrap_or(u32::MAX)..);
    numbered
        .map(|(promise, number)| NeverPlaintext {
            id: PromiseId(number),
            pairs: pairs(&endpoints, promise)
                .map(|(from, to)| (from.name.clone(), to.name.clone()))
                .collect(),
            families: plan
                .cluster
                .families
                .iter()
                .copied()
                .filter(|family| is_in(promise, *family))
                .collect(),
            line: lines.line(promise.place.start),
        })
        .collect()
}

/// The pairs of `never-plaintext` promises that name both ends: each has to be watched by itself.
pub(super) fn watched(scenario: &Scenario) -> Vec<(EndpointName, EndpointName)> {
    let never = scenario.promises.iter().filter(|promise| is_never(promise));
    let named = never.filter_map(|promise| promise.from.as_ref().zip(promise.to.as_ref()));
    let pairs = named.flat_map(|(from, to)| {
        let each = from.get_ref().iter();
        each.flat_map(|from| to.get_ref().iter().map(move |to| (from, to)))
    });
    let pairs = pairs.filter(|(from, to)| from.get_ref() != to.get_ref());
    pairs
        .map(|(from, to)| (from.get_ref().clone(), to.get_ref().clone()))
        .collect()
}

fn is_never(promise: &PairPromise) -> bool {
    *promise.expect.get_ref() == Expectation::NeverPlaintext
}

fn of_probes(scenario: &Scenario) -> impl Iterator<Item = &PairPromise> {
    scenario
        .promises
        .iter()
        .filter(|promise| !is_never(promise))
}

/// How specific a promise is.
fn rank(promise: &PairPromise) -> (usize, bool) {
    let ends = [&promise.from, &promise.to];
    (ends.into_iter().flatten().count(), promise.class.is_some())
}

/// Both name one pair, or they are not the same.
fn clash(first: &PairPromise, promise: &PairPromise) -> bool {
    first.expect.get_ref() != promise.expect.get_ref() || rank(promise).0 == 2
}

fn names_it(names: Option<&Spanned<Vec<Spanned<EndpointName>>>>, name: &EndpointName) -> bool {
    names.is_none_or(|names| names.get_ref().iter().any(|one| one.get_ref() == name))
}

fn pairs<'e, 'a>(
    endpoints: &'e [Endpoint<'a>],
    promise: &'e PairPromise,
) -> impl Iterator<Item = (&'e Endpoint<'a>, &'e Endpoint<'a>)> {
    let all = endpoints
        .iter()
        .flat_map(move |from| endpoints.iter().map(move |to| (from, to)));
    all.filter(move |(from, to)| {
        let class = promise.class.as_ref();
        from.name != to.name
            && names_it(promise.from.as_ref(), &from.name)
            && names_it(promise.to.as_ref(), &to.name)
            && class.is_none_or(|class| from.class(to) == *class.get_ref())
    })
}

fn is_in(promise: &PairPromise, family: Family) -> bool {
    let named = promise.families.as_ref();
    named.is_none_or(|named| named.get_ref().iter().any(|one| *one.get_ref() == family))
}

fn subjects(plan: &Plan, endpoints: &[Endpoint<'_>], promise: &PairPromise) -> Vec<Subject> {
    let families = plan.cluster.families.iter();
    let protocols = families.filter(|family| is_in(promise, **family));
    let protocols = protocols.flat_map(|family| Protocol::of(*family));
    let wanted = |protocol: &Protocol| {
        let named = promise.protocols.as_ref();
        named.is_none_or(|named| named.get_ref().iter().any(|one| one.get_ref() == protocol))
    };
    let protocols: Vec<_> = protocols.filter(wanted).collect();
    let payload = promise.payload.as_ref().map(|bytes| *bytes.get_ref());
    let subject = |(from, to): (&Endpoint<'_>, &Endpoint<'_>)| {
        let pair = (from.name.clone(), to.name.clone());
        let each = protocols.iter();
        each.map(move |protocol| (pair.0.clone(), pair.1.clone(), *protocol, payload))
    };
    pairs(endpoints, promise).flat_map(subject).collect()
}

/// Names that exist, and are still there when the probes are sent.
fn names(
    promise: &PairPromise,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) {
    let known: Vec<&str> = placement
        .endpoints
        .iter()
        .map(EndpointName::as_str)
        .collect();
    let ends = [&promise.from, &promise.to].into_iter().flatten();
    for end in ends.flat_map(|ends| ends.get_ref()) {
        let name = end.get_ref();
        if !placement.endpoints.contains(name) {
            problems.push(Problem::new(
                format!("unknown endpoint `{name}`"),
                end.span(),
                "no node or pod has this name",
                known_names("endpoint", name.as_str(), &known),
            ));
        } else if !last.contains(name) && !is_never(promise) {
            problems.push(Problem::new(
                format!("a promise about `{name}`, which is gone"),
                end.span(),
                "not there after the last step",
                "promises are about the cluster after the last step: remove it, \
                 or expect `never-plaintext` of the whole run",
            ));
        }
    }
}

fn to_itself(promise: &PairPromise) -> Option<Problem> {
    let (from, to) = promise.from.as_ref().zip(promise.to.as_ref())?;
    let ([from], [to]) = (from.get_ref().as_slice(), to.get_ref().as_slice()) else {
        return None;
    };
    (from == to).then(|| {
        let problem = Problem::new(
            format!("a promise of `{}` to itself", from.get_ref()),
            to.span(),
            "the same endpoint",
            "a promise is about packets from one endpoint to another",
        );
        problem.and(from.span(), "as this")
    })
}

/// Lists that are empty, or have something twice.
fn lists(promise: &PairPromise, problems: &mut Vec<Problem>) {
    if let Some(written) = &promise.protocols {
        list(written, "protocol", Protocol::as_str, problems);
    }
    if let Some(written) = &promise.families {
        list(written, "family", Family::as_str, problems);
    }
}

fn list<T: Copy + Ord>(
    written: &Spanned<Vec<Spanned<T>>>,
    kind: &str,
    name: fn(T) -> &'static str,
    problems: &mut Vec<Problem>,
) {
    if written.get_ref().is_empty() {
        problems.push(Problem::new(
            format!("a promise about no {kind}"),
            written.span(),
            "this list is empty",
            match kind {
                "protocol" => "leave `protocols` out for all of `icmp`, `udp` and `tcp`",
                _ => "leave `families` out for all that the cluster speaks",
            },
        ));
    }
    let mut seen = BTreeSet::new();
    for one in written.get_ref() {
        if !seen.insert(*one.get_ref()) {
            problems.push(Problem::new(
                format!("`{}` is listed twice", name(*one.get_ref())),
                one.span(),
                "again here",
                "remove one of the two",
            ));
        }
    }
}

/// A family that the cluster does not have, in which nothing is sent.
fn absent_family(promise: &PairPromise, cluster_families: &[Family]) -> Option<Problem> {
    let families = promise.families.iter().flat_map(|named| named.get_ref());
    let families = families.map(|one| (*one.get_ref(), one.span()));
    let protocols = promise.protocols.iter().flat_map(|named| named.get_ref());
    let protocols = protocols.map(|one| (one.get_ref().family(), one.span()));
    let mut all = families.chain(protocols);
    let (family, place) = all.find(|(family, _)| !cluster_families.contains(family))?;
    let name = family.as_str();
    Some(Problem::new(
        format!("this cluster speaks no {name}"),
        place,
        "nothing is sent in this family",
        format!("add `{name}` to `families` of `[cluster]`, or remove it here"),
    ))
}

/// `never-plaintext` of some packets only: it could not be decided of which.
fn too_narrow(promise: &PairPromise) -> Option<Problem> {
    let protocols = promise.protocols.as_ref().map(Spanned::span);
    let payload = promise.payload.as_ref().map(Spanned::span);
    let place = protocols.or(payload)?;
    let problem = Problem::new(
        "`never-plaintext` is about all that two endpoints say",
        place,
        "some packets only",
        "remove it; `families` may be named",
    );
    Some(problem.and(promise.expect.span(), "of the whole run"))
}

fn about_no_pair(promise: &PairPromise) -> Problem {
    Problem::new(
        "a promise about no pair",
        promise.place.clone(),
        "no two endpoints are meant by this after the last step",
        "name other ends, or another `class`; `wireproof plan` lists the pairs",
    )
}

/// Each probe has a number of 16 bits.
fn too_many(
    scenario: &Scenario,
    endpoints: usize,
    chosen: &BTreeMap<Subject, &PairPromise>,
    plan: &Plan,
) -> Option<Problem> {
    let protocols = plan.cluster.families.len() * Protocol::IPV4.len();
    let usual = endpoints * endpoints.saturating_sub(1) * protocols;
    let more = chosen.keys().filter(|(.., payload)| payload.is_some());
    let all = usual + more.count();
    let mut with_payload = scenario
        .promises
        .iter()
        .filter_map(|one| one.payload.as_ref());
    let place = with_payload.next()?.span();
    (all > usize::from(u16::MAX) + 1).then(|| {
        Problem::new(
            format!("{all} probes are too many"),
            place,
            format!("with these there are more than {}", u32::from(u16::MAX) + 1),
            "name fewer pairs or protocols",
        )
    })
}

fn overruled(promise: &PairPromise) -> Problem {
    Problem::new(
        "a promise that others overrule",
        promise.place.clone(),
        "of each pair that it is about, another says more closely what is expected",
        "remove it, or those that name more of the ends",
    )
}

fn repeated(promise: &PairPromise, first: &PairPromise, subject: &Subject) -> Problem {
    let (from, to, protocol, _) = subject;
    let about = format!("`{from}` to `{to}` ({})", protocol.as_str());
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

/// Pairs that are promised to be in clear in the end, and never to be.
fn stated_in_clear(
    plan: &Plan,
    scenario: &Scenario,
    chosen: &BTreeMap<Subject, &PairPromise>,
) -> Option<Problem> {
    let endpoints = plan.endpoints();
    let mut never = scenario.promises.iter().filter(|promise| is_never(promise));
    never.find_map(|promise| {
        let own = pairs(&endpoints, promise).filter(|(from, to)| from.node.name != to.node.name);
        let own: BTreeSet<_> = own.map(|(from, to)| (&from.name, &to.name)).collect();
        let mut clear = chosen
            .iter()
            .filter(|(_, one)| *one.expect.get_ref() == Expectation::Of(Protection::Plaintext));
        let (subject, other) = clear.find(|((from, to, protocol, _), _)| {
            is_in(promise, protocol.family()) && own.contains(&(from, to))
        })?;
        let (from, to, protocol, _) = subject;
        let problem = Problem::new(
            format!(
                "contradicting promises about `{from}` to `{to}` ({})",
                protocol.as_str()
            ),
            promise.expect.span(),
            "`never-plaintext` here",
            "remove one of the two, or let each name other ends",
        );
        Some(problem.and(other.expect.span(), "`plaintext` here"))
    })
}
