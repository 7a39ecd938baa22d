//! Each `[[mtu]]`: whose largest packet is looked for.

use toml::Spanned;

use crate::document::Table;
use crate::name::EndpointName;
use crate::problem::Span;

use super::MTU_MIN;

const TELLERS: &[(&str, Teller)] = &[
    ("sender", Teller::Sender),
    ("node", Teller::Node),
    ("fabric", Teller::Fabric),
    ("nobody", Teller::Nobody),
];

const BULK: &[(&str, bool)] = &[("arrives", true), ("lost", false)];

/// `[[mtu]]`.
#[derive(Debug)]
pub struct Limit {
    /// The place of the table's header in the file.
    pub place: Span,
    /// The sender.
    pub from: Spanned<EndpointName>,
    /// The receiver.
    pub to: Spanned<EndpointName>,
    /// The largest IP packet that arrives unfragmented, in bytes, where the author says so.
    pub largest: Option<u16>,
    /// Who says that a larger one does not, where the author says so.
    pub told_by: Option<Teller>,
    /// Whether a transfer over TCP gets through, where the author says so. It has to, unless the
    /// scenario documents that it does not.
    pub bulk: Option<bool>,
}

/// Who says that a packet was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The kernel that it was to leave.
    Sender,
    /// The sending pod's node.
    Node,
    /// The router that the fabric is.
    Fabric,
    /// Nobody.
    Nobody,
}

pub(super) fn limit(table: &mut Table<'_, '_>) -> Option<Limit> {
    table.require("from", "from = \"NAME\"");
    table.require("to", "to = \"NAME\"");
    let from = table.name("from", "an endpoint");
    let to = table.name("to", "an endpoint");
    let largest = table.number("largest", MTU_MIN..=u16::MAX, " bytes");
    let told_by = table
        .word("told-by", "teller", TELLERS)
        .map(Spanned::into_inner);
    let bulk = table.word("bulk", "transfer outcome", BULK);
    Some(Limit {
        place: table.place(),
        from: from?,
        to: to?,
        largest,
        told_by,
        bulk: bulk.map(Spanned::into_inner),
    })
}
