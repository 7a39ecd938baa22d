//! Each `[[warning]]`: what the engine's log may have at the level of warnings and above.

use toml::Spanned;

use crate::document::{Key, Table, Word};
use crate::name::NodeName;
use crate::plan::WireGuardKind;
use crate::problem::{Problem, Span};

const KINDS: &[Word<WireGuardKind>] = &[
    ("kernel", WireGuardKind::Kernel, "the kernel's"),
    (
        "userspace",
        WireGuardKind::Userspace,
        "a program in userspace",
    ),
];

const SAYS: Key = Key::required(
    "says",
    "parts of lines at the level of warnings and above",
    "says = [\"put right\"]",
);

const NODE: Key = Key::optional("node", "whose agent's log may have them", "any node's");

const SOMETIMES: Key = Key::or(
    "sometimes",
    "whether they may come and need not, because chance decides",
    "false",
);

const WIREGUARD: Key = Key::optional(
    "wireguard",
    "with which WireGuard they must come; with another one they need not",
    "with any",
);

/// `[[warning]]`.
#[derive(Debug)]
pub struct Warning {
    /// The place of the table's header in the file.
    pub place: Span,
    /// Parts of lines.
    pub parts: Vec<Spanned<String>>,
    /// Whose log has them.
    pub node: Option<Spanned<NodeName>>,
    /// Whether they need not come.
    pub sometimes: bool,
    /// With which WireGuard they come; none is any.
    pub wireguard: Option<WireGuardKind>,
}

pub(super) fn warning(table: &mut Table<'_, '_>) -> Option<Warning> {
    let parts = table.texts(SAYS);
    let node = table.name(NODE, "a node");
    let sometimes = table.flag(SOMETIMES).unwrap_or_default();
    let wireguard = table.word(WIREGUARD, "kind of WireGuard", KINDS);
    let parts = parts?;
    if parts.get_ref().is_empty() {
        table.report(Problem::new(
            "a warning that says nothing",
            parts.span(),
            "no part of a line",
            "write `says = [\"put right\"]`, a part of the line",
        ));
    }
    Some(Warning {
        place: table.place(),
        parts: parts.into_inner(),
        node,
        sometimes,
        wireguard: wireguard.map(Spanned::into_inner),
    })
}
