//! The meaning of other programs' rules and of links.

use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::packet_route::route::RouteRealm;
use rtnetlink::packet_route::rule::RuleUidRange;

use super::*;

/// A rule that another program has made, as the kernel reports it.
fn foreign_rule(action: RuleAction, attributes: Vec<RuleAttribute>) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = action;
    message.header.table = 1;
    message.attributes = vec![
        RuleAttribute::Priority(512),
        RuleAttribute::Table(1),
        RuleAttribute::SuppressPrefixLen(u32::MAX),
        RuleAttribute::Protocol(RouteProtocol::Boot),
    ];
    message.attributes.extend(attributes);
    message
}

#[test]
fn a_rule_looks_its_table_up_whatever_its_selectors() {
    let address = IpAddr::from([10, 98, 0, 7]);
    let realm = RouteRealm {
        source: 0,
        destination: 1,
    };
    let selectors = [
        vec![],
        vec![RuleAttribute::FwMark(0x80), RuleAttribute::FwMask(0x80)],
        vec![RuleAttribute::Source(address)],
        vec![RuleAttribute::Destination(address)],
        // AWS VPC CNI's.
        vec![
            RuleAttribute::Source(address),
            RuleAttribute::Iifname("eni1".into()),
            RuleAttribute::FwMark(0x80),
        ],
        vec![RuleAttribute::Oifname("eth1".into())],
        vec![RuleAttribute::UidRange(RuleUidRange { start: 1, end: 2 })],
        vec![RuleAttribute::Realm(realm)],
        vec![RuleAttribute::TunId(7)],
        vec![RuleAttribute::SuppressPrefixLen(0)],
    ];
    for (number, selectors) in selectors.into_iter().enumerate() {
        let found = rule(&foreign_rule(RuleAction::ToTable, selectors.clone()));
        assert_eq!((found.priority, found.table), (512, 1), "{selectors:?}");
        assert!(!found.is_own() && !found.is_of_our_kind());
        assert_eq!(found.foreign, number > 1, "{selectors:?}");
    }
    let mut by_service = foreign_rule(RuleAction::ToTable, vec![]);
    by_service.header.tos = 0x10;
    assert!(rule(&by_service).foreign, "it is no attribute");
}

#[test]
fn a_rule_of_another_action_looks_no_table_up() {
    for action in [
        RuleAction::Goto,
        RuleAction::Nop,
        RuleAction::Blackhole,
        RuleAction::Unreachable,
        RuleAction::Prohibit,
    ] {
        let found = rule(&foreign_rule(action, vec![RuleAttribute::Goto(32766)]));
        assert_eq!((found.table, found.foreign), (0, true), "{action:?}");
    }
}

#[test]
fn a_rule_reads_as_it_was_written_and_one_with_more_selectors_is_not_this_engine_s() {
    for family in Family::ALL {
        let own = Rule::for_mark(99, 0x10_0000, 300);
        let mut message = rule_message(family, &own);
        assert_eq!(rule(&message), own);
        assert!(rule(&message).is_own());
        let loopback = RuleAttribute::Iifname("lo".into());
        message.attributes.push(loopback);
        assert!(!rule(&message).is_own());
    }
}

#[test]
fn a_rule_is_printed_with_all_its_selectors() {
    let mut message = foreign_rule(
        RuleAction::ToTable,
        vec![
            RuleAttribute::Source([10, 0, 0, 0].into()),
            RuleAttribute::Destination([10, 1, 2, 5].into()),
            RuleAttribute::Iifname("lo".into()),
            RuleAttribute::Oifname("eth0".into()),
            RuleAttribute::UidRange(RuleUidRange { start: 7, end: 8 }),
            RuleAttribute::SuppressPrefixLen(0),
        ],
    );
    (message.header.src_len, message.header.dst_len) = (8, 32);
    message.header.tos = 4;
    assert_eq!(
        policy(&message).to_string(),
        "512: from 10.0.0.0/8 to 10.1.2.5/32 iif lo oif eth0 tos 0x4 uidrange 7-8 lookup 1 \
         suppress_prefixlength 0"
    );
    let plain = policy(&foreign_rule(RuleAction::ToTable, Vec::new()));
    assert_eq!(plain.to_string(), "512: from all lookup 1");
    let jump = policy(&foreign_rule(
        RuleAction::Goto,
        vec![RuleAttribute::Goto(32766)],
    ));
    assert_eq!(jump.to_string(), "512: from all goto 32766");
    for (action, text) in [
        (RuleAction::Prohibit, "prohibit"),
        (RuleAction::Unreachable, "unreachable"),
        (RuleAction::Blackhole, "blackhole"),
        // As the kernel treats what it does not know.
        (RuleAction::Unspec, "blackhole"),
        (RuleAction::Other(9), "blackhole"),
        (RuleAction::Nop, "nop"),
    ] {
        let rule = policy(&foreign_rule(action, Vec::new()));
        assert_eq!(rule.to_string(), format!("512: from all {text}"));
    }
}

#[test]
fn a_suppressor_is_a_signed_number_and_all_bits_are_none() {
    let suppressed = |attribute| {
        let rule = policy(&foreign_rule(RuleAction::ToTable, vec![attribute]));
        (rule.suppressed_length, rule.suppressed_group)
    };
    for (length, expected) in [
        (0, Some(0)),
        (32, Some(32)),
        (300, Some(300)),
        (0x7fff_ffff, Some(0x7fff_ffff)),
        (0x8000_0000, None),
        (u32::MAX, None),
    ] {
        let found = suppressed(RuleAttribute::SuppressPrefixLen(length));
        assert_eq!(found, (expected, None));
    }
    for (group, expected) in [(0, Some(0)), (5, Some(5)), (u32::MAX, None)] {
        let found = suppressed(RuleAttribute::SuppressIfGroup(group));
        assert_eq!(found, (None, expected));
    }
}

#[test]
fn a_rule_knows_whether_its_link_is_there_and_whether_it_is_for_vrfs() {
    let links = || {
        vec![
            RuleAttribute::Iifname("azv1".into()),
            RuleAttribute::Oifname("eth0".into()),
            RuleAttribute::L3MDev(true),
        ]
    };
    let mut message = foreign_rule(RuleAction::ToTable, links());
    assert!(policy(&message).of_vrf);
    for (flags, detached) in [
        (RuleFlags::empty(), [false, false]),
        (RuleFlags::IifDetached, [true, false]),
        (RuleFlags::OifDetached, [false, true]),
    ] {
        message.header.flags = flags;
        let rule = policy(&message);
        let found = [rule.input, rule.output].map(|link| link.unwrap().detached);
        assert_eq!(found, detached);
    }
}

#[test]
fn a_link_has_its_other_names_its_group_and_its_vrf_s_table() {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName("blue".into()),
        LinkAttribute::Group(5),
        LinkAttribute::PropList(vec![Prop::AltIfName("enp1".into())]),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vrf),
            LinkInfo::Data(InfoData::Vrf(vec![InfoVrf::TableId(10)])),
        ]),
    ];
    let expected = Link {
        name: "blue".into(),
        other_names: ["enp1".to_owned()].into(),
        kind: "vrf".into(),
        group: 5,
        vrf: Some(10),
        ..Link::default()
    };
    assert_eq!(link(&message), expected);
}

#[test]
fn an_unreadable_attribute_of_a_rule_is_an_unknown_selector() {
    let message = foreign_rule(RuleAction::ToTable, Vec::new());
    let mut body = vec![0; message.buffer_len()];
    message.emit(&mut body);
    assert_eq!(rule_body(&body).as_ref(), Some(&message));
    // A range of ports (`FRA_DPORT_RANGE`) of a byte.
    body.extend([5, 0, 24, 0, 7, 0, 0, 0]);
    assert!(RuleMessage::parse(&body).is_err());
    let rule = policy(&rule_body(&body).unwrap());
    assert_eq!(rule.to_string(), "512: from all selector 24 lookup 1");
    assert!(rule.rule.foreign);
    assert_eq!(rule_body(&[0; 11]), None);
}
