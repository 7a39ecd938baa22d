//! Hand-made faults, for judging the harness.
//!
//! Each leaves out one thing that the encryption of a cluster needs. A harness that
//! does not notice proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde_json::Value;
use wiremesh_plan::dataplane::change::{Change, diff};
use wiremesh_plan::dataplane::model::{Dataplane, Rule};
use wiremesh_plan::dataplane::tables::Tables;
use wiremesh_plan::intent::cluster::Cluster;
use wiremesh_plan::intent::family::Family;
use wiremesh_plan::intent::resource::{Identity, Node};
use wiremesh_plan::intent::settings::KERNEL_TABLES;

use crate::crash::CrashPoint;
use crate::hooks::{Hooks, TestHooks};

/// Changes that the faults make to a dataplane.
mod dataplane;

/// Faults that take a private key out of its device.
mod secret;

use dataplane::spoil;

/// The argument that names a fault; it may come again and again.
const ARGUMENT: &str = "fault";

/// The argument that asks a tunnel process for the fault that is one of its own.
const MORTAL: &[&str] = &["--fault", "mortal-tunnel"];

/// How many bytes a hoarder has, all of them written to.
const HOARDED_BYTES: usize = 512 << 20;

/// After how many documents an agent is deaf.
const MANY_DOCUMENTS: usize = 1000;

/// What is seen of rules where tables are shared.
static NO_RULES: BTreeSet<Rule> = BTreeSet::new();

/// One thing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    /// No throw routes.
    NoThrowRoutes,
    /// `src_valid_mark` is not set.
    NoSrcValidMark,
    /// The reverse-path filter of every interface is switched off.
    NoRpFilter,
    /// Incoming packets are not marked.
    NoIncomingMark,
    /// Incoming ARP is not marked (Calico's BUG-H).
    NoArpMark,
    /// What nobody is known to have goes into the tunnel.
    RoutesTheWorld,
    /// The device's packets carry no mark; the rule stays.
    NoFwmark,
    /// The peers' allowed IPs lack the nodes' own addresses; the routes stay.
    NoHostAllowedIps,
    /// The key is never published, and nothing is announced.
    NeverPublish,
    /// The userspace tunnel ends when the agent does.
    MortalTunnel,
    /// The device's MTU is what the uplink's is.
    NoMtu,
    /// The device's MTU is 20 bytes too large.
    MtuTooLarge,
    /// The device's MTU is 200 bytes too small.
    MtuTooSmall,
    /// The device's MTU is what the uplink's is, and TCP is told of smaller segments.
    MssOnly,
    /// The second device's port is always Calico's.
    KeepsOldPortOfIpv6,
    /// A peer that roamed is sent to where the store says that it is.
    PinsEndpoints,
    /// There is no IPv6 mesh.
    NoIpv6,
    /// What drops plaintext is not kept for the next boot.
    NoGuard,
    /// "Encrypt or drop" is not asked of the kernel.
    NoStrict,
    /// What comes out of the tunnel for somebody who has left goes where everything goes.
    NoStrictThrough,
    /// A Node that is deleted is forgotten, though its pods are there.
    ForgetsDeparted,
    /// Nodes that may be spoken to in clear are not let through.
    ForgetsPlainNodes,
    /// The store's own connections go through the mesh.
    NoStoreBypass,
    /// Borrowed addresses are left to their lenders' routes.
    NoBorrowed,
    /// Calico IPAM's blocks are not looked at.
    NoBlocks,
    /// The addresses of the nodes' tunnels are not looked at.
    NoTunnelAddresses,
    /// A key that two nodes claim takes the peers but leaves their routes (Calico's BUG-A).
    KeyConflictBlackHole,
    /// Requests for a new key are not met.
    NoRotation,
    /// A published key that is not this node's is left (Calico heals it).
    NoRepublish,
    /// What the kernel tells is not listened to: drift waits for the resync.
    NoWatch,
    /// The resync does not look at sysctls.
    NoSysctlRepair,
    /// Every resync writes the peers again (calico#4091).
    RewritesOnResync,
    /// Of what the kernel tells of a device in several messages, the first is read.
    ReadsFirstParts,
    /// A change of the keepalive does not reach peers that are there (Calico's BUG-D).
    KeepsOldKeepalive,
    /// A change of the uplink's MTU is not followed.
    KeepsOldMtu,
    /// A device of another name keeps the port (Calico's BUG-F).
    KeepsOldDevice,
    /// A node's first address is kept for ever (Calico's BUG-E and BUG-G).
    KeepsOldAddress,
    /// The port and the rule are set once and never changed.
    KeepsOldSettings,
    /// Pods that move stay with the peer that had them.
    KeepsOldPods,
    /// An agent that starts begins anew: it deletes the device that it finds.
    StartsAnew,
    /// Every rule that looks up a table of numbers is taken for the engine's own.
    TakesForeign,
    /// A routing table is taken whoever looks it up or has routes in it.
    SharesTables,
    /// Rules of others that come before the engine's are not looked at.
    NoRulesBefore,
    /// Listed foreign peers are removed all the same.
    RemovesForeignPeers,
    /// The resync does not ask the devices.
    NoPeerRepair,
    /// Once every node has a key, nothing that the store tells is taken in.
    FreezesCluster,
    /// A device that is found is taken for all that there has to be.
    HalfIsWhole,
    /// A configuration of one node is not looked at.
    NoOptOut,
    /// After a break the store is watched from the present on: what changed meanwhile is missed.
    NoWatchResume,
    /// A resource that cannot be read any more counts as deleted.
    ForgetsLastGood,
    /// While the store cannot be reached its configurations count as deleted.
    ForgetsTheAbsent,
    /// After a thousand events of the store nobody listens any more.
    DeafAfterABurst,
    /// A store that says nothing is taken for one in which nothing happens.
    NeverAsksTheStore,
    /// While nothing can be done, what the kernel tells is left lying around.
    DrownsInNews,
    /// A resource is written whatever others have written to it meanwhile.
    NoCas,
    /// Each look at the cluster is worth a warning.
    NoisyLog,
    /// What the agent has read it keeps, over and over.
    HoardsMemory,
    /// Whoever asks the agent to end is not heard.
    IgnoresSigterm,
    /// An agent that was asked to end says that it has failed.
    EndsInFailure,
    /// The log has the device's private key.
    LogsPrivateKey,
    /// The state directory has it, in a file that root alone can read.
    KeyInState,
    /// The store has it, if it is a directory.
    KeyInStore,
    /// A file of the host has it.
    KeyInFile,
    /// The command line of another process has it.
    KeyOnCommandLine,
    /// The environment of another process has it.
    KeyInEnvironment,
    /// The answer of an HTTP server has it.
    KeyInMetrics,
    /// The name of a table of nftables has it.
    KeyInFirewall,
    /// All users can connect to the control sockets of userspace devices.
    OpenControlSocket,
}

/// The commands, with `--fault` where there are faults.
pub(crate) fn with_arguments(command: Command) -> Command {
    let fault = Arg::new(ARGUMENT)
        .long(ARGUMENT)
        .help("Leave something out, for judging the harness")
        .action(ArgAction::Append)
        .value_parser(value_parser!(Fault));
    command
        .name("wiremesh-test")
        .mut_subcommand("agent", |agent| agent.arg(fault.clone()))
        .mut_subcommand("tunnel", |tunnel| tunnel.arg(fault))
}

/// The faults that were asked for, and the crash point.
pub(crate) fn hooks(matches: &ArgMatches) -> Hooks {
    // Most commands have no such argument.
    let named = matches
        .subcommand()
        .and_then(|(_, matches)| matches.try_get_many::<Fault>(ARGUMENT).ok().flatten());
    let faults = named.into_iter().flatten().copied().collect();
    Hooks::new(Faults::new(faults, CrashPoint::from_environment()))
}

/// An agent with faults, or one that dies.
#[derive(Debug)]
struct Faults {
    faults: Vec<Fault>,
    crash: CrashPoint,
    /// Whether anything has been written.
    wrote: AtomicBool,
    /// Whether nothing has been compared yet.
    fresh: AtomicBool,
    /// Whether what the kernel has told before the next comparison is not taken in.
    ignores_notifications: AtomicBool,
    /// Whether all that is there is written again at the next comparison.
    rewrites: AtomicBool,
    documents: AtomicUsize,
    /// Whether a private key has been copied, or there is none to copy.
    leaked: AtomicBool,
    /// What was read first at each key of the store.
    copies: Mutex<BTreeMap<String, Value>>,
}

impl Faults {
    fn new(faults: Vec<Fault>, crash: CrashPoint) -> Self {
        let keeps_keys = !faults.iter().copied().any(secret::is_secret);
        Self {
            leaked: AtomicBool::new(keeps_keys),
            faults,
            crash,
            wrote: AtomicBool::new(false),
            fresh: AtomicBool::new(true),
            ignores_notifications: AtomicBool::new(false),
            rewrites: AtomicBool::new(false),
            documents: AtomicUsize::new(0),
            copies: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

impl TestHooks for Faults {
    fn agent_starts(&self, procfs: &Path) {
        if self.has(Fault::HoardsMemory) {
            std::mem::forget(vec![1_u8; HOARDED_BYTES]);
        }
        if !self.has(Fault::NoRpFilter) {
            return;
        }
        let all = fs::read_dir(procfs.join("sys/net/ipv4/conf"));
        for interface in all.into_iter().flatten().flatten() {
            let _ = fs::write(interface.path().join("rp_filter"), "0");
        }
    }

    fn obeys_sigterm(&self) -> bool {
        !self.has(Fault::IgnoresSigterm)
    }

    fn agent_ends(&self) {
        if self.has(Fault::EndsInFailure) {
            process::exit(1);
        }
    }

    fn tunnel_arguments(&self) -> &'static [&'static str] {
        match self.has(Fault::MortalTunnel) {
            true => MORTAL,
            false => &[],
        }
    }

    fn tunnel_starts(&self) -> io::Result<()> {
        if self.has(Fault::MortalTunnel) {
            set_pdeathsig(Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn comparison_begins(&self, resync: bool) {
        // What happened before this agent writes is not heard of; what it writes itself is.
        self.ignores_notifications
            .store(self.has(Fault::NoWatch) && !resync, Relaxed);
        self.rewrites
            .store(self.has(Fault::RewritesOnResync) && resync, Relaxed);
    }

    fn watches_kernel(&self) -> bool {
        !self.has(Fault::NoWatch)
    }

    fn accepts_kernel_notifications(&self) -> bool {
        !self.ignores_notifications.swap(false, Relaxed)
    }

    fn drains_kernel(&self) -> bool {
        !self.has(Fault::DrownsInNews)
    }

    fn compares_sysctls(&self) -> bool {
        !self.has(Fault::NoSysctlRepair)
    }

    fn compares_devices(&self) -> bool {
        !self.has(Fault::NoPeerRepair)
    }

    fn owns_table(&self, table: u32) -> bool {
        self.has(Fault::TakesForeign) && !KERNEL_TABLES.contains(&table)
    }

    fn change_tables(&self, tables: &mut Tables<'_>) {
        if self.has(Fault::SharesTables) {
            tables.rules = &NO_RULES;
            tables.foreign.clear();
        }
    }

    fn configured_node<'a>(&self, node: &'a str) -> &'a str {
        match self.has(Fault::NoOptOut) {
            true => "",
            false => node,
        }
    }

    fn takes_in(&self, known: &Cluster) -> bool {
        !(self.has(Fault::FreezesCluster) && all_have_keys(known))
    }

    fn change_cluster(&self, cluster: &mut Cluster) {
        spoil_cluster(cluster, &self.faults);
    }

    fn remembers_nodes(&self) -> bool {
        !self.has(Fault::ForgetsDeparted)
    }

    fn allows_shortcut(&self) -> bool {
        self.faults.is_empty()
    }

    fn sees_rules_before(&self) -> bool {
        !self.has(Fault::NoRulesBefore)
    }

    fn follows_peers(&self) -> bool {
        !self.has(Fault::PinsEndpoints)
    }

    fn change_dataplanes(&self, actual: &mut Dataplane, desired: &mut Dataplane) {
        spoil(actual, desired, &self.faults);
        if !self.leaked.load(Relaxed) {
            self.leaked
                .store(secret::leak(actual, &self.faults), Relaxed);
        }
        let is_there = !actual.families.v4.devices.is_empty();
        if self.has(Fault::HalfIsWhole) && is_there && !self.wrote.load(Relaxed) {
            actual.clone_from(desired);
        }
        let fresh = self.fresh.swap(false, Relaxed);
        if self.has(Fault::StartsAnew) && fresh && *actual != Dataplane::default() {
            *desired = Dataplane::default();
        }
    }

    fn more_changes(&self, actual: &Dataplane) -> Vec<Change> {
        if !self.rewrites.swap(false, Relaxed) {
            return Vec::new();
        }
        let mut all = diff(&Dataplane::default(), actual);
        all.retain(|change| matches!(change, Change::Configure(_) | Change::SetRoutes { .. }));
        all
    }

    fn before_write(&self, number: u64) {
        self.wrote.store(true, Relaxed);
        self.crash.before(number);
    }

    fn after_write(&self, number: u64) {
        self.crash.after(number);
    }

    fn keeps_guard(&self) -> bool {
        !self.has(Fault::NoGuard)
    }

    fn publishes(&self) -> bool {
        !self.has(Fault::NeverPublish)
    }

    fn publishes_again(&self, own: &Node) -> bool {
        let mut families = Family::ALL.into_iter();
        !(self.has(Fault::NoRepublish) && families.any(|family| own.public_key[family].is_some()))
    }

    fn rotates(&self) -> bool {
        !self.has(Fault::NoRotation)
    }

    fn document_read(&self) {
        self.documents.fetch_add(1, Relaxed);
    }

    fn accepts_store_events(&self) -> bool {
        let burst = self.documents.load(Relaxed) > MANY_DOCUMENTS;
        !(self.has(Fault::DeafAfterABurst) && burst)
    }

    fn keeps_last_good(&self) -> bool {
        !self.has(Fault::ForgetsLastGood)
    }

    fn goes_with_store(&self, identity: &Identity) -> bool {
        self.has(Fault::ForgetsTheAbsent) && identity.kind == "FelixConfiguration"
    }

    fn resumes_watch(&self) -> bool {
        !self.has(Fault::NoWatchResume)
    }

    fn asks_silent_store(&self) -> bool {
        !self.has(Fault::NeverAsksTheStore)
    }

    fn edited(&self, key: &str, value: Value) -> Value {
        if !self.has(Fault::NoCas) {
            return value;
        }
        // What was there at first is written over all that others have written since.
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.entry(key.to_owned()).or_insert(value).clone()
    }
}

/// Whether every node has published a key for IPv4.
fn all_have_keys(cluster: &Cluster) -> bool {
    let mut nodes = cluster.nodes.keys();
    !cluster.nodes.is_empty() && nodes.all(|node| cluster.key_of(node, Family::V4).is_ok())
}

/// The cluster, less what the faults do not look at.
fn spoil_cluster(cluster: &mut Cluster, faults: &[Fault]) {
    for fault in faults {
        match fault {
            Fault::NoBlocks => cluster.blocks.clear(),
            Fault::NoBorrowed => {
                for block in &mut cluster.blocks {
                    block.borrowed.clear();
                }
            }
            Fault::NoTunnelAddresses => {
                for node in cluster.nodes.values_mut() {
                    node.tunnel_address = Default::default();
                    node.overlay_addresses.clear();
                }
            }
            Fault::ForgetsPlainNodes => {
                if let Some(strict) = &mut cluster.settings.strict {
                    strict.plain_nodes.clear();
                }
            }
            Fault::RemovesForeignPeers => cluster.settings.foreign_peers.clear(),
            _ => {}
        }
    }
}
