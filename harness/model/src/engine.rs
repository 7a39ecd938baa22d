//! The descriptor of an engine under test.
//!
//! A descriptor is all that the harness knows about an engine: command lines, and
//! how it shows that it is ready.

/// An engine's claims about its own conduct: `[conduct]` of its descriptor.
mod conduct;

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Spanned;

use crate::document::{self, Key, Table, TableGrammar, Word, shown};
use crate::name::NodeName;
use crate::plan::{Action, Conduct, OperatorCommand};
use crate::problem::{Problem, Problems, known_words};

const WAYS: &[Word<Ready>] = &[
    (
        "notify",
        Ready::Notify,
        "each agent says so through `NOTIFY_SOCKET` (sd_notify), with `X_WIREMESH_APPLIED`",
    ),
    (
        "peers",
        Ready::Peers,
        "every node's device has a peer for each published key, and there is an `ip rule` with an fwmark",
    ),
    ("none", Ready::None, "they are at once"),
];

const TITLE: Key = Key::required("title", "what the engine is", "title = \"what it is\"");

const AGENT: Key = Key::optional(
    "agent",
    "the command that runs on every node for as long as the cluster does",
    "no agent",
);

const TEST_AGENT: Key = Key::optional(
    "test-agent",
    "the same for an agent that is asked for a fault, or to die at some point",
    "`agent`",
);

const ENABLE: Key = Key::optional(
    "enable",
    "the operator's command that switches encryption on",
    "none: scenarios with this step do not run",
);

const DISABLE: Key = Key::optional(
    "disable",
    "the operator's command that switches encryption off",
    "none: scenarios with this step do not run",
);

const ROTATE_KEY: Key = Key::optional(
    "rotate-key",
    "the operator's command for a new key of `{node}`",
    "none: scenarios with this step do not run",
);

const BOOT: Key = Key::optional(
    "boot",
    "what a node runs when it boots, before it has a network",
    "nothing",
);

const FAULT: Key = Key::optional(
    "fault",
    "arguments behind the agent's command where a fault is asked for: `[\"--fault\", \"{fault}\"]`",
    "no faults",
);

const WIREGUARD: Key = Key::optional(
    "wireguard",
    "arguments behind the agent's command where a WireGuard is asked for: `[\"--backend\", \"{wireguard}\"]`",
    "the engine chooses",
);

const READY: Key = Key::required(
    "ready",
    "how the lab knows that its agents are in sync with the store",
    "ready = \"notify\"",
);

const THROWS: Key = Key::or(
    "throws",
    "whether it keeps every plaintext destination out of its tunnel by a throw route, as Felix does; it is held to that, from the nodes' tables",
    "false",
);

const CALICO_VALUES: Key = Key::or(
    "calico-values",
    "whether its devices, rules and peers have Calico's values (see [promises](#promises)); it is held to them at the \
     end of a run",
    "false",
);

const CONDUCT: Key = Key::table(
    "conduct",
    "how the engine behaves besides its work; what is not here is not judged",
);

const WRITABLE: Key = Key::optional(
    "writable",
    "absolute paths of files and folders of the host that its commands write, and that are kept after the run",
    "none",
);

const CONTAINED: Key = Key::or(
    "contained",
    "whether its commands have the files, kernel parameters and privileges of their node only; if not, it runs in virtual machines only",
    "true",
);

const ENV: Key = Key::table(
    "env",
    "variables of the environment of its commands, which is empty otherwise but for `PATH` and `STATE_DIRECTORY`",
)
.more("Keys are the names of variables (letters, digits and `_`), values are texts.");

/// What a command's words may hold for the harness to fill in.
const PLACEHOLDERS: &[&str] = &["{node}", "{store}", "{fault}", "{wireguard}"];

/// An engine: `fixtures/engines/NAME.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is, in one line.
    pub title: String,
    /// The command that runs on every node for as long as the cluster does.
    pub agent: Option<Vec<String>>,
    /// The same with faults and crash points, for what judges the harness and the recovery.
    pub test_agent: Option<Vec<String>>,
    /// The operator's command that switches encryption on, run once on one node.
    pub enable: Option<Vec<String>>,
    /// The operator's command that switches encryption off, run once on one node.
    pub disable: Option<Vec<String>>,
    /// The operator's command that replaces a node's key, run once on that node.
    pub rotate_key: Option<Vec<String>>,
    /// What a node runs when it boots, before it has a network.
    pub boot: Option<Vec<String>>,
    /// What its agent's command has behind it where a fault is asked for.
    pub fault: Option<Vec<String>>,
    /// What its agent's command has behind it where a WireGuard is asked for.
    pub wireguard: Option<Vec<String>>,
    /// How its agents show that they are in sync with the store.
    pub ready: Ready,
    /// Whether it claims to keep plaintext destinations out of its tunnel by throw routes, as
    /// Felix does. What it claims it is held to; of other engines only packets count.
    pub throws: bool,
    /// Whether its dataplanes have Calico's values.
    pub calico_values: bool,
    /// What it claims of its own conduct.
    pub conduct: Conduct,
    /// Files and folders of the host that its commands write and keep. Whatever else they write is
    /// gone with the node.
    pub writable: Vec<PathBuf>,
    /// Whether its commands have files, kernel parameters and privileges of their node only. One that
    /// does not is run where the kernel ends with the run, in a virtual machine.
    pub contained: bool,
    /// Environment of every command, besides the harness's own.
    pub env: BTreeMap<String, String>,
}

/// When an engine is in sync with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ready {
    /// Each agent reports it: `READY=1` of sd_notify(3), and `X_WIREMESH_APPLIED` with the digest of the store
    /// as it applied it.
    Notify,
    /// Each node's WireGuard device has a peer for each published key, and a rule with a mark exists.
    Peers,
    /// At once: there is nothing to wait for.
    None,
}

impl Descriptor {
    /// Reads a descriptor. `file` is its name as the user gave it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        document::read(file, text, "an engine", descriptor)
    }

    /// Every table that a descriptor may have, with its keys.
    pub fn grammar() -> Vec<TableGrammar> {
        document::record("what stands before the first table", descriptor)
    }

    /// The command of an agent that is asked for a fault, or to die at some point: where there is none
    /// of its own, every agent's.
    pub fn asked_agent(&self) -> Option<&Vec<String>> {
        self.test_agent.as_ref().or(self.agent.as_ref())
    }

    /// Whether there is a command for what the operator does in a step.
    pub fn supports(&self, action: &Action) -> bool {
        let words = match action.change().command() {
            None => return true,
            Some(OperatorCommand::Agent) => &self.agent,
            // Where there is none of its own, every agent's is asked to die.
            Some(OperatorCommand::TestAgent) => return true,
            Some(OperatorCommand::Enable) => &self.enable,
            Some(OperatorCommand::Disable) => &self.disable,
            Some(OperatorCommand::RotateKey) => &self.rotate_key,
        };
        words.is_some()
    }
}

/// A command's words with every placeholder filled in: `{store}`, which is `dir:PATH` or
/// `etcd:URL`, and `{node}` where there is one.
pub fn expand(words: &[String], node: Option<&NodeName>, store: &str) -> Vec<String> {
    words
        .iter()
        .map(|word| {
            // The node first: a store's argument may hold anything, a node's name has no braces.
            let word = match node {
                Some(node) => word.replace("{node}", node.as_str()),
                None => word.clone(),
            };
            word.replace("{store}", store)
        })
        .collect()
}

fn descriptor(table: &mut Table<'_, '_>) -> Descriptor {
    let title = table.text(TITLE);
    let agent = command(table, AGENT);
    let test_agent = command(table, TEST_AGENT);
    let enable = command(table, ENABLE);
    let disable = command(table, DISABLE);
    let rotate_key = command(table, ROTATE_KEY);
    let boot = command(table, BOOT);
    let fault = command(table, FAULT);
    let wireguard = command(table, WIREGUARD);
    let ready = table.word(READY, "`ready` value", WAYS);
    if let Some(way) = &ready
        && *way.get_ref() != Ready::None
        && !table.has(AGENT)
    {
        table.report(Problem::new(
            "`ready` needs `agent`",
            way.span(),
            "there is no `agent` to wait for",
            "add the agent's command, or write `ready = \"none\"`",
        ));
    }
    let throws = table.flag(THROWS).unwrap_or_default();
    let calico_values = table.flag(CALICO_VALUES).unwrap_or_default();
    let conduct = table
        .table(CONDUCT, "the conduct", conduct::conduct)
        .unwrap_or_default();
    if conduct.is_judged() && !table.has(AGENT) {
        table.report(Problem::new(
            "`[conduct]` needs `agent`",
            table.place(),
            "there is no `agent` to be judged",
            "add the agent's command, or leave `[conduct]` out",
        ));
    }
    let writable = writable(table);
    let contained = table.flag(CONTAINED).unwrap_or(true);
    let env = table
        .table(ENV, "the environment", environment)
        .unwrap_or_default();
    Descriptor {
        title: title.map(Spanned::into_inner).unwrap_or_default(),
        agent,
        test_agent,
        enable,
        disable,
        rotate_key,
        boot,
        fault,
        wireguard,
        // Without it there is a problem, and this descriptor reaches nobody.
        ready: ready.map_or(Ready::None, Spanned::into_inner),
        throws,
        calico_values,
        conduct,
        writable,
        contained,
        env,
    }
}

fn command(table: &mut Table<'_, '_>, key: Key) -> Option<Vec<String>> {
    if let Some(text) = table.text_for_a_list(key) {
        table.report(one_text(key.name, &text));
        return Some(Vec::new());
    }
    let words = table.texts(key)?;
    if words.get_ref().is_empty() {
        table.report(Problem::new(
            format!("`{}` is empty", key.name),
            words.span(),
            "a command has at least a program",
            format!(
                "write `{} = [\"PROGRAM\", \"ARGUMENT\"]`, or leave it out",
                key.name
            ),
        ));
    }
    for word in words.get_ref() {
        for unknown in placeholders(word.get_ref()).filter(|found| !PLACEHOLDERS.contains(found)) {
            table.report(Problem::new(
                format!("unknown placeholder `{}`", shown(unknown)),
                word.span(),
                "nothing to put here",
                known_words("placeholder", unknown, PLACEHOLDERS),
            ));
        }
    }
    Some(
        words
            .into_inner()
            .into_iter()
            .map(Spanned::into_inner)
            .collect(),
    )
}

/// A command as one text, as shells have it: nothing here takes it apart.
fn one_text(key: &str, text: &Spanned<String>) -> Problem {
    let quoted = text.get_ref().contains(['"', '\'', '\\', '$', '`']);
    let words = text.get_ref().split_whitespace();
    let words: Vec<_> = words.map(|word| format!("\"{}\"", shown(word))).collect();
    let help = match quoted || words.is_empty() {
        true => format!(
            "write `{key} = [\"PROGRAM\", \"ARGUMENT\"]`; where a shell is needed, `[\"sh\", \"-c\", \"..\"]`"
        ),
        false => format!("write `{key} = [{}]`", words.join(", ")),
    };
    Problem::new(
        format!("`{key}` must be a list of words"),
        text.span(),
        "this is one text",
        help,
    )
}

/// Absolute paths, none of which is the kernel's or everything.
fn writable(table: &mut Table<'_, '_>) -> Vec<PathBuf> {
    let paths = table.texts(WRITABLE).map(Spanned::into_inner);
    let mut writable = Vec::new();
    for path in paths.unwrap_or_default() {
        let wrong = match path.get_ref().as_str() {
            text if !text.starts_with('/') => Some("not an absolute path"),
            text if text.split('/').any(|part| part == "..") => Some("it leads upwards"),
            text if text.trim_matches('/').is_empty() => Some("this is every file of the host"),
            text if ["proc", "sys", "dev"]
                .contains(&text.split('/').find(|p| !p.is_empty()).unwrap_or_default()) =>
            {
                Some("the kernel's files are each node's own")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            table.report(Problem::new(
                format!("`{}` cannot be kept writable", shown(path.get_ref())),
                path.span(),
                wrong,
                "write `writable = [\"/var/lib/ENGINE\"]`: what is to be kept after the run",
            ));
        }
        writable.push(path.into_inner().into());
    }
    writable
}

/// Whatever looks like a placeholder: lower-case letters in braces. Other braces are text.
fn placeholders(word: &str) -> impl Iterator<Item = &str> {
    word.match_indices('{').filter_map(move |(start, _)| {
        let rest = word.get(start..)?;
        let found = rest.get(..=rest.find('}')?)?;
        let name = found.trim_matches(['{', '}']);
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase());
        is_name.then_some(found)
    })
}

fn environment(table: &mut Table<'_, '_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in table.free_texts() {
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.get_ref().is_empty() || !name.get_ref().chars().all(in_name) {
            table.report(Problem::new(
                format!(
                    "`{}` cannot be the name of a variable",
                    shown(name.get_ref())
                ),
                name.span(),
                "only letters, digits and `_`",
                "write `NAME = \"value\"`",
            ));
        }
        variables.insert(name.into_inner(), value.into_inner());
    }
    variables
}

#[cfg(test)]
mod tests;
