//! Addresses that a node or a pod of a cluster can have.

use std::net::IpAddr;

use ipnet::IpNet;

/// What an address is, if no node or pod of a cluster can be reached at it (RFC 6890).
pub fn unusable(address: IpAddr) -> Option<&'static str> {
    let found = [
        (address.is_unspecified(), "the unspecified address"),
        (address.is_loopback(), "a loopback address"),
        (address.is_multicast(), "a multicast address"),
        (
            matches!(address, IpAddr::V4(address) if address.is_broadcast()),
            "the broadcast address",
        ),
        (
            match address {
                IpAddr::V4(address) => address.is_link_local(),
                IpAddr::V6(address) => address.is_unicast_link_local(),
            },
            "a link-local address",
        ),
        (
            matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()),
            "an IPv4-mapped address",
        ),
    ];
    let mut found = found.into_iter();
    found.find_map(|(is_one, what)| is_one.then_some(what))
}

/// What all of a network is, if no node or pod can be reached in it. The ranges of [`unusable`] are
/// prefixes: a network whose ends are inside of one is inside of it.
pub fn unusable_network(network: IpNet) -> Option<&'static str> {
    let first = unusable(network.network())?;
    (unusable(network.broadcast()) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::family::network;

    #[test]
    fn an_address_that_no_host_can_have_is_named_in_both_families() {
        for (address, what) in [
            ("0.0.0.0", "the unspecified address"),
            ("::", "the unspecified address"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.255.255", "a loopback address"),
            ("::1", "a loopback address"),
            ("224.0.0.0", "a multicast address"),
            ("239.255.255.255", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("255.255.255.255", "the broadcast address"),
            ("169.254.0.1", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("febf::1", "a link-local address"),
            ("::ffff:10.0.0.1", "an IPv4-mapped address"),
            ("::ffff:169.254.0.1", "an IPv4-mapped address"),
        ] {
            assert_eq!(unusable(address.parse().unwrap()), Some(what), "{address}");
        }
        for address in [
            "10.0.0.1",
            "240.0.0.1",
            "223.255.255.255",
            "128.0.0.0",
            "126.0.0.1",
        ] {
            assert_eq!(unusable(address.parse().unwrap()), None, "{address}");
        }
        for address in [
            "fd00::1",
            "2001:db8::1",
            "fec0::1",
            "::fffe:10.0.0.1",
            "64:ff9b::1",
        ] {
            assert_eq!(unusable(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_network_is_unusable_where_all_of_it_is() {
        for inside in [
            "127.0.0.0/8",
            "224.0.0.0/4",
            "fe80::/10",
            "::1",
            "169.254.0.0/16",
        ] {
            assert!(
                unusable_network(network(inside).unwrap()).is_some(),
                "{inside}"
            );
        }
        for wider in [
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1",
            "126.0.0.0/7",
            "192.0.0.0/2",
            "fc00::/6",
        ] {
            assert_eq!(unusable_network(network(wider).unwrap()), None, "{wider}");
        }
    }
}
