//! Userspace WireGuard devices of one namespace, by their sockets.

use std::fs;

use wireguard_control::InterfaceName;

/// Where userspace WireGuard devices have their sockets.
pub(crate) const SOCKETS: &str = "/var/run/wireguard";

/// Userspace devices have a socket each. (wireguard-control lists only those with a name
/// file besides, which macOS needs and Linux has not.)
pub(crate) fn userspace_names() -> impl Iterator<Item = InterfaceName> {
    fs::read_dir(SOCKETS)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".sock")?
                .parse()
                .ok()
        })
}
