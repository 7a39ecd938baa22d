//! Requests that take away, and those that only somebody makes who tampers.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::route::{RouteMessage, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleMessage};

use crate::error::LabError;

use super::Netlink;

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

    /// Deletes an interface.
    pub(crate) fn delete_link(&self, name: &str) -> Result<(), LabError> {
        let index = self.index(name)?;
        self.run(
            format!("delete the interface {name}"),
            self.handle.link().del(index).execute(),
        )
    }

    /// Adds a route to nowhere to the main table.
    pub(crate) fn add_black_hole(&self, destination: IpNet) -> Result<(), LabError> {
        let route = match destination {
            IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .kind(RouteType::BlackHole)
                .build(),
            IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(net.addr(), net.prefix_len())
                .kind(RouteType::BlackHole)
                .build(),
        };
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
}
