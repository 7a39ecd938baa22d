//! WireGuard devices, kernel and userspace alike.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use wireguard_control::{
    Backend, Device, DeviceUpdate, InterfaceName, Key, KeyPair, PeerConfigBuilder, PeerInfo,
};

use crate::dataplane::Peer;
use crate::key::PublicKey;
use crate::tunnel;

/// What a device refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {name}: {cause}")]
pub(crate) struct DeviceError {
    doing: &'static str,
    name: String,
    cause: String,
}

/// A device as its implementation describes it.
pub(crate) struct State {
    /// None if it has no private key.
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: u32,
    pub(crate) peers: Vec<(PublicKey, PeerState)>,
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

/// Reads a device.
pub(crate) fn read(name: &str, backend: Backend) -> Result<State, DeviceError> {
    let fail = failure("read the device", name);
    let device = Device::get(&interface(name)?, backend).map_err(fail)?;
    let public_key = device.public_key.as_ref().and_then(key);
    Ok(State {
        public_key: public_key.filter(|_| device.private_key.is_some()),
        listen_port: device.listen_port.unwrap_or_default(),
        fwmark: device.fwmark.unwrap_or_default(),
        peers: device.peers.iter().filter_map(peer).collect(),
    })
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

/// Sets the UDP port.
pub(crate) fn set_listen_port(name: &str, backend: Backend, port: u16) -> Result<(), DeviceError> {
    update(
        "set the port of",
        name,
        backend,
        DeviceUpdate::new().set_listen_port(port),
    )
}

/// Sets the mark of outgoing packets.
pub(crate) fn set_fwmark(name: &str, backend: Backend, mark: u32) -> Result<(), DeviceError> {
    update(
        "set the mark of",
        name,
        backend,
        DeviceUpdate::new().set_fwmark(mark),
    )
}

/// Adds a peer, or sets what it is like.
pub(crate) fn set_peer(
    name: &str,
    backend: Backend,
    key: &PublicKey,
    peer: &Peer,
) -> Result<(), DeviceError> {
    let mut builder = PeerConfigBuilder::new(&Key::from(key)).replace_allowed_ips();
    if let Some(endpoint) = peer.endpoint {
        builder = builder.set_endpoint(SocketAddr::V4(endpoint));
    }
    builder = match peer.keepalive {
        0 => builder.unset_persistent_keepalive(),
        seconds => builder.set_persistent_keepalive_interval(seconds),
    };
    for network in &peer.allowed_ips {
        builder = builder.add_allowed_ip(IpAddr::V4(network.addr()), network.prefix_len());
    }
    update(
        "set a peer of",
        name,
        backend,
        DeviceUpdate::new().add_peer(builder),
    )
}

/// Removes a peer.
pub(crate) fn remove_peer(
    name: &str,
    backend: Backend,
    key: &PublicKey,
) -> Result<(), DeviceError> {
    let update_ = DeviceUpdate::new().remove_peer_by_key(&Key::from(key));
    update("remove a peer of", name, backend, update_)
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

impl From<&PublicKey> for Key {
    fn from(key: &PublicKey) -> Self {
        Self(*key.as_bytes())
    }
}

fn peer(info: &PeerInfo) -> Option<(PublicKey, PeerState)> {
    let allowed_ips: BTreeSet<Ipv4Net> = info
        .config
        .allowed_ips
        .iter()
        .filter_map(|allowed| match IpNet::new(allowed.address, allowed.cidr) {
            Ok(IpNet::V4(network)) => Some(network),
            Ok(IpNet::V6(_)) | Err(_) => None,
        })
        .collect();
    let endpoint = match info.config.endpoint {
        Some(SocketAddr::V4(endpoint)) => Some(endpoint),
        Some(SocketAddr::V6(_)) | None => None,
    };
    let state = PeerState {
        peer: Peer {
            endpoint,
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
