//! Each `[[spoof]]`: which packets are spoofed, and what must become of them.

use toml::Spanned;

use crate::document::Table;
use crate::name::EndpointName;
use crate::plan::{DropBy, Family};
use crate::problem::Span;

use super::FAMILIES;

const DROPS: &[(&str, DropBy)] = &[
    ("reverse-path", DropBy::ReversePath),
    ("rule", DropBy::Rule),
    ("tunnel", DropBy::Tunnel),
    ("nothing", DropBy::Nothing),
];

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
    table.require("through", "through = \"NODE\"");
    table.require("as", "as = \"NAME\"");
    table.require("to", "to = \"NAME\"");
    table.require("drop", "drop = \"reverse-path\"");
    let through = table.name("through", "an endpoint");
    let source = table.name("as", "an endpoint");
    let to = table.name("to", "an endpoint");
    let family = table.word("family", "family", FAMILIES);
    let drop = table.word("drop", "drop", DROPS);
    Some(Spoof {
        place: table.place(),
        through: through?,
        source: source?,
        to: to?,
        family,
        drop: drop?,
    })
}
