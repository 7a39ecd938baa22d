//! Links, addresses, routes and neighbours of one namespace.
//!
//! The socket is opened inside the namespace and stays there, so any thread may use
//! it afterwards. rtnetlink is asynchronous; its runtime is private to this file.

/// Route lookups for single packets (`ip route get`).
mod ask;

/// Requests that delete, and those that only tampering needs.
mod change;

/// Requests about the kernel's tables of neighbours.
mod table;

/// Queueing disciplines: netem, which delays what leaves an interface.
mod queue;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteScope};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{
    Handle, IpVersion, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use tokio::runtime::Runtime;
use wireproof_model::name::IfName;

use crate::base::error::{Doing, LabError};
use crate::kernel::namespace::Namespace;

pub(crate) use ask::Packet;
pub(crate) use queue::Delay;
pub(crate) use table::NeighbourTable;

/// A six-byte Ethernet address.
pub(crate) type Mac = [u8; 6];

/// The `AddressFamily` whose state is asked for: the lab's clusters are IPv4.
const FAMILY: IpVersion = IpVersion::V4;

/// The place of a route's MTU among its metrics (Linux: `rtnetlink.h`).
const RTAX_MTU: u32 = 2;

/// A route netlink socket in a namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    label: String,
    runtime: Runtime,
    handle: Handle,
}

/// What an observer needs to know of a link.
#[derive(Debug)]
pub(crate) struct LinkSummary {
    /// The kernel's index.
    pub(crate) index: u32,
    pub(crate) name: IfName,
    /// Whether frames start with the IP header (`ARPHRD_NONE`).
    pub(crate) no_header: bool,
    /// `IFF_UP`.
    pub(crate) up: bool,
    /// `IFF_LOWER_UP`: of a veth, whether its other end is up too.
    pub(crate) carrier: bool,
    /// `IFF_RUNNING`: whether the kernel has taken note of the carrier (Linux: linkwatch), and sends.
    pub(crate) running: bool,
    /// How often it has got or lost its carrier (`IFLA_CARRIER_CHANGES`).
    pub(crate) changes: u32,
}

/// One end of a veth pair, as it is created: with its final name, address and namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a IfName,
    pub(crate) mac: Mac,
    pub(crate) mtu: u16,
    pub(crate) namespace: BorrowedFd<'a>,
}

impl VethEnd<'_> {
    fn attributes(&self) -> Vec<LinkAttribute> {
        vec![
            LinkAttribute::IfName(self.name.to_string()),
            LinkAttribute::Address(self.mac.to_vec()),
            LinkAttribute::Mtu(self.mtu.into()),
            // One queue each: frames keep their order, and creation is cheaper.
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::NetNsFd(self.namespace.as_raw_fd()),
        ]
    }
}

impl Netlink {
    /// Opens a socket inside `namespace`.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self, LabError> {
        let (runtime, handle) = namespace.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .doing("start the netlink runtime")?;
            let (connection, handle, _) = {
                let _inside = runtime.enter();
                rtnetlink::new_connection().doing("open a netlink socket")?
            };
            runtime.spawn(connection);
            Ok((runtime, handle))
        })?;
        Ok(Self {
            label: namespace.label().to_owned(),
            runtime,
            handle,
        })
    }

    fn run<T>(
        &self,
        operation: impl Into<String>,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, LabError> {
        self.runtime.block_on(request).map_err(|error| {
            let cause = match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
                other => other.to_string(),
            };
            LabError::machine(operation, cause).at(&self.label)
        })
    }

    /// A veth pair, both ends created in place. Creating it in one namespace and
    /// moving the ends takes fifty times as long: each move waits for the kernel's
    /// readers.
    pub(crate) fn add_veth(&self, near: VethEnd<'_>, far: VethEnd<'_>) -> Result<(), LabError> {
        let mut peer = LinkMessage::default();
        peer.attributes = far.attributes();
        let mut builder =
            LinkMessageBuilder::<LinkVeth>::new(near.name.as_str(), far.name.as_str());
        for attribute in near.attributes() {
            builder = builder.append_extra_attribute(attribute);
        }
        let message = builder
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        self.run(
            format!("create the veth {} - {}", near.name, far.name),
            self.handle.link().add(message).execute(),
        )
    }

    /// A bridge without ports: a device that takes packets and delivers them nowhere.
    pub(crate) fn add_empty_bridge(&self, name: &IfName) -> Result<(), LabError> {
        let message = LinkBridge::new(name.as_str()).up().build();
        self.run(
            format!("create the bridge {name}"),
            self.handle.link().add(message).execute(),
        )
    }

    /// Plugs an interface into a bridge.
    pub(crate) fn plug(&self, index: u32, bridge: u32) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_index(index).controller(bridge).build();
        self.run(
            "plug a port into the switch".to_owned(),
            self.handle.link().set(message).execute(),
        )
    }

    /// Creates a link of a kind, to see whether the kernel can.
    pub(crate) fn try_kind(&self, name: &str, kind: InfoKind) -> Result<(), LabError> {
        let operation = format!("create a {kind} link");
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
            .name(name)
            .build();
        self.run(operation, self.handle.link().add(message).execute())
    }

    /// Switches an interface on and returns its kernel index.
    pub(crate) fn up(&self, name: &str) -> Result<u32, LabError> {
        let index = self.index(name)?;
        let message = LinkUnspec::new_with_index(index).up().build();
        self.run(
            format!("switch {name} on"),
            self.handle.link().set(message).execute(),
        )?;
        Ok(index)
    }

    /// An interface's kernel index.
    pub(crate) fn index(&self, name: &str) -> Result<u32, LabError> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let link = self.run(format!("look {name} up"), links.try_next())?;
        link.map(|link| link.header.index).ok_or_else(|| {
            LabError::machine(format!("look {name} up"), "no such interface").at(&self.label)
        })
    }

    /// Gives an interface an address.
    pub(crate) fn add_address(
        &self,
        index: u32,
        address: impl Into<IpNet>,
    ) -> Result<(), LabError> {
        let address = address.into();
        let request = self
            .handle
            .address()
            .add(index, address.addr(), address.prefix_len());
        self.run(format!("add the address {address}"), request.execute())
    }

    /// Routes `destination` to an interface, through `gateway` where there is one
    /// (taken to be on that link).
    pub(crate) fn add_route(
        &self,
        destination: impl Into<IpNet>,
        index: u32,
        gateway: Option<IpAddr>,
    ) -> Result<(), LabError> {
        let destination = destination.into();
        let route = route(destination, index, gateway);
        self.run(
            format!("add the route to {destination}"),
            self.handle.route().add(route).execute(),
        )
    }

    /// Routes `destination` as [`add_route`](Self::add_route) does, in place of a route there may
    /// be, and where there is an `mtu` as a router that knows that its link carries no more. An MTU
    /// that is not locked is not minded while forwarding (Linux: `ip_dst_mtu_maybe_forward`).
    pub(crate) fn lead(
        &self,
        destination: impl Into<IpNet>,
        index: u32,
        gateway: Option<IpAddr>,
        mtu: Option<u16>,
    ) -> Result<(), LabError> {
        let destination = destination.into();
        let mut route = route(destination, index, gateway);
        if let Some(mtu) = mtu {
            let metrics = vec![
                RouteMetric::Lock(1 << RTAX_MTU),
                RouteMetric::Mtu(mtu.into()),
            ];
            route.attributes.push(RouteAttribute::Metrics(metrics));
        }
        self.run(
            format!("lead the fabric to {destination}"),
            self.handle.route().add(route).replace().execute(),
        )
    }

    /// Fixes the Ethernet address of a neighbour for good, so that nobody asks for it.
    pub(crate) fn add_neighbour(
        &self,
        index: u32,
        address: impl Into<IpAddr>,
        mac: Mac,
    ) -> Result<(), LabError> {
        let address = address.into();
        self.run(
            format!("add the neighbour {address}"),
            self.handle
                .neighbours()
                .add(index, address)
                // While packets go on, somebody may be asked for already.
                .replace()
                .state(NeighbourState::Permanent)
                .link_layer_address(&mac)
                .execute(),
        )
    }

    /// Every link, in the order of the kernel's indexes.
    pub(crate) fn links(&self) -> Result<Vec<LinkMessage>, LabError> {
        let links = self.handle.link().get().execute().try_collect();
        let mut links: Vec<LinkMessage> = self.run("list the links", links)?;
        links.sort_by_key(|link| link.header.index);
        Ok(links)
    }

    /// Every link by index and name.
    pub(crate) fn link_summaries(&self) -> Result<Vec<LinkSummary>, LabError> {
        self.links()?
            .into_iter()
            .map(|link| {
                Ok(LinkSummary {
                    index: link.header.index,
                    name: link_name(&link)?,
                    no_header: link.header.link_layer_type == LinkLayerType::None,
                    up: link.header.flags.contains(LinkFlags::Up),
                    carrier: link.header.flags.contains(LinkFlags::LowerUp),
                    running: link.header.flags.contains(LinkFlags::Running),
                    changes: link.attributes.iter().find_map(changes).unwrap_or(0),
                })
            })
            .collect()
    }

    /// Every address, of every family.
    pub(crate) fn addresses(&self) -> Result<Vec<AddressMessage>, LabError> {
        let addresses = self.handle.address().get().execute().try_collect();
        self.run("list the addresses", addresses)
    }

    /// Every IPv6 rule.
    pub(crate) fn rules6(&self) -> Result<Vec<RuleMessage>, LabError> {
        let rules = self
            .handle
            .rule()
            .get(IpVersion::V6)
            .execute()
            .try_collect();
        self.run("list the IPv6 rules", rules)
    }

    /// Every IPv6 route of every table.
    pub(crate) fn routes6(&self) -> Result<Vec<RouteMessage>, LabError> {
        let every = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let routes = self.handle.route().get(every).execute().try_collect();
        self.run("list the IPv6 routes", routes)
    }

    /// Every rule of both families.
    pub(crate) fn all_rules(&self) -> Result<Vec<RuleMessage>, LabError> {
        Ok([self.rules()?, self.rules6()?].concat())
    }

    /// Every route of both families.
    pub(crate) fn all_routes(&self) -> Result<Vec<RouteMessage>, LabError> {
        Ok([self.routes()?, self.routes6()?].concat())
    }

    /// Every IPv4 rule.
    pub(crate) fn rules(&self) -> Result<Vec<RuleMessage>, LabError> {
        let rules = self.handle.rule().get(FAMILY).execute().try_collect();
        self.run("list the rules", rules)
    }

    /// Every IPv4 route of every table.
    pub(crate) fn routes(&self) -> Result<Vec<RouteMessage>, LabError> {
        let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.handle.route().get(every).execute().try_collect();
        self.run("list the routes", routes)
    }
}

/// A route through an interface, and to a gateway where there is one (taken to be on that link).
fn route(destination: IpNet, index: u32, gateway: Option<IpAddr>) -> RouteMessage {
    match destination {
        IpNet::V4(destination) => {
            let builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(destination.addr(), destination.prefix_len())
                .output_interface(index);
            match gateway {
                Some(IpAddr::V4(gateway)) => builder.gateway(gateway).onlink(),
                Some(IpAddr::V6(_)) | None => builder.scope(RouteScope::Link),
            }
            .build()
        }
        IpNet::V6(destination) => {
            let builder = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(destination.addr(), destination.prefix_len())
                .output_interface(index);
            match gateway {
                Some(IpAddr::V6(gateway)) => builder.gateway(gateway).onlink(),
                Some(IpAddr::V4(_)) | None => builder,
            }
            .build()
        }
    }
}

/// A link's name.
pub(crate) fn link_name(link: &LinkMessage) -> Result<IfName, LabError> {
    let name = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        });
    name.unwrap_or_default()
        .parse()
        .map_err(|error| LabError::machine("read a link's name", error))
}

/// How often a link has got or lost its carrier.
fn changes(attribute: &LinkAttribute) -> Option<u32> {
    match attribute {
        LinkAttribute::CarrierChanges(count) => Some(*count),
        _ => None,
    }
}
