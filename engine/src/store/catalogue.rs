//! The store's content, kept one document at a time: the last good state of each resource, and what is wrong
//! with the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wiremesh_plan::intent::resource::{self, Configuration, Identity, Lost, Reading, Resource};
use wiremesh_plan::intent::settings::strictest;

use crate::hooks::Hooks;
use crate::store::snapshot::{Bad, Mistake, Snapshot};

/// What one document holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A resource, as far as it can be read.
    Read(Box<Reading>, Vec<Mistake>),
    /// None that can be used, and why.
    Bad(Option<Identity>, Mistake),
}

impl Content {
    /// What `value` holds, which is at `place`.
    pub(super) fn read(value: &Value, place: &str) -> Self {
        match resource::read_partly(value, place) {
            Ok(reading) => {
                let wrong = reading.wrong.iter().cloned();
                let mistakes = wrong.map(Mistake::from).collect();
                Self::Read(Box::new(reading), mistakes)
            }
            Err(wrong) => Self::Bad(resource::identity_of(value), wrong.into()),
        }
    }

    /// What `value` holds, of which nobody knows which of two fields is meant: nothing that can be used, but
    /// for addresses of pods, which are protected whichever node has them.
    pub(super) fn ambiguous(value: &Value, place: &str, mistake: Mistake) -> Self {
        match Self::read(value, place) {
            Self::Read(mut reading, mut mistakes) if reading.resource.is_of_pods() => {
                reading.lost = vec![Lost::Network, Lost::Owner];
                mistakes.insert(0, mistake);
                Self::Read(reading, mistakes)
            }
            read => Self::Bad(read.identity().cloned(), mistake),
        }
    }

    /// Of several that hold one resource the least counts: one that is read whole, in part, not at all.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Read(reading, _) if reading.lost.is_empty() => 0,
            Self::Read(..) => 1,
            Self::Bad(..) => 2,
        }
    }

    /// Which resource it is, or would be.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Read(reading, _) => Some(&reading.identity),
            Self::Bad(identity, _) => identity.as_ref(),
        }
    }

    /// Whether that cannot be read of it, and something else can.
    fn has_lost(&self, lost: Lost) -> bool {
        match self {
            Self::Read(reading, _) => reading.lost.contains(&lost),
            Self::Bad(..) => false,
        }
    }

    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::Read(_, mistakes) => mistakes.clone(),
            Self::Bad(_, mistake) => vec![mistake.clone()],
        }
    }
}

/// What a file holds: the resources by their names in messages, or why nothing of it can be read.
pub(super) type Contents = Result<Vec<(String, Content)>, Mistake>;

/// Documents by name, and the snapshot that they add up to.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    snapshot: Snapshot,
    documents: BTreeMap<String, Content>,
    /// The documents of each file that holds several, or holds them in a list.
    files: BTreeMap<String, BTreeSet<String>>,
    /// Which documents hold a resource, good or bad.
    holders: BTreeMap<Identity, BTreeSet<String>>,
    /// Documents that do not name the resource that they hold: it may be any of them.
    unreadable: BTreeSet<String>,
    /// Resources that stay though no document holds a good one.
    kept: BTreeSet<Identity>,
    /// What documents held before they got the mistake that they have now, the last first.
    last_good: BTreeMap<String, Vec<Resource>>,
    /// The resources that other documents of a resource make, beside the one that counts.
    doubles: BTreeMap<Identity, BTreeSet<Identity>>,
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

    /// Takes away what goes with a store that cannot be reached: nothing, unless a test asks for it. Returns
    /// the resources that changed.
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

    /// Puts all of a file in the place of what it held. Of one that cannot be read all documents stay as they
    /// were. Returns the resources that changed.
    pub(super) fn put_file(&mut self, file: &str, contents: Contents) -> BTreeSet<Identity> {
        let mut changed = BTreeSet::new();
        let contents = match contents {
            Ok(contents) => contents,
            Err(mistake) => return self.put(file, Some(Content::Bad(None, mistake))),
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

    /// Puts a document in the place of the one of that name; `None` takes it away. Returns the resources that
    /// changed.
    pub(super) fn put(&mut self, name: &str, content: Option<Content>) -> BTreeSet<Identity> {
        self.hooks.document_read();
        let old = self.documents.remove(name);
        let keeps = self.hooks.keeps_last_good();
        let content = content.filter(|content| keeps || content.rank() == 0);
        // What cannot be read is taken for a state of what the document held before.
        let content = content.map(|content| match content {
            Content::Bad(None, mistake) => {
                Content::Bad(old.as_ref().and_then(Content::identity).cloned(), mistake)
            }
            content => content,
        });
        let content = content.map(|content| self.remember(name, old.as_ref(), content));
        if content.is_none() {
            self.last_good.remove(name);
        }
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
            self.documents.insert(name.to_owned(), content);
            self.note(name, None);
        }
        if self.unreadable.is_empty() {
            affected.extend(std::mem::take(&mut self.kept));
        }
        let mut changed = BTreeSet::new();
        for identity in affected {
            if self.settle(&identity) {
                changed.insert(identity.clone());
            }
            changed.extend(self.settle_doubles(&identity));
        }
        changed
    }

    /// Works out what a resource is by now. Returns whether that is something else than before.
    fn settle(&mut self, identity: &Identity) -> bool {
        let holders = self.holders.get(identity).cloned().unwrap_or_default();
        let counts = self.find(&holders);
        for name in &holders {
            let also = counts.as_ref().filter(|(first, _)| first != name);
            let is_read = self.documents.get(name).is_some_and(|held| held.rank() < 2);
            let remark = also.filter(|_| is_read).map(|(first, resource)| {
                let counts = match resource {
                    Resource::Configuration(_) => ", which counts, as strictly as either asks for",
                    Resource::Node(_) => ", which counts, with the addresses of both",
                    resource if resource.is_of_pods() => ", and the addresses of both count",
                    _ => ", which counts",
                };
                format!("holds {identity}, as {first} does{counts}: delete one of them")
            });
            self.note(name, remark);
        }
        self.kept.remove(identity);
        let before = self.snapshot.resources.get(identity);
        match counts {
            Some((_, resource)) if before == Some(&resource) => false,
            Some((_, resource)) => {
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

    /// The document that counts of those that hold one resource, and what it makes of the resource.
    fn find(&self, holders: &BTreeSet<String>) -> Option<(String, Resource)> {
        let documents = holders
            .iter()
            .filter_map(|name| Some((name, self.documents.get(name)?)));
        let mut read: Vec<_> = documents
            .filter_map(|(name, content)| match content {
                Content::Read(reading, _) => Some((content.rank(), name, reading)),
                Content::Bad(..) => None,
            })
            .collect();
        read.sort_by_key(|(rank, name, _)| (*rank, *name));
        let (_, name, first) = read.first()?;
        let mut resource = first.resource.clone();
        if let Some(before) = self.snapshot.resources.get(&first.identity) {
            resource.keep(before, &first.lost);
        }
        for (_, _, other) in &read[1..] {
            resource.take_addresses(&other.resource);
        }
        let last_good = holders.iter().filter(|holder| *holder != *name);
        for other in last_good.filter_map(|holder| self.last_good.get(holder)) {
            other
                .iter()
                .for_each(|other| resource.take_addresses(other));
        }
        let configuration = |reading: &Reading| match &reading.resource {
            Resource::Configuration(configuration) => Some(configuration.clone()),
            _ => None,
        };
        let several: Vec<Configuration> = read
            .iter()
            .filter_map(|(_, _, reading)| configuration(reading))
            .collect();
        if several.len() > 1 {
            resource = Resource::Configuration(strictest(&several));
        }
        Some(((*name).clone(), resource))
    }

    /// Takes note of what is wrong with a document by itself, and of its other problems.
    fn note(&mut self, name: &str, remark: Option<String>) {
        let Some(content) = self.documents.get(name) else {
            return;
        };
        let mut mistakes = content.mistakes();
        let labels_in_doubt = content.has_lost(Lost::Labels) || remark.is_some();
        mistakes.extend(remark.map(Mistake::from));
        if mistakes.is_empty() {
            self.snapshot.bad.remove(name);
            return;
        }
        let bad = Bad {
            name: name.to_owned(),
            identity: content.identity().cloned(),
            mistakes,
            labels_in_doubt,
        };
        self.snapshot.bad.insert(name.to_owned(), bad);
    }
}

/// Other states of a resource in the store's documents.
mod doubles;

#[cfg(test)]
mod tests;
