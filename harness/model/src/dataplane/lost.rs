//! Lost links: those that carry nothing any more.

use super::{Dataplane, Link, LinkKind};
use crate::name::IfName;
use crate::plan::{Family, Node};

/// What is wrong with an interface that a node has to have and that has to be up, in one sentence;
/// none if nothing is.
pub(super) fn lost_link(plane: &Dataplane, node: &Node, name: &IfName) -> Option<String> {
    let of = &node.name;
    match plane.links.iter().find(|link| link.name == *name) {
        Some(link) if link.up => return None,
        Some(_) => return Some(format!("{name} of {of} is down")),
        None => {}
    }
    let own = Family::ALL.map(|family| family.address(node.address));
    let is_veth = |link: &&Link| link.kind == LinkKind::Veth;
    // One that was given another name has its addresses still, or again.
    let renamed = plane.addresses.iter().find(|address| {
        let mut veths = plane.links.iter().filter(is_veth);
        own.contains(&address.address.addr()) && veths.any(|link| link.name == address.interface)
    });
    Some(match renamed {
        Some(address) => format!(
            "{name} of {of} is missing: its address {} is on {}",
            address.address.addr(),
            address.interface
        ),
        None => format!("{name} of {of} is missing"),
    })
}
