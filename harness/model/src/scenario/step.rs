//! Each `[[step]]`: what happens, and where the file says so.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::document::Table;
use strum::VariantArray as _;

use crate::plan::{Action, ActionKind, Configuration, FabricAction, StoreAction};
use crate::problem::{Problem, Span};

use super::keys::Keys;
use super::{fabric, tamper, value};

/// `[[step]]`.
#[derive(Debug)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// Milliseconds until everything has settled.
    pub deadline: Option<u32>,
    /// Milliseconds in which everything has to settle.
    pub settles_within: Option<u32>,
    /// Milliseconds for which it may interrupt flows.
    pub outage: Option<u32>,
    /// Frames of protected flows that may be readable, with nothing excused.
    pub leaks: Option<u16>,
    /// The most kernel writes that the engine may do.
    pub writes: Option<u16>,
    /// Where the action and the names in it are written, by key.
    places: BTreeMap<&'static str, Span>,
}

impl Step {
    /// Where a key's value is written; the action itself where that key is not.
    pub fn place(&self, key: &str) -> Span {
        let known = self.places.get(key).or_else(|| self.places.get("action"));
        known.cloned().unwrap_or_default()
    }
}

/// Reads the keys of one kind of step.
type Reader = fn(&mut Keys<'_, '_, '_>) -> Option<Action>;

const PROVOCATION: &str =
    "provoke = { action = \"tamper\", node = \"NAME\", delete = \"everything\" }";

/// How an action is written: its name, and the reader of its keys. Of each kind there is at least one.
fn written(kind: ActionKind) -> &'static [(&'static str, Reader)] {
    match kind {
        ActionKind::Enable => &[("enable", |_| Some(Action::Enable))],
        ActionKind::Disable => &[("disable", |_| Some(Action::Disable))],
        ActionKind::Configure => &[("configure", configure)],
        ActionKind::StopEngine => &[("stop-engine", |keys| {
            Some(Action::StopEngine { node: keys.node() })
        })],
        ActionKind::KillEngine => &[("kill-engine", |keys| {
            Some(Action::KillEngine { node: keys.node() })
        })],
        ActionKind::StartEngine => &[("start-engine", |keys| {
            Some(Action::StartEngine { node: keys.node() })
        })],
        ActionKind::RestartEngine => &[("restart-engine", |keys| {
            Some(Action::RestartEngine { node: keys.node() })
        })],
        ActionKind::RotateKey => &[("rotate-key", |keys| {
            let node = keys.target()?;
            Some(Action::RotateKey { node })
        })],
        ActionKind::OverwriteKey => &[("overwrite-key", |keys| {
            let (node, key) = (keys.target(), keys.name("key"));
            Some(Action::OverwriteKey { node: node?, key })
        })],
        ActionKind::Tamper => &[("tamper", tamper::tamper)],
        ActionKind::Store => STORE_ACTIONS,
        ActionKind::Fabric => FABRIC_ACTIONS,
        ActionKind::AddPod => &[("add-pod", |keys| Some(Action::AddPod { pod: keys.pod()? }))],
        ActionKind::RemovePod => &[("remove-pod", |keys| {
            Some(Action::RemovePod { pod: keys.pod()? })
        })],
        ActionKind::MovePod => &[("move-pod", |keys| {
            keys.table.require("to", "to = \"NODE\"");
            let (pod, to) = (keys.pod(), keys.name("to"));
            Some(Action::MovePod { pod: pod?, to: to? })
        })],
        ActionKind::AddNode => &[("add-node", |keys| {
            let node = keys.target()?;
            Some(Action::AddNode { node })
        })],
        ActionKind::RemoveNode => &[("remove-node", |keys| {
            let node = keys.target()?;
            Some(Action::RemoveNode { node })
        })],
        ActionKind::ReaddressNode => &[("readdress-node", |keys| {
            keys.table.require("address", "address = \"10.240.0.99\"");
            let (node, address) = (keys.target(), keys.table.address("address"));
            let address = keys.noted("address", address);
            Some(Action::ReaddressNode {
                node: node?,
                address: address?,
            })
        })],
        ActionKind::RebootNode => &[("reboot-node", |keys| {
            let node = keys.target()?;
            Some(Action::RebootNode { node })
        })],
        ActionKind::PauseNode => &[("pause-node", |keys| {
            keys.table.require("for", "for = \"2s\"");
            let (node, length) = (keys.target(), keys.table.parsed("for", value::pause));
            Some(Action::PauseNode {
                node: node?,
                millis: length?.into_inner(),
            })
        })],
        ActionKind::Partition => &[("partition", |keys| {
            let node = keys.target()?;
            Some(Action::Partition { node })
        })],
        ActionKind::Heal => &[("heal", |keys| {
            let node = keys.target()?;
            Some(Action::Heal { node })
        })],
        ActionKind::SetMtu => &[("set-mtu", |keys| {
            keys.table.require("mtu", "mtu = 1400");
            let (node, mtu) = (keys.target(), super::mtu(keys.table));
            Some(Action::SetMtu {
                node: node?,
                mtu: mtu?,
            })
        })],
        ActionKind::SetMetric => &[("set-metric", |keys| {
            keys.table.require("metric", "metric = 500");
            let metric = keys.table.number("metric", 1..=u16::MAX, "");
            Some(Action::SetMetric {
                node: keys.target()?,
                metric: metric?.into(),
            })
        })],
        ActionKind::WaitResyncs => &[("wait-resyncs", |keys| {
            keys.table.require("count", "count = 3");
            let count = keys.table.number("count", 1..=1000, "")?;
            Some(Action::WaitResyncs { count })
        })],
        ActionKind::CrashEverywhere => &[("crash-everywhere", |keys| {
            keys.table.require("provoke", PROVOCATION);
            let node = keys.target();
            let provoke = keys.table.table("provoke", "a provocation", step).flatten();
            Some(Action::CrashEverywhere {
                node: node?,
                provoke: Box::new(provoke?.action),
            })
        })],
    }
}

const STORE_ACTIONS: &[(&str, Reader)] = &[
    ("store-down", |_| Some(Action::Store(StoreAction::Down))),
    ("store-up", |_| Some(Action::Store(StoreAction::Up))),
    ("store-freeze", |_| Some(Action::Store(StoreAction::Freeze))),
    ("store-thaw", |_| Some(Action::Store(StoreAction::Thaw))),
    ("store-compact", |_| {
        Some(Action::Store(StoreAction::Compact))
    }),
    ("store-burst", |keys| {
        keys.table.require("events", "events = 10000");
        let events = keys.table.number("events", 1..=u16::MAX, "")?;
        Some(Action::Store(StoreAction::Burst { events }))
    }),
    ("store-garbage", |keys| {
        let text = keys.table.text("text").map(Spanned::into_inner);
        let node = keys.node();
        Some(Action::Store(StoreAction::Garbage { node, text }))
    }),
    ("store-repair", |_| Some(Action::Store(StoreAction::Repair))),
];

const FABRIC_ACTIONS: &[(&str, Reader)] = &[
    ("set-fabric-mtu", fabric::set_mtu),
    ("swallow-icmp", |_| {
        Some(Action::Fabric(FabricAction::SwallowIcmp))
    }),
    ("answer-icmp", |_| {
        Some(Action::Fabric(FabricAction::AnswerIcmp))
    }),
    ("set-loss", fabric::set_loss),
    ("drop-nth", fabric::drop_nth),
    ("set-rate", fabric::set_rate),
    ("set-delay", fabric::set_delay),
    ("clear-impairments", fabric::clear_impairments),
    ("forget-nat", |keys| {
        let node = keys.target()?;
        Some(Action::Fabric(FabricAction::ForgetNat { node }))
    }),
];

pub(super) fn step(table: &mut Table<'_, '_>) -> Option<Step> {
    table.require("action", "action = \"enable\"");
    let kinds = ActionKind::VARIANTS.iter();
    let words: Vec<_> = kinds.flat_map(|kind| written(*kind)).copied().collect();
    let reader = table.word("action", "action", &words);
    let deadline = table.parsed("deadline", value::millis);
    let settles_within = table.parsed("settles-within", value::budget);
    let outage = table.parsed("outage", value::millis);
    let leaks = table.number("leaks", 0..=u16::MAX, " frames");
    let writes = table.number("writes", 0..=u16::MAX, "");
    let Some(reader) = reader else {
        // Which keys belong here is unknown.
        table.accept_any_key();
        return None;
    };
    let mut places = BTreeMap::from([("action", reader.span())]);
    let more = ["outage", "leaks", "writes"].into_iter();
    places.extend(more.filter_map(|key| Some((key, table.place_of(key)?))));
    places.extend(deadline.as_ref().map(|one| ("deadline", one.span())));
    places.extend(
        settles_within
            .as_ref()
            .map(|one| ("settles-within", one.span())),
    );
    let mut keys = Keys { table, places };
    let action = reader.into_inner()(&mut keys)?;
    Some(Step {
        action,
        deadline: deadline.map(Spanned::into_inner),
        settles_within: settles_within.map(Spanned::into_inner),
        outage: outage.map(Spanned::into_inner),
        leaks,
        writes,
        places: keys.places,
    })
}

fn configure(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    let node = keys.node();
    let set = keys.table.values("set");
    let annotations = keys.table.annotations("annotations");
    let unset = keys.table.texts("unset").map(Spanned::into_inner);
    let unset: BTreeSet<_> = unset
        .into_iter()
        .flatten()
        .map(Spanned::into_inner)
        .collect();
    let parts = ["set", "annotations", "unset"];
    keys.table.refuse_empty(&parts);
    if !parts.iter().any(|key| keys.table.has(key)) {
        keys.table.report(Problem::new(
            "a configuration that changes nothing",
            keys.table.place(),
            "none of `set`, `annotations` and `unset` is here",
            "add `set = { wireguardListeningPort = 51821 }`",
        ));
    }
    Some(Action::Configure(Configuration {
        node,
        set,
        annotations,
        unset,
    }))
}
