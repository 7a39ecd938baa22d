//! Each `[[spoof]]`: which packets are spoofed, and what must become of them.

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::EndpointName;
use crate::plan::{DropBy, Family};
use crate::problem::Span;

use super::FAMILIES;

const DROPS: &[Word<DropBy>] = &[
    (
        "reverse-path",
        DropBy::ReversePath,
        "the kernel's reverse-path filter",
    ),
    ("rule", DropBy::Rule, "a rule of nftables"),
    (
        "tunnel",
        DropBy::Tunnel,
        "the other end of a tunnel, which takes no such source from that peer (allowed IPs)",
    ),
    ("nothing", DropBy::Nothing, "nothing does: they arrive"),
];

const THROUGH: Key = Key::required(
    "through",
    "whose link the packets come in by: a node's, from the wire; a pod's, out of the pod",
    "through = \"NODE\"",
);

const AS: Key = Key::required("as", "whose address is their source", "as = \"NAME\"");

const TO: Key = Key::required("to", "who is their destination", "to = \"NAME\"");

const DROP: Key = Key::required("drop", "what must drop them", "drop = \"reverse-path\"");

const FAMILY: Key = Key::optional("family", "their family", "the cluster's first");

/// `[[spoof]]`.
#[derive(Debug)]
pub struct Spoof {
    /// The place of the table's header in the file.
    pub place: Span,
    /// Whose link the packets come in by.
    pub through: Spanned<EndpointName>,
    /// Whose address they bear.
    pub source: Spanned<EndpointName>,
    /// Whom they are for.
    pub to: Spanned<EndpointName>,
    /// The IP family of the packets.
    pub family: Option<Spanned<Family>>,
    /// What drops them.
    pub drop: Spanned<DropBy>,
}

pub(super) fn spoof(table: &mut Table<'_, '_>) -> Option<Spoof> {
    let through = table.name(THROUGH, "an endpoint");
    let source = table.name(AS, "an endpoint");
    let to = table.name(TO, "an endpoint");
    let family = table.word(FAMILY, "family", FAMILIES);
    let drop = table.word(DROP, "drop", DROPS);
    Some(Spoof {
        place: table.place(),
        through: through?,
        source: source?,
        to: to?,
        family,
        drop: drop?,
    })
}
