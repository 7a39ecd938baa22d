//! Defects of a node's tunnel device.

use super::node_view::NodeView;
use super::{Defect, Stage};

/// Everything about a node's device that can keep any packet from its way.
pub(super) fn defects<'a>(site: NodeView<'a>) -> Vec<Defect<'a>> {
    let found = [late(site), address(site), port(site), mtu(site)];
    let defect = |text| Defect {
        stage: Stage::Anywhere,
        text,
        packet: None,
        expected: None,
    };
    found.into_iter().flatten().map(defect).collect()
}

/// The device was not yet what it was when the node was looked at, after the probes.
fn late(site: NodeView<'_>) -> Option<String> {
    let seen = site.seen?;
    let now = seen.published_key.as_ref()?;
    let at_the_probes = seen.key_history.last();
    let name = site.name();
    match at_the_probes {
        Some(key) if key == now => None,
        Some(_) => Some(format!("{name} got another key while the probes were sent")),
        None => Some(format!(
            "{name} had published no key when the probes were sent"
        )),
    }
}

/// A node sends to others from its device's address: its own, or one for the tunnel.
fn address(site: NodeView<'_>) -> Option<String> {
    let right = match site.plan.cluster.host_encryption {
        true => site.address(),
        false => site.family.address(site.node.tunnel_address?),
    };
    let tunnel = site.tunnel();
    let mut has = site.addresses(&tunnel);
    let first = has.next()?;
    let is_there = first == right || has.any(|address| address == right);
    (!is_there).then(|| {
        format!(
            "the address of {tunnel} on {} is {first}, not {right}",
            site.name()
        )
    })
}

fn port(site: NodeView<'_>) -> Option<String> {
    let (tunnel, name) = (site.tunnel(), site.name());
    let device = site.device()?;
    let port = device.listen_port?;
    let right = site.plan.cluster.port(site.family);
    if port != right {
        return Some(format!(
            "{tunnel} of {name} listens at port {port}, not at {right}"
        ));
    }
    let mut others = site.devices().iter();
    let other =
        others.find(|other| other.interface != tunnel && other.listen_port == Some(port))?;
    Some(format!(
        "{} of {name} has the port {port} of {tunnel}",
        other.interface
    ))
}

pub(super) fn mtu(site: NodeView<'_>) -> Option<String> {
    let (tunnel, name) = (site.tunnel(), site.name());
    let link = site.link(&tunnel)?;
    let right = u32::from(site.plan.after(0).tunnel_mtu(site.node, site.family));
    // A segment that fits hides from TCP that the device takes more.
    let clamped = site.nft_rule("maxseg").map_or(
        "",
        |_| ", and only TCP is told of less (nftables sets maxseg)",
    );
    (link.mtu != right).then(|| {
        format!(
            "the MTU of {tunnel} on {name} is {}, not {right} (uplink {}){clamped}",
            link.mtu, site.node.mtu
        )
    })
}
