//! Calico's etcd: reading, following, compare-and-swap.
//!
//! etcd is reached over its own JSON gateway, which every etcd since 3.4 has at the port of its clients. A
//! resource is written as a whole, with every field that was in it, and only if nobody else has written it
//! since it was read.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;
use wiremesh_plan::intent::resource::Identity;

use super::StoreError;
use super::catalogue::Catalogue;
use super::document;
use super::snapshot::Snapshot;
use crate::hooks::Hooks;

mod user;

mod endpoint;
mod failure;
mod key;
mod message;
mod tls;
mod token;

mod client;
mod follow;

use client::Client;
use endpoint::Endpoint;
use failure::Failure;
pub(crate) use follow::Follower;

/// How often a resource is read and written again because somebody else has written it meanwhile.
const MAX_TRIES: usize = 3;

/// How many keys are asked for at once.
const PAGE: usize = 1000;

/// The members of an etcd cluster; one at a time is used.
#[derive(Debug, Clone)]
pub(crate) struct Etcd {
    endpoints: Vec<Endpoint>,
    pub(super) hooks: Hooks,
}

/// All that concerns us, at one revision.
struct Listing {
    cluster: u64,
    revision: u64,
    pairs: Vec<message::Pair>,
}

impl Etcd {
    /// Reads `URL[,URL…]`.
    pub(super) fn new(urls: &str) -> Result<Self, StoreError> {
        let endpoints = urls
            .split(',')
            .map(|url| url.trim().parse().map_err(StoreError::Url))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            endpoints,
            hooks: Hooks::default(),
        })
    }

    /// The members' addresses, as far as they are given as IP addresses.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.endpoints.iter().filter_map(Endpoint::address);
        addresses.collect()
    }

    /// Everything that is there. What is bad is listed, and no error.
    pub(super) async fn read(&self) -> Result<Snapshot, StoreError> {
        let mut last = None;
        for endpoint in &self.endpoints {
            match list(&mut Client::new(endpoint.clone())).await {
                Ok(listing) => {
                    let mut catalogue = Catalogue::default();
                    for pair in listing.pairs {
                        take(&mut catalogue, pair);
                    }
                    catalogue.set_digest(listing.revision.to_string());
                    return Ok(catalogue.into_snapshot());
                }
                Err(failure) => last = Some(self.failed(endpoint, failure)),
            }
        }
        Err(last.unwrap_or_else(|| StoreError::Url("no URL is given".into())))
    }

    /// Follows it from now on; it need not be reachable yet.
    pub(super) fn follow(&self) -> Follower {
        Follower::start(self)
    }

    /// Reads a resource, edits it, and writes it back if that changed it. Where somebody
    /// else has written it meanwhile, all this is done again.
    pub(super) async fn edit(
        &self,
        identity: &Identity,
        otherwise: Option<Value>,
        mut edit: impl FnMut(&mut Value),
    ) -> Result<bool, StoreError> {
        let mut last = None;
        for endpoint in &self.endpoints {
            let mut client = Client::new(endpoint.clone());
            let work = self.edit_at(&mut client, identity, otherwise.as_ref(), &mut edit);
            match work.await {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {
                    return Err(StoreError::Missing {
                        store: endpoint.to_string(),
                        identity: identity.clone(),
                    });
                }
                Err(failure) => last = Some(self.failed(endpoint, failure)),
            }
        }
        Err(last.unwrap_or_else(|| StoreError::Url("no URL is given".into())))
    }

    /// None if there is no such resource.
    async fn edit_at(
        &self,
        client: &mut Client,
        identity: &Identity,
        otherwise: Option<&Value>,
        edit: &mut impl FnMut(&mut Value),
    ) -> Result<Option<bool>, Failure> {
        let Some(key) = key::of(identity) else {
            return Ok(None);
        };
        for _ in 0..MAX_TRIES {
            let answer = client.call("/v3/kv/range", &message::get(&key)).await?;
            let page = message::page(&answer).map_err(Failure::Protocol)?;
            let (before, revision) = match (page.pairs.into_iter().next(), otherwise) {
                (Some(pair), _) => {
                    let value = pair.value.unwrap_or_default();
                    let value = document::value(&value)
                        .map_err(|mistake| Failure::Refused(mistake.at(&key)))?;
                    (Some(value), pair.revision)
                }
                (None, Some(_)) => (None, 0),
                (None, None) => return Ok(None),
            };
            let value = before.clone().or(otherwise.cloned()).unwrap_or_default();
            let mut value = self.hooks.edited(&key, value);
            edit(&mut value);
            if Some(&value) == before.as_ref() {
                return Ok(Some(false));
            }
            let put = message::put_if(&key, value.to_string().as_bytes(), revision);
            let answer = client.call("/v3/kv/txn", &put).await?;
            if message::succeeded(&answer).map_err(Failure::Protocol)? {
                return Ok(Some(true));
            }
        }
        Err(Failure::Refused(format!(
            "{identity} was written by others {MAX_TRIES} times meanwhile"
        )))
    }

    fn failed(&self, endpoint: &Endpoint, failure: Failure) -> StoreError {
        StoreError::Etcd {
            url: endpoint.to_string(),
            what: failure.to_string(),
        }
    }
}

/// Reads all that concerns us, as it was at one revision.
async fn list(client: &mut Client) -> Result<Listing, Failure> {
    let mut listing = Listing {
        cluster: 0,
        revision: 0,
        pairs: Vec::new(),
    };
    for prefix in [key::RESOURCES, key::BLOCKS] {
        let end = key::end_of(prefix);
        let mut from = prefix.to_owned();
        loop {
            let question = message::range(&from, &end, PAGE, listing.revision);
            let answer = client.call("/v3/kv/range", &question).await?;
            let page = message::page(&answer).map_err(Failure::Protocol)?;
            if listing.revision == 0 {
                (listing.cluster, listing.revision) = (page.cluster, page.revision);
            }
            // The least key that is greater.
            let next = page.pairs.last().map(|last| format!("{}\0", last.key));
            listing.pairs.extend(page.pairs);
            match next {
                // A key that is no text could lead back to where it was.
                Some(next) if page.more && next > from => from = next,
                _ => break,
            }
        }
    }
    Ok(listing)
}

/// Puts what is at a key into a catalogue. Returns the resources that it changes.
fn take(catalogue: &mut Catalogue, pair: message::Pair) -> BTreeSet<Identity> {
    let Some(identity) = key::identity(&pair.key) else {
        return Default::default();
    };
    let content = pair.value.and_then(|value| key::content(identity, &value));
    catalogue.put(&pair.key, content)
}

#[cfg(test)]
mod tests;
