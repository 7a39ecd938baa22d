//! Links, addresses, routes and rules of this network namespace.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_core::Emitable;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use wiremesh_plan::dataplane::model::{RouteKey, Rule};
use wiremesh_plan::dataplane::policy::PolicyRule;
use wiremesh_plan::intent::family::Family;

use nexthop::Nexthop;

/// rtnetlink messages read into links, routes and rules.
pub(crate) mod message;

/// A dump of all that the kernel has of one kind.
mod dump;

/// Nexthop objects, which routes may name.
pub(crate) mod nexthop;

/// Many routes in one message.
pub(crate) mod batch;

/// Notifications from the kernel.
pub(crate) mod monitor;

/// What this engine's routes and rules are marked with: `rtm_protocol` and `FRA_PROTOCOL`.
/// Felix writes 3, as everybody may; with a number of its own the engine knows what it
/// made, whatever has been configured since.
pub(crate) const PROTOCOL: u8 = 87;

/// `RTM_GETROUTE`.
const GET_ROUTE: u16 = 26;

/// `RTM_GETRULE`.
const GET_RULE: u16 = 34;

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {cause}")]
pub(crate) struct NetlinkError {
    doing: String,
    cause: String,
}

impl NetlinkError {
    fn new(doing: impl Into<String>, cause: impl ToString) -> Self {
        Self {
            doing: doing.into(),
            cause: cause.to_string(),
        }
    }
}

/// A link, as far as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// By which it can be found as well (`altname`).
    pub(crate) other_names: BTreeSet<String>,
    /// `wireguard`, `tun`, `veth` …; empty for those of no kind.
    pub(crate) kind: String,
    /// What its maker wrote on it.
    pub(crate) alias: String,
    /// The link that it is a port of, such as a bridge.
    pub(crate) master: Option<u32>,
    /// The group that it is in; 0 is that of all links at first.
    pub(crate) group: u32,
    /// The table of a VRF.
    pub(crate) vrf: Option<u32>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    /// Whether something is at its other end.
    pub(crate) carrier: bool,
}

/// A route, as far as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) slot: RouteKey,
    /// Whether this engine made it.
    pub(crate) own: bool,
    /// What it does.
    pub(crate) way: RouteAction,
    pub(crate) kind: Kind,
    /// The links that it leads through, in the kernel's order.
    pub(crate) hops: Vec<Hop>,
    /// The ID of the nexthop object that has its next hops, instead of `hops`.
    pub(crate) nexthop: Option<u32>,
    /// Whether it is for some packets to its network alone: by type of service, or source.
    pub(crate) some: bool,
}

/// What a route's type means for where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unicast,
    /// To this node itself.
    Local,
    /// As the kernel makes them for the ends of its addresses' subnets: `broadcast`, `anycast`.
    EndOfSubnet,
    Other,
}

/// A next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The link's index.
    pub(crate) link: u32,
    pub(crate) gateway: bool,
    /// Whether what it puts around a packet may lead it elsewhere.
    pub(crate) encapsulates: bool,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteAction {
    Throw,
    /// To the link of that index, without a gateway.
    Link(u32),
    /// Drops the packet: `blackhole`, `unreachable`, `prohibit`.
    Refuse,
    Other,
}

/// An address with its link's index.
pub(crate) type Address = (u32, IpNet);

/// A route netlink socket.
#[derive(Debug, Clone)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens a socket of route netlink in this namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|error| NetlinkError::new("open a netlink socket", error))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Every link by index.
    pub(crate) async fn links(&self) -> Result<BTreeMap<u32, Link>, NetlinkError> {
        let request = self.handle.link().get().execute().try_collect();
        let links: Vec<_> = doing("list the links", request).await?;
        let read = links.iter().map(message::link);
        Ok(read.map(|link| (link.index, link)).collect())
    }

    /// Every address of every link.
    pub(crate) async fn addresses(&self) -> Result<BTreeSet<Address>, NetlinkError> {
        let request = self.handle.address().get().execute().try_collect();
        let addresses: Vec<AddressMessage> = doing("list the addresses", request).await?;
        Ok(addresses.iter().filter_map(message::address).collect())
    }

    /// The routes of every table of a family.
    pub(crate) async fn routes(&self, family: Family) -> Result<Vec<Route>, NetlinkError> {
        let mut every = RouteMessage::default();
        every.header.address_family = message::family(family);
        let bodies = listed("list the routes", GET_ROUTE, &every).await?;
        let routes = bodies.iter().filter_map(|body| message::route_body(body));
        Ok(routes.collect())
    }

    /// The rules of a family, in the order in which they are asked.
    pub(crate) async fn rules(&self, family: Family) -> Result<Vec<PolicyRule>, NetlinkError> {
        let mut every = RuleMessage::default();
        every.header.family = message::family(family);
        let bodies = listed("list the rules", GET_RULE, &every).await?;
        let rules = bodies.iter().filter_map(|body| message::rule_body(body));
        Ok(rules.map(|rule| message::policy(&rule)).collect())
    }

    /// Every nexthop object, by its number.
    pub(crate) async fn nexthops(&self) -> Result<BTreeMap<u32, Nexthop>, NetlinkError> {
        nexthop::list().await
    }

    /// Creates a kernel WireGuard device.
    pub(crate) async fn create_wireguard(&self, name: &str) -> Result<(), NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Wireguard)
            .name(name)
            .build();
        let request = self.handle.link().add(message).execute();
        doing(format!("create {name}"), request).await
    }

    /// Deletes a link.
    pub(crate) async fn delete_link(&self, name: &str) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        let request = self.handle.link().del(index).execute();
        doing(format!("delete {name}"), request).await
    }

    /// Sets a link's MTU, in bytes.
    pub(crate) async fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(self.index(name).await?)
            .mtu(mtu)
            .build();
        let request = self.handle.link().set(message).execute();
        doing(format!("set the mtu of {name}"), request).await
    }

    /// The name of the link of that index; none if it is gone.
    pub(crate) async fn name(&self, index: u32) -> Option<String> {
        let mut by_index = self.handle.link().get().match_index(index).execute();
        let found = by_index.try_next().await.ok()??;
        Some(message::link(&found).name)
    }

    /// Names a link. Before Linux 6.2 one that is on has to be switched off for that.
    pub(crate) async fn rename(&self, index: u32, name: &str) -> Result<(), NetlinkError> {
        let link = || LinkUnspec::new_with_index(index);
        let set = async |message: LinkMessage| {
            let request = self.handle.link().set(message).execute();
            doing(format!("name a link {name}"), request).await
        };
        if set(link().name(name.to_owned()).build()).await.is_ok() {
            return Ok(());
        }
        set(link().down().build()).await?;
        set(link().name(name.to_owned()).build()).await?;
        set(link().up().build()).await
    }

    /// Writes on a link who made it.
    pub(crate) async fn set_alias(&self, name: &str, alias: &str) -> Result<(), NetlinkError> {
        let mut message = LinkUnspec::new_with_index(self.index(name).await?).build();
        message
            .attributes
            .push(LinkAttribute::IfAlias(alias.to_owned()));
        let request = self.handle.link().set(message).execute();
        doing(format!("tag {name}"), request).await
    }

    /// Switches a link on.
    pub(crate) async fn switch_on(&self, name: &str) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(self.index(name).await?)
            .up()
            .build();
        let request = self.handle.link().set(message).execute();
        doing(format!("switch {name} on"), request).await
    }

    /// Gives a link an address. IPv6's is not probed for duplicates: it is this node's already.
    pub(crate) async fn add_address(&self, name: &str, address: IpNet) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        let mut request = self
            .handle
            .address()
            .add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            message::without_detection(request.message_mut());
        }
        doing(format!("add {address} to {name}"), request.execute()).await
    }

    /// Takes an address from a link.
    pub(crate) async fn remove_address(
        &self,
        name: &str,
        address: IpNet,
    ) -> Result<(), NetlinkError> {
        let index = self.index(name).await?;
        let message = message::address_of(index, address);
        let request = self.handle.address().del(message).execute();
        doing(format!("remove {address} from {name}"), request).await
    }

    /// Adds a rule.
    pub(crate) async fn add_rule(&self, family: Family, rule: &Rule) -> Result<(), NetlinkError> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = message::rule_message(family, rule);
        doing(format!("add the {family} rule {rule}"), request.execute()).await
    }

    /// Removes a rule.
    pub(crate) async fn remove_rule(
        &self,
        family: Family,
        rule: &Rule,
    ) -> Result<(), NetlinkError> {
        let message = message::rule_message(family, rule);
        let request = self.handle.rule().del(message).execute();
        doing(format!("remove the {family} rule {rule}"), request).await
    }

    /// The index of the link of that name.
    pub(crate) async fn index(&self, name: &str) -> Result<u32, NetlinkError> {
        let by_name = self.handle.link().get().match_name(name.to_owned());
        let link = doing(format!("find {name}"), by_name.execute().try_next()).await?;
        link.map(|link| link.header.index)
            .ok_or_else(|| NetlinkError::new(format!("find {name}"), "no such device"))
    }
}

/// The bodies of the messages that answer a request for all of a kind.
async fn listed(
    what: &str,
    kind: u16,
    request: &impl Emitable,
) -> Result<Vec<Vec<u8>>, NetlinkError> {
    let mut body = vec![0; request.buffer_len()];
    request.emit(&mut body);
    let bodies = dump::list(kind, &body).await;
    bodies.map_err(|error| NetlinkError::new(what, error))
}

async fn doing<T>(
    what: impl Into<String>,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NetlinkError> {
    request.await.map_err(|error| match error {
        rtnetlink::Error::NetlinkError(message) => NetlinkError::new(what, message.to_io()),
        other => NetlinkError::new(what, other),
    })
}
