//! Other states of a resource in the store's documents: another document may hold the same resource, and one
//! with a mistake held another state of it. An address of a pod that any of them names is protected.

use std::collections::{BTreeMap, BTreeSet};

use wiremesh_plan::intent::resource::{Identity, Resource};

use super::{Catalogue, Content};

impl Catalogue {
    /// Takes note of what a document held, if what it holds now has a mistake; what cannot be read of that is
    /// what it was.
    pub(super) fn remember(
        &mut self,
        name: &str,
        old: Option<&Content>,
        mut new: Content,
    ) -> Content {
        let old = old.filter(|old| old.identity() == new.identity());
        let mut held = self.last_good.remove(name).unwrap_or_default();
        match old {
            Some(Content::Read(reading, _)) => held.insert(0, reading.resource.clone()),
            Some(Content::Bad(..)) => {}
            None => held.clear(),
        }
        if let Content::Read(reading, _) = &mut new {
            if reading.lost.is_empty() {
                held.clear();
            }
            if let Some(last) = held.first() {
                reading.resource.keep(last, &reading.lost);
            }
            // Of what has the same CIDR, or none, it knows all by now.
            held.retain(|held| !reading.resource.has_cidr_of(held));
        }
        let mut different: Vec<Resource> = Vec::new();
        for one in held {
            if !different.contains(&one) {
                different.push(one);
            }
        }
        if !different.is_empty() {
            self.last_good.insert(name.to_owned(), different);
        }
        new
    }

    /// Works out which resources there are beside the one that counts, where several documents hold one of
    /// pods, or where one has another CIDR than before it got a mistake: an address that any of them names is
    /// protected. Returns those that are others than before.
    pub(super) fn settle_doubles(&mut self, identity: &Identity) -> BTreeSet<Identity> {
        let holders = self.holders.get(identity).cloned().unwrap_or_default();
        if holders.is_empty() && self.kept.contains(identity) {
            return BTreeSet::new();
        }
        let mut wanted = BTreeMap::new();
        if let Some(counts) = self.snapshot.resources.get(identity)
            && counts.is_of_pods()
        {
            for name in &holders {
                let read = match self.documents.get(name) {
                    Some(Content::Read(reading, _)) => Some(&reading.resource),
                    _ => None,
                };
                let before = self.last_good.get(name).into_iter().flatten();
                let others = read.into_iter().chain(before);
                let others = others.filter(|resource| *resource != counts);
                for (number, resource) in others.enumerate() {
                    let count = match number {
                        0 => String::new(),
                        more => format!(" ({})", more + 1),
                    };
                    let double = Identity {
                        name: format!("{} in {name}{count}", identity.name),
                        ..identity.clone()
                    };
                    wanted.insert(double, resource.clone());
                }
            }
        }
        let had = self.doubles.remove(identity).unwrap_or_default();
        let mut changed = BTreeSet::new();
        for gone in had.iter().filter(|had| !wanted.contains_key(*had)) {
            self.snapshot.resources.remove(gone);
            changed.insert(gone.clone());
        }
        if !wanted.is_empty() {
            let names = wanted.keys().cloned().collect();
            self.doubles.insert(identity.clone(), names);
        }
        for (double, resource) in wanted {
            if self.snapshot.resources.get(&double) != Some(&resource) {
                self.snapshot.resources.insert(double.clone(), resource);
                changed.insert(double);
            }
        }
        changed
    }
}
