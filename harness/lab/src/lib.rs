//! The room with effects: a plan comes in, evidence comes out.
//!
//! The lab builds the planned cluster out of network namespaces, runs the engine
//! under test in every node, sends the probes and watches every interface. It
//! decides nothing: what its observations mean is the model's business.
//!
//! It never touches the host's own network namespace. [`sandbox`] moves the whole
//! harness into namespaces of its own first, and everything that the lab makes
//! lives and dies with that process.

/// The world failed: what, where, and what to try.
pub mod error;

/// Whether the kernel is a virtual machine's of the harness.
mod machine;

/// The only unsafe code: what no library wraps safely.
mod sys;

/// The harness's own user, process, mount and network namespaces.
pub mod sandbox;

/// Threads, and what to do where the kernel gives none.
mod worker;

/// The only place that enters namespaces.
mod namespace;

/// Waits with a name and a deadline.
mod wait;

/// Programs that the lab runs, and where they are looked for.
pub mod program;

/// Links, addresses, routes and neighbours of one namespace.
mod netlink;

/// The kernel's tables of neighbours, one of each family for all namespaces.
mod neighbour;

/// Kernel parameters of one namespace.
mod sysctl;

/// The run directory: what a run leaves behind, and where.
pub mod artifact;

/// What a node's processes see and can write: files of their own.
mod containment;

/// What a node's commands print, up to a size.
mod log;

/// A node's first process: starts what the lab asks for, reaps what is left over.
pub mod init;

/// A node's first process, as the lab sees it.
mod node;

/// Plan to namespaces, links and addresses.
mod topology;

/// Frames to and from interfaces, past the network stack.
mod packet;

/// Whole frames with whatever source one likes.
mod forge;

/// The kernel's own description of its types.
mod btf;

/// Dropped packets of every namespace, by the kernel's reasons.
mod drop_watch;

/// What this machine can do, and what each missing thing costs.
pub mod preflight;

/// What scenarios need that not every machine has, and whether this one has it.
pub mod need;

/// What the interfaces of a namespace are, by their names and at any time of a run.
mod role;

/// One namespace's observer: its socket, its interfaces and its capture file.
mod observer;

/// How large the observers' rings are.
mod ring;

/// What memory a run will need, and whether there is as much.
pub mod memory;

/// All observers, armed before the first agent is started.
mod capture;

/// Frames that show that the observers see.
mod beacon;

/// Numbered packets from endpoint to endpoint while everything else happens.
mod flow;

/// What watches the cluster while it changes: the observers, and the flows that they see.
mod witness;

/// Userspace WireGuard devices of one namespace.
mod wireguard;

/// A node's dataplane as the kernel tells it.
mod observe;

/// Counters of a node's packets that went wrong.
mod counter;

/// Where a node's kernel sends the packets of the pairs that something is promised about.
mod lookup;

/// The strict reverse-path matrix, row by row in a network of its own.
pub mod rpf;

/// What the kernel tells of changes in one namespace's network, counted by kind.
mod monitor;

/// Changes to a node's dataplane behind the engine's back.
mod tamper;

/// Where the cluster's resources are: a directory, or an etcd on the fabric.
mod store;

/// The engine under test, as processes.
mod engine;

/// What nodes look like between the steps.
mod state;

/// How the engines behave besides their work, and how they end.
mod conduct;

/// The steps, one by one: each is done, and then everything has to settle.
mod timeline;

/// What answers the probes: a UDP and a TCP socket at every endpoint.
mod responder;

/// Tagged packets from endpoint to endpoint.
mod probe;

/// Packets of chosen sizes, and what becomes of them.
mod gauge;

/// Transfers over TCP that fill packets.
mod transfer;

/// Packets with a source that is another's.
mod intrusion;

/// One run, from plan to evidence.
pub mod run;

/// Comments in capture files, on the frames that decided something.
pub mod annotate;

/// Runs in a virtual machine, for kernels that this one is not.
pub mod vm;
