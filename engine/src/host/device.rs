//! WireGuard devices, kernel and userspace alike.

use std::collections::BTreeSet;
use std::{fs, io};

use ipnet::IpNet;
use wireguard_control::{
    Backend, Device, DeviceUpdate, InterfaceName, Key, KeyPair, PeerConfigBuilder, PeerInfo,
};
use wiremesh_plan::dataplane::change::{Configuration, PeerChange};
use wiremesh_plan::dataplane::model::Peer;
use wiremesh_plan::intent::key::PublicKey;

use crate::host::tunnel;

/// What a device refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {name}: {cause}")]
pub(crate) struct DeviceError {
    doing: &'static str,
    name: String,
    cause: String,
}

/// A device as its implementation describes it, but for its private key.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// None if it has no private key.
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<(PublicKey, PeerState)>,
}

impl State {
    /// Takes note of a change that was written to the device.
    pub(crate) fn take(&mut self, configuration: &Configuration) {
        self.fwmark = configuration.fwmark.unwrap_or(self.fwmark);
        self.listen_port = configuration.listen_port.unwrap_or(self.listen_port);
        let gone = &configuration.remove;
        self.peers.retain(|(key, _)| !gone.contains(key));
        for (key, change) in &configuration.set {
            for (other, state) in &mut self.peers {
                let peer = &mut state.peer;
                if other != key {
                    for network in &change.networks {
                        peer.allowed_ips.remove(network);
                    }
                    continue;
                }
                if change.replace {
                    peer.allowed_ips.clear();
                }
                peer.allowed_ips.extend(&change.networks);
                peer.endpoint = change.endpoint.or(peer.endpoint);
                peer.keepalive = change.keepalive.unwrap_or(peer.keepalive);
            }
        }
    }
}

/// A peer with what has happened to it.
#[derive(Debug, Clone)]
pub(crate) struct PeerState {
    pub(crate) peer: Peer,
    /// When the last handshake was completed.
    pub(crate) handshake: Option<std::time::SystemTime>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// Which implementation a link of that kind is, if it is WireGuard at all.
pub(crate) fn backend_of(kind: &str, name: &str) -> Option<Backend> {
    match kind {
        "wireguard" => Some(Backend::Kernel),
        _ if tunnel::is_running(name) => Some(Backend::Userspace),
        _ => None,
    }
}

/// Whether a link of that kind may be WireGuard.
pub(crate) fn may_be(kind: &str) -> bool {
    matches!(kind, "wireguard" | "tun")
}

/// Reads a device.
pub(crate) fn read(name: &str, backend: Backend) -> Result<State, DeviceError> {
    let fail = failure("read the device", name);
    let device = Device::get(&interface(name)?, backend).map_err(fail)?;
    let public_key = device.public_key.as_ref().and_then(key);
    let public_key = public_key.filter(|_| device.private_key.is_some());
    Ok(State {
        public_key: match backend {
            // boringtun shows nobody its private key, and says which public one belongs to it.
            Backend::Userspace => public_key.or_else(|| own_public_key(name)),
            Backend::Kernel => public_key,
        },
        listen_port: device.listen_port.unwrap_or_default(),
        fwmark: device.fwmark.unwrap_or_default(),
        peers: joined(device.peers.iter().filter_map(peer)),
    })
}

/// The tunnel's own public key, where it does not show its private one.
fn own_public_key(name: &str) -> Option<PublicKey> {
    let answer = tunnel::ask(name).ok()?;
    let hex = answer
        .lines()
        .find_map(|line| line.strip_prefix("own_public_key="))?;
    key(&Key::from_hex(hex).ok()?)
}

/// Makes a new private key inside the device.
pub(crate) fn generate_key(name: &str, backend: Backend) -> Result<(), DeviceError> {
    let pair = KeyPair::from_private(Key::generate_private());
    update(
        "give a key to",
        name,
        backend,
        DeviceUpdate::new().set_keypair(pair),
    )
}

/// Gives a device the private key of another, which is about to go.
pub(crate) fn move_key(from: &str, to: &str, backends: [Backend; 2]) -> Result<(), DeviceError> {
    let old =
        Device::get(&interface(from)?, backends[0]).map_err(failure("read the device", from))?;
    let private = old
        .private_key
        .ok_or_else(|| failure("move the key of", from)(io::Error::other("it has none")))?;
    update(
        "give a key to",
        to,
        backends[1],
        DeviceUpdate::new().set_keypair(KeyPair::from_private(private)),
    )
}

/// Sets mark, port and peers, in one message; in two where a tunnel takes a new port for a new
/// socket without the mark.
pub(crate) fn configure(
    configuration: &Configuration,
    backend: Backend,
) -> Result<(), DeviceError> {
    let name = configuration.name.as_str();
    let mut message = DeviceUpdate::new();
    let mut mark = configuration.fwmark;
    if let Some(port) = configuration.listen_port {
        if backend == Backend::Userspace && own_public_key(name).is_some() {
            // boringtun 0.7, `open_listen_socket`.
            update(
                "configure",
                name,
                backend,
                DeviceUpdate::new().set_listen_port(port),
            )?;
            mark = Some(mark.unwrap_or(read(name, backend)?.fwmark));
        } else {
            message = message.set_listen_port(port);
        }
    }
    if let Some(mark) = mark {
        message = message.set_fwmark(mark);
    }
    for key in &configuration.remove {
        message = message.remove_peer_by_key(&control_key(key));
    }
    for (key, change) in &configuration.set {
        for part in peer_updates(key, change) {
            message = message.add_peer(part);
        }
    }
    update("configure", &configuration.name, backend, message)
}

/// How many allowed IPs of a peer are set at a time: wireguard-control's messages are a page long, and
/// one of IPv6 takes 40 bytes (Linux: `include/uapi/linux/wireguard.h`).
const NETWORKS_PER_MESSAGE: usize = 64;

/// A peer's configuration, in as many messages as its allowed IPs need. Only the first may replace those that
/// it had.
fn peer_updates(key: &PublicKey, change: &PeerChange) -> Vec<PeerConfigBuilder> {
    let networks: Vec<_> = change.networks.iter().collect();
    let (first, more) = networks.split_at(networks.len().min(NETWORKS_PER_MESSAGE));
    let more = more.chunks(NETWORKS_PER_MESSAGE).map(|networks| {
        let builder = PeerConfigBuilder::new(&control_key(key));
        allow(builder, networks)
    });
    [allow(peer_update(key, change), first)]
        .into_iter()
        .chain(more)
        .collect()
}

fn allow(builder: PeerConfigBuilder, networks: &[&IpNet]) -> PeerConfigBuilder {
    networks.iter().fold(builder, |builder, network| {
        builder.add_allowed_ip(network.addr(), network.prefix_len())
    })
}

/// A peer's configuration without its allowed IPs.
fn peer_update(key: &PublicKey, change: &PeerChange) -> PeerConfigBuilder {
    let mut builder = PeerConfigBuilder::new(&control_key(key));
    if change.replace {
        builder = builder.replace_allowed_ips();
    }
    if let Some(endpoint) = change.endpoint {
        builder = builder.set_endpoint(endpoint);
    }
    match change.keepalive {
        None => builder,
        Some(0) => builder.unset_persistent_keepalive(),
        Some(seconds) => builder.set_persistent_keepalive_interval(seconds),
    }
}

/// Whether kernel threads do a device's work; none where it cannot be read or set.
pub(crate) fn threaded(name: &str, backend: Backend) -> Option<bool> {
    if backend != Backend::Kernel {
        return None;
    }
    match fs::read_to_string(threads(name)).ok()?.trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// Lets kernel threads do a device's work, or not.
pub(crate) fn set_threaded(name: &str, threaded: bool) -> Result<(), DeviceError> {
    let text = if threaded { "1" } else { "0" };
    fs::write(threads(name), text).map_err(failure("set the threads of", name))
}

fn threads(name: &str) -> String {
    format!("/sys/class/net/{name}/threaded")
}

fn update(
    doing: &'static str,
    name: &str,
    backend: Backend,
    update: DeviceUpdate,
) -> Result<(), DeviceError> {
    // wireguard-control would start a foreign tunnel where ours is not running.
    if backend == Backend::Userspace && !tunnel::is_running(name) {
        return Err(failure(doing, name)(io::Error::other(
            "its tunnel process is not running",
        )));
    }
    update
        .apply(&interface(name)?, backend)
        .map_err(failure(doing, name))
}

fn failure(doing: &'static str, name: &str) -> impl Fn(io::Error) -> DeviceError {
    let name = name.to_owned();
    move |error| DeviceError {
        doing,
        name: name.clone(),
        cause: error.to_string(),
    }
}

fn interface(name: &str) -> Result<InterfaceName, DeviceError> {
    name.parse().map_err(|error| DeviceError {
        doing: "name a device",
        name: name.to_owned(),
        cause: format!("{error}"),
    })
}

fn key(key: &Key) -> Option<PublicKey> {
    PublicKey::from_bytes(key.as_bytes().try_into().ok()?).ok()
}

/// A key as wireguard-control has it.
fn control_key(key: &PublicKey) -> Key {
    Key(*key.as_bytes())
}

/// The kernel sends a peer that has more allowed IPs than fit into a message in several parts, of which only
/// the first has anything else (Linux: `get_peer` in `drivers/net/wireguard/netlink.c`).
fn joined(parts: impl Iterator<Item = (PublicKey, PeerState)>) -> Vec<(PublicKey, PeerState)> {
    let mut whole: Vec<(PublicKey, PeerState)> = Vec::new();
    for (key, part) in parts {
        match whole.last_mut() {
            Some((last, state)) if *last == key => {
                state.peer.allowed_ips.extend(part.peer.allowed_ips);
            }
            _ => whole.push((key, part)),
        }
    }
    whole
}

fn peer(info: &PeerInfo) -> Option<(PublicKey, PeerState)> {
    let networks = info.config.allowed_ips.iter();
    let networks = networks.filter_map(|allowed| IpNet::new(allowed.address, allowed.cidr).ok());
    let allowed_ips: BTreeSet<_> = networks.collect();
    let state = PeerState {
        peer: Peer {
            endpoint: info.config.endpoint,
            allowed_ips,
            keepalive: info
                .config
                .persistent_keepalive_interval
                .unwrap_or_default(),
        },
        handshake: info.stats.last_handshake_time,
        received_bytes: info.stats.rx_bytes,
        sent_bytes: info.stats.tx_bytes,
    };
    Some((key(&info.config.public_key)?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32]).unwrap()
    }

    fn networks(count: u16) -> BTreeSet<IpNet> {
        let one = |number: u16| {
            IpNet::from(std::net::IpAddr::from([
                10,
                0,
                (number >> 8) as u8,
                number as u8,
            ]))
        };
        (0..count).map(one).collect()
    }

    fn state(allowed_ips: BTreeSet<IpNet>, sent_bytes: u64) -> PeerState {
        let peer = Peer {
            endpoint: None,
            allowed_ips,
            keepalive: 0,
        };
        PeerState {
            peer,
            handshake: None,
            received_bytes: 0,
            sent_bytes,
        }
    }

    #[test]
    fn a_peer_that_the_kernel_reports_in_parts_is_one_peer() {
        let all = networks(300);
        let (first, rest): (BTreeSet<_>, BTreeSet<_>) = all
            .iter()
            .partition(|network| *network.addr().to_string() < *"10.0.0.5");
        let parts = vec![
            (key(1), state(networks(2), 1)),
            (key(2), state(first, 7)),
            (key(2), state(rest, 0)),
            (key(3), state(networks(1), 3)),
        ];
        let whole = joined(parts.into_iter());
        assert_eq!(
            whole.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            [key(1), key(2), key(3)]
        );
        assert_eq!(whole[1].1.peer.allowed_ips, all);
        assert_eq!(whole[1].1.sent_bytes, 7);
    }

    #[test]
    fn many_allowed_ips_are_set_in_parts_of_which_only_the_first_replaces() {
        let change = PeerChange {
            replace: true,
            endpoint: None,
            keepalive: None,
            networks: networks(150),
        };
        let parts = peer_updates(&key(1), &change);
        assert_eq!(parts.len(), 3);
        assert_eq!(
            peer_updates(
                &key(1),
                &PeerChange {
                    networks: networks(0),
                    ..change
                }
            )
            .len(),
            1
        );
    }
}
