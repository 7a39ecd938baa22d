//! Hosts outside the cluster.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::plan::{BRIDGED, Fabric, Node, POOL, RpFilter, Settings};
use crate::problem::{Problem, Span};
use crate::scenario::{self, Scenario};

use super::MTU;

/// The source of their addresses if the author does not set them: a network for documentation (RFC 5737).
const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24);

/// The place of the first client's address there.
const FIRST_CLIENT: usize = 10;

/// Reports addresses of the cluster's, of nobody's, and those that two clients have.
pub(super) fn check(scenario: &Scenario, fabric: &Fabric, problems: &mut Vec<Problem>) {
    let mut owners = BTreeMap::<Ipv4Addr, (&scenario::Client, Span)>::new();
    for client in &scenario.clients {
        let Some(address) = &client.address else {
            continue;
        };
        let (name, own) = (client.name.get_ref(), *address.get_ref());
        let networks = [fabric.subnet, POOL, BRIDGED];
        let inside = networks.into_iter().find(|network| network.contains(&own));
        let first = own.octets()[0];
        let why = match inside {
            Some(network) => format!("an address of the cluster's network `{network}`"),
            None if matches!(first, 0 | 127 | 224..) || own.is_link_local() => {
                "an address that no host on a network can have".into()
            }
            None => match owners.get(&own) {
                Some((other, place)) => {
                    let problem = Problem::new(
                        format!("`{name}` and `{}` have one address", other.name.get_ref()),
                        address.span(),
                        format!("`{name}`'s"),
                        "give one of them another address, or none: then it gets a free one",
                    );
                    problems.push(problem.and(place.clone(), "here too"));
                    continue;
                }
                None => {
                    owners.insert(own, (client, address.span()));
                    continue;
                }
            },
        };
        problems.push(Problem::new(
            format!("`{name}` cannot have the address `{own}`"),
            address.span(),
            why,
            format!("clients are outside the cluster: take one of {CLIENTS}, or leave it out"),
        ));
    }
}

/// Every client, as a host that no engine knows of.
pub(super) fn clients(scenario: &Scenario) -> Vec<Node> {
    let given = scenario
        .clients
        .iter()
        .filter_map(|client| client.address.as_ref());
    let given: Vec<_> = given.map(|address| *address.get_ref()).collect();
    let mut free = CLIENTS.hosts().skip(FIRST_CLIENT - 1);
    let client = |client: &scenario::Client| {
        let address = client.address.as_ref().map(Spanned::get_ref).copied();
        let address = address.or_else(|| free.find(|free| !given.contains(free)))?;
        Some(Node {
            name: client.name.get_ref().clone(),
            address,
            mtu: MTU,
            rp_filter: RpFilter::Off,
            wireguard: false,
            settings: Settings::default(),
            blocks: Vec::new(),
            bridge: None,
            tunnel_address: None,
            external: true,
            pods: Vec::new(),
        })
    };
    scenario.clients.iter().filter_map(client).collect()
}
