//! Destinations of routes of every kind, and the route that a removal is about.

use rtnetlink::packet_core::Emitable;
use rtnetlink::packet_route::route::{RouteNextHop, RouteVia};

use super::*;

#[test]
fn a_removal_is_of_this_engine_s_route_and_not_of_another_s_at_its_place() {
    for network in ["10.9.0.2/32", "fd09::2/128"] {
        let network = network.parse().unwrap();
        let slot = RouteKey { table: 1, network };
        let own = RouteProtocol::from(PROTOCOL);
        assert_eq!(route_at(slot, Some(PROTOCOL)).header.protocol, own);
        assert_eq!(route_at(slot, None).header.protocol, RouteProtocol::Unspec);
        let message = route_message(slot, RouteAction::Throw);
        assert_eq!(message.header.protocol, own);
        assert!(route(&message).unwrap().own);
    }
}

/// A route that somebody has made.
fn made(network: &str, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let network = network.parse().unwrap();
    let mut message = route_at(
        RouteKey {
            table: 100,
            network,
        },
        None,
    );
    message.header.kind = RouteType::Unicast;
    message.header.protocol = RouteProtocol::Boot;
    message.attributes.extend(attributes);
    message
}

fn hop_by(link: u32, gateway: bool, encapsulates: bool) -> Hop {
    Hop {
        link,
        gateway,
        encapsulates,
    }
}

fn next(link: u32, attributes: Vec<RouteAttribute>) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = link;
    hop.attributes = attributes;
    hop
}

#[test]
fn a_route_leads_by_each_of_its_next_hops() {
    use RouteAttribute::{EncapType, Gateway, MultiPath, NhId, Oif, Via};
    let (v4, v6) = ("10.9.0.2/32", "fd09::2/128");
    let gateway = || Gateway(RouteAddress::Inet([10, 0, 0, 9].into()));
    let gateway_v6 = || Gateway(RouteAddress::Inet6("fe80::9".parse().unwrap()));
    let via = || Via(RouteVia::Inet6("fe80::9".parse().unwrap()));
    let seg6 = || EncapType(RouteLwEnCapType::Seg6);
    let link = |index| RouteAction::Link(index);
    let cases = [
        (
            v4,
            vec![Oif(3)],
            link(3),
            vec![hop_by(3, false, false)],
            None,
        ),
        (
            v6,
            vec![Oif(3)],
            link(3),
            vec![hop_by(3, false, false)],
            None,
        ),
        (
            v4,
            vec![gateway(), Oif(3)],
            RouteAction::Other,
            vec![hop_by(3, true, false)],
            None,
        ),
        (
            v6,
            vec![gateway_v6(), Oif(3)],
            RouteAction::Other,
            vec![hop_by(3, true, false)],
            None,
        ),
        (
            v4,
            vec![via(), Oif(3)],
            RouteAction::Other,
            vec![hop_by(3, true, false)],
            None,
        ),
        (
            v4,
            vec![seg6(), Oif(3)],
            RouteAction::Other,
            vec![hop_by(3, false, true)],
            None,
        ),
        (
            v4,
            vec![EncapType(RouteLwEnCapType::Ip), Oif(3)],
            link(3),
            vec![hop_by(3, false, false)],
            None,
        ),
        (
            v4,
            vec![MultiPath(vec![
                next(4, vec![gateway()]),
                next(3, vec![seg6()]),
            ])],
            RouteAction::Other,
            vec![hop_by(4, true, false), hop_by(3, false, true)],
            None,
        ),
        // What else is said of a nexthop object may be old.
        (v4, vec![NhId(7)], RouteAction::Other, vec![], Some(7)),
        (
            v4,
            vec![NhId(7), Oif(3)],
            RouteAction::Other,
            vec![],
            Some(7),
        ),
        (
            v6,
            vec![NhId(7), MultiPath(vec![next(4, vec![])])],
            RouteAction::Other,
            vec![],
            Some(7),
        ),
    ];
    for (network, attributes, way, hops, nexthop) in cases {
        let message = made(network, attributes);
        let mut body = vec![0; message.buffer_len()];
        message.emit(&mut body);
        for found in [route(&message), route_body(&body)] {
            let found = found.unwrap();
            assert_eq!(found.slot.table, 100);
            assert_eq!(found.slot.network.to_string(), network);
            let text = format!("{:?}", message.attributes);
            assert_eq!(found.hops, hops, "{text}");
            let found = (found.way, found.nexthop, found.some);
            assert_eq!(found, (way, nexthop, false), "{text}");
        }
    }
}

#[test]
fn a_route_s_type_determines_its_action_and_kind() {
    for (kind, way, expected) in [
        (RouteType::Unicast, RouteAction::Link(3), Kind::Unicast),
        (RouteType::Local, RouteAction::Other, Kind::Local),
        (RouteType::Broadcast, RouteAction::Other, Kind::EndOfSubnet),
        (RouteType::Anycast, RouteAction::Other, Kind::EndOfSubnet),
        (RouteType::Multicast, RouteAction::Other, Kind::Other),
        (RouteType::Throw, RouteAction::Throw, Kind::Other),
        (RouteType::BlackHole, RouteAction::Refuse, Kind::Other),
        (RouteType::Unreachable, RouteAction::Refuse, Kind::Other),
        (RouteType::Prohibit, RouteAction::Refuse, Kind::Other),
    ] {
        let mut message = made("10.9.0.2/32", vec![RouteAttribute::Oif(3)]);
        message.header.kind = kind;
        let found = route(&message).unwrap();
        assert_eq!((found.way, found.kind), (way, expected), "{kind:?}");
        assert_eq!(found.hops, [hop_by(3, false, false)]);
    }
    // The nexthop object may lead somewhere by now.
    let mut message = made("10.9.0.2/32", vec![RouteAttribute::NhId(7)]);
    message.header.kind = RouteType::BlackHole;
    assert_eq!(route(&message).unwrap().way, RouteAction::Other);
}

#[test]
fn a_route_for_some_packets_is_no_plain_way_into_a_link() {
    let change = |change: &dyn Fn(&mut RouteHeader)| {
        let mut message = made("fd09::2/128", vec![RouteAttribute::Oif(3)]);
        change(&mut message.header);
        let found = route(&message).unwrap();
        (found.some, found.way)
    };
    assert_eq!(change(&|_| {}), (false, RouteAction::Link(3)));
    assert_eq!(
        change(&|header| header.tos = 0x10),
        (true, RouteAction::Other)
    );
    let source = change(&|header| header.source_prefix_length = 64);
    assert_eq!(source, (true, RouteAction::Other));
}

#[test]
fn an_unreadable_attribute_of_a_route_makes_its_destination_unknown() {
    let message = made("10.9.0.2/32", vec![RouteAttribute::Oif(3)]);
    let mut body = vec![0; message.buffer_len()];
    message.emit(&mut body);
    let with = |attribute: &[u8]| {
        let body = [&body, attribute].concat();
        assert!(RouteMessage::parse(&body).is_err(), "{attribute:?}");
        let found = route_body(&body).unwrap();
        assert_eq!(found.slot.network.to_string(), "10.9.0.2/32");
        (found.way, found.hops)
    };
    // An encapsulation of a kind that has other attributes than these; next hops that break off.
    let encapsulated = with(&[6, 0, 21, 0, 2, 0, 0, 0, 9, 0, 22, 0, 5, 0, 2, 0, 1, 0, 0, 0]);
    assert_eq!(
        encapsulated,
        (RouteAction::Link(3), vec![hop_by(3, false, false)])
    );
    let seg6 = with(&[6, 0, 21, 0, 5, 0, 0, 0, 9, 0, 22, 0, 5, 0, 1, 0, 1, 0, 0, 0]);
    assert_eq!(seg6, (RouteAction::Other, vec![hop_by(3, false, true)]));
    let multipath = with(&[12, 0, 9, 0, 16, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(multipath, (RouteAction::Other, Vec::new()));
    assert_eq!(route_body(&[2; 11]), None);
    assert_eq!(route_body(&[]), None);
}
