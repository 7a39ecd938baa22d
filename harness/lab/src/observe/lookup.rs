//! Route lookups on the nodes for the packets of every promised pair.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use wireproof_model::dataplane::{Dataplane, LinkKind};
use wireproof_model::evidence::{Answer, Lookup};
use wireproof_model::name::IfName;
use wireproof_model::plan::{Endpoint, Node, Plan};

use crate::base::error::LabError;
use crate::cluster::topology::UPLINK;
use crate::kernel::namespace::Namespace;
use crate::kernel::netlink::{Netlink, Packet, link_name};
use crate::observe::snapshot;

/// Questions to one node; a larger cluster's later ones are left out.
const MAX_LOOKUPS: usize = 512;

/// A packet without its mark.
type RouteQuery = (Option<IpAddr>, IpAddr, Option<IfName>);

/// Asks a node's kernel about the packets of each promised pair: those that start on it, those
/// that arrive for its endpoints, and those between tunnel devices; without a mark, and with
/// each mark that its rules and devices know.
pub(crate) fn lookups(
    plan: &Plan,
    node: &Node,
    namespace: &Namespace,
    dataplane: &Dataplane,
) -> Result<Vec<Lookup>, LabError> {
    let netlink = Netlink::open(namespace)?;
    let mut names = BTreeMap::new();
    for link in netlink.links()? {
        names.insert(link.header.index, link_name(&link)?);
    }
    let index = |name: &IfName| {
        let mut all = names.iter();
        all.find(|(_, known)| *known == name)
            .map(|(index, _)| *index)
    };
    let marks = marks(dataplane);
    let packets = queries(plan, node, dataplane)
        .into_iter()
        .flat_map(|way| marks.iter().map(move |mark| (way.clone(), *mark)))
        .take(MAX_LOOKUPS);
    let asked = packets.filter_map(|((source, destination, input), mark)| {
        let input_index = match &input {
            Some(name) => Some(index(name)?),
            None => None,
        };
        let packet = Packet {
            source,
            destination,
            input: input_index,
            mark,
        };
        let answer = match netlink.lookup(packet) {
            Ok(message) => Answer::Route(snapshot::route(&message, &names)?),
            Err(error) => Answer::Refused(error),
        };
        Some(Lookup {
            source,
            destination,
            input,
            mark,
            answer,
        })
    });
    Ok(asked.collect())
}

/// None, and every mark that a rule or a device of the node has.
fn marks(dataplane: &Dataplane) -> BTreeSet<u32> {
    let rules = dataplane.rules.iter().chain(&dataplane.rules6);
    let of_rules = rules.filter_map(|rule| rule.fwmark).map(|(mark, _)| mark);
    let of_devices = dataplane.wireguard.iter().map(|device| device.fwmark);
    [0].into_iter().chain(of_rules).chain(of_devices).collect()
}

/// Every way that a promise gives a packet on this node, the tunnels' own first.
fn queries(plan: &Plan, node: &Node, dataplane: &Dataplane) -> Vec<RouteQuery> {
    let bridge = dataplane
        .links
        .iter()
        .find(|link| link.kind == LinkKind::Bridge);
    let bridge = bridge.filter(|_| node.bridge.is_some());
    let endpoints = plan.endpoints();
    let by_name: BTreeMap<_, _> = endpoints.iter().map(|end| (&end.name, end)).collect();
    let mut own = BTreeSet::new();
    let mut others = BTreeSet::new();
    for promise in &plan.promises {
        let family = promise.protocol.family();
        let (Some(from), Some(to)) = (by_name.get(&promise.from), by_name.get(&promise.to)) else {
            continue;
        };
        // The answer's packets are as much the promise's as the request's.
        for (from, to) in [(from, to), (to, from)] {
            let destination = family.address(to.address);
            if from.node.name == node.name {
                let input = from.pod.map(|pod| {
                    bridge.map_or_else(|| pod.interface.clone(), |link| link.name.clone())
                });
                let source = from.pod.map(|_| family.address(from.address));
                others.insert((source, destination, input));
            }
            if to.node.name == node.name {
                others.insert((None, destination, None));
                if !is_on(from, node) {
                    let far = family.address(from.node.address);
                    own.insert((None, far, None));
                    own.insert((Some(far), family.address(node.address), UPLINK.parse().ok()));
                }
            }
        }
    }
    own.into_iter().chain(others).collect()
}

fn is_on(endpoint: &Endpoint<'_>, node: &Node) -> bool {
    endpoint.node.name == node.name
}
