//! Each `[[step]]`: its action, and its place in the file.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use strum::VariantArray as _;

use crate::document::{Key, Table, Word};
use crate::plan::{Action, ActionKind, Configuration};
use crate::problem::{Problem, Span};

use super::host::NODE_ADVICE;
use super::keys::{AGENT, Keys, Reader};
use super::{fabric, port, store, tamper, value};

/// `[[step]]`.
#[derive(Debug)]
pub struct Step {
    /// What happens in the step.
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

const ACTION: Key = Key::required("action", "what happens", "action = \"enable\"");

const DEADLINE: Key = Key::optional(
    "deadline",
    "how long the lab waits for it to settle, after which the run ends",
    "`deadline.ready`",
);

const SETTLES_WITHIN: Key = Key::optional(
    "settles-within",
    "a promise: it settles in that time, as the lab sees it. If it does not, the promise is broken, and the run goes on",
    "no promise",
);

const OUTAGE: Key = Key::or(
    "outage",
    "how long it may interrupt a flow that the engine protects",
    "\"5s\"",
);

const LEAKS: Key = Key::optional(
    "leaks",
    "how many frames of protected flows may be readable during it, with nothing excused",
    "none, but for what the step itself breaks",
);

const WRITES: Key = Key::optional(
    "writes",
    "the most kernel writes that the engine may do in it, announced or observed",
    "any number",
);

const CONFIGURED: Key = Key::optional("node", "whose FelixConfiguration", "that of all, `default`");

const SET: Key = Key::optional("set", "fields of its `spec`, with Calico's names", "none");

const ANNOTATIONS: Key = Key::optional("annotations", "its annotations", "none");

const UNSET: Key = Key::optional("unset", "fields or annotations that are removed", "none");

const KEY: Key = Key::optional(
    "key",
    "the node whose key it is",
    "a stranger's: a new one that nobody has the private key of",
);

const TO: Key = Key::required("to", "the node that it goes to", "to = \"NODE\"");

const ADDRESS: Key = Key::required(
    "address",
    "its uplink's address from here on",
    "address = \"10.240.0.99\"",
);

const FOR: Key = Key::required("for", "for how long", "for = \"2s\"");

const MTU: Key = Key::required(
    "mtu",
    "its uplink's MTU from here on; in a cluster with IPv6 at least 1280 bytes (RFC 8200)",
    "mtu = 1400",
);

const METRIC: Key = Key::required(
    "metric",
    "their metric from here on, of which the least is best",
    "metric = 500",
);

const COUNT: Key = Key::required("count", "how many times", "count = 3");

const PROVOKE: Key = Key::required(
    "provoke",
    "the step that makes it write: one that tampers, or one that configures, which is undone each time",
    "provoke = { action = \"tamper\", node = \"NAME\", delete = \"everything\" }",
);

/// What an action is about, as the reference groups them.
fn group(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Enable
        | ActionKind::Disable
        | ActionKind::Configure
        | ActionKind::RotateKey
        | ActionKind::OverwriteKey => "The configuration and keys",
        ActionKind::StopEngine
        | ActionKind::KillEngine
        | ActionKind::StartEngine
        | ActionKind::RestartEngine
        | ActionKind::WaitResyncs
        | ActionKind::CrashEverywhere => "Agents",
        ActionKind::Tamper => "A node's dataplane",
        ActionKind::Store => "The store",
        ActionKind::Fabric | ActionKind::Partition | ActionKind::Heal => "The fabric",
        ActionKind::AddPod | ActionKind::RemovePod | ActionKind::MovePod => "Pods",
        ActionKind::AddNode
        | ActionKind::RemoveNode
        | ActionKind::ReaddressNode
        | ActionKind::RebootNode
        | ActionKind::PauseNode
        | ActionKind::SetMtu
        | ActionKind::SetMetric => "Nodes",
    }
}

/// How an action is written, the reader of its keys, and what happens. Of each kind there is at least one.
fn written(kind: ActionKind) -> &'static [Word<Reader>] {
    match kind {
        ActionKind::Enable => &[(
            "enable",
            |_| Some(Action::Enable),
            "encryption is switched on, by the command of the operator",
        )],
        ActionKind::Disable => &[(
            "disable",
            |_| Some(Action::Disable),
            "encryption is switched off, by the command of the operator",
        )],
        ActionKind::Configure => &[(
            "configure",
            configure,
            "fields of FelixConfiguration change, for all nodes or for one",
        )],
        ActionKind::StopEngine => &[(
            "stop-engine",
            |keys| {
                Some(Action::StopEngine {
                    node: keys.name(AGENT),
                })
            },
            "the agent is asked to end (SIGTERM)",
        )],
        ActionKind::KillEngine => &[(
            "kill-engine",
            |keys| {
                Some(Action::KillEngine {
                    node: keys.name(AGENT),
                })
            },
            "the agent is killed (SIGKILL), and what it made stays",
        )],
        ActionKind::StartEngine => &[(
            "start-engine",
            |keys| {
                Some(Action::StartEngine {
                    node: keys.name(AGENT),
                })
            },
            "the agent is started again",
        )],
        ActionKind::RestartEngine => &[(
            "restart-engine",
            |keys| {
                Some(Action::RestartEngine {
                    node: keys.name(AGENT),
                })
            },
            "the agent is asked to end (SIGTERM), and started again",
        )],
        ActionKind::RotateKey => &[(
            "rotate-key",
            |keys| {
                let node = keys.node()?;
                Some(Action::RotateKey { node })
            },
            "the node gets a new key, by the command of the operator",
        )],
        ActionKind::OverwriteKey => &[(
            "overwrite-key",
            |keys| {
                let (node, key) = (keys.node(), keys.name(KEY));
                Some(Action::OverwriteKey { node: node?, key })
            },
            "somebody publishes another node's key, or a stranger's, as this node's",
        )],
        ActionKind::Tamper => &[(
            "tamper",
            tamper::tamper,
            "somebody changes the dataplane, in one of three ways: `delete`, `sysctl` or `add`",
        )],
        ActionKind::Store => store::ACTIONS,
        ActionKind::Fabric => fabric::ACTIONS,
        ActionKind::AddPod => &[(
            "add-pod",
            |keys| Some(Action::AddPod { pod: keys.pod()? }),
            "a pod starts on its node",
        )],
        ActionKind::RemovePod => &[(
            "remove-pod",
            |keys| Some(Action::RemovePod { pod: keys.pod()? }),
            "a pod is deleted",
        )],
        ActionKind::MovePod => &[(
            "move-pod",
            |keys| {
                let (pod, to) = (keys.pod(), keys.name(TO));
                Some(Action::MovePod { pod: pod?, to: to? })
            },
            "a pod moves to another node, and keeps its address",
        )],
        ActionKind::AddNode => &[(
            "add-node",
            |keys| {
                let node = keys.node()?;
                Some(Action::AddNode { node })
            },
            "a node joins the cluster, with its pods",
        )],
        ActionKind::RemoveNode => &[(
            "remove-node",
            |keys| {
                let node = keys.node()?;
                Some(Action::RemoveNode { node })
            },
            "a node leaves the cluster for good, with its pods",
        )],
        ActionKind::ReaddressNode => &[(
            "readdress-node",
            |keys| {
                let (node, address) = (keys.node(), keys.table.address(ADDRESS, NODE_ADVICE));
                let address = keys.noted(ADDRESS, address);
                Some(Action::ReaddressNode {
                    node: node?,
                    address: address?,
                })
            },
            "its uplink gets another address",
        )],
        ActionKind::RebootNode => &[(
            "reboot-node",
            |keys| {
                let node = keys.node()?;
                Some(Action::RebootNode { node })
            },
            "a node boots again, and loses all that does not survive a boot",
        )],
        ActionKind::PauseNode => &[(
            "pause-node",
            |keys| {
                let (node, length) = (
                    keys.node(),
                    keys.table.parsed(FOR, value::DURATION, value::pause),
                );
                Some(Action::PauseNode {
                    node: node?,
                    millis: length?.into_inner(),
                })
            },
            "every process of a node stands still for that time: its agent and its userspace tunnel",
        )],
        ActionKind::Partition => &[(
            "partition",
            |keys| {
                let node = keys.node()?;
                Some(Action::Partition { node })
            },
            "the fabric drops what is from and to a node",
        )],
        ActionKind::Heal => &[(
            "heal",
            |keys| {
                let node = keys.node()?;
                Some(Action::Heal { node })
            },
            "the fabric stops dropping it",
        )],
        ActionKind::SetMtu => &[(
            "set-mtu",
            |keys| {
                let (node, mtu) = (keys.node(), super::read_mtu(keys.table, MTU));
                Some(Action::SetMtu {
                    node: node?,
                    mtu: mtu?,
                })
            },
            "its uplink gets another MTU",
        )],
        ActionKind::SetMetric => &[(
            "set-metric",
            |keys| {
                let (node, metric) = (keys.node(), keys.table.number(METRIC, 1..=u16::MAX, ""));
                Some(Action::SetMetric {
                    node: node?,
                    metric: metric?.into(),
                })
            },
            "the routes through its uplink get another metric, and lead where they led",
        )],
        ActionKind::WaitResyncs => &[(
            "wait-resyncs",
            |keys| {
                let count = keys.table.number(COUNT, 1..=1000, "")?;
                Some(Action::WaitResyncs { count })
            },
            "every agent compares its dataplane with the kernel so many times",
        )],
        ActionKind::CrashEverywhere => &[(
            "crash-everywhere",
            |keys| {
                let node = keys.node();
                let example = "action = \"tamper\", node = \"NAME\", delete = \"everything\"";
                let provoke = keys
                    .table
                    .table_like(PROVOKE, "a provocation", "[[step]]", example, step)
                    .flatten();
                Some(Action::CrashEverywhere {
                    node: node?,
                    provoke: Box::new(provoke?.action),
                })
            },
            "the agent dies before and after each kernel write of what another step makes it do",
        )],
    }
}

pub(super) fn step(table: &mut Table<'_, '_>) -> Option<Step> {
    let kinds = ActionKind::VARIANTS.iter();
    let words: Vec<_> = kinds.flat_map(|kind| written(*kind)).copied().collect();
    let reader = table.word(ACTION, "action", &words);
    let deadline = table.parsed(DEADLINE, value::DURATION, value::millis);
    let settles_within = table.parsed(SETTLES_WITHIN, value::BUDGET, value::budget);
    let outage = table.parsed(OUTAGE, value::DURATION, value::millis);
    let leaks = table.number(LEAKS, 0..=u16::MAX, "frames");
    let writes = table.number(WRITES, 0..=u16::MAX, "");
    if table.records() {
        record_actions(table);
    }
    let Some(reader) = reader else {
        // Which keys belong here is unknown.
        table.accept_any_key();
        return None;
    };
    let mut places = BTreeMap::from([("action", reader.span())]);
    let more = [
        OUTAGE,
        LEAKS,
        WRITES,
        DEADLINE,
        SETTLES_WITHIN,
        SET,
        UNSET,
        MTU,
        PROVOKE,
    ];
    let more = more.into_iter();
    places.extend(more.filter_map(|key| Some((key.name, table.place_of(key)?))));
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

/// The keys of each action, for the reference.
fn record_actions(table: &mut Table<'_, '_>) {
    for kind in ActionKind::VARIANTS {
        for action @ (_, read, _) in written(*kind) {
            table.record_action(group(*kind), action, |table| {
                let places = BTreeMap::new();
                read(&mut Keys { table, places })
            });
        }
    }
}

fn configure(keys: &mut Keys<'_, '_, '_>) -> Option<Action> {
    let node = keys.name(CONFIGURED);
    let set = keys.table.values(SET, port::FIELD);
    port::refuse_fields(keys.table, SET);
    let annotations = keys.table.annotations(ANNOTATIONS);
    let unset = keys.table.texts(UNSET).map(Spanned::into_inner);
    let unset: BTreeSet<_> = unset
        .into_iter()
        .flatten()
        .map(Spanned::into_inner)
        .collect();
    let parts = [SET, ANNOTATIONS, UNSET];
    keys.table.refuse_empty(&parts);
    if !parts.into_iter().any(|key| keys.table.has(key)) {
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
