//! The effects: links, routes, rules, nftables, tunnels and devices of this network namespace.

/// Links, addresses, routes and rules of this network namespace.
pub(crate) mod netlink;

/// nftables, by way of `nft`.
pub(crate) mod nft;

/// The rules of encrypt or drop, kept for the first packet after a boot.
pub(crate) mod guard;

/// The configuration protocol of a userspace WireGuard.
pub(crate) mod uapi;

/// The userspace tunnel: a process that outlives the agent.
pub(crate) mod tunnel;

/// WireGuard devices, kernel and userspace alike.
pub(crate) mod device;

/// Cache of the kernel's state, updated from netlink notifications.
pub(crate) mod kernel;

/// UDP ports that another program has.
pub(crate) mod port;

/// Application of changes, one by one.
pub(crate) mod apply;
