//! IPv4 and IPv6: two meshes side by side that share nothing but the settings.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};

use ipnet::IpNet;

/// An address family. Each has its own device: IPv4 travels in IPv4, IPv6 in IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order of messages.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of a network.
    pub fn of_network(network: IpNet) -> Self {
        Self::of(network.addr())
    }

    /// As metrics and logs have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One of something for each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerFamily<T> {
    /// The value of IPv4.
    pub v4: T,
    /// The value of IPv6.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// One for each, made in order.
    pub fn each(mut make: impl FnMut(Family) -> T) -> Self {
        Self {
            v4: make(Family::V4),
            v6: make(Family::V6),
        }
    }

    /// Both, with their families.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        [(Family::V4, &self.v4), (Family::V6, &self.v6)].into_iter()
    }
}

impl<T> Index<Family> for PerFamily<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl<T> IndexMut<Family> for PerFamily<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// A network, or one address without a prefix length, as people may write it: a number with a leading
/// zero is none, since some read it as octal.
pub fn network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    IpNet::new(address.parse().ok()?, prefix_length(length)?).ok()
}

/// Digits without a sign or a leading zero.
fn prefix_length(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let leads_with_zero = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| is_number && !leads_with_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_in_one_way() {
        for right in [
            "10.0.0.0/8",
            "10.0.0.1",
            "fd00::/8",
            "::1",
            "0.0.0.0/0",
            "10.0.0.3/32",
        ] {
            assert!(network(right).is_some(), "{right}");
        }
        for wrong in [
            "010.0.0.0/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/33",
            "fd00::/129",
            "10.9.0.3/99",
            "10.9.0.3 banana",
            "10.9.0.3/24 banana",
            " 10.0.0.1",
            "10.0.0.1\n",
            "10.0.0.0/",
            "/8",
            "fe80::1%eth0",
            "10.1/16",
            "10.0.0.0/8/8",
            "",
        ] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
