//! What a store holds, kept one document at a time: the last good state of each
//! resource, and what is wrong with the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::hooks::Hooks;
use crate::resource::{self, Identity, Resource};

/// A document that holds no resource, or not one that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where it is: a file's name, or a key.
    pub(crate) name: String,
    /// Which resource it holds or has held, if that is known.
    pub(crate) identity: Option<Identity>,
    /// What is wrong.
    pub(crate) what: String,
}

/// The store at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// The last good state of each resource.
    pub(crate) resources: BTreeMap<Identity, Resource>,
    /// What could not be read, by its name.
    pub(crate) bad: BTreeMap<String, Bad>,
    /// Names this moment: `dir:` tells contents apart, `etcd:` counts revisions.
    pub(crate) digest: String,
}

impl Snapshot {
    /// Why it must not be acted upon, if it says so itself: Calico migrates it, and Felix waits too.
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

    /// Why nobody can tell whether anything is to be encrypted, if so: there is no FelixConfiguration
    /// `default`, and what cannot be read may be one.
    pub(crate) fn without_configuration(&self) -> Option<String> {
        let identity = Identity {
            kind: "FelixConfiguration".into(),
            namespace: String::new(),
            name: "default".into(),
        };
        let may_be = |bad: &&Bad| bad.identity.as_ref().is_none_or(|bad| *bad == identity);
        let bad = self.bad.values().find(may_be)?;
        (!self.resources.contains_key(&identity)).then(|| format!("{}: {}", bad.name, bad.what))
    }
}

/// What one document holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A resource.
    Good(Identity, Resource),
    /// None that can be used, and why.
    Bad(Option<Identity>, String),
}

impl Content {
    /// What `value` holds.
    pub(super) fn read(value: &Value) -> Self {
        match resource::read(value) {
            Ok((identity, resource)) => Self::Good(identity, resource),
            Err(wrong) => Self::Bad(identity_of(value), wrong.to_string()),
        }
    }

    /// Whether it is none that can be used.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad(..))
    }

    /// Which resource it is, or would be.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Good(identity, _) => Some(identity),
            Self::Bad(identity, _) => identity.as_ref(),
        }
    }
}

/// What a file holds: the resources by their names in messages, or why nothing of it can be read.
pub(super) type Contents = Result<Vec<(String, Content)>, String>;

/// Documents by name, and the snapshot that they add up to.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    snapshot: Snapshot,
    documents: BTreeMap<String, Content>,
    /// The documents of each file that holds several, or holds them in a list.
    files: BTreeMap<String, BTreeSet<String>>,
    /// Which documents hold a resource, good or bad.
    holders: BTreeMap<Identity, BTreeSet<String>>,
    /// Documents that say not even which resource they hold: it may be any of them.
    unreadable: BTreeSet<String>,
    /// Resources that stay though no document holds a good one.
    kept: BTreeSet<Identity>,
    hooks: Hooks,
}

impl Catalogue {
    /// An empty one.
    pub(super) fn new(hooks: &Hooks) -> Self {
        Self {
            hooks: hooks.clone(),
            ..Self::default()
        }
    }

    /// What all documents add up to.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same, for good.
    pub(super) fn into_snapshot(self) -> Snapshot {
        self.snapshot
    }

    /// Names the moment.
    pub(super) fn set_digest(&mut self, digest: String) {
        self.snapshot.digest = digest;
    }

    /// The documents' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.documents.keys()
    }

    /// Takes away what goes with a store that cannot be reached: nothing, unless a test asks for it.
    /// Says which resources that has changed.
    pub(super) fn lose_store(&mut self) -> BTreeSet<Identity> {
        let goes = |content: &Content| {
            let identity = content.identity();
            identity.is_some_and(|identity| self.hooks.goes_with_store(identity))
        };
        let documents = self.documents.iter();
        let gone = documents.filter(|(_, content)| goes(content));
        let gone: Vec<_> = gone.map(|(name, _)| name.clone()).collect();
        gone.iter().flat_map(|name| self.put(name, None)).collect()
    }

    /// Puts all of a file in the place of what it held. Of one that cannot be read all documents stay
    /// as they were. Says which resources that has changed.
    pub(super) fn put_file(&mut self, file: &str, contents: Contents) -> BTreeSet<Identity> {
        let mut changed = BTreeSet::new();
        let contents = match contents {
            Ok(contents) => contents,
            Err(what) => return self.put(file, Some(Content::Bad(None, what))),
        };
        let names: BTreeSet<_> = contents.iter().map(|(name, _)| name.clone()).collect();
        let before = self.files.remove(file).unwrap_or_default();
        for (name, content) in contents {
            changed.extend(self.put(&name, Some(content)));
        }
        // Only now: what has another place in the file is not gone.
        let plain = (!names.contains(file)).then(|| file.to_owned());
        let gone: Vec<_> = before.difference(&names).cloned().chain(plain).collect();
        for name in gone {
            changed.extend(self.put(&name, None));
        }
        if names.iter().any(|name| name != file) {
            self.files.insert(file.to_owned(), names);
        }
        changed
    }

    /// A file is gone, with all that it held.
    pub(super) fn remove_file(&mut self, file: &str) -> BTreeSet<Identity> {
        let names = self.files.remove(file).unwrap_or_default();
        let names = names.into_iter().chain([file.to_owned()]);
        let names: Vec<_> = names.collect();
        names.iter().flat_map(|name| self.put(name, None)).collect()
    }

    /// Puts a document in the place of the one of that name; `None` takes it away. Says
    /// which resources that has changed.
    pub(super) fn put(&mut self, name: &str, content: Option<Content>) -> BTreeSet<Identity> {
        self.hooks.document_read();
        let old = self.documents.remove(name);
        let keeps = self.hooks.keeps_last_good();
        let content = content.filter(|content| keeps || !content.is_bad());
        // What cannot be read is taken for a state of what the document held before.
        let content = content.map(|content| match content {
            Content::Bad(None, what) => {
                Content::Bad(old.as_ref().and_then(Content::identity).cloned(), what)
            }
            content => content,
        });
        let mut affected = BTreeSet::new();
        if let Some(identity) = old.as_ref().and_then(Content::identity) {
            affected.insert(identity.clone());
            if let Some(holders) = self.holders.get_mut(identity) {
                holders.remove(name);
                if holders.is_empty() {
                    self.holders.remove(identity);
                }
            }
        }
        self.unreadable.remove(name);
        self.snapshot.bad.remove(name);
        if let Some(content) = content {
            match content.identity() {
                Some(identity) => {
                    affected.insert(identity.clone());
                    let holders = self.holders.entry(identity.clone()).or_default();
                    holders.insert(name.to_owned());
                }
                None => {
                    self.unreadable.insert(name.to_owned());
                }
            }
            if let Content::Bad(identity, what) = &content {
                self.note(name, identity.as_ref(), what.clone());
            }
            self.documents.insert(name.to_owned(), content);
        }
        if self.unreadable.is_empty() {
            affected.extend(std::mem::take(&mut self.kept));
        }
        affected.retain(|identity| self.settle(identity));
        affected
    }

    /// Works out what a resource is by now. Says whether that is something else than before.
    fn settle(&mut self, identity: &Identity) -> bool {
        let holders = self.holders.get(identity).cloned().unwrap_or_default();
        let mut found: Option<Resource> = None;
        for name in &holders {
            match self.documents.get(name) {
                Some(Content::Good(_, resource)) if found.is_none() => {
                    found = Some(resource.clone());
                    self.snapshot.bad.remove(name);
                }
                Some(Content::Good(..)) => {
                    let what = format!("another file holds {identity} already");
                    self.note(name, None, what);
                }
                Some(Content::Bad(..)) | None => {}
            }
        }
        self.kept.remove(identity);
        let before = self.snapshot.resources.get(identity);
        match found {
            Some(resource) if before == Some(&resource) => false,
            Some(resource) => {
                self.snapshot.resources.insert(identity.clone(), resource);
                true
            }
            None if before.is_none() => false,
            None if holders.is_empty() && self.unreadable.is_empty() => {
                self.snapshot.resources.remove(identity);
                true
            }
            None => {
                if holders.is_empty() {
                    self.kept.insert(identity.clone());
                }
                false
            }
        }
    }

    fn note(&mut self, name: &str, identity: Option<&Identity>, what: String) {
        let bad = Bad {
            name: name.to_owned(),
            identity: identity.cloned(),
            what,
        };
        self.snapshot.bad.insert(name.to_owned(), bad);
    }
}

/// Which resource a document says it is.
pub(super) fn identity_of(value: &Value) -> Option<Identity> {
    Some(Identity {
        kind: value["kind"].as_str()?.to_owned(),
        namespace: value["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        name: value["metadata"]["name"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests;
