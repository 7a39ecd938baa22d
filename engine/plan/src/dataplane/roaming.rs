//! Peers that send from another endpoint than the store has (roaming): behind a NAT, for one. WireGuard answers
//! to the endpoint of a peer's last valid packet (Donenfeld, "WireGuard", section 2.1), and an engine that sets
//! the store's endpoint again sends the next packets to an endpoint where the peer does not listen. Felix does so
//! at each resync (`felix/wireguard/wireguard.go`).
//!
//! That goes for peers that are kept alive: one without a keepalive may have changed its port since its last
//! packet, and is reached again at the store's endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::dataplane::model::Dataplane;
use crate::intent::family::{Family, PerFamily};
use crate::intent::key::PublicKey;

/// The age from which on a session is dead on both sides (WireGuard: `REJECT_AFTER_TIME`).
const SESSION: Duration = Duration::from_secs(180);

/// Where peers are, by the store.
#[derive(Debug, Default)]
pub struct EndpointHistory(PerFamily<BTreeMap<PublicKey, Place>>);

#[derive(Debug)]
struct Place {
    now: SocketAddr,
    /// Where it was before that.
    former: Option<SocketAddr>,
}

impl EndpointHistory {
    /// Keeps the endpoint to which a peer has roamed, if its session is alive and the store's endpoint has not changed
    /// since. `handshake` is the time of a peer's last handshake.
    pub fn follow(
        &mut self,
        desired: &mut Dataplane,
        actual: &Dataplane,
        handshake: impl Fn(Family, &PublicKey) -> Option<SystemTime>,
        now: SystemTime,
    ) {
        for family in Family::ALL {
            let plane = &mut desired.families[family];
            let history = &mut self.0[family];
            let found = &actual.families[family].devices;
            let mut peers = BTreeMap::new();
            for (name, device) in &mut plane.devices {
                let there = found.get(name).map(|device| &device.peers);
                for (key, peer) in &mut device.peers {
                    let Some(wanted) = peer.endpoint else {
                        continue;
                    };
                    let there = there.and_then(|peers| peers.get(key)?.endpoint);
                    let place = Place::after(history.get(key), wanted);
                    if let Some(there) = there.filter(|there| *there != wanted)
                        && place.may_be(history.contains_key(key), there)
                        && peer.keepalive > 0
                        && is_alive(handshake(family, key), now)
                    {
                        peer.endpoint = Some(there);
                    }
                    peers.insert(*key, place);
                }
            }
            *history = peers;
        }
    }
}

impl Place {
    fn after(before: Option<&Self>, now: SocketAddr) -> Self {
        let former = before.and_then(|place| match place.now == now {
            true => place.former,
            false => Some(place.now),
        });
        Self { now, former }
    }

    /// Whether a peer that is `there` can have roamed to it. One that is where it was before its endpoint was
    /// set has not been set yet. Of one that nothing is known of, such as after a restart, another address may
    /// be an old one.
    fn may_be(&self, is_known: bool, there: SocketAddr) -> bool {
        match is_known {
            true => self.former != Some(there),
            false => self.now.ip() == there.ip(),
        }
    }
}

/// Whether a handshake so long ago still belongs to the same session. Clocks may go back.
fn is_alive(handshake: Option<SystemTime>, now: SystemTime) -> bool {
    handshake.is_some_and(|at| now.duration_since(at).unwrap_or_default() < SESSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::model::{Device, Peer};

    const STORE: &str = "10.0.0.2:51820";
    const NAT: &str = "10.0.0.2:40007";

    /// In the family of the endpoint.
    fn plane(endpoint: &str) -> Dataplane {
        let family = family(endpoint);
        let mut plane = Dataplane::default();
        let peer = Peer {
            endpoint: Some(endpoint.parse().unwrap()),
            keepalive: 25,
            ..Peer::default()
        };
        let device = Device {
            peers: BTreeMap::from([(key(), peer)]),
            ..Device::default()
        };
        let devices = &mut plane.families[family].devices;
        devices.insert("wireguard.cali".into(), device);
        plane
    }

    fn family(endpoint: &str) -> Family {
        let address: SocketAddr = endpoint.parse().unwrap();
        Family::of(address.ip())
    }

    fn key() -> PublicKey {
        PublicKey::from_bytes([1; 32]).unwrap()
    }

    /// What is wanted of a peer that the store has at `store` and the device at `there`, and that was whose
    /// last handshake was so many seconds ago.
    fn wanted(history: &mut EndpointHistory, store: &str, there: &str, age: Option<u64>) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let last_handshake = age.map(|age| now - Duration::from_secs(age));
        let mut desired = plane(store);
        history.follow(&mut desired, &plane(there), |_, _| last_handshake, now);
        let device = &desired.families[family(store)].devices["wireguard.cali"];
        device.peers[&key()].endpoint.unwrap().to_string()
    }

    #[test]
    fn a_peer_keeps_its_roamed_endpoint_while_its_session_lives() {
        let mut history = EndpointHistory::default();
        assert_eq!(wanted(&mut history, STORE, STORE, None), STORE);
        assert_eq!(wanted(&mut history, STORE, NAT, Some(5)), NAT);
        assert_eq!(
            wanted(&mut history, STORE, "192.0.2.9:1", Some(179)),
            "192.0.2.9:1"
        );
        assert_eq!(wanted(&mut history, STORE, NAT, Some(180)), STORE);
        assert_eq!(wanted(&mut history, STORE, NAT, None), STORE);
    }

    #[test]
    fn a_peer_is_followed_in_ipv6_too() {
        let (store, nat) = ("[fd00::2]:51821", "[fd00::2]:40007");
        let mut history = EndpointHistory::default();
        assert_eq!(wanted(&mut history, store, store, None), store);
        assert_eq!(wanted(&mut history, store, nat, Some(5)), nat);
        assert_eq!(wanted(&mut history, store, nat, Some(180)), store);
    }

    #[test]
    fn a_session_lives_on_when_the_clock_goes_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(is_alive(Some(now + Duration::from_secs(500)), now));
        assert!(!is_alive(Some(now - Duration::from_secs(500)), now));
    }

    #[test]
    fn a_peer_without_keepalive_is_not_followed() {
        let mut desired = plane(STORE);
        let devices = &mut desired.families[Family::V4].devices;
        let device = devices.get_mut("wireguard.cali").unwrap();
        device.peers.get_mut(&key()).unwrap().keepalive = 0;
        let wished = desired.clone();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        EndpointHistory::default().follow(&mut desired, &plane(NAT), |_, _| Some(now), now);
        assert_eq!(desired, wished);
    }

    #[test]
    fn a_new_endpoint_in_the_store_replaces_a_roamed_one() {
        let mut history = EndpointHistory::default();
        let moved = "10.0.0.3:51820";
        assert_eq!(wanted(&mut history, STORE, STORE, Some(5)), STORE);
        assert_eq!(wanted(&mut history, moved, STORE, Some(5)), moved);
        // Not written yet.
        assert_eq!(wanted(&mut history, moved, STORE, Some(5)), moved);
        assert_eq!(
            wanted(&mut history, moved, "10.0.0.3:40001", Some(5)),
            "10.0.0.3:40001"
        );
    }

    #[test]
    fn after_a_restart_only_the_port_can_have_roamed() {
        assert_eq!(
            wanted(&mut EndpointHistory::default(), STORE, NAT, Some(5)),
            NAT
        );
        assert_eq!(
            wanted(
                &mut EndpointHistory::default(),
                STORE,
                "10.0.0.9:51820",
                Some(5)
            ),
            STORE
        );
    }
}
