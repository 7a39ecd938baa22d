//! Throw routes: whether a node's own tables keep a plaintext destination out of the tunnel.
//!
//! Packets show what happened to them; they do not show why. A node that encrypts sends every packet without
//! the mark through the engine's table first. Felix writes a throw there for each local workload, and for each
//! one of a peer without a key (`wireguard.go`): these stay in clear whatever wider route the table gets. Where
//! one is merely not listed, it stays in clear until there is such a route. Engines that claim throws are held
//! to them; no packet could prove it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::{Dataplane, Route, RouteKind};
use crate::name::IfName;
use crate::plan::Family;

/// The table that a marking rule leads to and that does not throw `destination` back, if
/// there is one. A table without a route into the tunnel leads nobody into it.
pub(super) fn table_without_throw(
    plane: &Dataplane,
    tunnel: &IfName,
    destination: IpAddr,
) -> Option<u32> {
    let rules = match Family::of(destination) {
        Family::Ipv4 => &plane.rules,
        Family::Ipv6 => &plane.rules6,
    };
    let destination = IpNet::from(destination);
    let tables = rules
        .iter()
        .filter(|rule| rule.not && rule.fwmark.is_some())
        .filter_map(|rule| rule.table);
    tables.into_iter().find(|table| {
        let routes = || plane.routes.iter().filter(|route| route.table == *table);
        let leads_in = routes().any(|route| route.interface.as_ref() == Some(tunnel));
        let best = routes()
            .filter(|route| route.destination.contains(&destination))
            .max_by_key(|route| route.destination.prefix_len());
        leads_in && !best.is_some_and(is_throw)
    })
}

fn is_throw(route: &Route) -> bool {
    route.kind == RouteKind::Throw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Rule;

    const OWN_POD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 240, 0, 5));

    fn route(destination: &str, kind: &str) -> Route {
        Route {
            table: 1,
            destination: destination.parse().unwrap(),
            kind: kind.parse().unwrap(),
            via: None,
            interface: (kind == "unicast").then(tunnel),
            protocol: "boot".into(),
            scope: "link".into(),
            source: None,
            metric: 0,
        }
    }

    fn tunnel() -> IfName {
        "wireguard.cali".parse().unwrap()
    }

    fn without_throw(routes: &[(&str, &str)]) -> Option<u32> {
        let plane = Dataplane {
            rules: vec![Rule {
                priority: 99,
                not: true,
                fwmark: Some((0x10_0000, 0x10_0000)),
                table: Some(1),
                other: Vec::new(),
            }],
            routes: routes.iter().map(|(to, kind)| route(to, kind)).collect(),
            ..Dataplane::default()
        };
        table_without_throw(&plane, &tunnel(), OWN_POD)
    }

    #[test]
    fn a_throw_of_its_own_keeps_a_pod_out() {
        let routes = [("10.240.0.5/32", "throw"), ("10.240.0.0/16", "unicast")];
        assert_eq!(without_throw(&routes), None);
    }

    #[test]
    fn a_pod_that_is_not_listed_is_only_out_by_luck() {
        assert_eq!(without_throw(&[("10.240.0.65/32", "unicast")]), Some(1));
    }

    #[test]
    fn a_narrower_route_into_the_tunnel_beats_a_throw() {
        let routes = [("10.240.0.0/24", "throw"), ("10.240.0.5/32", "unicast")];
        assert_eq!(without_throw(&routes), Some(1));
    }

    #[test]
    fn a_table_that_leads_nowhere_needs_no_throw() {
        assert_eq!(without_throw(&[]), None);
    }
}
