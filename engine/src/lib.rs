//! `wiremesh`: a per-node agent that turns "encrypt this cluster" into a working
//! WireGuard mesh, as Calico's Felix does.
//!
//! ```text
//! store -> Cluster -> Desired --diff--> changes -> kernel, tunnel, nftables
//!          resources  pure      pure    a value    the only effects
//!                                 ^
//!                     Actual -----+  read from the kernel each time
//! ```
//!
//! Two programs are made of it: `wiremesh`, and for tests `wiremesh-test`, whose hooks are faults.
//!
//! The modules are listed in reading order; each imports only those above it. What is
//! above `store` decides everything and has no effects; below, only `render` has none.

use std::process::ExitCode;

/// IPv4 and IPv6.
mod family;

/// Which addresses a node or a pod can have.
mod address;

/// Lists with commas between their words.
mod lists;

/// The word that was probably meant.
mod spelling;

/// Text of others on its way out.
mod text;

/// Public keys: base64 of 32 bytes that are not all zero.
mod key;

/// Durations as Go writes them.
mod duration;

/// Calico's selectors: expressions over labels.
mod selector;

/// Calico v3 resources, one at a time: what each file must hold.
mod resource;

/// FelixConfiguration: the settings that concern WireGuard, with their defaults.
mod settings;

/// All resources together: the cluster as one node's agent sees it.
mod cluster;

/// What is really on this node, by the kernel's own routes.
mod here;

/// Which node has which network.
mod networks;

/// What this engine wants of nftables.
mod firewall;

/// Addresses of Nodes that are gone while their pods are not.
mod departed;

/// What a node's dataplane can be like, for what is and for what should be.
mod dataplane;

/// Which routing table is this engine's.
mod tables;

/// Rules of the routing policy database: which packets each is for.
mod policy;

/// Rules of others that come before this engine's.
mod bypass;

/// Cluster to dataplane: what this node should be like.
mod desired;

/// Peers that speak from elsewhere than the store says.
mod roam;

/// The difference between two dataplanes as an ordered list of changes.
mod change;

/// What a node says of itself in the store.
mod publication;

/// What a pod's change does, at the cost of that pod.
mod increment;

/// Where a test changes what an agent does.
mod hooks;

/// Where the resources are: reading, following, compare-and-write.
mod store;

/// Links, addresses, routes and rules of this network namespace.
mod netlink;

/// nftables, by way of `nft`.
mod nft;

/// Encrypt or drop from the first packet after a boot.
mod guard;

/// The language in which a userspace WireGuard is configured.
mod uapi;

/// The userspace tunnel: a process that outlives the agent.
mod tunnel;

/// WireGuard devices, kernel and userspace alike.
mod device;

/// The kernel as it is, kept up to date by what it tells.
mod kernel;

/// UDP ports that another program has.
mod port;

/// Devices, times and sizes as text.
mod render;

/// How a node and its peers stand, for people and for programs.
mod status;

/// Carrying changes out, one by one.
mod apply;

/// Telling a supervisor how things stand (sd_notify).
mod notify;

/// What an agent has done and how it stands, for whoever asks meanwhile.
mod record;

/// What the log says, each thing once.
mod journal;

/// What Prometheus is told.
mod metrics;

/// Metrics, health and readiness over HTTP.
mod exporter;

/// The agent's loop.
mod agent;

/// What the operator's commands write into the store.
mod operate;

/// Arguments, help, and what each command does.
mod command;

/// Dying at a chosen write; in `wiremesh-test` alone.
mod crash;

/// Hand-made faults; in `wiremesh-test` alone.
mod fault;

/// The program `wiremesh`, from its arguments to its exit status: 0 done, 1 failed, 2 wrong arguments.
pub fn wiremesh() -> ExitCode {
    command::main(|command| command, |_| hooks::Hooks::default())
}

/// The program `wiremesh-test`: the same, but its agents have the faults that `--fault` names, and die
/// where `WIREMESH_CRASH` says.
pub fn wiremesh_test() -> ExitCode {
    command::main(fault::with_arguments, fault::hooks)
}
