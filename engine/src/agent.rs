//! The agent's loop: look, compare, change, publish; then wait for something to happen.

/// Messages to the supervisor (sd_notify).
pub(crate) mod notify;

/// The agent's state and counters, read by the exporter while the agent works.
pub(crate) mod health;

/// The log's lines: each problem once, and repeated lines at a bounded rate.
pub(crate) mod log;

/// The metrics in Prometheus's text format.
pub(crate) mod metrics;

/// Metrics, health and readiness over HTTP.
pub(crate) mod exporter;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use wiremesh_plan::dataplane::bypass::Bypass;
use wiremesh_plan::dataplane::change::{Change, diff, is_undone_by_peers};
use wiremesh_plan::dataplane::model::Dataplane;
use wiremesh_plan::dataplane::networks::Conflict;
use wiremesh_plan::dataplane::retained_protection::RetainedProtection;
use wiremesh_plan::dataplane::roaming::EndpointHistory;
use wiremesh_plan::dataplane::tables::NoTable;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::PerFamily;

use crate::agent::exporter::Exporter;
use crate::agent::health::{Cause, Mesh, Shared};
use crate::agent::log::Log;
use crate::agent::notify::{Counts, Supervisor};
use crate::hooks::Hooks;
use crate::host::apply::{ApplyError, Executor};
use crate::host::guard::Guard;
use crate::host::kernel::{KernelCache, Stale};
use crate::host::netlink::Netlink;
use crate::host::netlink::monitor::Monitor;
use crate::host::nft;
use crate::store::{Changed, Doubts, Feed};

/// The configuration that an agent is started with.
mod config;

/// Errors of a reconciliation.
mod error;

/// The lock that keeps one agent for each state directory.
mod lock;

/// Delays before a failed operation is tried again.
mod retry;

/// Policy rules of other programs that send packets past the tunnel.
mod bypass;

/// Tunnel devices that were renamed.
mod device;

/// Changes of the store that the agent has not applied yet.
mod store_changes;

/// UDP ports and device names that another program has: a family without them goes without a tunnel.
mod port;

/// Publication of the node's keys in the store.
mod publish;

/// The fast path for a pod that is added, removed or moved.
mod pod_change;

/// The choice of a routing table for each family.
mod table;

/// The log, the state for the supervisor, and the metrics.
pub(crate) mod output;

/// The actual and the desired dataplane, side by side.
mod comparison;

/// The wait for a first complete reading of the store, during which the dataplane is left alone (Felix: in-sync).
mod waiting;

pub(crate) use bypass::problems as bypass_problems;
pub(crate) use comparison::{Comparison, follow, lifts};
pub(crate) use config::AgentConfig;
pub(crate) use error::AgentError;
pub(crate) use port::{problems as port_problems, taken as taken_ports};
use retry::Retry;
use store_changes::StoreChanges;
pub(crate) use table::{choose as choose_tables, problems as table_problems};

/// Interval between attempts to send a message to a supervisor whose queue is full.
const NOTIFY_RETRY: Duration = Duration::from_secs(1);

/// How often the kernel is written to and compared before it is reported as not keeping what is set.
const MAX_ROUNDS: u32 = 8;

/// Runs until it is asked to end. The device, its routes and its rule stay: traffic goes on encrypted while
/// there is no agent.
///
/// # Errors
/// The store or netlink cannot be opened at all, or another agent runs on the node. Whatever goes wrong later is logged and tried again.
pub(crate) async fn run(config: AgentConfig) -> Result<(), AgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signal)?;
    let _lock = lock::lock(&config.state)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "the agent of {} begins",
        config.node
    );
    // One place is enough: what it says is that something, somewhere, has changed.
    let (changed, mut firewall_changes) = mpsc::channel(1);
    if let Err(error) = nft::watch(changed) {
        tracing::warn!("{error}: changes of the rules are found at the next resync alone");
    }
    let health = Shared::new(&config.node);
    health.watch();
    let mut exporter = Exporter::new(health.clone());
    exporter.listen(config.metrics);
    let monitor = Monitor::open()?;
    let mut feed = tokio::select! {
        feed = config.store.feed() => feed?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut agent = Agent::new(config, monitor, health, exporter)?;
    let mut retry = Retry::new();
    let mut cause = Cause::Intent;
    let mut compared = Instant::now();
    loop {
        agent
            .health
            .with(|health| health.began(Instant::now().into()));
        let outcome = agent.reconcile(&mut feed, cause).await;
        if cause == Cause::Resync {
            compared = Instant::now();
        }
        let resync = compared + agent.cluster.settings.resync;
        let mut wake = agent.ports.wake(resync);
        match outcome {
            Ok(()) => {
                retry.succeeded();
                if agent.supervisor.is_behind() {
                    wake = wake.min(Instant::now() + NOTIFY_RETRY);
                }
            }
            Err(error) => {
                agent.fail(&error);
                // What failed may have been half done.
                agent.kernel.stale = Stale::ALL;
                wake = wake.min(Instant::now() + retry.failed());
            }
        }
        let writes = agent.executor.writes;
        agent.health.with(|health| health.ended(writes));
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
    config: AgentConfig,
    hooks: Hooks,
    /// Where the store is.
    store: Vec<SocketAddr>,
    monitor: Monitor,
    executor: Executor,
    kernel: KernelCache,
    supervisor: Supervisor,
    counts: Counts,
    health: Shared,
    exporter: Exporter,
    cluster: Cluster,
    /// What is wrong with the store's resources.
    wrong: Vec<String>,
    /// What is not known of the node's configuration.
    doubts: Doubts,
    /// Changes of the store since it was read last.
    news: StoreChanges,
    /// What was wanted of the dataplane last.
    desired: Option<Dataplane>,
    /// And before that.
    before: Option<Dataplane>,
    /// The endpoints that the store has had for each peer.
    endpoints: EndpointHistory,
    log: Log,
    /// How this node reaches the others.
    meshes: PerFamily<Mesh>,
    /// What stays protected though no resource names it any more.
    departed: RetainedProtection,
    /// Networks that several nodes claim.
    conflicts: PerFamily<Vec<Conflict>>,
    /// What rules of others send past the tunnel.
    bypasses: PerFamily<Vec<Bypass>>,
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
        config: AgentConfig,
        monitor: Monitor,
        health: Shared,
        exporter: Exporter,
    ) -> Result<Self, AgentError> {
        let hooks = config.hooks.clone();
        hooks.agent_starts(&config.procfs);
        let executor = Executor {
            netlink: Netlink::open()?,
            preference: config.preference.clone(),
            procfs: config.procfs.clone(),
            writes: 0,
            hooks: hooks.clone(),
        };
        Ok(Self {
            store: config.store.endpoints(),
            monitor,
            executor,
            kernel: KernelCache::unknown(&hooks),
            hooks,
            supervisor: Supervisor::from_environment(),
            counts: Counts::default(),
            health,
            exporter,
            cluster: Cluster::empty(),
            wrong: Vec::new(),
            doubts: Doubts::default(),
            news: StoreChanges::everything(),
            desired: None,
            before: None,
            endpoints: EndpointHistory::default(),
            log: Log::default(),
            meshes: PerFamily::default(),
            departed: RetainedProtection::default(),
            conflicts: PerFamily::default(),
            bypasses: PerFamily::default(),
            unsupported: None,
            ports: port::Ports::default(),
            tables: PerFamily::each(|_| Err(NoTable::default())),
            settled: false,
            guard: Guard::new(config.state.clone()),
            unguarded: None,
            config,
        })
    }

    /// Takes note of a change that the store's feed reports.
    fn note(&mut self, changed: Changed) {
        let trouble = matches!(changed, Changed::Trouble(_));
        self.health.with(|health| health.store(trouble));
        self.news.note(changed);
    }

    async fn reconcile(&mut self, feed: &mut Feed, cause: Cause) -> Result<(), AgentError> {
        // What else the store has to tell is taken together.
        while let Some(news) = feed.changed().now_or_never() {
            self.note(news);
        }
        if self.waits(feed) {
            return Ok(());
        }
        let news = std::mem::take(&mut self.news.has_changed);
        let short = news && cause == Cause::Intent && self.shortcut(feed).await?;
        self.news.resources = Some(BTreeSet::new());
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
        let node = self.config.node.clone();
        if !self.cluster.nodes.contains_key(&node) {
            self.put_off();
            // What else is wrong may be why it is missing.
            let problems = self.problems();
            self.report_problems(&problems);
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
        self.report_problems(&problems);
        // A write to the store wakes the loop: what is announced is the store with the key.
        if !published {
            let bypassed = self.bypass_problems().into_iter().next();
            self.health.with(|health| {
                health.settled(Instant::now().into(), SystemTime::now());
                if let Some(why) = &bypassed {
                    health.bypassed(why);
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
        let node = self.hooks.configured_node(&self.config.node);
        let (mut cluster, wrong) = Cluster::new(node, &snapshot.resources);
        self.hooks.change_cluster(&mut cluster);
        if cluster.settings.tunnel != self.cluster.settings.tunnel {
            // Which links are looked at depends on their configured names.
            self.kernel.stale.devices = true;
        }
        let metrics = cluster.settings.metrics;
        self.exporter
            .listen(metrics.listen_address(self.config.metrics));
        let bad = snapshot.problems();
        self.doubts = snapshot.doubts(&self.config.node, &wrong);
        let wrong = wrong
            .iter()
            .map(|(identity, wrong)| format!("{identity}: {wrong}"));
        self.wrong = bad.chain(wrong).collect();
        if self.hooks.remembers_nodes() {
            let whole = self.wrong.is_empty();
            let in_doubt = self.doubts.forbid_lifting(true).is_some();
            self.departed.hold(&self.cluster, in_doubt);
            self.departed
                .follow(&self.cluster, &cluster, &self.config.node, whole);
        }
        self.cluster = cluster;
    }

    /// Makes the dataplane what it should be. Where no device can be made at all, the node
    /// is left in clear, and so are its peers towards it.
    async fn realise(&mut self, cause: Cause) -> Result<(), AgentError> {
        let mut last = Vec::new();
        for _ in 0..MAX_ROUNDS {
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
                    self.health.with(|health| health.repairs(change));
                }
                let done = self.executor.apply(change, &mut self.kernel).await;
                self.health.with(|health| health.changed(repair));
                match done {
                    Ok(()) => self.log.changed(change, repair, Instant::now().into()),
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

    fn compare(&self) -> Comparison {
        Comparison::new(
            &self.kernel,
            &self.cluster,
            &self.config.node,
            &self.store,
            self.supported(),
            &self.tables,
            &self.departed,
        )
    }

    /// What is to be done, as far as is known now.
    async fn pending(&mut self) -> Result<Vec<Change>, AgentError> {
        let news = self.monitor.drain();
        if self.hooks.accepts_kernel_notifications() {
            self.kernel.apply_notifications(news);
        }
        let settings = &self.cluster.settings;
        self.kernel
            .refresh(&self.executor.netlink, settings)
            .await?;
        let own = self.cluster.nodes.get(&self.config.node);
        self.kernel.look_for_uplinks(own, settings);
        self.look_for_devices().await?;
        self.look_at_ports().await;
        self.look_at_tables();
        if self.desired.is_none() && self.hooks.remembers_nodes() {
            let found = self.kernel.firewall();
            self.departed.recall(
                &self.cluster,
                &self.config.node,
                found,
                self.wrong.is_empty(),
            );
        }
        let Comparison {
            mut actual,
            mut desired,
            conflicts,
            bypasses,
        } = self.compare();
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
