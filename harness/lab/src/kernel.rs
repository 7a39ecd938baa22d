//! Interfaces to the kernel: system calls, namespaces, netlink, sysctls and packet sockets.

/// The only unsafe code: what no library wraps safely.
pub(crate) mod sys;

/// The harness's own user, process, mount and network namespaces.
pub mod sandbox;

/// Network namespaces: the only place that enters them.
pub(crate) mod namespace;

/// Links, addresses, routes and neighbours of one namespace.
pub(crate) mod netlink;

/// The kernel's tables of neighbours, one of each family for all namespaces.
pub(crate) mod neighbour;

/// Kernel parameters of one namespace.
pub(crate) mod sysctl;

/// Frames to and from interfaces, past the network stack.
pub(crate) mod packet;

/// Builder of whole frames with any source.
pub(crate) mod frame_builder;

/// Counts of the kernel's notifications about one namespace's network, by kind.
pub(crate) mod monitor;

/// Userspace WireGuard devices of one namespace.
pub(crate) mod wireguard;
