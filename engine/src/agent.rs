//! The agent's loop: look, compare, change, publish; then wait for something to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::apply::{ApplyError, Hands, Preference};
use crate::change::diff;
use crate::cluster::{Cluster, Plain};
use crate::dataplane::Dataplane;
use crate::desired::{Desired, desired};
use crate::fault::{Fault, spoil};
use crate::netlink::{Netlink, NetlinkError};
use crate::nft;
use crate::notify::Supervisor;
use crate::observe::{ObserveError, Observed, observe};
use crate::resource::{Identity, Resource};
use crate::store::{Snapshot, Store, StoreError};
use crate::tunnel::Life;

/// How often everything is looked at though nothing happened (Felix: `RouteRefreshInterval`).
const RESYNC: Duration = Duration::from_secs(90);

/// After a failure, this, and twice as long after each further one.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// But never longer than this.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What an agent is told when it is started.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) node: String,
    pub(crate) store: Store,
    pub(crate) preference: Preference,
    pub(crate) faults: Vec<Fault>,
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
    /// Signals cannot be caught.
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until it is told to end. The device, its routes and its rule stay: traffic goes
/// on encrypted while there is no agent.
///
/// # Errors
/// The store or netlink cannot be opened at all. Whatever goes wrong later is logged and tried again.
pub(crate) async fn run(orders: Orders) -> Result<(), AgentError> {
    // One place is enough: what it says is that something, somewhere, has changed.
    let (changed, mut changes) = mpsc::channel(1);
    orders.store.watch(changed.clone()).await?;
    if let Err(error) = nft::watch(changed.clone()) {
        tracing::warn!("{error}: their drift is found by the resync alone");
    }
    let netlink = Netlink::open(changed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signal)?;
    let mut agent = Agent {
        netlink,
        supervisor: Supervisor::from_environment(),
        good: BTreeMap::new(),
        said: BTreeSet::new(),
        unsupported: None,
        orders,
    };
    let mut retry = FIRST_RETRY;
    loop {
        let wake = match agent.reconcile().await {
            Ok(()) => {
                retry = FIRST_RETRY;
                Instant::now() + RESYNC
            }
            Err(error) => {
                agent.complain(&error.to_string());
                let wake = Instant::now() + retry;
                retry = (retry * 2).min(LAST_RETRY);
                wake
            }
        };
        tokio::select! {
            _ = changes.recv() => {}
            () = sleep_until(wake) => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

struct Agent {
    orders: Orders,
    netlink: Netlink,
    supervisor: Supervisor,
    /// The last good state of each resource.
    good: BTreeMap<Identity, Resource>,
    /// What has been said already and still holds, so that it is said once.
    said: BTreeSet<String>,
    /// Why this node can make no device, if it cannot.
    unsupported: Option<String>,
}

impl Agent {
    async fn reconcile(&mut self) -> Result<(), AgentError> {
        let snapshot = self.orders.store.read().await?;
        let digest = snapshot.digest.clone();
        let mut problems = self.keep_good(snapshot);
        let (cluster, wrong) = Cluster::new(&self.orders.node, &self.good);
        problems.extend(
            wrong
                .iter()
                .map(|(identity, wrong)| format!("{identity}: {wrong}")),
        );

        let own = cluster
            .nodes
            .get(&self.orders.node)
            .ok_or_else(|| AgentError::NoNode(self.orders.node.clone()))?
            .clone();
        let observed = observe(&self.netlink, &cluster.settings, own.endpoint).await?;
        let plane = match desired(&cluster, &self.orders.node, observed.uplink_mtu) {
            Desired::Plain(plane) => plane,
            Desired::Encrypting(plane) => spoil(plane, &self.orders.faults),
            // Neither the dataplane nor what the peers know of it changes.
            Desired::LeaveAlone(why) => {
                problems.push(why.to_owned());
                self.report(&problems);
                self.announce("left alone", &problems, &digest);
                return Ok(());
            }
        };
        let changed = self.realise(&cluster, &observed, &plane).await?;
        problems.extend(self.unsupported.clone());
        problems.extend(self.plain_peers(&cluster, &plane));
        self.report(&problems);

        if self.orders.faults.contains(&Fault::NeverPublish) {
            return Ok(());
        }
        // The key is read from the device itself, so that what is published is what it has.
        let now = if changed {
            observe(&self.netlink, &cluster.settings, own.endpoint).await?
        } else {
            observed
        };
        let key = now.public_key.filter(|_| plane.device.is_some());
        let key = key.map(|key| key.to_string());
        let store = &self.orders.store;
        if store
            .publish_keys(&self.orders.node, key.as_deref(), None)
            .await?
        {
            match key {
                None => tracing::info!("withdrew this node's key"),
                Some(key) => tracing::info!("published this node's key {key}"),
            }
            // The write wakes the loop: what is announced is the store with the key.
            return Ok(());
        }
        self.announce(
            &format!("in sync: {} peers", now.peers.len()),
            &problems,
            &digest,
        );
        Ok(())
    }

    /// Tells the supervisor that the store's state of that digest has been dealt with.
    fn announce(&mut self, how: &str, problems: &[String], digest: &str) {
        let status = std::iter::once(how)
            .chain(problems.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("; ");
        if let Err(error) = self.supervisor.in_sync(&status, digest) {
            self.complain(&format!("cannot tell the supervisor: {error}"));
        }
    }

    /// Takes what could be read; of what could not, the last good state stays in force.
    fn keep_good(&mut self, snapshot: Snapshot) -> Vec<String> {
        let held: BTreeSet<_> = snapshot
            .bad
            .values()
            .filter_map(|bad| bad.identity.clone())
            .collect();
        // A file that says not even which resource it holds may hold any of them.
        let unreadable = snapshot.bad.values().any(|bad| bad.identity.is_none());
        let mut good = snapshot.resources;
        for (identity, resource) in std::mem::take(&mut self.good) {
            if unreadable || held.contains(&identity) {
                good.entry(identity).or_insert(resource);
            }
        }
        self.good = good;
        snapshot
            .bad
            .values()
            .map(|bad| format!("{}: {}", bad.name, bad.what))
            .collect()
    }

    /// Makes the dataplane what it should be. Where no device can be made at all, the node
    /// is left in clear, and so are its peers towards it. Says whether anything was written.
    async fn realise(
        &mut self,
        cluster: &Cluster,
        observed: &Observed,
        plane: &Dataplane,
    ) -> Result<bool, AgentError> {
        let changes = diff(&observed.dataplane, plane);
        let mut hands = Hands {
            netlink: &self.netlink,
            settings: &cluster.settings,
            preference: self.orders.preference,
            backend: observed.backend,
            tunnel_life: match self.orders.faults.contains(&Fault::MortalTunnel) {
                true => Life::Agents,
                false => Life::Own,
            },
        };
        for change in &changes {
            match hands.apply(change).await {
                Ok(()) => tracing::info!("{change}"),
                Err(ApplyError::Unsupported(why)) => {
                    for change in diff(&observed.dataplane, &Dataplane::default()) {
                        hands.apply(&change).await?;
                    }
                    self.unsupported = Some(format!("this node cannot encrypt: {why}"));
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.unsupported = None;
        Ok(!changes.is_empty())
    }

    /// The nodes that are reached in clear though encryption is on, and why.
    fn plain_peers(&self, cluster: &Cluster, plane: &Dataplane) -> Vec<String> {
        if plane.device.is_none() {
            return Vec::new();
        }
        let others = cluster
            .nodes
            .keys()
            .filter(|name| **name != self.orders.node);
        others
            .filter_map(|name| match cluster.key_of(name) {
                // Normal: it does not encrypt, or not yet.
                Ok(_) | Err(Plain::NoKey) => None,
                Err(plain) => Some(format!("{name} is reached in clear: {plain}")),
            })
            .collect()
    }

    /// Logs each problem once, and again only after it has gone away in between.
    fn report(&mut self, problems: &[String]) {
        for problem in problems {
            if !self.said.contains(problem) {
                tracing::warn!("{problem}");
            }
        }
        self.said = problems.iter().cloned().collect();
    }

    fn complain(&mut self, problem: &str) {
        if self.said.insert(problem.to_owned()) {
            tracing::error!("{problem}");
        }
        // If even this fails, the log is all there is.
        let _ = self.supervisor.struggling(problem);
    }
}
