//! The private keys that a node's devices have now, and who can ask for them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use wireproof_model::evidence::OpenSocket;

use super::pattern::Key;
use crate::base::error::LabError;
use crate::cluster::topology::NodeSpace;
use crate::kernel::wireguard::SOCKETS;
use crate::observe::snapshot::devices;

/// What a node's devices show.
pub(super) struct Seen {
    /// Private keys, and preshared keys, for which it says `true`.
    pub(super) keys: Vec<(Key, bool)>,
    pub(super) open: Vec<OpenSocket>,
    /// Whether a device does not show whether it has a private key.
    pub(super) silent: bool,
}

/// Asks every device of a node.
pub(super) fn look(space: &NodeSpace) -> Result<Seen, LabError> {
    let node = &space.name;
    space.namespace.enter_with_mounts(|| {
        let mut keys = Vec::new();
        let mut silent = false;
        for device in devices() {
            silent |= device.private_key.is_none();
            keys.extend(device.private_key.map(|key| (key.0, false)));
            let peers = device.peers.into_iter();
            let preshared = peers.filter_map(|peer| peer.config.preshared_key);
            keys.extend(preshared.map(|key| (key.0, true)));
        }
        let open = open_sockets(Path::new(SOCKETS));
        let open = open.into_iter().map(|(path, mode)| OpenSocket {
            node: node.clone(),
            path,
            mode,
        });
        Ok(Seen {
            keys,
            open: open.collect(),
            silent,
        })
    })
}

/// The sockets of a folder that users other than their owner can connect to (unix(7): that takes write
/// permission for the socket, and search permission for the folder).
fn open_sockets(folder: &Path) -> Vec<(String, u32)> {
    let Ok(whole) = fs::metadata(folder) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut open = Vec::new();
    for entry in entries {
        let Ok(found) = entry.metadata() else {
            continue;
        };
        let connects =
            |search: u32, write: u32| whole.mode() & search != 0 && found.mode() & write != 0;
        if found.file_type().is_socket() && (connects(0o001, 0o002) || connects(0o010, 0o020)) {
            open.push((entry.path().display().to_string(), found.mode() & 0o7777));
        }
    }
    open.sort();
    open
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_open_if_others_can_reach_it_and_write_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("wg0.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (of_folder, of_socket, open) in [
            (0o755, 0o600, false),
            (0o755, 0o666, true),
            (0o755, 0o644, false),
            (0o755, 0o620, true),
            (0o700, 0o666, false),
            (0o710, 0o602, false),
        ] {
            fs::set_permissions(&socket, Permissions::from_mode(of_socket)).unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
            let found = open_sockets(folder.path());
            assert_eq!(
                !found.is_empty(),
                open,
                "{of_folder:o} {of_socket:o}: {found:?}"
            );
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    }
}
