//! Routes in messages from and to the kernel (kernel: `uapi/linux/rtnetlink.h`, `lwtunnel.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_core::{
    DefaultNla, Nla as _, NlasIterator, Parseable, ParseableParametrized,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteLwEnCapType, RouteMessage, RouteProtocol,
    RouteScope, RouteType,
};
use wiremesh_plan::dataplane::model::RouteKey;
use wiremesh_plan::intent::family::Family;

use super::{family, read_family};
use crate::host::netlink::{Hop, Kind, PROTOCOL, Route, RouteAction};

/// The length of `struct rtmsg`, in bytes.
const HEADER: usize = 12;

const RTA_MULTIPATH: u16 = 9;
const RTA_ENCAP: u16 = 22;

/// A route to one destination, from the body of a message.
pub(crate) fn route_body(body: &[u8]) -> Option<Route> {
    let message = RouteMessage::parse(body);
    route(&message.ok().or_else(|| readable(body))?)
}

/// A message of which some attributes cannot be read.
fn readable(body: &[u8]) -> Option<RouteMessage> {
    let mut message = RouteMessage::default();
    message.header = RouteHeader::parse(body).ok()?;
    let (family, kind) = (message.header.address_family, message.header.kind);
    let attributes = NlasIterator::new(body.get(HEADER..)?).map_while(Result::ok);
    let attributes = attributes.map(|found| {
        let read = RouteAttribute::parse_with_param(&found, (family, kind, RouteLwEnCapType::None));
        let as_it_is = || DefaultNla::new(found.kind(), found.value().to_vec());
        read.unwrap_or_else(|_| RouteAttribute::Other(as_it_is()))
    });
    message.attributes = attributes.collect();
    Some(message)
}

/// A route to one destination; none for families that are not IP.
pub(crate) fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let family = read_family(header.address_family)?;
    let mut network = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (mut table, mut link, mut nexthop) = (u32::from(header.table), None, None);
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(found)) => network = (*found).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(found)) => network = (*found).into(),
            RouteAttribute::Table(found) => table = *found,
            RouteAttribute::Oif(found) => link = Some(*found),
            RouteAttribute::NhId(found) => nexthop = Some(*found),
            RouteAttribute::MultiPath(found) => {
                hops.extend(
                    found
                        .iter()
                        .map(|found| hop(found.interface_index, &found.attributes)),
                );
            }
            _ => {}
        }
    }
    hops.extend(link.map(|link| hop(link, &message.attributes)));
    let is_unread = |found: &RouteAttribute| match found {
        RouteAttribute::Other(other) => other.kind() == RTA_MULTIPATH,
        _ => false,
    };
    // What the object does may have changed since, and so have what else the kernel said of it.
    if nexthop.is_some() || message.attributes.iter().any(is_unread) {
        hops.clear();
    }
    let some = header.tos != 0 || header.source_prefix_length != 0;
    let way = match (header.kind, &hops[..]) {
        (RouteType::Throw, _) => RouteAction::Throw,
        (RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit, _)
            if nexthop.is_none() =>
        {
            RouteAction::Refuse
        }
        (RouteType::Unicast, [hop]) if !hop.gateway && !hop.encapsulates && !some => {
            RouteAction::Link(hop.link)
        }
        _ => RouteAction::Other,
    };
    let network = IpNet::new(network, header.destination_prefix_length).ok()?;
    Some(Route {
        slot: RouteKey { table, network },
        own: header.protocol == RouteProtocol::from(PROTOCOL),
        way,
        kind: match header.kind {
            RouteType::Unicast => Kind::Unicast,
            RouteType::Local => Kind::Local,
            RouteType::Broadcast | RouteType::Anycast => Kind::EndOfSubnet,
            _ => Kind::Other,
        },
        hops,
        nexthop,
        some,
    })
}

/// A next hop with these attributes.
fn hop(link: u32, attributes: &[RouteAttribute]) -> Hop {
    let mut attributes = attributes.iter();
    let mut hop = Hop {
        link,
        gateway: false,
        encapsulates: false,
    };
    attributes.by_ref().for_each(|attribute| match attribute {
        RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => hop.gateway = true,
        RouteAttribute::EncapType(kind) => hop.encapsulates |= leads_elsewhere(*kind),
        // What cannot be read.
        RouteAttribute::Other(other) => hop.encapsulates |= other.kind() == RTA_ENCAP,
        _ => {}
    });
    hop
}

/// Whether packets may leave by another way than by the link of a route that encapsulates them so: some
/// encapsulations look for a way of their own. That in IP writes down the tunnel's other end, for a link
/// that is a tunnel itself (`LWTUNNEL_STATE_OUTPUT_REDIRECT`).
pub(crate) fn leads_elsewhere(encapsulation: RouteLwEnCapType) -> bool {
    !matches!(
        encapsulation,
        RouteLwEnCapType::None | RouteLwEnCapType::Ip | RouteLwEnCapType::Ip6
    )
}

/// A message for this engine's route at that place.
pub(crate) fn route_message(slot: RouteKey, way: RouteAction) -> RouteMessage {
    let mut message = route_at(slot, Some(PROTOCOL));
    match way {
        RouteAction::Link(index) => {
            message.header.kind = RouteType::Unicast;
            message.header.scope = RouteScope::Link;
            message.attributes.push(RouteAttribute::Oif(index));
        }
        RouteAction::Throw | RouteAction::Refuse | RouteAction::Other => {
            message.header.kind = RouteType::Throw;
            message.header.scope = RouteScope::Universe;
        }
    }
    message
}

/// A message for a route at that place: for whoever's, unless a protocol names its maker (kernel:
/// `fib_table_delete`, `ip6_route_del`).
pub(crate) fn route_at(slot: RouteKey, protocol: Option<u8>) -> RouteMessage {
    let mut message = RouteMessage::default();
    let family = Family::of_network(slot.network);
    message.header.address_family = self::family(family);
    message.header.destination_prefix_length = slot.network.prefix_len();
    // `Nowhere` matches any scope (kernel: `fib_table_delete`).
    message.header.scope = RouteScope::NoWhere;
    message.header.protocol = protocol.map_or(RouteProtocol::Unspec, RouteProtocol::from);
    message.header.kind = RouteType::Unspec;
    message.header.table = u8::try_from(slot.table).unwrap_or_default();
    let destination = match slot.network.addr() {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    };
    message.attributes = vec![
        RouteAttribute::Table(slot.table),
        RouteAttribute::Destination(destination),
    ];
    message
}

#[cfg(test)]
mod tests;
