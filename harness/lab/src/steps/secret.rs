//! Searches what an engine and the lab have written for the private keys of the nodes' devices.
//!
//! The keys are in this process's memory only: neither the evidence nor a message has one.

/// How a key can be written.
mod pattern;

/// The keys that a node's devices have now, and who can ask for them.
mod device;

/// Texts that can be a key that a device does not show.
mod candidate;

/// Files.
mod file;

/// Command lines and environments.
mod process;

/// Answers of HTTP servers.
mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use aho_corasick::AhoCorasick;
use serde_json::Value;
use wireproof_model::evidence::{Evidence, SecretCopy, SecretEvidence, SecretPlace};
use wireproof_model::name::NodeName;
use wireproof_model::plan::Patience;

use crate::base::artifact::RunDirectory;
use crate::base::error::LabError;
use crate::cluster::store::Store;
use crate::cluster::topology::Topology;
use crate::steps::engine::Engines;
use candidate::{Candidate, Candidates, Found};
use pattern::{Key, patterns};

/// Stands in the evidence for a copy of a key.
const REDACTED: &str = "(private key)";

/// The most that is read of one place, in bytes.
const MAX_READ: u64 = 256 << 20;

/// The private keys that the nodes' devices have had, and the copies of them.
#[derive(Default)]
pub(crate) struct Secrets {
    keys: BTreeMap<Key, BTreeSet<Owner>>,
    /// Searches for all of `keys`; none if a key has been added since.
    search: Option<Search>,
    /// The nodes with a device that did not show its private key.
    silent: BTreeSet<NodeName>,
    /// What such nodes have published so far: by the public key, in base64.
    published: BTreeMap<String, NodeName>,
    /// Texts that can be such a node's private key, and where they are.
    candidates: BTreeMap<Candidate, BTreeSet<Found>>,
    found: SecretEvidence,
}

// Prints no key.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.len();
        f.debug_struct("Secrets")
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

/// A node whose device has a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    node: NodeName,
    preshared: bool,
}

/// One text that is searched for.
struct Pattern {
    owners: BTreeSet<Owner>,
    encoding: &'static str,
}

struct Search {
    automaton: AhoCorasick,
    /// By the automaton's numbers.
    patterns: Vec<Pattern>,
}

/// A place that is searched.
struct Place<'a> {
    kind: SecretPlace,
    name: &'a str,
    mode: Option<u32>,
}

impl Secrets {
    /// Reads the keys that all devices have now, and searches all processes of the nodes for them.
    pub(crate) fn note(
        &mut self,
        topology: &Topology,
        engines: &Engines<'_>,
        store: &Store,
    ) -> Result<(), LabError> {
        for space in &topology.nodes {
            let device::Seen { keys, open, silent } = device::look(space)?;
            if silent {
                self.silent.insert(space.name.clone());
            }
            for (key, preshared) in keys {
                self.add(key, &space.name, preshared);
            }
            for socket in open {
                if !self.found.open_sockets.contains(&socket) {
                    self.found.open_sockets.push(socket);
                }
            }
        }
        if !self.silent.is_empty() {
            let keys = store.published_keys()?.into_iter();
            let keys = keys.chain(store.published_keys6()?);
            let silent = keys.filter(|(node, _)| self.silent.contains(node));
            self.published.extend(silent.map(|(node, key)| (key, node)));
        }
        self.search_processes(engines);
        // A later step may restart a node, whose files are gone then.
        self.search_written(topology, engines)
    }

    /// Searches what the nodes' servers answer. The agents still run.
    pub(crate) fn search_servers(
        &mut self,
        topology: &Topology,
        patience: Patience,
    ) -> Result<(), LabError> {
        for space in &topology.nodes {
            for (name, answer) in http::answers(space, patience)? {
                let place = Place {
                    kind: SecretPlace::Http,
                    name: &name,
                    mode: None,
                };
                self.search(&place, &mut answer.as_slice());
            }
        }
        Ok(())
    }

    /// Searches every file that the engine, the store and the lab have written. The agents have ended.
    pub(crate) fn search_files(
        &mut self,
        topology: &Topology,
        engines: &Engines<'_>,
        store: &Store,
        directory: &RunDirectory,
    ) -> Result<(), LabError> {
        self.search_run_directory(directory);
        self.search_store(store);
        self.search_written(topology, engines)
    }

    /// What has been found, and the evidence without any key.
    ///
    /// # Errors
    /// The evidence has a key where it cannot be replaced.
    pub(crate) fn conclude(mut self, evidence: Evidence) -> Result<Evidence, LabError> {
        let text = serde_json::to_string(&evidence)
            .map_err(|error| LabError::machine("write the evidence", error))?;
        let place = Place {
            kind: SecretPlace::Evidence,
            name: "evidence.json",
            mode: None,
        };
        let before = self.found.copies.len();
        self.search(&place, &mut text.as_bytes());
        self.recognise();
        let evidence = match self.found.copies.len() > before {
            true => self.redact(&text)?,
            false => evidence,
        };
        Ok(Evidence {
            secrets: Some(self.found),
            ..evidence
        })
    }

    fn add(&mut self, key: Key, node: &NodeName, preshared: bool) {
        // A device without a key has one of zeros.
        if key == Key::default() {
            return;
        }
        let owner = Owner {
            node: node.clone(),
            preshared,
        };
        if !self.keys.entry(key).or_default().insert(owner) {
            return;
        }
        self.search = None;
        if !preshared {
            let public = wireguard_control::Key(key).get_public().to_base64();
            let keys = self.found.keys.entry(node.clone()).or_default();
            keys.insert(public);
        }
    }

    /// Notes the copies in what `reader` has, and in the place's name.
    fn search(&mut self, place: &Place<'_>, reader: &mut dyn Read) {
        *self.found.searched.entry(place.kind).or_default() += 1;
        let silent = !self.silent.is_empty();
        if self.keys.is_empty() && !silent {
            return;
        }
        let limited = place.name.as_bytes().chain(reader.take(MAX_READ));
        let mut limited = Candidates::new(limited, silent);
        let (found, mut failed) = match self.built() {
            Some(search) => search.copies(&mut limited),
            None => (BTreeSet::new(), None),
        };
        // The rest of what a search that failed has left, or all.
        if let Err(error) = io::copy(&mut limited, &mut io::sink()) {
            failed = Some(error.to_string());
        }
        let (candidates, limited) = limited.end();
        if limited.into_inner().1.limit() == 0 {
            failed = Some(format!("it is larger than {} MiB", MAX_READ >> 20));
        }
        self.note_candidates(place, candidates);
        let Some(search) = self.built() else {
            if !self.keys.is_empty() {
                self.unsearched("everything", "the search needs more memory than there is");
            }
            return;
        };
        let name = search.redacted(place.name);
        let copies: Vec<_> = found
            .into_iter()
            .filter_map(|number| search.patterns.get(number))
            .flat_map(|pattern| {
                pattern.owners.iter().map(|owner| SecretCopy {
                    owner: owner.node.clone(),
                    preshared: owner.preshared,
                    place: place.kind,
                    name: name.clone(),
                    encoding: pattern.encoding.to_owned(),
                    mode: place.mode,
                })
            })
            .collect();
        for copy in copies {
            if !self.found.copies.contains(&copy) {
                self.found.copies.push(copy);
            }
        }
        if let Some(cause) = failed {
            self.unsearched(&name, &cause);
        }
    }

    fn unsearched(&mut self, name: &str, cause: &str) {
        let line = format!("{name}: {cause}");
        if !self.found.unsearched.contains(&line) {
            self.found.unsearched.push(line);
        }
    }

    /// The search for all keys; none while there is no key, or if it cannot be built.
    fn built(&mut self) -> Option<&Search> {
        if self.search.is_none() && !self.keys.is_empty() {
            let mut all = Vec::new();
            let mut texts = Vec::new();
            for (key, owners) in &self.keys {
                for (encoding, text) in patterns(key) {
                    texts.push(text);
                    all.push(Pattern {
                        owners: owners.clone(),
                        encoding,
                    });
                }
            }
            // It fails for more patterns than memory has room for.
            let automaton = AhoCorasick::new(texts).ok()?;
            self.search = Some(Search {
                automaton,
                patterns: all,
            });
        }
        self.search.as_ref()
    }

    /// The evidence in `text` with [`REDACTED`] for each key.
    fn redact(&mut self, text: &str) -> Result<Evidence, LabError> {
        const DOING: &str = "keep a private key out of the evidence";
        let mut value =
            serde_json::from_str(text).map_err(|error| LabError::machine(DOING, error))?;
        // A copy was found, so there is a search.
        if let Some(search) = self.built() {
            search.redact(&mut value);
        }
        serde_json::from_value(value).map_err(|error| LabError::machine(DOING, error))
    }
}

impl Search {
    /// The numbers of the patterns in what `reader` has, and why it was not read to its end.
    fn copies(&self, reader: &mut dyn Read) -> (BTreeSet<usize>, Option<String>) {
        let mut found = BTreeSet::new();
        for copy in self.automaton.stream_find_iter(reader) {
            match copy {
                Ok(copy) => drop(found.insert(copy.pattern().as_usize())),
                // It would be returned for ever.
                Err(error) => return (found, Some(error.to_string())),
            }
        }
        (found, None)
    }

    /// Replaces each key in the texts of a document.
    fn redact(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.redacted(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.redact(value)),
            Value::Object(fields) => {
                for (name, mut value) in std::mem::take(fields) {
                    self.redact(&mut value);
                    fields.insert(self.redacted(&name), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text with [`REDACTED`] for each key, and for the characters around it that can be its ends.
    fn redacted(&self, text: &str) -> String {
        let is_key = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
        let mut clean = String::with_capacity(text.len());
        let mut rest = 0;
        for found in self.automaton.find_iter(text) {
            // The end of one copy may have taken in the next.
            if found.start() < rest {
                continue;
            }
            let before = text.get(rest..found.start()).unwrap_or_default();
            let after = text.get(found.end()..).unwrap_or_default();
            clean.push_str(before.trim_end_matches(is_key));
            clean.push_str(REDACTED);
            rest = text.len() - after.trim_start_matches(is_key).len();
        }
        clean.push_str(text.get(rest..).unwrap_or_default());
        clean
    }
}

/// A path as a place's name: below a folder whose own place differs from run to run.
fn name_below(folder: &Path, path: &Path) -> String {
    let name = path.strip_prefix(folder).unwrap_or(path);
    name.display().to_string()
}
