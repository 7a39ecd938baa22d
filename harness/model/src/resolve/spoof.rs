//! `[[spoof]]`: the spoofed packets, and whether what is promised about them is possible.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::name::EndpointName;
use crate::plan::{
    Addressing, DropBy, Family, MOST_SPOOFS, Plan, PromiseId, RpFilter, Spoof, SpoofId,
};
use crate::problem::{Lines, Problem, known_names};
use crate::scenario::{self, Scenario};

use super::families;
use super::placement::Placement;

/// Reports spoofs of nobody, those that are none, those that are stated twice, and those that nothing can drop so.
pub(super) fn check(
    scenario: &Scenario,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
    problems: &mut Vec<Problem>,
) {
    let cluster_families = families(&scenario.cluster);
    let mut first = BTreeMap::new();
    for spoof in &scenario.spoofs {
        let ends = [&spoof.through, &spoof.source, &spoof.to];
        let before = problems.len();
        for end in ends {
            problems.extend(unknown(end, placement, last));
        }
        // Whoever is unknown has no place to be compared.
        if problems.len() == before {
            problems.extend(idle(spoof));
            problems.extend(without_filter(scenario, spoof));
            problems.extend(absent_family(scenario, spoof));
            let family = spoof.family.as_ref().map(|family| *family.get_ref());
            let family = family.or(cluster_families.first().copied());
            let same = (
                spoof.through.get_ref(),
                spoof.source.get_ref(),
                spoof.to.get_ref(),
                family,
            );
            if let Some(earlier) = first.insert(same, &spoof.place) {
                let problem = Problem::new(
                    "two promises about the same spoofed packets",
                    spoof.place.clone(),
                    "again here",
                    "remove one of the two",
                );
                problems.push(problem.and(earlier.clone(), "first here"));
            }
        }
    }
}

fn unknown(
    end: &Spanned<EndpointName>,
    placement: &Placement,
    last: &BTreeSet<EndpointName>,
) -> Option<Problem> {
    let name = end.get_ref();
    let known = placement.endpoints.iter();
    let known: Vec<&str> = known
        .filter(|name| last.contains(*name))
        .map(EndpointName::as_str)
        .collect();
    (!last.contains(name)).then(|| {
        Problem::new(
            format!("unknown endpoint `{name}`"),
            end.span(),
            "no such node or pod after the last step",
            known_names("endpoint", name.as_str(), &known),
        )
    })
}

/// What is no spoof, or comes from whom it is for.
fn idle(spoof: &scenario::Spoof) -> Option<Problem> {
    let (through, source, to) = (&spoof.through, &spoof.source, &spoof.to);
    if source.get_ref() == to.get_ref() {
        return Some(
            Problem::new(
                format!("`{}` sends nothing to itself", to.get_ref()),
                source.span(),
                "whose address they bear",
                "name two endpoints",
            )
            .and(to.span(), "whom they are for"),
        );
    }
    // A pod may say its own name; what is from the wire is nobody's there.
    (through.get_ref() == source.get_ref()).then(|| {
        Problem::new(
            format!("packets of `{}` itself are not spoofed", source.get_ref()),
            source.span(),
            "whose address they bear",
            "name another endpoint; that its own packets arrive is tried anyway",
        )
        .and(through.span(), "whose link they come in by")
    })
}

/// A promise of the reverse-path filter where there is none.
fn without_filter(scenario: &Scenario, spoof: &scenario::Spoof) -> Option<Problem> {
    if *spoof.drop.get_ref() != DropBy::ReversePath {
        return None;
    }
    let refuse = |label: &str| {
        Problem::new(
            "nothing drops these packets by their reverse path",
            spoof.drop.span(),
            label,
            "write `drop = \"rule\"` or `drop = \"nothing\"`",
        )
    };
    if let Some(family) = &spoof.family
        && *family.get_ref() == Family::Ipv6
    {
        return Some(refuse("promised here").and(family.span(), "IPv6 has no `rp_filter`"));
    }
    let through = spoof.through.get_ref();
    let mut nodes = scenario.nodes.iter();
    let node = nodes.find(|node| EndpointName::from(node.name.get_ref()) == *through);
    let mut pods = scenario.pods.iter();
    let pod = pods.find(|pod| EndpointName::from(pod.name.get_ref()) == *through);
    let (drops, place) = match (node, pod) {
        (Some(node), _) => {
            let filter = node.rp_filter.unwrap_or(RpFilter::Strict);
            (filter == RpFilter::Strict, node.name.span())
        }
        // The node's end of the veth has no address: a loose filter is strict there. A bridge's
        // port has no filter.
        (None, Some(pod)) => {
            let filter = pod.rp_filter.unwrap_or_default();
            let addressing = scenario.cluster.addressing.as_ref();
            let veth = addressing.is_none_or(|kind| *kind.get_ref() == Addressing::Veth);
            (veth && filter != RpFilter::Off, pod.name.span())
        }
        // A pod that has no table of its own has no filter either.
        (None, None) => (false, spoof.through.span()),
    };
    (!drops).then(|| refuse("promised here").and(place, "its `rp-filter` is not strict"))
}

/// In a family that the cluster does not have, nothing arrives in any case.
fn absent_family(scenario: &Scenario, spoof: &scenario::Spoof) -> Option<Problem> {
    let family = spoof.family.as_ref()?;
    let cluster_families = families(&scenario.cluster);
    (!cluster_families.contains(family.get_ref())).then(|| {
        let name = family.get_ref().as_str();
        Problem::new(
            format!("this cluster speaks no {name}"),
            family.span(),
            "packets of another family never arrive",
            format!("add `families = [\"{name}\"]` to `[cluster]`, or leave `family` out"),
        )
    })
}

/// Reports more spoofs than there are ports for.
pub(super) fn crowded(written: &[scenario::Spoof]) -> Option<Problem> {
    let beyond = written.get(MOST_SPOOFS)?;
    Some(Problem::new(
        format!("{} spoofs are too many", written.len()),
        beyond.place.clone(),
        format!("each has a port of its own, and there are {MOST_SPOOFS}"),
        "make two scenarios of one",
    ))
}

/// The spoofs as meant. Their numbers follow those of the other promises.
pub(super) fn spoofs(plan: &Plan, written: &[scenario::Spoof], lines: &Lines) -> Vec<Spoof> {
    let before = [
        plan.promises.len(),
        plan.flows.promises.len(),
        plan.limits.promises.len(),
    ];
    let first = before.iter().sum::<usize>();
    let families = plan.cluster.families.first();
    let numbered = written.iter().enumerate();
    numbered
        .map(|(number, written)| Spoof {
            id: SpoofId(u16::try_from(number).unwrap_or(u16::MAX)),
            promise: PromiseId(u32::try_from(first + number).unwrap_or(u32::MAX)),
            through: written.through.get_ref().clone(),
            source: written.source.get_ref().clone(),
            to: written.to.get_ref().clone(),
            family: match &written.family {
                Some(family) => *family.get_ref(),
                None => families.copied().unwrap_or_default(),
            },
            drop: *written.drop.get_ref(),
            line: lines.line(written.place.start),
        })
        .collect()
}
