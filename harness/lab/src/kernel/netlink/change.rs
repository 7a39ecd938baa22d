//! Requests that delete, and those that only tampering needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{LinkUnspec, RouteMessageBuilder};
use wireproof_model::plan::Family;

use crate::base::error::LabError;

use super::{Mac, Netlink, route};

impl Netlink {
    /// Deletes a route as it was listed.
    pub(crate) fn delete_route(&self, route: RouteMessage) -> Result<(), LabError> {
        self.run("delete a route", self.handle.route().del(route).execute())
    }

    /// Deletes a rule as it was listed.
    pub(crate) fn delete_rule(&self, rule: RuleMessage) -> Result<(), LabError> {
        self.run("delete a rule", self.handle.rule().del(rule).execute())
    }

    /// Deletes an address as it was listed.
    pub(crate) fn delete_address(&self, address: AddressMessage) -> Result<(), LabError> {
        self.run(
            "delete an address",
            self.handle.address().del(address).execute(),
        )
    }

    /// Deletes a route as [`add_route`](Self::add_route) adds it.
    pub(crate) fn remove_route(
        &self,
        destination: impl Into<IpNet>,
        index: u32,
        gateway: Option<IpAddr>,
    ) -> Result<(), LabError> {
        self.delete_route(route(destination.into(), index, gateway))
    }

    /// Takes an address from an interface.
    pub(crate) fn remove_address(&self, index: u32, address: IpAddr) -> Result<(), LabError> {
        let is_it = |message: &AddressMessage| {
            let of_it = |attribute: &AddressAttribute| match attribute {
                AddressAttribute::Local(local) => *local == address,
                // IPv6 has no other name for it (Linux: `inet6_fill_ifaddr`).
                AddressAttribute::Address(own) => own.is_ipv6() && *own == address,
                _ => false,
            };
            message.header.index == index && message.attributes.iter().any(of_it)
        };
        let found = self.addresses()?.into_iter().find(is_it);
        let found = found.ok_or_else(|| {
            LabError::machine(format!("delete the address {address}"), "it is not there")
        })?;
        self.delete_address(found)
    }

    /// Deletes every rule that the kernel did not make itself.
    pub(crate) fn delete_rules_of_others(&self) -> Result<(), LabError> {
        let kernels = |message: &RuleMessage| {
            let own = RuleAttribute::Protocol(RouteProtocol::Kernel);
            message.attributes.contains(&own)
        };
        let others = self.rules()?.into_iter().filter(|rule| !kernels(rule));
        others
            .into_iter()
            .try_for_each(|rule| self.delete_rule(rule))
    }

    /// Deletes every route that the kernel did not make itself.
    pub(crate) fn delete_routes_of_others(&self) -> Result<(), LabError> {
        let routes = self.routes()?.into_iter();
        routes
            .filter(|route| route.header.protocol != RouteProtocol::Kernel)
            .try_for_each(|route| self.delete_route(route))
    }

    /// Gives every route of the main table through an interface another metric. The new one comes before
    /// the old one goes, so that there is one at any time.
    pub(crate) fn set_metric(&self, name: &str, metric: u32) -> Result<(), LabError> {
        let through = RouteAttribute::Oif(self.index(name)?);
        let of_main = |route: &RouteMessage| route.header.table == RouteHeader::RT_TABLE_MAIN;
        let routes = self.all_routes()?.into_iter();
        let routes = routes.filter(|route| of_main(route) && route.attributes.contains(&through));
        for old in routes {
            let mut new = old.clone();
            let is_metric = |attribute: &_| matches!(attribute, RouteAttribute::Priority(_));
            // Of what is listed the kernel takes no age back.
            let is_age = |attribute: &_| matches!(attribute, RouteAttribute::CacheInfo(_));
            new.attributes.retain(|one| !is_metric(one) && !is_age(one));
            new.attributes.push(RouteAttribute::Priority(metric));
            self.run(
                format!("add a route through {name} with the metric {metric}"),
                self.handle.route().add(new).execute(),
            )?;
            self.delete_route(old)?;
        }
        Ok(())
    }

    /// Sets an interface's MTU.
    pub(crate) fn set_mtu(&self, name: &str, mtu: u16) -> Result<(), LabError> {
        let index = self.index(name)?;
        let message = LinkUnspec::new_with_index(index).mtu(mtu.into()).build();
        self.run(
            format!("set the MTU of {name}"),
            self.handle.link().set(message).execute(),
        )
    }

    /// Switches an interface off.
    pub(crate) fn down(&self, name: &str) -> Result<(), LabError> {
        let index = self.index(name)?;
        let message = LinkUnspec::new_with_index(index).down().build();
        self.run(
            format!("switch {name} off"),
            self.handle.link().set(message).execute(),
        )
    }

    /// Sets an interface's Ethernet address.
    pub(crate) fn set_mac(&self, index: u32, mac: Mac) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_index(index)
            .address(mac.to_vec())
            .build();
        self.run(
            "set an Ethernet address",
            self.handle.link().set(message).execute(),
        )
    }

    /// Gives an interface another name.
    #[cfg(test)]
    pub(crate) fn rename(&self, name: &str, new: &str) -> Result<(), LabError> {
        let index = self.index(name)?;
        let message = LinkUnspec::new_with_index(index)
            .name(new.to_owned())
            .build();
        self.run(
            format!("rename {name}"),
            self.handle.link().set(message).execute(),
        )
    }

    /// Deletes an interface.
    pub(crate) fn delete_link(&self, name: &str) -> Result<(), LabError> {
        let index = self.index(name)?;
        self.run(
            format!("delete the interface {name}"),
            self.handle.link().del(index).execute(),
        )
    }

    /// Adds a route to nowhere to a table; to the main one if none is named.
    pub(crate) fn add_black_hole(
        &self,
        destination: IpNet,
        table: Option<u32>,
    ) -> Result<(), LabError> {
        let mut route = match destination {
            IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .kind(RouteType::BlackHole)
                .build(),
            IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .kind(RouteType::BlackHole)
                .build(),
        };
        let table = table.map(RouteAttribute::Table);
        route.attributes.extend(table);
        self.run(
            format!("add a route to {destination}"),
            self.handle.route().add(route).execute(),
        )
    }

    /// Adds a rule that looks `table` up for packets with `mark`.
    pub(crate) fn add_rule(&self, priority: u32, mark: u32, table: u32) -> Result<(), LabError> {
        let request = self.handle.rule().add().v4();
        let request = request.action(RuleAction::ToTable);
        let request = request.priority(priority).fw_mark(mark).table_id(table);
        self.run(
            format!("add a rule of priority {priority}"),
            request.execute(),
        )
    }

    /// Adds a rule that looks `table` up for this node's own packets with `mark`.
    pub(crate) fn add_rule_of_loopback(
        &self,
        family: Family,
        priority: u32,
        mark: u32,
        table: u32,
    ) -> Result<(), LabError> {
        let mut request = self.handle.rule().add();
        let message = request.message_mut();
        message.header.family = match family {
            Family::Ipv4 => AddressFamily::Inet,
            Family::Ipv6 => AddressFamily::Inet6,
        };
        message.header.action = RuleAction::ToTable;
        message.attributes.extend([
            RuleAttribute::Priority(priority),
            RuleAttribute::Iifname("lo".into()),
            RuleAttribute::FwMark(mark),
            RuleAttribute::Table(table),
        ]);
        self.run(
            format!("add a rule of priority {priority}"),
            request.execute(),
        )
    }

    /// Adds a rule that looks `table` up for all packets to a destination.
    pub(crate) fn add_rule_to(
        &self,
        priority: u32,
        destination: IpNet,
        table: u32,
    ) -> Result<(), LabError> {
        let mut request = self.handle.rule().add();
        let message = request.message_mut();
        message.header.family = match destination {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        message.header.action = RuleAction::ToTable;
        message.header.dst_len = destination.prefix_len();
        message.attributes.extend([
            RuleAttribute::Priority(priority),
            RuleAttribute::Destination(destination.network()),
            RuleAttribute::Table(table),
        ]);
        self.run(
            format!("add a rule of priority {priority}"),
            request.execute(),
        )
    }

    /// Adds a rule that looks `table` up for packets that do not have all bits of `mark`, as
    /// Felix does.
    pub(crate) fn add_rule_unless_marked(
        &self,
        family: Family,
        priority: u32,
        mark: u32,
        table: u32,
    ) -> Result<(), LabError> {
        let mut request = self.handle.rule().add();
        let message = request.message_mut();
        message.header.family = match family {
            Family::Ipv4 => AddressFamily::Inet,
            Family::Ipv6 => AddressFamily::Inet6,
        };
        message.header.flags |= RuleFlags::Invert;
        message.header.action = RuleAction::ToTable;
        message.attributes.extend([
            RuleAttribute::Priority(priority),
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(mark),
            RuleAttribute::Table(table),
        ]);
        self.run(
            format!("add a rule of priority {priority}"),
            request.execute(),
        )
    }

    /// Routes `destination` to an interface in a table of its own.
    pub(crate) fn add_route_to_table(
        &self,
        destination: IpNet,
        index: u32,
        table: u32,
    ) -> Result<(), LabError> {
        let mut message = route(destination, index, None);
        message.attributes.push(RouteAttribute::Table(table));
        self.run(
            format!("add the route to {destination} to table {table}"),
            self.handle.route().add(message).execute(),
        )
    }
}
