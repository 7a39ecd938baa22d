//! The kinds of links and routes, by the words of ip(8).

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// What a link is (rtnetlink(7), `IFLA_INFO_KIND`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LinkKind {
    /// The loopback device, which has no kind of its own.
    Loopback,
    /// One end of a pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A device that a process reads and writes (TUN, TAP).
    Tun,
    /// WireGuard of the kernel.
    Wireguard,
    /// Any other, as the kernel calls it.
    #[serde(untagged)]
    #[strum(default, to_string = "{0}")]
    Other(String),
}

/// What a route does with packets (rtnetlink(7), `rtm_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RouteKind {
    /// It leads to a next hop or a link.
    Unicast,
    /// They are for this host.
    Local,
    /// They are sent to every host of the link.
    Broadcast,
    /// To any host of several.
    Anycast,
    /// To every host of a group.
    Multicast,
    /// They are dropped.
    Blackhole,
    /// They are dropped, and the sender gets an ICMP error: host unreachable.
    Unreachable,
    /// They are dropped, and the sender gets an ICMP error: administratively prohibited.
    Prohibit,
    /// The next rule decides.
    Throw,
    /// Any other, by the kernel's number.
    #[serde(untagged)]
    #[strum(to_string = "type {0}")]
    Other(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_and_read_by_the_word_of_ip() {
        for (kind, word) in [
            (LinkKind::Loopback, "loopback"),
            (LinkKind::Wireguard, "wireguard"),
            (LinkKind::Other("vxlan".into()), "vxlan"),
        ] {
            assert_eq!(kind.to_string(), word);
            assert_eq!(word.parse(), Ok(kind.clone()));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<LinkKind>(&json).unwrap(), kind);
        }
        for (kind, word, json) in [
            (RouteKind::Throw, "throw", "\"throw\""),
            (RouteKind::Blackhole, "blackhole", "\"blackhole\""),
            (RouteKind::Other(12), "type 12", "12"),
        ] {
            assert_eq!(kind.to_string(), word);
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(serde_json::from_str::<RouteKind>(json).unwrap(), kind);
        }
        assert!("type 12".parse::<RouteKind>().is_err());
    }
}
