//! Each `[[warning]]`: what the engine's log may say at the level of warnings and above.

use toml::Spanned;

use crate::document::Table;
use crate::name::NodeName;
use crate::plan::WireGuardKind;
use crate::problem::{Problem, Span};

const KINDS: &[(&str, WireGuardKind)] = &[
    ("kernel", WireGuardKind::Kernel),
    ("userspace", WireGuardKind::Userspace),
];

/// `[[warning]]`.
#[derive(Debug)]
pub struct Warning {
    /// The place of the table's header in the file.
    pub place: Span,
    /// Parts of lines.
    pub says: Vec<Spanned<String>>,
    /// Whose log has them.
    pub node: Option<Spanned<NodeName>>,
    /// Whether they need not come.
    pub sometimes: bool,
    /// With which WireGuard they come; none is any.
    pub wireguard: Option<WireGuardKind>,
}

pub(super) fn warning(table: &mut Table<'_, '_>) -> Option<Warning> {
    table.require("says", "says = [\"put right\"]");
    let says = table.texts("says");
    let node = table.name("node", "a node");
    let sometimes = table.flag("sometimes").unwrap_or_default();
    let wireguard = table.word("wireguard", "kind of WireGuard", KINDS);
    let says = says?;
    if says.get_ref().is_empty() {
        table.report(Problem::new(
            "a warning that says nothing",
            says.span(),
            "no part of a line",
            "write `says = [\"put right\"]`, a part of the line",
        ));
    }
    Some(Warning {
        place: table.place(),
        says: says.into_inner(),
        node,
        sometimes,
        wireguard: wireguard.map(Spanned::into_inner),
    })
}
