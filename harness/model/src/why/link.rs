//! Defects of the lab's links: those that carry nothing any more.

use super::node_view::NodeView;
use super::{Defect, Leg, Stage};
use crate::dataplane::{Dataplane, lost_link};
use crate::name::IfName;
use crate::verdict::Reached;

/// The links on the way of a leg that carry nothing, unless its packets have passed them.
pub(super) fn defects<'a>(leg: &Leg<'a>, reached: Option<Reached>) -> Vec<Defect<'a>> {
    let uplink = |site: NodeView<'a>| Some((site, "eth0".parse().ok()?));
    let crosses = leg.sender.node.name != leg.receiver.node.name;
    // A node's own address is its uplink's, whoever speaks to it.
    let of_sender = crosses || leg.from.pod.is_none();
    let of_receiver = crosses || leg.to.pod.is_none();
    let links = [
        leg.from.pod.map(|pod| (leg.sender, pod.interface.clone())),
        uplink(leg.sender).filter(|_| of_sender),
        uplink(leg.receiver).filter(|_| of_receiver),
        leg.to.pod.map(|pod| (leg.receiver, pod.interface.clone())),
    ];
    let passed = match reached {
        None | Some(Reached::Sender) => 0,
        // What is in the tunnel device has not left the node.
        Some(Reached::Device) => 1,
        Some(Reached::Wire) => 2,
        Some(Reached::Receiver | Reached::Inside) => 3,
        Some(Reached::Elsewhere) => links.len(),
    };
    let links = links.into_iter().skip(passed).flatten();
    links
        .filter_map(|(site, name)| {
            let plane = &site.seen.filter(|_| site.was_seen())?.dataplane;
            Some(Defect {
                stage: Stage::Anywhere,
                text: lost_link(plane, site.node, &name).or_else(|| lost_address(site, &name))?,
                packet: None,
                expected: None,
            })
        })
        .collect()
}

/// A node's own address that an interface had before the engine: an IPv6 address goes when its
/// interface goes down, and does not come back with it (ip-sysctl, `keep_addr_on_down`).
fn lost_address(site: NodeView<'_>, name: &IfName) -> Option<String> {
    let own = site.address();
    let on_it = |plane: &Dataplane| {
        let mut all = plane.addresses.iter();
        all.any(|address| address.interface == *name && address.address.addr() == own)
    };
    let seen = site.seen?;
    let had = seen.before.as_ref().is_some_and(on_it);
    let lost = had && !on_it(&seen.dataplane);
    lost.then(|| format!("{name} of {} has lost its address {own}", site.name()))
}
