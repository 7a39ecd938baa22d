//! Links, addresses, routes and rules of this network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{
    Handle, IpVersion, LinkMessageBuilder, LinkUnspec, MulticastGroup, RouteMessageBuilder,
};
use tokio::sync::mpsc;

use crate::dataplane::{Rule, Target};

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {cause}")]
pub(crate) struct NetlinkError {
    doing: String,
    cause: String,
}

/// A link, as far as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `wireguard`, `tun`, `veth` …; empty for those of no kind.
    pub(crate) kind: String,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
}

/// A route netlink socket.
#[derive(Debug, Clone)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens it, and tells `changed` whenever a link, an IPv4 address, route or rule changes.
    pub(crate) fn open(changed: mpsc::Sender<()>) -> Result<Self, NetlinkError> {
        let fail = |cause| NetlinkError {
            doing: "open a netlink socket".into(),
            cause,
        };
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv4Rule,
        ];
        let (listener, _, mut news) = rtnetlink::new_multicast_connection(&groups)
            .map_err(|error| fail(error.to_string()))?;
        tokio::spawn(listener);
        tokio::spawn(async move {
            while futures_util::StreamExt::next(&mut news).await.is_some() {
                // A full queue already says that something has changed.
                if let Err(mpsc::error::TrySendError::Closed(())) = changed.try_send(()) {
                    return;
                }
            }
        });
        Self::open_silent()
    }

    /// Opens it.
    pub(crate) fn open_silent() -> Result<Self, NetlinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| NetlinkError {
                doing: "open a netlink socket".into(),
                cause: error.to_string(),
            })?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Every link by name.
    pub(crate) async fn links(&self) -> Result<BTreeMap<String, Link>, NetlinkError> {
        let links: Vec<_> = doing(
            "list the links",
            self.handle.link().get().execute().try_collect(),
        )
        .await?;
        Ok(links
            .iter()
            .map(link)
            .map(|link| (link.name.clone(), link))
            .collect())
    }

    /// Every IPv4 address with its link's index.
    pub(crate) async fn addresses(&self) -> Result<Vec<(u32, Ipv4Net)>, NetlinkError> {
        let addresses: Vec<_> = doing(
            "list the addresses",
            self.handle.address().get().execute().try_collect(),
        )
        .await?;
        let read = |message: &rtnetlink::packet_route::address::AddressMessage| {
            let own = |attribute: &AddressAttribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                _ => None,
            };
            let address = message.attributes.iter().find_map(own)?;
            Some((
                message.header.index,
                Ipv4Net::new(address, message.header.prefix_len).ok()?,
            ))
        };
        Ok(addresses.iter().filter_map(read).collect())
    }

    /// The routes of one table; `tunnel` is the index of the tunnel device.
    pub(crate) async fn routes(
        &self,
        table: u32,
        tunnel: Option<u32>,
    ) -> Result<BTreeMap<Ipv4Net, Target>, NetlinkError> {
        let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes: Vec<_> = doing(
            "list the routes",
            self.handle.route().get(every).execute().try_collect(),
        )
        .await?;
        Ok(routes
            .iter()
            .filter(|message| table_of(message) == table)
            .filter_map(|message| Some((destination(message)?, target(message, tunnel))))
            .collect())
    }

    /// The rules that look a table up.
    pub(crate) async fn rules(&self, table: u32) -> Result<BTreeSet<Rule>, NetlinkError> {
        let rules: Vec<_> = doing(
            "list the rules",
            self.handle
                .rule()
                .get(IpVersion::V4)
                .execute()
                .try_collect(),
        )
        .await?;
        Ok(rules
            .iter()
            .map(rule)
            .filter(|rule| rule.table == table)
            .collect())
    }

    /// Creates a kernel WireGuard device.
    pub(crate) async fn create_wireguard(&self, name: &str) -> Result<(), NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Wireguard)
            .name(name)
            .build();
        doing(
            format!("create {name}"),
            self.handle.link().add(message).execute(),
        )
        .await
    }

    /// Deletes a link.
    pub(crate) async fn delete_link(&self, name: &str) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        doing(
            format!("delete {name}"),
            self.handle.link().del(index).execute(),
        )
        .await
    }

    /// Sets a link's MTU, in bytes.
    pub(crate) async fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(self.index(name).await?)
            .mtu(mtu)
            .build();
        doing(
            format!("set the mtu of {name}"),
            self.handle.link().set(message).execute(),
        )
        .await
    }

    /// Switches a link on.
    pub(crate) async fn switch_on(&self, name: &str) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(self.index(name).await?)
            .up()
            .build();
        doing(
            format!("switch {name} on"),
            self.handle.link().set(message).execute(),
        )
        .await
    }

    /// Gives a link an address.
    pub(crate) async fn add_address(
        &self,
        name: &str,
        address: Ipv4Net,
    ) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        let request =
            self.handle
                .address()
                .add(index, IpAddr::V4(address.addr()), address.prefix_len());
        doing(format!("add {address} to {name}"), request.execute()).await
    }

    /// Takes an address from a link.
    pub(crate) async fn remove_address(
        &self,
        name: &str,
        address: Ipv4Net,
    ) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        let message = rtnetlink::AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build();
        doing(
            format!("remove {address} from {name}"),
            self.handle.address().del(message).execute(),
        )
        .await
    }

    /// Sets a route of a table, whatever was there before; `tunnel` is the tunnel device's name.
    pub(crate) async fn set_route(
        &self,
        table: u32,
        network: Ipv4Net,
        target: Target,
        tunnel: &str,
    ) -> Result<(), NetlinkError> {
        let mut builder = route_to(table, network).protocol(RouteProtocol::Boot);
        builder = match target {
            Target::Tunnel => builder
                .output_interface(self.index(tunnel).await?)
                .scope(RouteScope::Link),
            Target::Throw | Target::Foreign => {
                builder.kind(RouteType::Throw).scope(RouteScope::Universe)
            }
        };
        let request = self.handle.route().add(builder.build()).replace();
        doing(format!("set the route to {network}"), request.execute()).await
    }

    /// Removes a route of a table.
    pub(crate) async fn remove_route(
        &self,
        table: u32,
        network: Ipv4Net,
    ) -> Result<(), NetlinkError> {
        // `Nowhere` matches any scope (kernel: `fib_table_delete`).
        let mut message = route_to(table, network).scope(RouteScope::NoWhere).build();
        message.header.kind = RouteType::Unspec;
        message.header.protocol = RouteProtocol::Unspec;
        doing(
            format!("remove the route to {network}"),
            self.handle.route().del(message).execute(),
        )
        .await
    }

    /// Adds a rule.
    pub(crate) async fn add_rule(&self, rule: &Rule) -> Result<(), NetlinkError> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule_message(rule);
        doing(format!("add the rule {rule}"), request.execute()).await
    }

    /// Removes a rule.
    pub(crate) async fn remove_rule(&self, rule: &Rule) -> Result<(), NetlinkError> {
        let request = self.handle.rule().del(rule_message(rule));
        doing(format!("remove the rule {rule}"), request.execute()).await
    }

    async fn index(&self, name: &str) -> Result<u32, NetlinkError> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let link = doing(format!("find {name}"), links.try_next()).await?;
        link.map(|link| link.header.index)
            .ok_or_else(|| NetlinkError {
                doing: format!("find {name}"),
                cause: "no such device".into(),
            })
    }
}

async fn doing<T>(
    what: impl Into<String>,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NetlinkError> {
    request.await.map_err(|error| NetlinkError {
        doing: what.into(),
        cause: match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
            other => other.to_string(),
        },
    })
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                let kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
                link.kind = kind.unwrap_or_default();
            }
            _ => {}
        }
    }
    link
}

fn route_to(table: u32, network: Ipv4Net) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(network.addr(), network.prefix_len())
        .table_id(table)
}

fn table_of(message: &RouteMessage) -> u32 {
    let wide = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    wide.unwrap_or_else(|| message.header.table.into())
}

fn destination(message: &RouteMessage) -> Option<Ipv4Net> {
    if message.header.address_family != AddressFamily::Inet {
        return None;
    }
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        });
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ipv4Net::new(address, message.header.destination_prefix_length).ok()
}

fn target(message: &RouteMessage, tunnel: Option<u32>) -> Target {
    let device = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
    match message.header.kind {
        RouteType::Throw => Target::Throw,
        RouteType::Unicast if device.is_some() && device == tunnel => Target::Tunnel,
        _ => Target::Foreign,
    }
}

fn rule(message: &RuleMessage) -> Rule {
    let mut rule = Rule {
        priority: 0,
        not: message.header.flags.contains(RuleFlags::Invert),
        mark: 0,
        mask: 0,
        table: message.header.table.into(),
        foreign: message.header.action != RuleAction::ToTable,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::FwMark(mark) => rule.mark = *mark,
            RuleAttribute::FwMask(mask) => rule.mask = *mask,
            RuleAttribute::Table(table) => rule.table = *table,
            // Who made it, and the absence of a suppressor, which the kernel writes out.
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX) => {}
            _ => rule.foreign = true,
        }
    }
    rule
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    if rule.not {
        message.header.flags |= RuleFlags::Invert;
    }
    if let Ok(table) = u8::try_from(rule.table) {
        message.header.table = table;
    }
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::FwMark(rule.mark),
        RuleAttribute::FwMask(rule.mask),
        RuleAttribute::Table(rule.table),
    ];
    message
}
