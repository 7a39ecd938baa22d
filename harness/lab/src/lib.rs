//! The lab: runs a plan, and returns the evidence.
//!
//! The lab builds the planned cluster out of network namespaces, runs the engine
//! under test in every node, sends the probes and watches every interface. It
//! decides nothing: what its observations mean is the model's business.
//!
//! It never touches the host's own network namespace. [`kernel::sandbox`] moves the whole
//! harness into namespaces of its own first, and everything that the lab makes
//! lives and dies with that process.

/// The foundations of the lab: errors, waits, threads, programs and the run directory.
pub mod base;

/// Interfaces to the kernel: system calls, namespaces, netlink, sysctls and packet sockets.
pub mod kernel;

/// The emulated cluster: nodes, pods, the fabric between them, and the store.
pub mod cluster;

/// Observation: frames at every interface, dataplanes, counters and drop reasons.
mod observe;

/// The capabilities and the memory of this machine.
pub mod host;

/// The strict reverse-path matrix, row by row in a network of its own.
pub mod rpf;

/// Traffic of the lab: probes, flows, packets of chosen sizes, transfers and spoofed packets.
mod traffic;

/// The engine as processes, the steps that it is taken through, and how it behaves.
mod steps;

/// One run, from plan to evidence.
pub mod run;

/// Comments in capture files, on the frames that decided something.
pub mod annotate;

/// Runs in a virtual machine, for kernels that this one is not.
pub mod vm;
