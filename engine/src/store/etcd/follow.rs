//! Following etcd: a list, then a watch from the list's revision on.
//!
//! A task of its own reads the watch and sends the changes through a bounded channel. It stops reading while
//! the channel is full; unread changes wait in etcd's history.

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use wiremesh_plan::intent::resource::Identity;

use super::super::Changed;
use super::super::catalogue::Catalogue;
use super::super::snapshot::Snapshot;
use super::client::Client;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::message::{self, Pair, WatchEvent};
use super::{Etcd, Listing, key, list, take};
use crate::hooks::Hooks;

/// How often etcd is asked whether it is still there. With the patience of a request
/// this is how long a frozen etcd goes unnoticed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// After a failure, this, and twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// But never longer than this.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// How many pieces of news may wait.
const QUEUE_LENGTH: usize = 16;

/// What the task reports.
enum News {
    /// All that there is.
    Listed(Listing),
    /// What has changed, up to this revision.
    Events(Vec<Pair>, u64),
    /// From here on nothing is missed.
    Following,
    /// Etcd cannot be followed: of what kind the failure is, and all of it in words.
    Trouble(Discriminant<Failure>, String),
}

/// An etcd and its content as last received.
#[derive(Debug)]
pub(crate) struct Follower {
    catalogue: Catalogue,
    hooks: Hooks,
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
    /// Whether it has ever been listed.
    known: bool,
    /// Why it cannot be followed, if it cannot.
    trouble: Option<(Discriminant<Failure>, String)>,
    /// Changes that were applied and not yet reported.
    unreported: Unreported,
}

#[derive(Debug, Default)]
struct Unreported {
    trouble: bool,
    everything: bool,
    resources: Option<BTreeSet<Identity>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    pub(super) fn start(etcd: &Etcd) -> Self {
        let (sender, news) = mpsc::channel(QUEUE_LENGTH);
        let listener = Listener {
            etcd: etcd.clone(),
            sender,
            position: None,
            following: false,
        };
        Self {
            catalogue: Catalogue::new(&etcd.hooks),
            hooks: etcd.hooks.clone(),
            news,
            task: tokio::spawn(listener.run()),
            known: false,
            trouble: None,
            unreported: Unreported::default(),
        }
    }

    /// The content as last received.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.catalogue.snapshot()
    }

    /// Whether anything has been received at all.
    pub(crate) fn known(&self) -> bool {
        self.known
    }

    /// Waits for a change. Cancelled, it loses none.
    pub(crate) async fn changed(&mut self) -> Changed {
        loop {
            // All that has come by now is one change.
            while let Ok(news) = self.news.try_recv() {
                self.apply(news);
            }
            let unreported = &mut self.unreported;
            let resources = unreported.resources.take();
            if std::mem::take(&mut unreported.everything) {
                return Changed::Everything;
            }
            if let Some(resources) = resources {
                return Changed::Resources(resources);
            }
            if std::mem::take(&mut unreported.trouble)
                && let Some((_, trouble)) = &self.trouble
            {
                return Changed::Trouble(trouble.clone());
            }
            match self.news.recv().await {
                Some(news) => self.apply(news),
                // The task has no end but this one, and an agent that hears nothing is none.
                None => match (&mut self.task).await {
                    Err(end) if end.is_panic() => std::panic::resume_unwind(end.into_panic()),
                    Ok(()) | Err(_) => std::future::pending().await,
                },
            }
        }
    }

    fn apply(&mut self, news: News) {
        match news {
            News::Listed(listing) => {
                let there: BTreeSet<_> =
                    listing.pairs.iter().map(|pair| pair.key.clone()).collect();
                let gone = self.catalogue.names().filter(|name| !there.contains(*name));
                let gone: Vec<_> = gone.cloned().collect();
                let gone = gone.into_iter().map(|key| Pair {
                    key,
                    value: None,
                    revision: listing.revision,
                });
                let pairs: Vec<_> = gone.chain(listing.pairs).collect();
                self.take(pairs, listing.revision);
                self.unreported.everything |= !self.known;
                self.known = true;
            }
            News::Events(pairs, revision) => self.take(pairs, revision),
            News::Following => {
                if self.trouble.take().is_some() {
                    // It is over, whatever has changed.
                    self.unreported.trouble = false;
                    self.unreported.resources.get_or_insert_default();
                }
            }
            News::Trouble(kind, trouble) => {
                // A connection fails in many words, and in one way.
                if self
                    .trouble
                    .as_ref()
                    .is_none_or(|(known, _)| *known != kind)
                {
                    self.unreported.trouble = true;
                    self.trouble = Some((kind, trouble));
                    let gone = self.catalogue.lose_store();
                    if !gone.is_empty() {
                        self.unreported
                            .resources
                            .get_or_insert_default()
                            .extend(gone);
                    }
                }
            }
        }
    }

    fn take(&mut self, pairs: Vec<Pair>, revision: u64) {
        if !self.hooks.accepts_store_events() {
            return;
        }
        let resources = self.unreported.resources.get_or_insert_default();
        for pair in pairs {
            resources.extend(take(&mut self.catalogue, pair));
        }
        self.catalogue.set_digest(revision.to_string());
    }
}

/// Up to where etcd's history is known.
#[derive(Debug, Clone, Copy)]
struct Position {
    cluster: u64,
    revision: u64,
}

/// The task that lists and watches.
struct Listener {
    etcd: Etcd,
    sender: mpsc::Sender<News>,
    position: Option<Position>,
    /// Whether the last conversation got as far as following.
    following: bool,
}

/// Why a conversation ended.
enum End {
    Failed(Failure),
    /// What comes next is no longer in etcd's history, or the history is another.
    Lost,
    /// Nobody listens any more.
    FeedClosed,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<T> From<mpsc::error::SendError<T>> for End {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self::FeedClosed
    }
}

impl Listener {
    async fn run(mut self) {
        let endpoints = self.etcd.endpoints.clone();
        let mut wait = FIRST_RETRY;
        // How many members have failed since one was followed.
        let mut failed = 0;
        for endpoint in endpoints.iter().cycle() {
            self.following = false;
            let failure = loop {
                match self.converse(endpoint).await {
                    End::FeedClosed => return,
                    // A store that loses its history again and again is not to be pressed.
                    End::Lost => {
                        self.position = None;
                        sleep(FIRST_RETRY).await;
                    }
                    End::Failed(failure) => break failure,
                }
            };
            if self.following {
                (failed, wait) = (0, FIRST_RETRY);
                // What breaks may be there again at once; if it is not, that says why.
                if matches!(failure, Failure::Unreachable(_)) {
                    continue;
                }
            }
            failed += 1;
            // Another member may do as well: it is trouble when all have failed.
            if failed >= endpoints.len() {
                let trouble = format!("the etcd at {endpoint}: {failure}");
                let news = News::Trouble(discriminant(&failure), trouble);
                if self.sender.send(news).await.is_err() {
                    return;
                }
                sleep(wait + jitter(wait)).await;
                wait = (wait * 2).min(LAST_RETRY);
            }
        }
    }

    /// Follows one member for as long as that goes well.
    async fn converse(&mut self, endpoint: &Endpoint) -> End {
        match self.follow(endpoint).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(&mut self, endpoint: &Endpoint) -> Result<std::convert::Infallible, End> {
        let mut asking = Client::new(endpoint.clone());
        let resumed = self.position.is_some();
        let mut position = match self.position {
            Some(position) => position,
            None => {
                let listing = list(&mut asking).await?;
                let position = Position {
                    cluster: listing.cluster,
                    revision: listing.revision,
                };
                self.sender.send(News::Listed(listing)).await?;
                self.position.insert(position).to_owned()
            }
        };
        let mut from = position.revision + 1;
        if resumed && !self.etcd.hooks.resumes_watch() {
            from = 0;
        }
        let question = message::watch(key::ROOT, &key::end_of(key::ROOT), from);
        let mut lines = asking.another().open("/v3/watch", &question).await?;
        let mut first =
            message::parse_watch(&lines.next_soon().await?).map_err(Failure::Protocol)?;
        // A watch whose token is void is refused in its first line, as one that is not permitted
        // (etcd: `isWatchPermitted`).
        if matches!(first, WatchEvent::Cancelled(_)) && asking.forget_token() {
            lines = asking.another().open("/v3/watch", &question).await?;
            first = message::parse_watch(&lines.next_soon().await?).map_err(Failure::Protocol)?;
        }
        match first {
            // A store that was put back to an earlier state would let us wait for the past.
            WatchEvent::Created { cluster, revision }
                if cluster != position.cluster || revision < position.revision =>
            {
                return Err(End::Lost);
            }
            WatchEvent::Created { .. } => {}
            WatchEvent::Compacted => return Err(End::Lost),
            WatchEvent::Cancelled(why) => return Err(Failure::Refused(why).into()),
            WatchEvent::Events(_) | WatchEvent::Nothing => {
                let what = "a watch begins without saying so";
                return Err(Failure::Protocol(what.into()).into());
            }
        }
        self.following = true;
        self.sender.send(News::Following).await?;
        let asks = self.etcd.hooks.asks_silent_store();
        let mut silence = pin!(ask_again_and_again(asking));
        loop {
            let line = tokio::select! {
                line = lines.next() => line?,
                failure = &mut silence, if asks => return Err(failure.into()),
            };
            match message::parse_watch(&line).map_err(Failure::Protocol)? {
                WatchEvent::Events(pairs) => {
                    let revisions = pairs.iter().map(|pair| pair.revision);
                    position.revision = revisions.fold(position.revision, u64::max);
                    self.sender
                        .send(News::Events(pairs, position.revision))
                        .await?;
                    self.position = Some(position);
                }
                WatchEvent::Nothing | WatchEvent::Created { .. } => {}
                WatchEvent::Compacted => return Err(End::Lost),
                WatchEvent::Cancelled(why) => return Err(Failure::Refused(why).into()),
            }
        }
    }
}

/// Asks for one small key until there is no answer: a watch that is silent may be a
/// store in which nothing happens, or one that is frozen.
async fn ask_again_and_again(mut client: Client) -> Failure {
    let key = format!("{}clusterinformations/default", key::RESOURCES);
    loop {
        sleep(KEEPALIVE_INTERVAL).await;
        if let Err(failure) = client.call("/v3/kv/range", &message::get(&key)).await {
            return failure;
        }
    }
}

/// Up to half of `wait`, so that a cluster's agents do not all come back at once.
fn jitter(wait: Duration) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    wait.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
