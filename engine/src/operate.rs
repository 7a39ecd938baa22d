//! What the operator's commands write into the store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::family::{Family, PerFamily};
use crate::lists::{self, WrongWord};
use crate::publication::{member, node_identity};
use crate::resource::{Identity, ROTATE_KEY, Resource};
use crate::spelling::nearest;
use crate::store::{Snapshot, Store, StoreError};

/// What `enable` is asked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Wishes {
    /// Whether the nodes' own traffic is encrypted too; left as it is if not given
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    host_encryption: Option<bool>,
    /// Encrypt or drop: let nothing pass in clear that should be encrypted; left as it is if not given
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    strict: Option<bool>,
    /// With --strict: nodes that may be spoken to in clear; left as they are if not given
    #[arg(long, value_name = "NODE,…", requires = "strict", value_parser = names)]
    plain_nodes: Option<String>,
    /// With --strict: networks that are protected although no resource names their addresses
    #[arg(long, value_name = "CIDR,…", requires = "strict", value_parser = networks)]
    networks: Option<String>,
}

/// Why nothing was stated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnableError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The argument names a node that the store has not.
    #[error("invalid value '{value}' for '--plain-nodes <NODE,…>': {}", lines(.wrong))]
    UnknownNodes {
        value: String,
        wrong: Vec<WrongWord>,
    },
}

fn names(text: &str) -> Result<String, String> {
    let (_, wrong) = lists::names(text);
    checked(text, &wrong)
}

fn networks(text: &str) -> Result<String, String> {
    let (_, wrong) = lists::networks(text);
    checked(text, &wrong)
}

fn checked(text: &str, wrong: &[WrongWord]) -> Result<String, String> {
    match wrong {
        [] => Ok(text.to_owned()),
        wrong => Err(lines(wrong)),
    }
}

fn lines(wrong: &[WrongWord]) -> String {
    let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

/// States that every node shall encrypt, in the families in which the nodes have
/// addresses. Says whether the store was written.
///
/// # Errors
/// The store cannot be read or written, or has not one of the nodes that the wishes name.
pub(crate) async fn enable(store: &Store, wishes: &Wishes) -> Result<bool, EnableError> {
    let snapshot = store.read().await?;
    if let Some(value) = &wishes.plain_nodes {
        let wrong = unknown_nodes(value, &snapshot);
        if !wrong.is_empty() {
            let value = value.clone();
            return Err(EnableError::UnknownNodes { value, wrong });
        }
    }
    let families = families(&snapshot);
    let written = configure(store, |configuration| {
        let spec = member(configuration, "spec");
        // Where no node is known yet, IPv4 is meant.
        spec["wireguardEnabled"] = json!(families.v4 || !families.v6);
        if families.v6 {
            spec["wireguardEnabledV6"] = json!(true);
        }
        if let Some(on) = wishes.host_encryption {
            spec["wireguardHostEncryptionEnabled"] = json!(on);
        }
        let strict = wishes.strict.map(|on| on.to_string());
        let wished = [
            ("wiremesh/strict", strict.as_ref()),
            ("wiremesh/plain-nodes", wishes.plain_nodes.as_ref()),
            ("wiremesh/strict-networks", wishes.networks.as_ref()),
        ];
        for (name, value) in wished {
            if let Some(value) = value {
                let annotations = member(member(configuration, "metadata"), "annotations");
                annotations[name] = json!(value);
            }
        }
    })
    .await?;
    Ok(written)
}

/// How many nodes are named where none is near to what was written.
const LISTED: usize = 8;

/// The names that are no Node's. A Node that cannot be read is one all the same.
fn unknown_nodes(value: &str, snapshot: &Snapshot) -> Vec<WrongWord> {
    let bad = snapshot
        .bad
        .values()
        .filter_map(|bad| bad.identity.as_ref());
    let identities = snapshot.resources.keys().chain(bad);
    let nodes = identities.filter(|identity| identity.kind == "Node");
    let nodes: BTreeSet<_> = nodes.map(|identity| identity.name.as_str()).collect();
    let help = |word: &str| match (nearest(word, nodes.iter().copied()), nodes.len()) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, 0) => "it has none yet".into(),
        (None, known) => {
            let listed: Vec<_> = nodes.iter().copied().take(LISTED).collect();
            let more = match known.saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("it has {}{more}", listed.join(", "))
        }
    };
    let words = lists::words(value).into_iter();
    let unknown = words.filter(|(_, word)| !nodes.contains(word));
    unknown
        .map(|(at, word)| WrongWord {
            at,
            word: word.to_owned(),
            what: format!("is no Node of the store: {}", help(word)),
        })
        .collect()
}

/// States that no node shall encrypt. Says whether the store was written.
pub(crate) async fn disable(store: &Store) -> Result<bool, StoreError> {
    configure(store, |configuration| {
        let spec = member(configuration, "spec");
        spec["wireguardEnabled"] = json!(false);
        if spec.get("wireguardEnabledV6").is_some() {
            spec["wireguardEnabledV6"] = json!(false);
        }
    })
    .await
}

/// Asks a node for a new key. Every request is another one than the last.
pub(crate) async fn rotate_key(store: &Store, node: &str) -> Result<bool, StoreError> {
    store
        .edit(&node_identity(node), None, |node| {
            let annotations = member(member(node, "metadata"), "annotations");
            let last = annotations[ROTATE_KEY].as_str().unwrap_or_default();
            let next = last.parse::<u64>().map_or(1, |last| last.wrapping_add(1));
            annotations[ROTATE_KEY] = json!(next.to_string());
        })
        .await
}

/// Edits the FelixConfiguration `default`, which is made if it is not there.
async fn configure(store: &Store, edit: impl FnMut(&mut Value)) -> Result<bool, StoreError> {
    let identity = Identity {
        kind: "FelixConfiguration".into(),
        namespace: String::new(),
        name: "default".into(),
    };
    let fresh = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": {},
    });
    store.edit(&identity, Some(fresh), edit).await
}

/// The families in which any node has an address.
fn families(snapshot: &Snapshot) -> PerFamily<bool> {
    let nodes: BTreeMap<_, _> = snapshot
        .resources
        .iter()
        .filter_map(|(identity, resource)| match resource {
            Resource::Node(node) => Some((identity, node)),
            _ => None,
        })
        .collect();
    PerFamily::each(|family: Family| nodes.values().any(|node| node.endpoint[family].is_some()))
}
