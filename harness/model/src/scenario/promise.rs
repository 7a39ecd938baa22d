//! Each `[[promise]]`: what must become of the packets between which endpoints.

use toml::Spanned;

use crate::document::Table;
use crate::name::EndpointName;
use crate::plan::{Class, Family, Protection, Protocol};
use crate::problem::{Problem, Span};

use super::{FAMILIES, PAYLOADS};

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("icmp", Protocol::Icmp),
    ("udp", Protocol::Udp),
    ("tcp", Protocol::Tcp),
    ("icmp6", Protocol::Icmp6),
    ("udp6", Protocol::Udp6),
    ("tcp6", Protocol::Tcp6),
];

const CLASSES: &[(&str, Class)] = &[
    ("same-host", Class::SameHost),
    ("cross-host", Class::CrossHost),
    ("host-to-host", Class::HostToHost),
    ("mixed", Class::Mixed),
    ("external", Class::External),
];

const EXPECTATIONS: &[(&str, Expectation)] = &[
    ("encrypted", Expectation::Of(Protection::Encrypted)),
    ("plaintext", Expectation::Of(Protection::Plaintext)),
    ("blocked", Expectation::Of(Protection::Blocked)),
    ("delivered", Expectation::Of(Protection::Delivered)),
    ("never-plaintext", Expectation::NeverPlaintext),
];

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
    /// In which families; none is every one that the cluster speaks.
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
    table.require("expect", "expect = \"encrypted\"");
    let from = table.one_or_more("from", "an endpoint");
    let to = table.one_or_more("to", "an endpoint");
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
    let class = table.word("class", "class", CLASSES);
    let families = table.words("families", "family", FAMILIES);
    let protocols = table.words("protocols", "protocol", PROTOCOLS);
    let payload = table.number("payload", PAYLOADS, " bytes");
    let payload = payload.zip(table.place_of("payload"));
    let expect = table.word("expect", "expectation", EXPECTATIONS);
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
