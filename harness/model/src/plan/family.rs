//! IPv4 and IPv6.
//!
//! Whoever has an IPv4 address in a plan has an IPv6 one too, which follows from it: one prefix and the 32
//! bits. A scenario of IPv6 only makes no use of the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// An address family. IPv4 travels in IPv4, and IPv6 in IPv6.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What every IPv6 address of a cluster begins with (RFC 4193).
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0);

/// Length of that prefix.
const PREFIX_LENGTH: u8 = 96;

impl Family {
    /// Both, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// As written in scenarios.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// As in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Bytes of an IP header without options (RFC 791, RFC 8200).
    pub fn ip_header(self) -> usize {
        match self {
            Self::Ipv4 => 20,
            Self::Ipv6 => 40,
        }
    }

    /// What WireGuard adds to a packet in bytes: IP header, UDP 8, message header 16,
    /// authentication 16.
    pub fn wireguard_overhead(self) -> u16 {
        match self {
            Self::Ipv4 => 60,
            Self::Ipv6 => 80,
        }
    }

    /// The address in this family of whoever has that one in IPv4.
    pub fn address(self, of: Ipv4Addr) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(of),
            Self::Ipv6 => {
                let bits = u128::from(PREFIX) | u128::from(u32::from(of));
                IpAddr::V6(Ipv6Addr::from(bits))
            }
        }
    }

    /// The network in this family that goes with that one in IPv4.
    pub fn network(self, of: Ipv4Net) -> IpNet {
        match self.address(of.addr()) {
            IpAddr::V4(_) => IpNet::V4(of),
            IpAddr::V6(address) => {
                let length = PREFIX_LENGTH + of.prefix_len();
                Ipv6Net::new(address, length).map_or(IpNet::from(IpAddr::V6(address)), IpNet::V6)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_follows_from_the_ipv4_one() {
        let address = Family::Ipv6.address(Ipv4Addr::new(10, 240, 0, 4));
        assert_eq!(address.to_string(), "fd00::af0:4");
        let block = Family::Ipv6.network("10.65.0.0/26".parse().unwrap());
        assert_eq!(block.to_string(), "fd00::a41:0/122");
    }
}
