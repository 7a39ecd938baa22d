//! The rules of last resort, where the kept ones cannot be used: nothing passes but what a node needs to come back.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use wiremesh_plan::dataplane::firewall::{Firewall, Protected, Wanted};
use wiremesh_plan::intent::settings::Settings;

/// All addresses of both families.
const ALL: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Addresses that no router passes on: link-local ones (RFC 3927, RFC 4291), multicast on the link
/// (RFC 5771, RFC 4291), and those of a host that has no address yet (DHCP).
const ON_THE_LINK: [&str; 6] = [
    "0.0.0.0/32",
    "169.254.0.0/16",
    "224.0.0.0/24",
    "255.255.255.255/32",
    "fe80::/10",
    "ff02::/16",
];

/// Rules that let pass what is local, what stays on the link, and the store: with it the agent
/// replaces them by the real ones.
pub(super) fn firewall(store: &[SocketAddr]) -> Firewall {
    let networks = |texts: &[&str]| -> BTreeSet<IpNet> {
        let networks = texts.iter().filter_map(|text| text.parse().ok());
        networks.collect()
    };
    let settings = Settings::default();
    Firewall::new(&Wanted {
        mark: settings.mark,
        pods: settings.pod_interfaces,
        store: store.to_vec(),
        strict: Some(Protected {
            networks: networks(&ALL),
            exceptions: networks(&ON_THE_LINK),
            local: BTreeSet::new(),
        }),
        ..Wanted::default()
    })
}
