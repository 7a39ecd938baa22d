//! The fabric and its impairments: `[fabric]`, each `[[impairment]]`, and the steps about it.

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::NodeName;
use crate::plan::{Action, BeyondMtu, FabricAction, FabricKind, ImpairmentKind, WireDirection};
use crate::problem::{Problem, Span};

use super::keys::{Keys, Reader};
use super::{placed_mtu, read_mtu, value};

const KINDS: &[Word<FabricKind>] = &[
    (
        "vnet",
        FabricKind::Vnet,
        "a virtual network as a cloud has it: it routes, answers every ARP request, and knows where each pod is",
    ),
    (
        "flat",
        FabricKind::Flat,
        "one switch, on which nodes answer each other's ARP requests",
    ),
    (
        "routed",
        FabricKind::Routed,
        "racks, each a subnet for one node (/24, or as fits) with its link in the lower half and its pods in the upper \
         one, and a router with an address in each that leads to pods and blocks by way of their nodes",
    ),
];

const BEYOND: &[Word<BeyondMtu>] = &[
    ("drop", BeyondMtu::Drop, "they are dropped silently"),
    (
        "fragment",
        BeyondMtu::Fragment,
        "a router fragments them or, where they must not be fragmented, answers \"too big\" with `fabric.mtu`",
    ),
    (
        "swallow",
        BeyondMtu::Swallow,
        "the same router, whose answers are lost",
    ),
];

const WAYS: &[Word<WireDirection>] = &[
    (
        "both",
        WireDirection::Both,
        "what it sends and what it is sent",
    ),
    ("from", WireDirection::From, "what it sends"),
    ("to", WireDirection::To, "what it is sent"),
];

const SUBNET: Key = Key::or(
    "subnet",
    "where nodes and pods have their addresses",
    "\"10.240.0.0/16\"",
);

const MTU: Key = Key::or(
    "mtu",
    "the largest IP packet that the wire carries; in a cluster with IPv6 at least 1280 bytes (RFC 8200), as each link's",
    "1500",
);

const BEYOND_MTU: Key = Key::or("beyond-mtu", "what becomes of larger ones", "\"drop\"");

const KIND: Key = Key::or("kind", "what connects the nodes", "\"vnet\"");

const NODE: Key = Key::optional("node", "whose packets", "all nodes'");

const DIRECTION: Key = Key::or(
    "direction",
    "which of that node's packets; a delay of one node's needs `to`: the fabric delays what it delivers",
    "\"both\"",
);

const LOSS: Key = Key::optional(
    "loss",
    "so many packets are lost, at random",
    "no such loss",
);

const EVERY: Key = Key::optional(
    "every",
    "every packet of this number is lost: with 7 the seventh, the fourteenth and so on",
    "no such loss",
);

const RATE: Key = Key::optional("rate", "what is above this rate is lost", "any rate passes");

const DELAY: Key = Key::optional("delay", "packets are delayed by this", "no delay");

const JITTER: Key = Key::or(
    "jitter",
    "with `delay`: how much more or less that may be",
    "0",
);

const REORDER: Key = Key::or(
    "reorder",
    "with `delay`: so many packets overtake others",
    "0",
);

/// What an impairment may do; one of them is needed.
const KINDS_OF_IMPAIRMENT: [Key; 4] = [LOSS, EVERY, RATE, DELAY];

/// `[fabric]`.
#[derive(Debug, Default)]
pub struct Fabric {
    /// Where addresses come from.
    pub subnet: Option<Spanned<Ipv4Net>>,
    /// Bytes that the fabric carries.
    pub mtu: Option<Spanned<u16>>,
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
    /// The node whose packets it impairs; none is every node.
    pub node: Option<Spanned<NodeName>>,
    /// Which of them.
    pub way: Option<Spanned<WireDirection>>,
    /// What becomes of them.
    pub kind: ImpairmentKind,
}

pub(super) fn fabric(table: &mut Table<'_, '_>) -> Fabric {
    Fabric {
        subnet: table.parsed(SUBNET, value::SUBNET, value::subnet),
        mtu: placed_mtu(table, MTU),
        beyond_mtu: table.word(BEYOND_MTU, "hop", BEYOND),
        kind: table.word(KIND, "kind of fabric", KINDS),
    }
}

pub(super) fn impairment(table: &mut Table<'_, '_>) -> Option<Impairment> {
    let node = table.name(NODE, "a node");
    let way = table.word(DIRECTION, "direction", WAYS);
    let kinds = [
        loss(table, LOSS),
        every(table, EVERY),
        rate(table, RATE),
        delay(table, DELAY),
    ];
    let written: Vec<_> = KINDS_OF_IMPAIRMENT
        .into_iter()
        .filter(|key| table.has(*key))
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
    refuse_without_delay(table);
    Some(Impairment {
        place: table.place(),
        node,
        way,
        kind: kinds.into_iter().flatten().next()?,
    })
}

/// Reports keys of a delay where there is none.
fn refuse_without_delay(table: &mut Table<'_, '_>) {
    if table.has(DELAY) {
        return;
    }
    for key in [JITTER, REORDER] {
        if let Some(place) = table.place_of(key) {
            table.report(Problem::new(
                format!("`{}` without `delay`", key.name),
                place,
                "only what is delayed has it",
                format!(
                    "remove it, or write another `[[impairment]]` with `delay = 20` and `{}`",
                    key.name
                ),
            ));
        }
    }
}

fn loss(table: &mut Table<'_, '_>, key: Key) -> Option<ImpairmentKind> {
    let percent = table.number(key, 1..=99, "percent")?;
    Some(ImpairmentKind::Loss { percent })
}

fn every(table: &mut Table<'_, '_>, key: Key) -> Option<ImpairmentKind> {
    let nth = table.number(key, 1..=u16::MAX, "")?;
    Some(ImpairmentKind::EveryNth { nth })
}

fn rate(table: &mut Table<'_, '_>, key: Key) -> Option<ImpairmentKind> {
    let kilobytes = table.number(key, 1..=u16::MAX, "kilobytes in a second")?;
    Some(ImpairmentKind::Rate { kilobytes })
}

fn delay(table: &mut Table<'_, '_>, key: Key) -> Option<ImpairmentKind> {
    let millis = table.number(key, 1..=10_000, "milliseconds");
    let jitter = table.number(JITTER, 0..=10_000, "milliseconds");
    let reorder = table.number(REORDER, 0..=99, "percent");
    Some(ImpairmentKind::Delay {
        millis: millis?,
        jitter: jitter.unwrap_or(0),
        reorder: reorder.unwrap_or(0),
    })
}

/// The steps about the fabric.
pub(super) const ACTIONS: &[Word<Reader>] = &[
    (
        "set-fabric-mtu",
        |keys| {
            const MTU: Key = Key::required(
                "mtu",
                "the largest IP packet that it carries from here on; in a cluster with IPv6 at least 1280 bytes (RFC 8200)",
                "mtu = 1400",
            );
            let mtu = read_mtu(keys.table, MTU)?;
            Some(Action::Fabric(FabricAction::SetMtu { mtu }))
        },
        "the wire's MTU changes",
    ),
    (
        "swallow-icmp",
        |_| Some(Action::Fabric(FabricAction::SwallowIcmp)),
        "the fabric's router begins to do what `beyond-mtu = \"swallow\"` says: its answers are lost",
    ),
    (
        "answer-icmp",
        |_| Some(Action::Fabric(FabricAction::AnswerIcmp)),
        "the fabric's router stops doing what `beyond-mtu = \"swallow\"` says: its answers arrive",
    ),
    (
        "set-loss",
        |keys| {
            const LOSS: Key = Key::required("loss", "so many packets are lost", "loss = 10");
            impair(keys, |table| loss(table, LOSS))
        },
        "the wire begins to lose packets at random",
    ),
    (
        "drop-nth",
        |keys| {
            const EVERY: Key =
                Key::required("every", "every packet of this number is lost", "every = 7");
            impair(keys, |table| every(table, EVERY))
        },
        "the wire begins to lose every n-th packet",
    ),
    (
        "set-rate",
        |keys| {
            const RATE: Key = Key::required("rate", "what is above this is lost", "rate = 500");
            impair(keys, |table| rate(table, RATE))
        },
        "the wire begins to lose what is above a rate",
    ),
    (
        "set-delay",
        |keys| {
            const DELAY: Key = Key::required("delay", "packets are delayed by this", "delay = 20");
            impair(keys, |table| delay(table, DELAY))
        },
        "the wire begins to delay packets",
    ),
    (
        "clear-impairments",
        |keys| {
            const NODE: Key = Key::optional("node", "whose packets", "all nodes'");
            let node = keys.name(NODE);
            Some(Action::Fabric(FabricAction::ClearImpairments { node }))
        },
        "the wire stops all impairments, of one node's packets or of all",
    ),
    (
        "forget-nat",
        |keys| {
            let node = keys.node()?;
            Some(Action::Fabric(FabricAction::ForgetNat { node }))
        },
        "the NAT in front of the node loses its mappings, and makes new ones",
    ),
];

fn impair(
    keys: &mut Keys<'_, '_, '_>,
    read: fn(&mut Table<'_, '_>) -> Option<ImpairmentKind>,
) -> Option<Action> {
    let node = keys.name(NODE);
    let way = keys.table.word(DIRECTION, "direction", WAYS);
    let way = keys.noted(DIRECTION, way).unwrap_or_default();
    let kind = read(keys.table)?;
    Some(Action::Fabric(FabricAction::Impair { node, way, kind }))
}
