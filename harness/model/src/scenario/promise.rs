//! Each `[[promise]]`: what must become of the packets between which endpoints.

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::EndpointName;
use crate::plan::{Class, Family, Protection, Protocol};
use crate::problem::{Problem, Span};

use super::{FAMILIES, PAYLOADS};

const PROTOCOLS: &[Word<Protocol>] = &[
    (
        "icmp",
        Protocol::Icmp,
        "an ICMP echo request, which the kernel answers",
    ),
    ("udp", Protocol::Udp, "a datagram, and one back"),
    (
        "tcp",
        Protocol::Tcp,
        "a connection, whose payload comes back",
    ),
    ("icmp6", Protocol::Icmp6, "the same as `icmp` over IPv6"),
    ("udp6", Protocol::Udp6, "the same as `udp` over IPv6"),
    ("tcp6", Protocol::Tcp6, "the same as `tcp` over IPv6"),
];

const CLASSES: &[Word<Class>] = &[
    (
        "same-host",
        Class::SameHost,
        "both on one node: `plaintext`",
    ),
    (
        "cross-host",
        Class::CrossHost,
        "on two nodes, at least one of them a pod: `encrypted`; nothing between a pod and a node without host encryption",
    ),
    (
        "host-to-host",
        Class::HostToHost,
        "two nodes: `encrypted`, or `plaintext` without host encryption",
    ),
    (
        "mixed",
        Class::Mixed,
        "on two nodes, at least one of which does not encrypt: `plaintext`, or `blocked` under encrypt or drop",
    ),
    (
        "external",
        Class::External,
        "one of them a client, outside the cluster: `plaintext`",
    ),
];

const EXPECTATIONS: &[Word<Expectation>] = &[
    (
        "encrypted",
        Expectation::Of(Protection::Encrypted),
        "they arrive, and are only ciphertext on the wire",
    ),
    (
        "plaintext",
        Expectation::Of(Protection::Plaintext),
        "they arrive, and never pass a tunnel device",
    ),
    (
        "blocked",
        Expectation::Of(Protection::Blocked),
        "they never arrive, and are not on the wire",
    ),
    (
        "delivered",
        Expectation::Of(Protection::Delivered),
        "they arrive and are answered, whatever they look like",
    ),
    (
        "never-plaintext",
        Expectation::NeverPlaintext,
        "they are not readable on the wire from the first convergence to the last probe: not while a step breaks \
         something, and not where encryption is switched off. Whether they arrive is left open",
    ),
];

const EXPECT: Key = Key::required(
    "expect",
    "what must become of the packets",
    "expect = \"encrypted\"",
);

const FROM: Key = Key::optional("from", "who sends", "anyone");

const TO: Key = Key::optional("to", "who receives", "anyone");

const CLASS: Key = Key::optional("class", "only pairs of this class", "any");

const FAMILY: Key = Key::optional(
    "families",
    "only packets of these families",
    "all of the cluster's",
);

const PROTOCOL: Key = Key::optional(
    "protocols",
    "only packets of these protocols",
    "all protocols",
);

const PAYLOAD: Key = Key::optional(
    "payload",
    "for probes of its own, which have at least so much payload",
    "the probes that there are anyway",
);

/// `[[promise]]`.
#[derive(Debug)]
pub struct PairPromise {
    /// The place of the table's header in the file.
    pub place: Span,
    /// Who sends; none is anyone.
    pub from: Option<Spanned<Vec<Spanned<EndpointName>>>>,
    /// Who receives; none is anyone.
    pub to: Option<Spanned<Vec<Spanned<EndpointName>>>>,
    /// The class of the pairs; none is any.
    pub class: Option<Spanned<Class>>,
    /// In which families; none is every one that the cluster has.
    pub families: Option<Spanned<Vec<Spanned<Family>>>>,
    /// With what; none is everything.
    pub protocols: Option<Spanned<Vec<Spanned<Protocol>>>>,
    /// The least payload in bytes of probes of its own; none is about those that there are anyway.
    pub payload: Option<Spanned<u16>>,
    /// What must become of the packets.
    pub expect: Spanned<Expectation>,
}

/// What must become of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This, of probes after the last step.
    Of(Protection),
    /// Nobody reads them on the wire, whoever sends them and whenever.
    NeverPlaintext,
}

impl Expectation {
    /// As written in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Of(protection) => protection.as_str(),
            Self::NeverPlaintext => "never-plaintext",
        }
    }
}

pub(super) fn promise(table: &mut Table<'_, '_>) -> Option<PairPromise> {
    let from = table.one_or_more(FROM, "an endpoint");
    let to = table.one_or_more(TO, "an endpoint");
    for ends in [&from, &to].into_iter().flatten() {
        if ends.get_ref().is_empty() {
            table.report(Problem::new(
                "a promise about nobody",
                ends.span(),
                "this list is empty",
                "leave it out for everyone",
            ));
        }
    }
    let class = table.word(CLASS, "class", CLASSES);
    let families = table.words(FAMILY, "family", FAMILIES);
    let protocols = table.words(PROTOCOL, "protocol", PROTOCOLS);
    let payload = table.number(PAYLOAD, PAYLOADS, "bytes");
    let payload = payload.zip(table.place_of(PAYLOAD));
    let expect = table.word(EXPECT, "expectation", EXPECTATIONS);
    Some(PairPromise {
        place: table.place(),
        from,
        to,
        class,
        families,
        protocols,
        payload: payload.map(|(bytes, place)| Spanned::new(place, bytes)),
        expect: expect?,
    })
}
