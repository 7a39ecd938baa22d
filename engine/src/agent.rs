//! The agent's loop: look, compare, change, publish; then wait for something to happen.

/// Telling a supervisor how things stand (sd_notify).
pub(crate) mod notify;

/// What an agent has done and how it stands, for whoever asks meanwhile.
pub(crate) mod record;

/// What the log says, each thing once.
pub(crate) mod journal;

/// What Prometheus is told.
pub(crate) mod metrics;

/// Metrics, health and readiness over HTTP.
pub(crate) mod exporter;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::agent::exporter::Exporter;
use crate::agent::journal::Journal;
use crate::agent::notify::{Counts, Supervisor};
use crate::agent::record::{Cause, Mesh, Shared};
use crate::dataplane::bypass::Bypass;
use crate::dataplane::change::{Change, diff, is_undone_by_peers};
use crate::dataplane::departed::Departed;
use crate::dataplane::model::Dataplane;
use crate::dataplane::networks::Conflict;
use crate::dataplane::roaming::EndpointHistory;
use crate::dataplane::tables::NoTable;
use crate::hooks::Hooks;
use crate::host::apply::{ApplyError, Executor, Preference};
use crate::host::guard::Guard;
use crate::host::kernel::{KernelCache, ObserveError, Stale};
use crate::host::netlink::monitor::Monitor;
use crate::host::netlink::{Netlink, NetlinkError};
use crate::host::nft;
use crate::intent::cluster::Cluster;
use crate::intent::family::PerFamily;
use crate::intent::resource::Identity;
use crate::store::{Changed, Doubts, Feed, Store, StoreError};

/// Rules of others that send packets past the tunnel.
mod bypass;

/// Tunnel devices that somebody has given another name.
mod device;

/// The tunnels' ports.
mod port;

/// The node's keys in the store.
mod publish;

/// The short way.
mod shortcut;

/// The routing tables.
mod table;

/// What an agent tells.
pub(crate) mod tell;

/// What is, and what should be.
mod planes;

/// When nothing is wanted of the dataplane yet.
mod waiting;

pub(crate) use bypass::problems as bypass_problems;
pub(crate) use planes::{Planes, follow, lifts};
pub(crate) use port::{problems as port_problems, taken as taken_ports};
pub(crate) use table::{choose as choose_tables, problems as table_problems};

/// When a supervisor is told again that has not read what it was told.
const UNTOLD: Duration = Duration::from_secs(1);

/// After a failure, this, and twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// But never longer than this.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// How often the kernel is written to and compared before it is said not to keep what is set.
const ROUNDS: u32 = 8;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub(crate) struct AgentConfig {
    pub(crate) node: String,
    pub(crate) store: Store,
    pub(crate) preference: Preference,
    /// Where sysctls are written.
    pub(crate) procfs: PathBuf,
    /// Where the guard's rules are kept.
    pub(crate) state: PathBuf,
    /// Where metrics are served, whatever the store says.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) hooks: Hooks,
}

/// Why a reconciliation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The store has no Node for this node.
    #[error("the store has no Node `{0}`: the agent waits for it")]
    NoNode(String),
    /// What can be read of the configuration asks for less than is in force.
    #[error("what is encrypted and dropped stays as it is until this is corrected: {0}")]
    Unread(String),
    /// Another program undoes the changes of this agent.
    #[error("kernel state still differs after {ROUNDS} rounds of changes; last change: {0}")]
    NotKept(String),
    /// A peer's endpoint keeps reverting, because the peer still sends from its former address.
    #[error("a peer is heard elsewhere than the store says; tried to {0}")]
    Elsewhere(String),
    /// Signals cannot be caught.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until it is told to end. The device, its routes and its rule stay: traffic goes
/// on encrypted while there is no agent.
///
/// # Errors
/// The store or netlink cannot be opened at all. Whatever goes wrong later is logged and tried again.
pub(crate) async fn run(orders: AgentConfig) -> Result<(), AgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signal)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "the agent of {} begins",
        orders.node
    );
    // One place is enough: what it says is that something, somewhere, has changed.
    let (changed, mut firewall_changes) = mpsc::channel(1);
    if let Err(error) = nft::watch(changed) {
        tracing::warn!("{error}: their drift is found by the resync alone");
    }
    let record = Shared::new(&orders.node);
    record.watch();
    let mut exporter = Exporter::new(record.clone());
    exporter.listen(orders.metrics);
    let monitor = Monitor::open()?;
    let mut feed = tokio::select! {
        feed = orders.store.feed() => feed?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut agent = Agent::new(orders, monitor, record, exporter)?;
    let mut retry = FIRST_RETRY;
    let mut cause = Cause::Intent;
    let mut compared = Instant::now();
    loop {
        agent
            .record
            .with(|record| record.began(Instant::now().into()));
        let outcome = agent.reconcile(&mut feed, cause).await;
        if cause == Cause::Resync {
            compared = Instant::now();
        }
        let resync = compared + agent.cluster.settings.resync;
        let mut wake = agent.ports.wake(resync);
        match outcome {
            Ok(()) => {
                retry = FIRST_RETRY;
                if agent.supervisor.is_behind() {
                    wake = wake.min(Instant::now() + UNTOLD);
                }
            }
            Err(error) => {
                agent.fail(&error);
                // What failed may have been half done.
                agent.kernel.stale = Stale::ALL;
                wake = wake.min(Instant::now() + retry);
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
        let writes = agent.executor.writes;
        agent.record.with(|record| record.ended(writes));
        let listens = agent.hooks.watches_kernel();
        let obeys = agent.hooks.obeys_sigterm();
        cause = tokio::select! {
            news = feed.changed() => {
                agent.note(news);
                Cause::Intent
            }
            () = agent.monitor.ready(), if listens => {
                // Who changes the rest may have changed what the kernel does not tell of.
                agent.kernel.stale.sysctl |= agent.hooks.compares_sysctls();
                Cause::Drift
            }
            Some(()) = firewall_changes.recv(), if listens => {
                agent.kernel.stale.firewall = true;
                Cause::Drift
            }
            () = sleep_until(wake) => match Instant::now() >= resync {
                true => Cause::Resync,
                false => Cause::Intent,
            },
            _ = terminate.recv(), if obeys => {
                agent.hooks.agent_ends();
                return Ok(());
            }
            _ = interrupt.recv() => return Ok(()),
        };
    }
}

struct Agent {
    orders: AgentConfig,
    hooks: Hooks,
    /// Where the store is.
    store: Vec<SocketAddr>,
    monitor: Monitor,
    executor: Executor,
    kernel: KernelCache,
    supervisor: Supervisor,
    counts: Counts,
    record: Shared,
    exporter: Exporter,
    cluster: Cluster,
    /// What is wrong with the store's resources.
    wrong: Vec<String>,
    /// What is not known of the node's configuration.
    doubts: Doubts,
    /// Whether the store has changed.
    news: bool,
    /// Which resources have, as far as that is known.
    changed: Option<BTreeSet<Identity>>,
    /// What was wanted of the dataplane last.
    desired: Option<Dataplane>,
    /// And before that.
    before: Option<Dataplane>,
    /// Where the store has said that peers are.
    endpoints: EndpointHistory,
    journal: Journal,
    /// How this node reaches the others.
    meshes: PerFamily<Mesh>,
    /// What stays protected though no resource names it any more.
    departed: Departed,
    /// What several nodes are said to have.
    conflicts: PerFamily<Vec<Conflict>>,
    /// What rules of others send past the tunnel.
    bypasses: PerFamily<Vec<Bypass>>,
    /// What stands in the way of the store, if it cannot be reached.
    trouble: Option<String>,
    /// Why this node can make no device, if it cannot.
    unsupported: Option<String>,
    ports: port::Ports,
    tables: table::Choices,
    /// Whether the dataplane has been what it should be since the store changed last.
    settled: bool,
    guard: Guard,
    /// Why what refuses plaintext would not outlive a boot.
    unguarded: Option<String>,
}

impl Agent {
    fn new(
        orders: AgentConfig,
        monitor: Monitor,
        record: Shared,
        exporter: Exporter,
    ) -> Result<Self, AgentError> {
        let hooks = orders.hooks.clone();
        hooks.agent_starts(&orders.procfs);
        let executor = Executor {
            netlink: Netlink::open()?,
            preference: orders.preference.clone(),
            procfs: orders.procfs.clone(),
            writes: 0,
            hooks: hooks.clone(),
        };
        Ok(Self {
            store: orders.store.endpoints(),
            monitor,
            executor,
            kernel: KernelCache::unknown(&hooks),
            hooks,
            supervisor: Supervisor::from_environment(),
            counts: Counts::default(),
            record,
            exporter,
            cluster: Cluster::empty(),
            wrong: Vec::new(),
            doubts: Doubts::default(),
            news: true,
            changed: None,
            desired: None,
            before: None,
            endpoints: EndpointHistory::default(),
            journal: Journal::default(),
            meshes: PerFamily::default(),
            departed: Departed::default(),
            conflicts: PerFamily::default(),
            bypasses: PerFamily::default(),
            trouble: None,
            unsupported: None,
            ports: port::Ports::default(),
            tables: PerFamily::each(|_| Err(NoTable::default())),
            settled: false,
            guard: Guard::new(orders.state.clone()),
            unguarded: None,
            orders,
        })
    }

    /// Takes note of what the store's feed tells.
    fn note(&mut self, news: Changed) {
        let trouble = matches!(news, Changed::Trouble(_));
        self.record.with(|record| record.store(trouble));
        match news {
            Changed::Trouble(what) => self.trouble = Some(what),
            Changed::Resources(resources) => {
                self.trouble = None;
                self.news = true;
                if let Some(changed) = &mut self.changed {
                    changed.extend(resources);
                }
            }
            Changed::Everything => {
                self.trouble = None;
                self.news = true;
                self.changed = None;
            }
        }
    }

    async fn reconcile(&mut self, feed: &mut Feed, cause: Cause) -> Result<(), AgentError> {
        // What else the store has to tell is taken together.
        while let Some(news) = feed.changed().now_or_never() {
            self.note(news);
        }
        if self.waits(feed) {
            return Ok(());
        }
        let news = std::mem::take(&mut self.news);
        let short = news && cause == Cause::Intent && self.shortcut(feed).await?;
        self.changed = Some(BTreeSet::new());
        if news && !short && self.hooks.takes_in(&self.cluster) {
            self.take_in(feed);
            self.settled = false;
        }
        if cause == Cause::Resync {
            self.kernel.stale = Stale {
                links: self.hooks.compares_devices(),
                devices: self.hooks.compares_devices(),
                sysctl: self.hooks.compares_sysctls(),
                ..Stale::ALL
            };
            self.unsupported = None;
        }
        let node = self.orders.node.clone();
        if !self.cluster.nodes.contains_key(&node) {
            self.put_off();
            // What else is wrong may be why it is missing.
            let problems = self.problems();
            self.tell(&problems);
            return Err(AgentError::NoNode(node));
        }
        self.hooks.comparison_begins(cause == Cause::Resync);
        if !short {
            self.realise(cause).await?;
        }
        self.settled = true;
        self.keep_guard();
        let published = self.publish().await?;
        self.counts.writes = self.executor.writes;
        self.counts.resyncs += u64::from(cause == Cause::Resync);
        if !short {
            self.look_around();
        }
        let problems = self.problems();
        self.tell(&problems);
        // A write to the store wakes the loop: what is announced is the store with the key.
        if !published {
            let bypassed = self.bypass_problems().into_iter().next();
            self.record.with(|record| {
                record.settled(Instant::now().into(), SystemTime::now());
                if let Some(why) = &bypassed {
                    record.bypassed(why);
                }
            });
            self.announce(&problems, &feed.snapshot().digest);
        }
        Ok(())
    }

    /// Marks the cache of the kernel's state as stale and drains the notification socket. Undrained, the socket
    /// stays readable, and `select!` would starve the store.
    fn put_off(&mut self) {
        if self.hooks.drains_kernel() {
            drop(self.monitor.drain());
        }
        self.kernel.stale = Stale::ALL;
    }

    /// Puts the cluster together from the store as last seen.
    fn take_in(&mut self, feed: &Feed) {
        let snapshot = feed.snapshot();
        let node = self.hooks.configured_node(&self.orders.node);
        let (mut cluster, wrong) = Cluster::new(node, &snapshot.resources);
        self.hooks.change_cluster(&mut cluster);
        if cluster.settings.tunnel != self.cluster.settings.tunnel {
            // Which links are looked at depends on their configured names.
            self.kernel.stale.devices = true;
        }
        let told = cluster.settings.metrics;
        let configured = told.enabled.then_some(told.address);
        self.exporter.listen(self.orders.metrics.or(configured));
        let bad = snapshot.problems();
        self.doubts = snapshot.doubts(&self.orders.node, &wrong);
        let wrong = wrong
            .iter()
            .map(|(identity, wrong)| format!("{identity}: {wrong}"));
        self.wrong = bad.chain(wrong).collect();
        if self.hooks.remembers_nodes() {
            let whole = self.wrong.is_empty();
            let in_doubt = self.doubts.forbid_lifting(true).is_some();
            self.departed.hold(&self.cluster, in_doubt);
            self.departed
                .follow(&self.cluster, &cluster, &self.orders.node, whole);
        }
        self.cluster = cluster;
    }

    /// Makes the dataplane what it should be. Where no device can be made at all, the node
    /// is left in clear, and so are its peers towards it.
    async fn realise(&mut self, cause: Cause) -> Result<(), AgentError> {
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let changes = self.pending().await?;
            let Some(first) = changes.first() else {
                return Ok(());
            };
            if is_undone_by_peers(&last, &changes) {
                return Err(AgentError::Elsewhere(first.to_string()));
            }
            for change in &changes {
                let wanted = self.before.as_ref().zip(self.desired.as_ref());
                let is_repair = !wanted.is_some_and(|(before, now)| change.follows(before, now));
                let repair = Some(cause).filter(|_| self.settled && is_repair);
                if repair.is_some() {
                    self.record.with(|record| record.repairs(change));
                }
                let done = self.executor.apply(change, &mut self.kernel).await;
                self.record.with(|record| record.changed(repair));
                match done {
                    Ok(()) => self.journal.changed(change, repair, Instant::now().into()),
                    Err(ApplyError::Unsupported(why)) => {
                        self.unsupported = Some(why);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            last = changes;
        }
        let first = last.first().map(Change::to_string);
        Err(AgentError::NotKept(first.unwrap_or_default()))
    }

    fn planes(&self) -> Planes {
        Planes::new(
            &self.kernel,
            &self.cluster,
            &self.orders.node,
            &self.store,
            self.supported(),
            &self.tables,
            &self.departed,
        )
    }

    /// What is to be done, as far as is known now.
    async fn pending(&mut self) -> Result<Vec<Change>, AgentError> {
        let news = self.monitor.drain();
        if self.hooks.hears_kernel() {
            self.kernel.apply_notifications(news);
        }
        let settings = &self.cluster.settings;
        self.kernel
            .refresh(&self.executor.netlink, settings)
            .await?;
        let own = self.cluster.nodes.get(&self.orders.node);
        self.kernel.look_for_uplinks(own, settings);
        self.look_for_devices().await?;
        self.look_at_ports().await;
        self.look_at_tables();
        if self.desired.is_none() && self.hooks.remembers_nodes() {
            let found = self.kernel.firewall();
            self.departed.recall(
                &self.cluster,
                &self.orders.node,
                found,
                self.wrong.is_empty(),
            );
        }
        let Planes {
            mut actual,
            mut desired,
            conflicts,
            bypasses,
        } = self.planes();
        self.conflicts = conflicts;
        let is_strict = actual.firewall.is_strict();
        if let Some(why) = self.doubts.forbid_lifting(is_strict)
            && lifts(&actual, &self.cluster.settings)
        {
            return Err(AgentError::Unread(why.clone()));
        }
        if self.hooks.sees_rules_before() {
            self.bypasses = bypasses;
        }
        if self.hooks.follows_peers() {
            follow(
                &mut self.endpoints,
                &self.kernel,
                &self.cluster,
                &mut desired,
                &actual,
            );
        }
        for change in self.hooks.more_changes(&actual) {
            self.executor.apply(&change, &mut self.kernel).await?;
        }
        self.hooks.change_dataplanes(&mut actual, &mut desired);
        let changes = diff(&actual, &desired);
        self.before = self.desired.replace(desired);
        Ok(changes)
    }
}
