//! The dataplane as it is, read from the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

use wireguard_control::Backend;

use crate::dataplane::{Dataplane, Device};
use crate::device::{self, DeviceError, PeerState};
use crate::key::PublicKey;
use crate::netlink::{Link, Netlink, NetlinkError};
use crate::nft::{self, NftError};
use crate::settings::Settings;

/// The MTU that Felix assumes where it finds no uplink, in bytes.
const UNKNOWN_UPLINK_MTU: u32 = 1460;

/// How the names of uplinks start where none has the node's address (Felix: `MTUIfacePattern`).
const UPLINK_PREFIXES: &[&str] = &["en", "eth", "wl", "ww", "sl", "ib"];

/// What the reverse-path filter looks at.
pub(crate) const SRC_VALID_MARK: &str = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// From route netlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// From the device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// From nftables.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// There is a link of the device's name that is something else.
    #[error("{name} is a link of kind `{kind}`, not a WireGuard device: rename or delete it")]
    Occupied { name: String, kind: String },
}

/// A node as it is.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// What can be compared with what is desired.
    pub(crate) dataplane: Dataplane,
    /// The device's implementation, where there is a device.
    pub(crate) backend: Option<Backend>,
    /// The device's public key, where it has one.
    pub(crate) public_key: Option<PublicKey>,
    /// Each peer with what has happened to it.
    pub(crate) peers: BTreeMap<PublicKey, PeerState>,
    /// MTU of the uplink, in bytes.
    pub(crate) uplink_mtu: u32,
}

/// Looks at everything that the engine sets; `own` is the node's own address.
pub(crate) async fn observe(
    netlink: &Netlink,
    settings: &Settings,
    own: Option<Ipv4Addr>,
) -> Result<Observed, ObserveError> {
    let links = netlink.links().await?;
    let addresses = netlink.addresses().await?;
    let link = links.get(&settings.interface);
    let mut observed = Observed {
        dataplane: Dataplane {
            device: None,
            routes: netlink
                .routes(settings.table, link.map(|link| link.index))
                .await?,
            rules: netlink.rules(settings.table).await?,
            incoming_mark: nft::read().await?,
            src_valid_mark: fs::read_to_string(SRC_VALID_MARK).is_ok_and(|text| text.trim() == "1"),
        },
        backend: None,
        public_key: None,
        peers: BTreeMap::new(),
        uplink_mtu: uplink_mtu(&links, &addresses, own, &settings.interface),
    };
    let Some(link) = link else {
        return Ok(observed);
    };
    let backend =
        device::backend_of(&link.kind, &link.name).ok_or_else(|| ObserveError::Occupied {
            name: link.name.clone(),
            kind: link.kind.clone(),
        })?;
    let state = device::read(&link.name, backend)?;
    observed.dataplane.device = Some(Device {
        name: link.name.clone(),
        has_key: state.public_key.is_some(),
        mtu: link.mtu,
        up: link.up,
        addresses: addresses
            .iter()
            .filter(|(index, _)| *index == link.index)
            .map(|(_, address)| *address)
            .collect(),
        listen_port: state.listen_port,
        fwmark: state.fwmark,
        peers: state
            .peers
            .iter()
            .map(|(key, state)| (*key, state.peer.clone()))
            .collect(),
    });
    observed.backend = Some(backend);
    observed.public_key = state.public_key;
    observed.peers = state.peers.into_iter().collect();
    Ok(observed)
}

/// The MTU of the link with the node's own address; else the least of those that look like uplinks.
fn uplink_mtu(
    links: &BTreeMap<String, Link>,
    addresses: &[(u32, ipnet::Ipv4Net)],
    own: Option<Ipv4Addr>,
    device: &str,
) -> u32 {
    let others = || links.values().filter(|link| link.name != device);
    let has_own = |link: &&Link| {
        addresses
            .iter()
            .any(|(index, address)| *index == link.index && Some(address.addr()) == own)
    };
    let looks_like_one = |link: &&Link| {
        link.up
            && UPLINK_PREFIXES
                .iter()
                .any(|prefix| link.name.starts_with(prefix))
    };
    let found = others().find(has_own).map(|link| link.mtu);
    found
        .or_else(|| others().filter(looks_like_one).map(|link| link.mtu).min())
        .unwrap_or(UNKNOWN_UPLINK_MTU)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, mtu: u32) -> (String, Link) {
        let link = Link {
            index,
            name: name.into(),
            kind: String::new(),
            mtu,
            up: true,
        };
        (name.into(), link)
    }

    #[test]
    fn the_uplink_is_the_link_with_the_node_s_address() {
        let links = BTreeMap::from([
            link(1, "lo", 65536),
            link(2, "eth0", 1500),
            link(3, "bond0", 9000),
        ]);
        let addresses = [(3, "10.0.0.1/24".parse().unwrap())];
        let own = Some(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(uplink_mtu(&links, &addresses, own, "wg"), 9000);
        assert_eq!(uplink_mtu(&links, &[], own, "wg"), 1500);
        assert_eq!(uplink_mtu(&BTreeMap::new(), &[], own, "wg"), 1460);
    }

    #[test]
    fn the_tunnel_device_has_the_node_s_address_too_and_is_no_uplink() {
        let links = BTreeMap::from([link(2, "eth0", 1500), link(3, "a-tunnel", 1340)]);
        let address = "10.0.0.1/32".parse().unwrap();
        let own = Some(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(
            uplink_mtu(&links, &[(3, address), (2, address)], own, "a-tunnel"),
            1500
        );
    }
}
