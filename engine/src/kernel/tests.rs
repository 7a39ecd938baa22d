//! Which link is the uplink.

use super::*;

fn link(index: u32, name: &str, mtu: u32, alias: &str) -> (u32, Link) {
    let link = Link {
        index,
        name: name.into(),
        kind: String::new(),
        alias: alias.into(),
        master: None,
        mtu,
        up: true,
    };
    (index, link)
}

#[test]
fn the_uplink_is_the_link_with_the_node_s_address() {
    let mut kernel = Kernel::unknown();
    kernel.links = BTreeMap::from([
        link(1, "lo", 65536, ""),
        link(2, "eth0", 1500, ""),
        link(3, "bond0", 9000, ""),
    ]);
    kernel.addresses = BTreeSet::from([(3, "10.0.0.1/24".parse().unwrap())]);
    let own = "10.0.0.1".parse().ok();
    let settings = Settings::default();
    assert_eq!(kernel.uplink_mtu(own, &settings), 9000);
    kernel.addresses.clear();
    assert_eq!(kernel.uplink_mtu(own, &settings), 1500);
    kernel.links.clear();
    assert_eq!(kernel.uplink_mtu(own, &settings), UNKNOWN_UPLINK_MTU);
}

#[test]
fn a_tunnel_device_has_the_node_s_address_too_and_is_no_uplink() {
    let mut kernel = Kernel::unknown();
    kernel.links = BTreeMap::from([
        link(2, "eth0", 1500, ""),
        link(3, "a-tunnel", 1340, tag(Family::V4)),
        link(4, "wireguard.cali", 1300, ""),
    ]);
    let address = "10.0.0.1/32".parse().unwrap();
    kernel.addresses = BTreeSet::from([(3, address), (4, address), (2, address)]);
    let own = "10.0.0.1".parse().ok();
    assert_eq!(kernel.uplink_mtu(own, &Settings::default()), 1500);
}
