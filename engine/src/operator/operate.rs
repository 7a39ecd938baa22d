//! The operator's commands that write to the store: enable, disable, rotate-key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wiremesh_plan::intent::family::{Family, PerFamily};
use wiremesh_plan::intent::lists::{self, WrongWord};
use wiremesh_plan::intent::resource::{Resource, Wrong};
use wiremesh_plan::intent::settings::Settings;
use wiremesh_plan::intent::spelling::meant;
use wiremesh_plan::intent::statement::{List, Statement};
use wiremesh_plan::intent::text::line;

use crate::store::{Snapshot, Stated, Store, StoreError};

/// What `enable` is asked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EnableOptions {
    /// Whether the nodes' own traffic is encrypted too; left as it is if not given
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    host_encryption: Option<bool>,
    /// Encrypt or drop: let nothing pass in clear that should be encrypted; left as it is if not given
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    strict: Option<bool>,
    /// With --strict: nodes that may be spoken to in clear, or `none`; left as they are if not given
    #[arg(long, value_name = "NODE,…", requires = "strict", value_parser = names)]
    plain_nodes: Option<String>,
    /// With --strict: networks that are protected although no resource names their addresses, or
    /// `none`; left as they are if not given
    #[arg(long, value_name = "CIDR,…", requires = "strict", value_parser = networks)]
    networks: Option<String>,
}

/// What takes a list away.
const NONE: &str = "none";

/// Why nothing was stated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The argument names nodes that the store has not.
    #[error("invalid value '{value}' for '--plain-nodes <NODE,…>': {}", lines(.wrong))]
    UnknownNodes {
        value: String,
        wrong: Vec<WrongWord>,
    },
    /// The argument names a node that the store has not.
    #[error("invalid value '{node}' for '--node <NAME>': the store has no such Node: {help}")]
    UnknownNode { node: String, help: String },
    /// What is asked for together makes no sense.
    #[error("'{0}' needs strict mode, and '--strict false' switches it off")]
    NotStrict(&'static str),
}

impl OperateError {
    /// Whether the command's arguments are to blame.
    pub(crate) fn is_of_arguments(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}

fn names(text: &str) -> Result<String, String> {
    let (_, wrong) = lists::names(text);
    checked(text, &wrong, "names of nodes")
}

fn networks(text: &str) -> Result<String, String> {
    if text.trim() == NONE {
        return Ok(NONE.into());
    }
    let (_, wrong) = lists::networks(text);
    checked(text, &wrong, "networks")
}

fn checked(text: &str, wrong: &[WrongWord], what: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!(
            "it is empty: give {what}, or `{NONE}` to take away what was given before"
        ));
    }
    match wrong {
        [] => Ok(text.trim().to_owned()),
        wrong => Err(lines(wrong)),
    }
}

fn lines(wrong: &[WrongWord]) -> String {
    let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

/// What the cluster does from now on, for people.
impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_settings(f)?;
        if !self.mistakes.is_empty() {
            f.write_str(
                "\nThe FelixConfiguration `default` has mistakes. Until they are corrected, a node on which strict \
                 mode is in force switches nothing off:",
            )?;
        }
        for Wrong { field, what } in &self.mistakes {
            write!(f, "\n  {}", line(&format!("`{field}` {what}")))?;
        }
        Ok(())
    }
}

impl Stated {
    fn write_settings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            tunnel,
            host_encryption,
            strict,
            ..
        } = &self.settings;
        let on = |on: bool| if on { "on" } else { "off" };
        let already = if self.written { "" } else { " already" };
        let enabled = tunnel.v4.enabled || tunnel.v6.enabled;
        write!(f, "encryption is {}{already}", on(enabled))?;
        if !enabled {
            return match strict {
                None => Ok(()),
                Some(_) => f.write_str(
                    "; strict mode stays asked for, and has no effect: everything goes in clear until \
                     encryption is on again",
                ),
            };
        }
        let (hosts, is_strict) = (on(*host_encryption), on(strict.is_some()));
        write!(
            f,
            "; host encryption is {hosts}, strict mode is {is_strict}"
        )?;
        let Some(strict) = strict else {
            return Ok(());
        };
        if !strict.plain_nodes.is_empty() {
            let nodes: Vec<_> = strict.plain_nodes.iter().map(String::as_str).collect();
            write!(f, ", but for {}", nodes.join(", "))?;
        }
        if !strict.networks.is_empty() {
            let networks = strict.networks.iter().map(ToString::to_string);
            let networks: Vec<_> = networks.collect();
            write!(f, ", also in {}", networks.join(", "))?;
        }
        Ok(())
    }
}

/// States that every node shall encrypt, in the families in which the nodes have addresses.
///
/// # Errors
/// The store cannot be read or written, has not one of the nodes that the options name, or the options
/// contradict each other.
pub(crate) async fn enable(store: &Store, options: &EnableOptions) -> Result<Stated, OperateError> {
    let lists = [
        ("--plain-nodes", &options.plain_nodes),
        ("--networks", &options.networks),
    ];
    let is_given = |list: &Option<String>| list.as_ref().is_some_and(|text| text != NONE);
    let without_effect = lists.into_iter().find(|(_, list)| is_given(list));
    if let (Some(false), Some((name, _))) = (options.strict, without_effect) {
        return Err(OperateError::NotStrict(name));
    }
    let snapshot = store.read().await?;
    let named = options.plain_nodes.as_ref().filter(|text| *text != NONE);
    if let Some(value) = named {
        let wrong = unknown_nodes(value, &snapshot);
        if !wrong.is_empty() {
            let value = value.clone();
            return Err(OperateError::UnknownNodes { value, wrong });
        }
    }
    let mut families = families(&snapshot);
    let named = options.networks.as_deref().filter(|text| *text != NONE);
    for network in named
        .map(lists::networks)
        .into_iter()
        .flat_map(|(all, _)| all)
    {
        // A network that is to be protected is protected in its family, whether a node is there or not.
        match Family::of(network.addr()) {
            Family::V4 => families.v4 = true,
            Family::V6 => families.v6 = true,
        }
    }
    let statement = Statement::Enable {
        families,
        host_encryption: options.host_encryption,
        strict: options.strict,
        plain_nodes: list(options.plain_nodes.as_deref()),
        networks: list(options.networks.as_deref()),
    };
    Ok(store.state(&statement).await?)
}

/// The list of an option's value.
fn list(option: Option<&str>) -> List {
    match option {
        None => List::Unstated,
        Some(NONE) => List::Nothing,
        Some(elements) => List::These(elements.to_owned()),
    }
}

/// How many nodes are named where none is near to what was written.
const MAX_LISTED: usize = 8;

/// The names of all Nodes. One that cannot be read is one all the same.
fn known_nodes(snapshot: &Snapshot) -> BTreeSet<&str> {
    let bad = snapshot
        .bad
        .values()
        .filter_map(|bad| bad.identity.as_ref());
    let identities = snapshot.resources.keys().chain(bad);
    let nodes = identities.filter(|identity| identity.kind == "Node");
    nodes.map(|identity| identity.name.as_str()).collect()
}

/// Which Node was meant by a name of none, or which there are.
pub(crate) fn help_for_node(word: &str, snapshot: &Snapshot) -> String {
    let nodes = known_nodes(snapshot);
    if nodes.contains(word) {
        return "it cannot be read".into();
    }
    match (meant(word, nodes.iter().copied()), nodes.len()) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, 0) => "it has none yet".into(),
        (None, known) => {
            let listed: Vec<_> = nodes.iter().copied().take(MAX_LISTED).collect();
            let more = match known.saturating_sub(MAX_LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("it has {}{more}", listed.join(", "))
        }
    }
}

/// The names that are no Node's.
fn unknown_nodes(value: &str, snapshot: &Snapshot) -> Vec<WrongWord> {
    let nodes = known_nodes(snapshot);
    let words = lists::words(value).into_iter();
    let unknown = words.filter(|(_, word)| !nodes.contains(word));
    unknown
        .map(|(at, word)| WrongWord {
            at,
            word: word.to_owned(),
            what: format!("is no Node of the store: {}", help_for_node(word, snapshot)),
        })
        .collect()
}

/// States that no node shall encrypt.
///
/// # Errors
/// The store cannot be read or written.
pub(crate) async fn disable(store: &Store) -> Result<Stated, OperateError> {
    Ok(store.state(&Statement::Disable).await?)
}

/// Asks a node for a new key. Every request is another one than the last.
pub(crate) async fn rotate_key(store: &Store, node: &str) -> Result<bool, OperateError> {
    let edited = store.request_rotation(node).await;
    match edited {
        Err(StoreError::Missing { .. }) => Err(OperateError::UnknownNode {
            node: node.to_owned(),
            help: help_for_node(node, &store.read().await?),
        }),
        edited => Ok(edited?),
    }
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
