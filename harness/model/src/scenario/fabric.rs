//! The fabric, and what it does to packets: `[fabric]`, each `[[impairment]]`, and the steps about it.

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::document::Table;
use crate::name::NodeName;
use crate::plan::{Action, BeyondMtu, FabricAction, FabricKind, ImpairmentKind, Way};
use crate::problem::{Problem, Span};

use super::keys::Keys;
use super::{mtu, value};

const KINDS: &[(&str, FabricKind)] = &[
    ("vnet", FabricKind::Vnet),
    ("flat", FabricKind::Flat),
    ("routed", FabricKind::Routed),
];

const BEYOND: &[(&str, BeyondMtu)] = &[
    ("drop", BeyondMtu::Drop),
    ("fragment", BeyondMtu::Fragment),
    ("swallow", BeyondMtu::Swallow),
];

const WAYS: &[(&str, Way)] = &[("both", Way::Both), ("from", Way::From), ("to", Way::To)];

/// What an impairment may do; one of them is needed.
const KINDS_OF_IMPAIRMENT: &[&str] = &["loss", "every", "rate", "delay"];

/// `[fabric]`.
#[derive(Debug, Default)]
pub struct Fabric {
    /// Where addresses come from.
    pub subnet: Option<Spanned<Ipv4Net>>,
    /// Bytes that the fabric carries.
    pub mtu: Option<u16>,
    /// What becomes of larger packets.
    pub beyond_mtu: Option<Spanned<BeyondMtu>>,
    /// What it is made of.
    pub kind: Option<Spanned<FabricKind>>,
}

/// `[[impairment]]`.
#[derive(Debug)]
pub struct Impairment {
    /// The place of the table's header in the file.
    pub place: Span,
    /// Whose packets.
    pub node: Option<Spanned<NodeName>>,
    /// Which of them.
    pub way: Option<Spanned<Way>>,
    /// What becomes of them.
    pub kind: ImpairmentKind,
}

pub(super) fn fabric(table: &mut Table<'_, '_>) -> Fabric {
    Fabric {
        subnet: table.parsed("subnet", value::subnet),
        mtu: mtu(table),
        beyond_mtu: table.word("beyond-mtu", "hop", BEYOND),
        kind: table.word("kind", "kind of fabric", KINDS),
    }
}

pub(super) fn impairment(table: &mut Table<'_, '_>) -> Option<Impairment> {
    let node = table.name("node", "a node");
    let way = table.word("direction", "direction", WAYS);
    let kinds = [loss(table), every(table), rate(table), delay(table)];
    let written: Vec<_> = KINDS_OF_IMPAIRMENT
        .iter()
        .filter(|key| table.has(key))
        .collect();
    if written.len() != 1 {
        table.report(Problem::new(
            "an impairment does one thing",
            table.place(),
            match written.len() {
                0 => "none of `loss`, `every`, `rate` and `delay` is here",
                _ => "more than one of `loss`, `every`, `rate` and `delay` is here",
            },
            "write `loss = 10` (percent), `every = 7` (the seventh is lost), `rate = 500` (kilobytes in a second) or `delay = 20` (milliseconds)",
        ));
        return None;
    }
    Some(Impairment {
        place: table.place(),
        node,
        way,
        kind: kinds.into_iter().flatten().next()?,
    })
}

fn loss(table: &mut Table<'_, '_>) -> Option<ImpairmentKind> {
    let percent = table.number("loss", 1..=99, " percent")?;
    Some(ImpairmentKind::Loss { percent })
}

fn every(table: &mut Table<'_, '_>) -> Option<ImpairmentKind> {
    let nth = table.number("every", 1..=u16::MAX, "")?;
    Some(ImpairmentKind::EveryNth { nth })
}

fn rate(table: &mut Table<'_, '_>) -> Option<ImpairmentKind> {
    let kilobytes = table.number("rate", 1..=u16::MAX, " kilobytes in a second")?;
    Some(ImpairmentKind::Rate { kilobytes })
}

fn delay(table: &mut Table<'_, '_>) -> Option<ImpairmentKind> {
    let millis = table.number("delay", 1..=10_000, " milliseconds");
    let jitter = table.number("jitter", 0..=10_000, " milliseconds");
    let reorder = table.number("reorder", 0..=99, " percent");
    Some(ImpairmentKind::Delay {
        millis: millis?,
        jitter: jitter.unwrap_or(0),
        reorder: reorder.unwrap_or(0),
    })
}

pub(super) fn set_mtu(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    keys.table.require("mtu", "mtu = 1400");
    let mtu = mtu(keys.table)?;
    Some(Action::Fabric(FabricAction::SetMtu { mtu }))
}

pub(super) fn set_loss(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    keys.table.require("loss", "loss = 10");
    impair(keys, loss)
}

pub(super) fn drop_nth(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    keys.table.require("every", "every = 7");
    impair(keys, every)
}

pub(super) fn set_rate(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    keys.table.require("rate", "rate = 500");
    impair(keys, rate)
}

pub(super) fn set_delay(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    keys.table.require("delay", "delay = 20");
    impair(keys, delay)
}

fn impair(
    keys: &mut Keys<'_, '_, '_>,
    read: fn(&mut Table<'_, '_>) -> Option<ImpairmentKind>,
) -> Option<Action> {
    let node = keys.node();
    let way = keys.table.word("direction", "direction", WAYS);
    let way = keys.noted("direction", way).unwrap_or_default();
    let kind = read(keys.table)?;
    Some(Action::Fabric(FabricAction::Impair { node, way, kind }))
}

pub(super) fn clear_impairments(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    let node = keys.node();
    Some(Action::Fabric(FabricAction::ClearImpairments { node }))
}
