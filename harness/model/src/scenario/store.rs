//! The steps about the store.

use toml::Spanned;

use crate::document::{Key, Word};
use crate::plan::{Action, StoreAction};

use super::keys::Reader;

const EVENTS: Key = Key::required("events", "the number of writes", "events = 10000");

const NODE: Key = Key::optional(
    "node",
    "whose Node it takes the place of",
    "none: it is a resource beside all others",
);

const TEXT: Key = Key::optional("text", "the content", "half of a resource").more(
    "Where `text` is JSON that names other resources by kind and name, the Node is deleted from a directory and its\n\
     pods are not: in strict mode its traffic is dropped, and the lab waits until that node's agent reports a\n\
     new status. What has no kind or no name is a mistake, and deletes nothing; nor does\n\
     anything in etcd, where the key names the resource.",
);

/// The steps about the store.
pub(super) const ACTIONS: &[Word<Reader>] = &[
    (
        "store-down",
        |_| Some(Action::Store(StoreAction::Down)),
        "nobody can reach the store",
    ),
    (
        "store-up",
        |_| Some(Action::Store(StoreAction::Up)),
        "the store is back, with what was written meanwhile",
    ),
    (
        "store-freeze",
        |_| Some(Action::Store(StoreAction::Freeze)),
        "etcd takes connections and answers nothing",
    ),
    (
        "store-thaw",
        |_| Some(Action::Store(StoreAction::Thaw)),
        "etcd answers again",
    ),
    (
        "store-compact",
        |_| Some(Action::Store(StoreAction::Compact)),
        "etcd forgets its history (compaction)",
    ),
    (
        "store-burst",
        |keys| {
            let events = keys.table.number(EVENTS, 1..=u16::MAX, "")?;
            Some(Action::Store(StoreAction::Burst { events }))
        },
        "the store gets many writes that concern no node",
    ),
    (
        "store-garbage",
        |keys| {
            let text = keys.table.text(TEXT).map(Spanned::into_inner);
            let node = keys.name(NODE);
            Some(Action::Store(StoreAction::Garbage { node, text }))
        },
        "half a resource, or `text`, takes the place of a Node, or of no resource",
    ),
    (
        "store-repair",
        |_| Some(Action::Store(StoreAction::Repair)),
        "all garbage is gone, and what was in its place is there again",
    ),
];
