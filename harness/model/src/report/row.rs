//! Rows of the table: pairs with the same verdict in one line.

use std::collections::BTreeMap;

use super::pair::{Pair, Promised};
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

/// The judged pairs in sections, each with its rows in the order of the plan.
pub(super) fn sections<'a>(judged: &'a [Pair<'a>]) -> BTreeMap<Kind<'a>, Vec<Row<'a>>> {
    // A pair's protocols first: receivers share a row only if all of these agree.
    let mut pairs = BTreeMap::<Kind<'a>, Vec<Row<'a>>>::new();
    for pair in judged {
        let Promised::Protection {
            class,
            expected,
            least_payload,
            judged,
        } = &pair.promised
        else {
            continue;
        };
        let kind = Kind {
            class: *class,
            protection: *expected,
            payload: *least_payload,
            outcome: judged.verdict,
            fact: judged.fact,
        };
        let rows = pairs.entry(kind).or_default();
        // The protocols of a pair follow each other in a plan.
        match rows.last_mut() {
            Some(last) if last.from == pair.from && last.to == [pair.to] => {
                last.protocols.push(pair.protocol);
            }
            Some(_) | None => rows.push(Row {
                from: pair.from,
                protocols: vec![pair.protocol],
                to: vec![pair.to],
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
