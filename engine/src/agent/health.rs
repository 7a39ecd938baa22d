//! The agent's state and counters, read by the exporter while the agent works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use wireguard_control::Backend;
use wiremesh_plan::dataplane::bypass::{self, Bypass, Effect};
use wiremesh_plan::dataplane::change::Change;
use wiremesh_plan::dataplane::desired::peer_key;
use wiremesh_plan::intent::cluster::{Cluster, Plain};
use wiremesh_plan::intent::family::{Family, PerFamily};

/// What wakes an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The store, or a failure that is tried again.
    Intent,
    /// A notification of the kernel: somebody else has changed something.
    Drift,
    /// The resync interval.
    Resync,
}

impl Cause {
    /// In logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Drift => "drift",
            Self::Resync => "resync",
        }
    }
}

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not been in sync yet.
    Starting,
    /// The dataplane follows the store.
    InSync,
    /// It does not, because of this.
    Struggling(String),
}

/// One family's mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mesh {
    /// Whether this node encrypts.
    pub(crate) encrypting: bool,
    /// The device, if there is one.
    pub(crate) device: Option<(String, Backend)>,
    /// How many nodes are peers.
    pub(crate) encrypted: usize,
    /// Those that are reached in clear, and why.
    pub(crate) plain: BTreeMap<String, Plain>,
    /// Those that are not reached at all, since it would be in clear, and why.
    pub(crate) dropped: BTreeMap<String, Plain>,
}

impl Mesh {
    /// How `node` reaches the others.
    pub(crate) fn of(
        cluster: &Cluster,
        node: &str,
        family: Family,
        device: Option<(String, Backend)>,
        bypasses: &[Bypass],
    ) -> Self {
        let mut mesh = Self {
            encrypting: true,
            device,
            ..Self::default()
        };
        for name in cluster.nodes.keys().filter(|name| *name != node) {
            let bypass = bypass::worst(bypasses, name);
            let refused = bypass.is_some_and(|bypass| bypass.effect == Effect::Refused);
            let unencrypted = match refused || cluster.settings.refuses(name) {
                true => &mut mesh.dropped,
                false => &mut mesh.plain,
            };
            let bypass = bypass.map(|bypass| Plain::Bypassed(bypass.to_string()));
            let key = peer_key(cluster, node, name, family);
            match key.and_then(|key| bypass.map_or(Ok(key), Err)) {
                Ok(_) => mesh.encrypted += 1,
                Err(plain) => drop(unencrypted.insert(name.clone(), plain)),
            }
        }
        mesh
    }

    /// The peers that somebody has to see to.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let groups = [
            ("reached in clear", &self.plain),
            ("cut off", &self.dropped),
        ];
        groups.into_iter().flat_map(|(how, nodes)| {
            // Of a rule of others it is told once, whatever it does to how many nodes.
            let odd = nodes
                .iter()
                .filter(|(_, plain)| !plain.is_normal() && !matches!(plain, Plain::Bypassed(_)));
            odd.map(move |(name, plain)| format!("{name} is {how}: {plain}"))
        })
    }
}

/// How often something took how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Durations {
    /// How many were at most as long as that bound, and longer than the one before.
    pub(crate) counts: [u64; Self::BOUNDS.len()],
    /// How many there were at all.
    pub(crate) count: u64,
    /// The sum of all.
    pub(crate) sum: Duration,
}

impl Durations {
    /// Upper bounds of the histogram's buckets, in seconds.
    pub(crate) const BOUNDS: [f64; 11] =
        [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

    fn add(&mut self, duration: Duration) {
        let bound = Self::BOUNDS
            .iter()
            .position(|bound| duration.as_secs_f64() <= *bound);
        if let Some(bound) = bound {
            self.counts[bound] += 1;
        }
        self.count += 1;
        self.sum += duration;
    }
}

/// What an agent has done and how it stands.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// The node's name.
    pub(crate) node: String,
    /// How it stands.
    pub(crate) standing: Standing,
    /// Since when it has been working without a pause, if it is.
    pub(crate) busy_since: Option<Instant>,
    /// When the dataplane last followed the store.
    pub(crate) synced: Option<SystemTime>,
    /// Writes to the kernel.
    pub(crate) writes: u64,
    /// Comparisons that nothing but the clock had caused.
    pub(crate) resyncs: u64,
    /// Writes that put right what somebody else had changed, by the cause of the comparison that found it.
    pub(crate) repairs: BTreeMap<Cause, u64>,
    /// Reconciliations that failed.
    pub(crate) failures: u64,
    /// From the first event that was not dealt with to the settled dataplane.
    pub(crate) convergence: Durations,
    /// Whether the store cannot be reached or followed.
    pub(crate) store_trouble: bool,
    /// How often that began.
    pub(crate) store_losses: u64,
    /// How often it was over again.
    pub(crate) store_recoveries: u64,
    /// How many things are wrong.
    pub(crate) problems: usize,
    /// Whether it is "encrypt or drop".
    pub(crate) strict: bool,
    /// Whether `wireguard_*` metrics are exported too.
    pub(crate) exports_wireguard: bool,
    /// How this node reaches the others, by family.
    pub(crate) meshes: PerFamily<Mesh>,
    /// How many networks several nodes claim.
    pub(crate) conflicts: PerFamily<usize>,
    /// When the agent's loop turned last, as [`Shared::watch`] sees it.
    pub(crate) turned: Option<Instant>,
    /// When the first event came that has not been dealt with, and whether it took a write.
    unsettled: Option<(Instant, bool)>,
}

impl Health {
    /// Of an agent that has just begun.
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            standing: Standing::Starting,
            busy_since: None,
            synced: None,
            writes: 0,
            resyncs: 0,
            repairs: BTreeMap::from([(Cause::Drift, 0), (Cause::Resync, 0)]),
            failures: 0,
            convergence: Durations::default(),
            store_trouble: false,
            store_losses: 0,
            store_recoveries: 0,
            problems: 0,
            strict: false,
            exports_wireguard: true,
            meshes: PerFamily::default(),
            conflicts: PerFamily::default(),
            turned: None,
            unsettled: None,
        }
    }

    /// The agent begins to work.
    pub(crate) fn began(&mut self, now: Instant) {
        self.busy_since = Some(now);
        self.unsettled.get_or_insert((now, false));
    }

    /// It waits again, and has made that many writes so far.
    pub(crate) fn ended(&mut self, writes: u64) {
        self.busy_since = None;
        self.writes = writes;
    }

    /// Somebody else has changed what this engine made, and it is about to put that right.
    pub(crate) fn repairs(&mut self, change: &Change) {
        self.standing = Standing::Struggling(format!("being put right: {change}"));
    }

    /// It has written to the kernel: to put something right, if there was a cause for that.
    pub(crate) fn changed(&mut self, repair: Option<Cause>) {
        if let Some(cause) = repair {
            *self.repairs.entry(cause).or_default() += 1;
        }
        if let Some((_, touched)) = &mut self.unsettled {
            *touched = true;
        }
    }

    /// The dataplane follows the store. What took no write is no convergence.
    pub(crate) fn settled(&mut self, now: Instant, clock: SystemTime) {
        if let Some((since, true)) = self.unsettled.take() {
            self.convergence.add(now.duration_since(since));
        }
        self.standing = Standing::InSync;
        self.synced = Some(clock);
    }

    /// The dataplane is made, and others keep it from being all that counts.
    pub(crate) fn bypassed(&mut self, why: &str) {
        self.standing = Standing::Struggling(why.to_owned());
    }

    /// The dataplane could not be made to follow the store.
    pub(crate) fn failed(&mut self, why: &str) {
        self.failures += 1;
        self.standing = Standing::Struggling(why.to_owned());
    }

    /// There is nothing to follow yet.
    pub(crate) fn idles(&mut self) {
        self.unsettled = None;
    }

    /// Whether the store can be followed now.
    pub(crate) fn store(&mut self, trouble: bool) {
        self.store_losses += u64::from(trouble && !self.store_trouble);
        self.store_recoveries += u64::from(!trouble && self.store_trouble);
        self.store_trouble = trouble;
    }
}

/// Interval at which the agent's runtime notes that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A health that its agent writes and others read.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<Health>>);

impl Shared {
    /// Of an agent that has just begun.
    pub(crate) fn new(node: &str) -> Self {
        Self(Arc::new(Mutex::new(Health::new(node))))
    }

    /// Keeps noting that the agent's loop turns: on the loop's own thread, so that what holds that
    /// thread up shows. The agent is at work from here.
    pub(crate) fn watch(&self) {
        self.with(|health| {
            health.began(Instant::now());
            health.turned = Some(Instant::now());
        });
        let shared = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                shared.with(|health| health.turned = Some(Instant::now()));
            }
        });
    }

    /// For a short look, or a short change: the agent waits meanwhile.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Health) -> T) -> T {
        // Whoever panicked had no part in what these numbers say.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_a_write_is_no_convergence() {
        let mut health = Health::new("a");
        let start = Instant::now();
        health.began(start);
        health.settled(start + Duration::from_millis(5), SystemTime::UNIX_EPOCH);
        assert_eq!(health.convergence.count, 0);
        health.began(start);
        health.changed(None);
        health.ended(1);
        // The second event comes before the first is dealt with: the first one counts.
        health.began(start + Duration::from_millis(80));
        health.settled(start + Duration::from_millis(90), SystemTime::UNIX_EPOCH);
        assert_eq!(health.convergence.count, 1);
        assert_eq!(health.convergence.sum, Duration::from_millis(90));
        assert_eq!(health.convergence.counts[3], 1);
        assert_eq!(health.repairs[&Cause::Drift], 0);
    }

    #[test]
    fn a_change_by_others_is_not_in_sync_until_it_is_repaired() {
        let mut health = Health::new("a");
        let now = Instant::now();
        health.settled(now, SystemTime::UNIX_EPOCH);
        let change = Change::SwitchOn {
            family: Family::V4,
            name: "wg".into(),
        };
        health.repairs(&change);
        health.changed(Some(Cause::Drift));
        let why = Standing::Struggling("being put right: switch wg on".into());
        assert_eq!(health.standing, why);
        health.settled(now, SystemTime::UNIX_EPOCH);
        assert_eq!(health.standing, Standing::InSync);
        health.bypassed("a rule");
        assert_eq!(health.standing, Standing::Struggling("a rule".into()));
    }

    #[test]
    fn a_loss_of_the_store_counts_once_however_often_it_is_reported() {
        let mut health = Health::new("a");
        for trouble in [false, true, true, false, false, true] {
            health.store(trouble);
        }
        assert_eq!((health.store_losses, health.store_recoveries), (2, 1));
    }
}
