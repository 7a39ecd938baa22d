//! Nexthop objects (`ip nexthop`; kernel: `uapi/linux/nexthop.h`): the next hops of routes that name one, which
//! may have no other (sysctl `net.ipv4.nexthop_compat_mode` 0).

use std::collections::BTreeMap;
use std::io;

use rtnetlink::packet_core::{NlasIterator, parse_u16, parse_u32};

use super::{Hop, NetlinkError, dump, message};

/// `RTM_NEWNEXTHOP` and `RTM_DELNEXTHOP`: the kernel's notification when one changes.
pub(crate) const NOTIFICATIONS: std::ops::RangeInclusive<u16> = 104..=105;

/// `RTM_GETNEXTHOP`.
const LIST: u16 = 106;

/// The length of `struct nhmsg`, in bytes: family, scope, protocol, flags.
const HEADER: usize = 8;

/// The length of `struct nexthop_grp`, in bytes: the number of a nexthop, and its weight.
const MEMBER: usize = 8;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_ENCAP_TYPE: u16 = 7;

/// What a nexthop object does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nexthop {
    Hop(Hop),
    /// What others do, of these numbers.
    Group(Vec<u32>),
    /// Drops the packet.
    Refuse,
    /// Its destination is unknown.
    Unknown,
}

/// Every nexthop object, by its number.
///
/// # Errors
/// The kernel does not report it. Before Linux 5.3 it has none.
pub(crate) async fn list() -> Result<BTreeMap<u32, Nexthop>, NetlinkError> {
    match dump::list(LIST, &[0; HEADER]).await {
        Ok(bodies) => Ok(bodies.iter().filter_map(|body| read(body)).collect()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(BTreeMap::new()),
        Err(error) => Err(NetlinkError::new("list the nexthops", error)),
    }
}

/// A nexthop object, if it has a number.
fn read(body: &[u8]) -> Option<(u32, Nexthop)> {
    let (mut id, mut link, mut group) = (None, None, None);
    let (mut gateway, mut encapsulates, mut refuses) = (false, false, false);
    let mut is_whole = true;
    for attribute in NlasIterator::new(body.get(HEADER..)?) {
        let Ok(attribute) = attribute else {
            is_whole = false;
            break;
        };
        let value = attribute.value();
        match attribute.kind() {
            NHA_ID => id = parse_u32(value).ok(),
            NHA_GROUP => group = Some(members(value)),
            NHA_BLACKHOLE => refuses = true,
            NHA_OIF => link = parse_u32(value).ok(),
            NHA_GATEWAY => gateway = true,
            NHA_ENCAP_TYPE => {
                let kind = parse_u16(value).ok();
                encapsulates |= kind.is_none_or(|kind| message::leads_elsewhere(kind.into()));
            }
            _ => {}
        }
    }
    let hop = link.map(|link| Hop {
        link,
        gateway,
        encapsulates,
    });
    let nexthop = match (group, hop) {
        _ if !is_whole => Nexthop::Unknown,
        _ if refuses => Nexthop::Refuse,
        (Some(group), _) => Nexthop::Group(group),
        (None, Some(hop)) => Nexthop::Hop(hop),
        // One of a bridge's forwarding database, which no route can name.
        (None, None) => Nexthop::Unknown,
    };
    Some((id?, nexthop))
}

fn members(value: &[u8]) -> Vec<u32> {
    let members = value.chunks_exact(MEMBER);
    let numbers = members.filter_map(|member| member.first_chunk());
    numbers.map(|number| u32::from_ne_bytes(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; HEADER];
        for (kind, value) in attributes {
            let length = u16::try_from(value.len() + 4).unwrap();
            body.extend(length.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body
    }

    #[test]
    fn a_nexthop_object_has_its_link_and_gateway() {
        let (id, link) = ((NHA_ID, &7_u32.to_ne_bytes()[..]), &3_u32.to_ne_bytes()[..]);
        let hop = |gateway, encapsulates| {
            Nexthop::Hop(Hop {
                link: 3,
                gateway,
                encapsulates,
            })
        };
        let group: Vec<u8> = [1_u32, 0, 2, 0].map(u32::to_ne_bytes).concat();
        let oif = (NHA_OIF, link);
        let (seg6, ip) = (5_u16.to_ne_bytes(), 2_u16.to_ne_bytes());
        for (attributes, expected) in [
            (vec![id, oif], hop(false, false)),
            (
                vec![id, (NHA_GATEWAY, &[10, 0, 0, 9]), oif],
                hop(true, false),
            ),
            (vec![id, oif, (NHA_ENCAP_TYPE, &seg6)], hop(false, true)),
            (vec![id, oif, (NHA_ENCAP_TYPE, &[5])], hop(false, true)),
            // What it writes into the packet is for a tunnel's link, by which it leaves.
            (vec![id, oif, (NHA_ENCAP_TYPE, &ip)], hop(false, false)),
            (vec![id, (NHA_GROUP, &group)], Nexthop::Group(vec![1, 2])),
            (vec![id, (NHA_BLACKHOLE, &[])], Nexthop::Refuse),
            (vec![id], Nexthop::Unknown),
            (vec![id, (NHA_OIF, &[3])], Nexthop::Unknown),
        ] {
            assert_eq!(
                read(&object(&attributes)),
                Some((7, expected)),
                "{attributes:?}"
            );
        }
    }

    #[test]
    fn an_unreadable_nexthop_object_is_unknown() {
        let link = 3_u32.to_ne_bytes();
        let mut broken = object(&[(NHA_ID, &7_u32.to_ne_bytes()), (NHA_OIF, &link)]);
        broken.extend([99, 0, 6, 0]);
        assert_eq!(read(&broken), Some((7, Nexthop::Unknown)));
        assert_eq!(read(&object(&[(NHA_OIF, &link)])), None);
        for length in 0..HEADER {
            assert_eq!(read(&vec![0; length]), None);
        }
    }
}
