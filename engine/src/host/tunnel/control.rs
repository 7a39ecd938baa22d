//! The tunnel's control socket: each request is carried out with gotatun.
//!
//! gotatun brings a control socket of its own, which makes a peer anew whenever anything
//! about it changes, so that its session is lost. Here a peer is changed in place: a pod
//! more is no reason for a handshake.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gotatun::device::{Device, DeviceTransports, Peer};
use gotatun::x25519::{PublicKey, StaticSecret};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep_until};

use crate::host::uapi::{self, Request, Set, SetPeer, State, StatePeer};

/// How long the old socket of the same port may take to close.
const REBIND_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is tried again meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_millis(2);

/// Requests of more lines than this are refused.
const MOST_LINES: usize = 1 << 20;

/// Listens at that path, which nobody else is listening at.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A socket that was left behind by a tunnel that was killed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The private key can be read here: it is for root alone.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let listener = UnixListener::bind(path);
    nix::sys::stat::umask(before);
    listener
}

/// Answers one connection until its other end closes it.
pub(super) async fn serve<T: DeviceTransports>(
    stream: UnixStream,
    device: &Device<T>,
    listening: &ListenState,
) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(request) = next(&mut lines).await {
        let answer = match uapi::read(&request) {
            Ok(Request::Get) => uapi::get_response(&state(device, listening).await),
            Ok(Request::Set(set)) => uapi::errno(change(device, listening, &set).await),
            Err(number) => uapi::errno(number),
        };
        if writing.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The lines up to an empty one; none once the other end has closed.
async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Vec<String>> {
    let mut request = Vec::new();
    while request.len() < MOST_LINES {
        match lines.next_line().await.ok()?? {
            line if line.is_empty() => return Some(request),
            line => request.push(line),
        }
    }
    None
}

/// Whether the UDP socket could be opened.
#[derive(Debug, Default)]
pub(super) struct ListenState(AtomicBool);

impl ListenState {
    fn has_failed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

async fn state<T: DeviceTransports>(device: &Device<T>, listening: &ListenState) -> State {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    device
        .read(async |device| State {
            private_key: device.private_key().map(StaticSecret::to_bytes),
            // A port that nobody listens at is none.
            listen_port: match listening.has_failed() {
                true => 0,
                false => device.listen_port(),
            },
            fwmark: device.fwmark().unwrap_or_default(),
            peers: device
                .peers()
                .await
                .iter()
                .map(|found| StatePeer {
                    public_key: found.peer.public_key.to_bytes(),
                    preshared_key: found.peer.preshared_key,
                    endpoint: found.peer.endpoint,
                    keepalive: found.peer.keepalive.unwrap_or_default(),
                    allowed_ips: texts(&found.peer),
                    last_handshake: found
                        .stats
                        .last_handshake
                        .map(|ago| now.saturating_sub(ago)),
                    received_bytes: found.stats.rx_bytes as u64,
                    sent_bytes: found.stats.tx_bytes as u64,
                })
                .collect(),
        })
        .await
}

fn texts(peer: &Peer) -> Vec<String> {
    peer.allowed_ips.iter().map(ToString::to_string).collect()
}

/// Carries a change out; 0, or the number of the error.
async fn change<T: DeviceTransports>(
    device: &Device<T>,
    listening: &ListenState,
    set: &Set,
) -> i32 {
    let done = device
        .write(async |device| -> Result<(), i32> {
            if let Some(mark) = set.fwmark {
                device.set_fwmark(mark).map_err(|_| uapi::INVALID)?;
            }
            if set.replace_peers {
                device.clear_peers();
            }
            for peer in &set.peers {
                let key = PublicKey::from(peer.public_key);
                if peer.remove {
                    device.remove_peer(&key).await;
                    continue;
                }
                take_from_others(device, peer).await;
                let change = wished(peer);
                let changed = device
                    .modify_peer(&key, |known| {
                        if peer.replace_allowed_ips {
                            known.clear_allowed_ips();
                        }
                        known.add_allowed_ips(change.allowed_ips.clone());
                        if change.endpoint.is_some() {
                            known.set_endpoint(change.endpoint);
                        }
                        if peer.keepalive.is_some() {
                            known.set_keepalive(change.keepalive);
                        }
                        if peer.preshared_key.is_some() {
                            known.set_preshared_key(change.preshared_key);
                        }
                    })
                    .await;
                if !changed && !peer.update_only {
                    device.add_peer(change);
                }
            }
            if let Some(key) = set.private_key {
                device.set_private_key(StaticSecret::from(key)).await;
            }
            if let Some(port) = set.listen_port {
                device.set_listen_port(port);
            }
            Ok(())
        })
        .await;
    match done {
        Ok(Ok(())) if !listening.has_failed() => 0,
        Ok(Err(number)) => number,
        // All is set; what failed is to open the UDP socket.
        Ok(Ok(())) | Err(_) => {
            let number = bring_up(device).await;
            listening.0.store(number != 0, Ordering::Relaxed);
            number
        }
    }
}

/// Opens the UDP socket again: of the old one of the same port, gotatun may still hold a part.
async fn bring_up<T: DeviceTransports>(device: &Device<T>) -> i32 {
    let deadline = Instant::now() + REBIND_TIMEOUT;
    loop {
        sleep_until(Instant::now() + RETRY_INTERVAL).await;
        let lonely = device
            .read(async |device| device.peers().await.is_empty())
            .await;
        let up = if lonely {
            // Without peers there is nothing to resume; that there are none opens the socket too.
            device
                .write(async |device| device.clear_peers())
                .await
                .map(drop)
        } else {
            device.suspend().await;
            device.resume().await
        };
        match up {
            Ok(()) => return 0,
            Err(error) if Instant::now() > deadline => {
                tracing::error!("cannot open the UDP socket: {error}");
                return nix::libc::EADDRINUSE;
            }
            Err(_) => {}
        }
    }
}

/// A network belongs to the peer that was given it last.
async fn take_from_others<T: DeviceTransports>(
    device: &mut gotatun::device::configure::DeviceWrite<'_, T>,
    peer: &SetPeer,
) {
    if peer.allowed_ips.is_empty() {
        return;
    }
    let given: std::collections::BTreeSet<_> =
        peer.allowed_ips.iter().map(ToString::to_string).collect();
    for mut other in device.peers().await {
        if other.peer.public_key.to_bytes() == peer.public_key {
            continue;
        }
        let before = other.peer.allowed_ips.len();
        other
            .peer
            .allowed_ips
            .retain(|network| !given.contains(&network.to_string()));
        if other.peer.allowed_ips.len() < before {
            device
                .modify_peer(&other.peer.public_key, |known| {
                    known.clear_allowed_ips();
                    known.add_allowed_ips(other.peer.allowed_ips.clone());
                })
                .await;
        }
    }
}

/// A peer as it is asked for.
fn wished(peer: &SetPeer) -> Peer {
    let mut wished = Peer::new(PublicKey::from(peer.public_key));
    wished.endpoint = peer.endpoint;
    wished.keepalive = peer.keepalive.filter(|seconds| *seconds > 0);
    wished.preshared_key = peer.preshared_key.filter(|key| *key != [0; 32]);
    // The text is that of a network already, and gotatun's own type is nameless here.
    wished.allowed_ips = peer
        .allowed_ips
        .iter()
        .filter_map(|network| network.to_string().parse().ok())
        .collect();
    wished
}
