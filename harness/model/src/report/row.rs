//! Promises of one kind in one line.

use std::collections::BTreeMap;

use super::Judged;
use crate::name::EndpointName;
use crate::plan::{Class, Protection, Protocol};
use crate::verdict::Outcome;

/// What the rows of one section share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind<'a> {
    pub(super) class: Class,
    pub(super) protection: Protection,
    /// The least payload that the author has asked for, in bytes.
    pub(super) payload: Option<u16>,
    pub(super) outcome: Outcome,
    pub(super) fact: &'a str,
}

/// One sender, and all receivers to which the same is true in the same protocols.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) from: &'a EndpointName,
    pub(super) protocols: Vec<Protocol>,
    pub(super) to: Vec<&'a EndpointName>,
}

/// The promises in sections, each with its rows in the order of the plan.
pub(super) fn sections<'a>(
    told: impl Iterator<Item = Judged<'a>>,
) -> BTreeMap<Kind<'a>, Vec<Row<'a>>> {
    // A pair's protocols first: receivers share a row only if all of these agree.
    let mut pairs = BTreeMap::<Kind<'a>, Vec<Row<'a>>>::new();
    for told in told {
        let promise = told.promise;
        let kind = Kind {
            class: promise.class,
            protection: promise.protection,
            payload: promise.payload,
            outcome: told.outcome(),
            fact: told.fact(),
        };
        let rows = pairs.entry(kind).or_default();
        // The protocols of a pair follow each other in a plan.
        match rows.last_mut() {
            Some(last) if last.from == &promise.from && last.to == [&promise.to] => {
                last.protocols.push(promise.protocol);
            }
            Some(_) | None => rows.push(Row {
                from: &promise.from,
                protocols: vec![promise.protocol],
                to: vec![&promise.to],
            }),
        }
    }
    pairs
        .into_iter()
        .map(|(kind, pairs)| (kind, joined(pairs)))
        .collect()
}

fn joined(pairs: Vec<Row<'_>>) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for pair in pairs {
        let place = *places
            .entry((pair.from, pair.protocols.clone()))
            .or_insert(rows.len());
        match rows.get_mut(place) {
            Some(row) => row.to.extend(pair.to),
            None => rows.push(pair),
        }
    }
    rows
}
