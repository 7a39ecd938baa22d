//! Settings for which Felix has no field: annotations of a FelixConfiguration, all below `wiremesh/`.
//!
//! A wrong one is reported, and never leaves plaintext that would be dropped without the mistake.

use std::collections::BTreeSet;

use crate::intent::lists;
use crate::intent::resource::{Configuration, Wrong};
use crate::intent::spelling::{meant, nearest};

use super::{Settings, words};

pub(super) const STRICT: &str = "wiremesh/strict";
pub(super) const PLAIN_NODES: &str = "wiremesh/plain-nodes";
pub(super) const STRICT_NETWORKS: &str = "wiremesh/strict-networks";
pub(crate) const FOREIGN_PEERS: &str = "wiremesh/foreign-peers";
const EXTERNAL_ADDRESSES: &str = "wiremesh/external-addresses";

const KNOWN: &[&str] = &[
    STRICT,
    PLAIN_NODES,
    STRICT_NETWORKS,
    FOREIGN_PEERS,
    EXTERNAL_ADDRESSES,
];

/// What begins so is this engine's.
const PREFIX: &str = "wiremesh/";

impl Settings {
    pub(super) fn read_annotations(
        &mut self,
        configuration: &Configuration,
        wrong: &mut Vec<Wrong>,
    ) {
        let annotation = |name: &str| configuration.annotations.get(name);
        let mut fail = |name: &str, what: String| wrong.push(at(name, what));
        match annotation(STRICT).map(String::as_str) {
            None => {}
            Some("true") => {
                self.strict.get_or_insert_default();
            }
            Some("false") => self.strict = None,
            Some(text) => {
                self.strict.get_or_insert_default();
                let what = "is neither \"true\" nor \"false\", and counts as \"true\"";
                fail(STRICT, format!("holds `{text}`: it {what}"));
            }
        }
        match annotation(EXTERNAL_ADDRESSES).map(String::as_str) {
            None => {}
            Some("true") => self.external_addresses = true,
            Some("false") => self.external_addresses = false,
            Some(text) => {
                let what = "is neither \"true\" nor \"false\"";
                fail(EXTERNAL_ADDRESSES, format!("holds `{text}`: it {what}"));
            }
        }
        if let Some(text) = annotation(PLAIN_NODES) {
            let (names, bad) = lists::names(text);
            for word in bad {
                fail(PLAIN_NODES, format!("holds {word}"));
            }
            if let Some(strict) = &mut self.strict {
                strict.plain_nodes = names;
            }
        }
        if let Some(text) = annotation(STRICT_NETWORKS) {
            let (networks, bad) = lists::networks(text);
            for word in bad {
                fail(STRICT_NETWORKS, format!("holds {word}"));
            }
            if let Some(strict) = &mut self.strict {
                strict.networks.extend(networks);
            }
        }
        if self.strict.is_none() && annotation(STRICT).is_none() {
            let ineffective = [PLAIN_NODES, STRICT_NETWORKS].into_iter();
            for name in ineffective.filter(|name| annotation(name).is_some()) {
                let what = format!("has no effect: `{STRICT}` is not \"true\"");
                fail(name, what);
            }
        }
        for word in annotation(FOREIGN_PEERS).map_or_else(BTreeSet::new, |text| words(text)) {
            match word.parse() {
                Ok(key) => {
                    self.foreign_peers.insert(key);
                }
                Err(error) => fail(FOREIGN_PEERS, format!("holds `{word}`: {error}")),
            }
        }
        let own = configuration.annotations.keys();
        let own = own.filter(|name| name.starts_with(PREFIX));
        for name in own.filter(|name| !KNOWN.contains(&name.as_str())) {
            let help = match meant(name, KNOWN.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known ones are {}", KNOWN.join(", ")),
            };
            fail(name, format!("is unknown: {help}"));
        }
        // What is nobody's by its prefix, and near to one of these.
        let others = configuration.annotations.keys();
        for name in others.filter(|name| !name.starts_with(PREFIX)) {
            if let Some(meant) = meant_annotation(name) {
                fail(name, format!("is unknown: did you mean `{meant}`?"));
            }
        }
    }

    /// Nodes that may be reached in clear, and are none of the cluster's: a slip of the pen exempts no node,
    /// and is reported.
    pub fn unknown_plain_nodes<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Wrong> {
        let listed = &self.strict.as_ref()?.plain_nodes;
        let unknown = listed
            .iter()
            .find(|name| known.clone().all(|node| node != *name))?;
        let help = match nearest(unknown, known) {
            Some(meant) => format!("; did you mean `{meant}`?"),
            None => String::new(),
        };
        let what = format!("holds `{unknown}`, and there is no such Node{help}");
        Some(at(PLAIN_NODES, what))
    }
}

/// The annotation that was meant by a name that is none: in another case, near to one, or without its
/// prefix, as a field's name may be written too (`strictNetworks`).
pub(super) fn meant_annotation(name: &str) -> Option<&'static str> {
    let own = name.rsplit_once('/').map_or(name, |(_, own)| own);
    let bare = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let known = || KNOWN.iter().copied();
    let mut same = known().filter(|known| {
        let prefix = name
            .rsplit_once('/')
            .map_or("wiremesh", |(prefix, _)| prefix);
        let is_ours = prefix.to_lowercase().contains("wiremesh");
        is_ours && bare(&known[PREFIX.len()..]) == bare(own)
    });
    same.next().or_else(|| meant(name, known()))
}

fn at(name: &str, what: String) -> Wrong {
    Wrong::at(&format!("metadata.annotations.{name}"), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_annotation_is_reported_whatever_its_prefix_and_case() {
        for (name, meant) in [
            ("strict", Some(STRICT)),
            ("Strict", Some(STRICT)),
            ("Wiremesh/strict", Some(STRICT)),
            ("wiremesh.io/strict", Some(STRICT)),
            ("plainNodes", Some(PLAIN_NODES)),
            ("strictNetworks", Some(STRICT_NETWORKS)),
            ("wiremsh/strict", Some(STRICT)),
            ("other.io/strict", None),
            ("projectcalico.org/metadata", None),
        ] {
            assert_eq!(meant_annotation(name), meant, "{name}");
        }
    }
}
