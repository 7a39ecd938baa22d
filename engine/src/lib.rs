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
//! What decides is the crate `wiremesh-plan`, which has no effects: `Cluster`, `Desired` and the changes are
//! its types. The modules here have the effects; they are listed in reading order, and each imports only those
//! above it.

use std::process::ExitCode;

/// The points at which a test changes what an agent does.
mod hooks;

/// The store of the cluster's resources: reading, following, compare-and-write.
mod store;

/// The effects: links, routes, rules, nftables, tunnels and devices of this network namespace.
mod host;

/// The loop, and what it reports to the log, to a supervisor and to Prometheus.
mod agent;

/// The operator's commands, and what they print.
mod operator;

/// Abort at a chosen write; in `wiremesh-test` alone.
mod crash;

/// Hand-made faults; in `wiremesh-test` alone.
mod fault;

/// The program `wiremesh`, from its arguments to its exit status: 0 done, 1 failed, 2 wrong arguments.
pub fn wiremesh() -> ExitCode {
    operator::command::main(|command| command, |_| hooks::Hooks::default())
}

/// The program `wiremesh-test`: the same, but its agents have the faults that `--fault` names, and die at the
/// write that `WIREMESH_CRASH` names.
pub fn wiremesh_test() -> ExitCode {
    operator::command::main(fault::with_arguments, fault::hooks)
}
