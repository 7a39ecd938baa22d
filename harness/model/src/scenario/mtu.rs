//! Each `[[mtu]]`: the pair whose largest packet is searched.

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::EndpointName;
use crate::problem::Span;

use super::MTU_MIN;

const REPORTERS: &[Word<Reporter>] = &[
    (
        "sender",
        Reporter::Sender,
        "the sender's own kernel, which refuses to send it",
    ),
    (
        "node",
        Reporter::Node,
        "the node of the pod that sends, by ICMP",
    ),
    (
        "fabric",
        Reporter::Fabric,
        "the router that the fabric is, by ICMP",
    ),
    ("nobody", Reporter::Nobody, "no one: it is lost silently"),
];

const BULK: &[Word<bool>] = &[
    ("arrives", true, "it gets through"),
    (
        "lost",
        false,
        "it does not, which the scenario documents: connections are established, and full-sized packets are lost",
    ),
];

const FROM: Key = Key::required("from", "who sends", "from = \"NAME\"");

const TO: Key = Key::required("to", "who receives", "to = \"NAME\"");

const LARGEST: Key = Key::optional(
    "largest",
    "the largest IP packet that arrives in one piece",
    "what follows from the links of the way",
);

const TOLD_BY: Key = Key::optional(
    "told-by",
    "who says that a larger packet is too large",
    "what follows from the links of the way",
);

const TRANSFER: Key = Key::or(
    "bulk",
    "what becomes of a large transfer over TCP",
    "\"arrives\"",
);

/// `[[mtu]]`.
#[derive(Debug)]
pub struct MtuTable {
    /// The place of the table's header in the file.
    pub place: Span,
    /// The sender.
    pub from: Spanned<EndpointName>,
    /// The receiver.
    pub to: Spanned<EndpointName>,
    /// The largest IP packet that arrives unfragmented, in bytes, where the author states it.
    pub largest: Option<u16>,
    /// The hop that reports that a larger one does not, where the author states it.
    pub reported_by: Option<Reporter>,
    /// Whether a transfer over TCP gets through, where the author states it. It has to, unless the scenario
    /// documents that it does not.
    pub bulk: Option<bool>,
}

/// The hop that reports that a packet was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The kernel that it was to leave.
    Sender,
    /// The sending pod's node.
    Node,
    /// The router that the fabric is.
    Fabric,
    /// No hop: the packet is lost without an ICMP error.
    Nobody,
}

pub(super) fn limit(table: &mut Table<'_, '_>) -> Option<MtuTable> {
    let from = table.name(FROM, "an endpoint");
    let to = table.name(TO, "an endpoint");
    let largest = table.number(LARGEST, MTU_MIN..=u16::MAX, "bytes");
    let reported_by = table
        .word(TOLD_BY, "teller", REPORTERS)
        .map(Spanned::into_inner);
    let bulk = table.word(TRANSFER, "transfer outcome", BULK);
    Some(MtuTable {
        place: table.place(),
        from: from?,
        to: to?,
        largest,
        reported_by,
        bulk: bulk.map(Spanned::into_inner),
    })
}
