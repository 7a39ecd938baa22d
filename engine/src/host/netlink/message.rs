//! Netlink messages and what they mean (kernel: `uapi/linux/rtnetlink.h`, `fib_rules.h`).

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_core::{DefaultNla, Emitable, Nla as _, NlasIterator, Parseable};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::link::{
    InfoData, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop,
};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::{
    RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage,
};
use wiremesh_plan::dataplane::model::Rule;
use wiremesh_plan::dataplane::policy::{Action, LinkName, PolicyRule};
use wiremesh_plan::intent::family::Family;

use super::{Address, Link, PROTOCOL};

/// Routes.
mod route;

pub(crate) use route::{leads_elsewhere, route, route_at, route_body, route_message};

/// How netlink writes a family.
pub(crate) fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The family of a message, if it is one of ours.
pub(crate) fn read_family(family: AddressFamily) -> Option<Family> {
    match family {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}

/// Parses a link.
pub(crate) fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::Group(group) => link.group = *group,
            LinkAttribute::PropList(properties) => {
                link.other_names
                    .extend(properties.iter().filter_map(|property| match property {
                        Prop::AltIfName(name) => Some(name.clone()),
                        _ => None,
                    }));
            }
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| match info {
                LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                LinkInfo::Data(InfoData::Vrf(data)) => {
                    link.vrf = data.iter().find_map(|found| match found {
                        InfoVrf::TableId(table) => Some(*table),
                        _ => None,
                    });
                }
                _ => {}
            }),
            _ => {}
        }
    }
    link
}

/// An address. IPv4 distinguishes a link's own address from the other end's; IPv6 does not.
pub(crate) fn address(message: &AddressMessage) -> Option<Address> {
    let local = message.attributes.iter().find_map(|found| match found {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|found| match found {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let network = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some((message.header.index, network))
}

/// A message for an address of a link.
pub(crate) fn address_of(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = family(Family::of_network(address));
    message
        .attributes
        .push(AddressAttribute::Local(address.addr()));
    message
}

/// The address is used at once, without duplicate address detection (RFC 4862, 5.4).
pub(crate) fn without_detection(message: &mut AddressMessage) {
    message.header.flags |= AddressHeaderFlags::Nodad;
    message
        .attributes
        .push(AddressAttribute::Flags(AddressFlags::Nodad));
}

/// A rule. One with a selector that [`Rule`] has no field for is foreign; one that does not look up a
/// table has none, whatever the kernel keeps in that field.
pub(crate) fn rule(message: &RuleMessage) -> Rule {
    let looks_up = message.header.action == RuleAction::ToTable;
    let mut rule = Rule {
        priority: 0,
        not: message.header.flags.contains(RuleFlags::Invert),
        mark: 0,
        mask: 0,
        table: message.header.table.into(),
        own: false,
        foreign: !looks_up || message.header.tos != 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::FwMark(mark) => rule.mark = *mark,
            RuleAttribute::FwMask(mask) => rule.mask = *mask,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Protocol(protocol) => {
                rule.own = *protocol == RouteProtocol::from(PROTOCOL);
            }
            // The absence of a suppressor, which the kernel writes out.
            RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            _ => rule.foreign = true,
        }
    }
    if !looks_up {
        rule.table = 0;
    }
    rule
}

/// A rule from the body of a message. An attribute that cannot be read is one that nobody knows.
pub(crate) fn rule_body(body: &[u8]) -> Option<RuleMessage> {
    let mut message = RuleMessage::default();
    message.header = RuleHeader::parse(body).ok()?;
    let length = message.header.buffer_len();
    let attributes = NlasIterator::new(body.get(length..)?).map_while(Result::ok);
    let attributes = attributes.map(|found| {
        let as_it_is = || DefaultNla::new(found.kind(), found.value().to_vec());
        let read = RuleAttribute::parse(&found);
        read.unwrap_or_else(|_| RuleAttribute::Other(as_it_is()))
    });
    message.attributes = attributes.collect();
    Some(message)
}

/// A rule with all its selectors.
pub(crate) fn policy(message: &RuleMessage) -> PolicyRule {
    let header = &message.header;
    let network = |address: &IpAddr, length| IpNet::new(*address, length).ok();
    let link_name = |name: &String, detached| LinkName {
        name: name.clone(),
        detached: header.flags.contains(detached),
    };
    let mut goes_to = None;
    let mut policy = PolicyRule::without_selectors(rule(message));
    if header.tos != 0 {
        policy.some.push(format!("tos {:#x}", header.tos));
    }
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Destination(to) => policy.to = network(to, header.dst_len),
            RuleAttribute::Source(from) => policy.from = network(from, header.src_len),
            RuleAttribute::Iifname(name) => {
                policy.input = Some(link_name(name, RuleFlags::IifDetached));
            }
            RuleAttribute::Oifname(name) => {
                policy.output = Some(link_name(name, RuleFlags::OifDetached));
            }
            RuleAttribute::L3MDev(of_vrf) => policy.of_vrf = *of_vrf,
            // Only what came out of a tunnel with metadata has one (kernel: `ip_route_input_slow`), and no
            // packet of this node's or of its pods does.
            RuleAttribute::TunId(number) => policy.none.push(format!("tun_id {number}")),
            RuleAttribute::UidRange(users) => {
                policy
                    .some
                    .push(format!("uidrange {}-{}", users.start, users.end));
            }
            RuleAttribute::IpProtocol(protocol) => {
                policy.some.push(format!("ipproto {}", u8::from(*protocol)));
            }
            RuleAttribute::SourcePortRange(ports) => {
                policy
                    .some
                    .push(format!("sport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::DestinationPortRange(ports) => {
                policy
                    .some
                    .push(format!("dport {}-{}", ports.start, ports.end));
            }
            RuleAttribute::Other(other) => policy.some.push(format!("selector {}", other.kind())),
            RuleAttribute::Goto(priority) => goes_to = Some(*priority),
            // The kernel compares it as a signed number.
            RuleAttribute::SuppressPrefixLen(length) => {
                policy.suppressed_length = Some(*length).filter(|length| length.cast_signed() >= 0);
            }
            RuleAttribute::SuppressIfGroup(group) => {
                policy.suppressed_group = Some(*group).filter(|group| *group != u32::MAX);
            }
            _ => {}
        }
    }
    policy.action = match header.action {
        RuleAction::ToTable => Action::LookUp(policy.rule.table),
        RuleAction::Goto => goes_to.map_or(Action::Nothing, Action::GoTo),
        RuleAction::Nop => Action::Nothing,
        RuleAction::Unreachable => Action::Refuse("unreachable"),
        RuleAction::Prohibit => Action::Refuse("prohibit"),
        // So does what the kernel does not know (`fib4_rule_action`).
        _ => Action::Refuse("blackhole"),
    };
    policy
}

/// A message for a rule.
pub(crate) fn rule_message(family: Family, rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = self::family(family);
    message.header.action = RuleAction::ToTable;
    if rule.not {
        message.header.flags |= RuleFlags::Invert;
    }
    message.header.table = u8::try_from(rule.table).unwrap_or_default();
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::FwMark(rule.mark),
        RuleAttribute::FwMask(rule.mask),
        RuleAttribute::Table(rule.table),
    ];
    if rule.own {
        message
            .attributes
            .push(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    }
    message
}

#[cfg(test)]
mod tests;
