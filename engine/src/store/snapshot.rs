//! The store at one moment: its resources, and what cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use wiremesh_plan::intent::resource::{Identity, Resource, Wrong};
use wiremesh_plan::intent::spelling::may_mean;

/// A place in a text: line and column, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What is wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) at: Option<Position>,
    pub(crate) what: String,
}

impl Mistake {
    /// What is wrong with the document of that name, with the place.
    pub(super) fn at(&self, name: &str) -> String {
        let what = &self.what;
        match self.at {
            Some(Position { line, column }) => format!("{name}:{line}:{column}: {what}"),
            None => format!("{name}: {what}"),
        }
    }
}

impl From<String> for Mistake {
    fn from(what: String) -> Self {
        Self { at: None, what }
    }
}

impl From<Wrong> for Mistake {
    fn from(wrong: Wrong) -> Self {
        wrong.to_string().into()
    }
}

/// A document with a mistake: it holds no resource, none that can be used, or one that can be read in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where it is: a file's name, or a key.
    pub(crate) name: String,
    /// Which resource it holds or has held, if that is known.
    pub(crate) identity: Option<Identity>,
    /// What is wrong.
    pub(crate) mistakes: Vec<Mistake>,
    /// Whether nobody knows which labels it has, if it is a Node: they cannot be read, or another document
    /// holds the same Node.
    pub(crate) labels_in_doubt: bool,
}

impl Bad {
    /// What is wrong, a line each, with the place.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.mistakes.iter().map(|mistake| mistake.at(&self.name))
    }
}

/// The store at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// The last good state of each resource.
    pub(crate) resources: BTreeMap<Identity, Resource>,
    /// What could not be read, by its name.
    pub(crate) bad: BTreeMap<String, Bad>,
    /// Names this moment: `dir:` is a hash of the contents, `etcd:` a revision.
    pub(crate) digest: String,
}

impl Snapshot {
    /// What is wrong with its documents, a line each.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.bad.values().flat_map(Bad::lines)
    }

    /// The names of the Nodes of which nothing can be read.
    pub(crate) fn unread_nodes(&self) -> BTreeSet<String> {
        let identities = self.bad.values().filter_map(|bad| bad.identity.as_ref());
        let unread = identities
            .filter(|identity| identity.kind == "Node" && !self.resources.contains_key(*identity));
        unread.map(|identity| identity.name.clone()).collect()
    }

    /// Why it must not be acted upon, if its `datastoreReady` is false: Calico migrates it, and Felix waits too.
    pub(crate) fn unready(&self) -> Option<String> {
        let identity = Identity {
            kind: "ClusterInformation".into(),
            namespace: String::new(),
            name: "default".into(),
        };
        match self.resources.get(&identity) {
            Some(Resource::Information(information)) if !information.ready => Some(format!(
                "{identity}: `spec.datastoreReady` is false: nothing is changed until it is true"
            )),
            _ => None,
        }
    }

    /// What a node cannot know of its configuration: the first document that may be a FelixConfiguration of its
    /// and of which nothing can be read, and the first mistake in one that can be read in part, of which those of
    /// its values are in `wrong`. Which ones are for it is unknown where its labels cannot be read.
    pub(crate) fn doubts(&self, node: &str, wrong: &[(Identity, Wrong)]) -> Doubts {
        let is_known = |name: &str| {
            let mut nodes = self.resources.keys();
            nodes.any(|known| known.kind == "Node" && known.name == name)
        };
        let concerns = |identity: &Identity| {
            let of_node = identity.name.strip_prefix("node.");
            let may_be_own = |name: &str| name == node || !is_known(name) && may_mean(name, node);
            identity.kind == "FelixConfiguration" && of_node.is_none_or(may_be_own)
        };
        let mistaken = wrong.iter().find(|(identity, _)| concerns(identity));
        let mut doubts = Doubts {
            mistake: mistaken.map(|(identity, wrong)| format!("{identity}: {wrong}")),
            unread: None,
        };
        let is_selected = self.resources.keys().any(|identity| {
            let by_name = identity.name == "default" || identity.name.starts_with("node.");
            identity.kind == "FelixConfiguration" && !by_name
        });
        for bad in self.bad.values() {
            let doubt = match &bad.identity {
                None => &mut doubts.unread,
                Some(identity)
                    if is_selected
                        && bad.labels_in_doubt
                        && identity.kind == "Node"
                        && identity.name == node =>
                {
                    &mut doubts.mistake
                }
                Some(identity) if !concerns(identity) => continue,
                Some(identity) if self.resources.contains_key(identity) => &mut doubts.mistake,
                Some(_) => &mut doubts.unread,
            };
            if doubt.is_none() {
                *doubt = bad.lines().next();
            }
        }
        doubts
    }

    /// Why it is unknown whether anything is to be encrypted, if so: there is no FelixConfiguration `default`,
    /// and what cannot be read may be one.
    pub(crate) fn without_configuration(&self) -> Option<String> {
        let identity = Identity {
            kind: "FelixConfiguration".into(),
            namespace: String::new(),
            name: "default".into(),
        };
        let may_be = |bad: &&Bad| bad.identity.as_ref().is_none_or(|bad| *bad == identity);
        let bad = self.bad.values().find(may_be)?;
        let why = bad.lines().next();
        why.filter(|_| !self.resources.contains_key(&identity))
    }
}

/// What is not known of a node's configuration, as a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    /// Nothing can be read of a document that may be one of its FelixConfigurations.
    pub(crate) unread: Option<String>,
    /// One of its FelixConfigurations has a mistake.
    pub(crate) mistake: Option<String>,
}

impl Doubts {
    /// Why what is in force must stay. A mistake counts where the node drops what is not encrypted: the field that is
    /// wrong may be the one that asks for it.
    pub(crate) fn forbid_lifting(&self, is_strict: bool) -> Option<&String> {
        let mistake = self.mistake.as_ref().filter(|_| is_strict);
        self.unread.as_ref().or(mistake)
    }
}
