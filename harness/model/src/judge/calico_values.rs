//! Whether a node's dataplane has Calico's values: device, rule and peers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::finding::Finding;
use crate::dataplane::{self, Dataplane, Peer, WireGuard};
use crate::evidence::{Evidence, NodeEvidence};
use crate::name::NodeName;
use crate::plan::{CalicoPart, CalicoPeer, CalicoValues, Family, Plan};
use crate::verdict::Explanation;

/// Tables that the kernel has (Linux: `include/uapi/linux/rtnetlink.h`).
const KERNEL_TABLES: RangeInclusive<u32> = 253..=255;

/// Decides about one part of a node's dataplane in one family.
pub(super) fn decide(
    node: &NodeName,
    family: Family,
    part: CalicoPart,
    plan: &Plan,
    evidence: &Evidence,
) -> Finding<'static> {
    let about = format!("{node}, {}", family.name());
    let Some(values) = plan.calico_values(node, family) else {
        return Finding::open(format!("{about}: no values follow from the plan"));
    };
    let Some(seen) = evidence.nodes.get(node) else {
        return Finding::open(format!("{about}: nobody looked at its dataplane"));
    };
    let View { right, wrong } = match part {
        CalicoPart::Device => device(&values, seen),
        CalicoPart::Rule => rule(&values, family, seen, plan.tampers_with(node)),
        CalicoPart::Peers => match &values.peers {
            None => return Finding::open(format!("{about}: no peers follow from the plan")),
            Some(wanted) => peers(&values, wanted, family, seen, evidence),
        },
    };
    match wrong {
        None => Finding::held(format!("{about}: {right}")),
        Some(wrong) => {
            let fact = format!("{about}: {wrong}");
            let cause = format!("the engine of {node} sets it so: {wrong}");
            let why = Explanation::of_cause(fact.clone(), cause);
            Finding::broken(fact).with_why(why)
        }
    }
}

/// What a part must be like, and the first thing that is not.
struct View {
    right: String,
    wrong: Option<String>,
}

/// The first value that is not the expected one.
fn first_difference<'a>(
    values: impl IntoIterator<Item = (&'a str, String, String)>,
) -> Option<String> {
    let mut different = values
        .into_iter()
        .filter(|(_, found, wanted)| found != wanted);
    let (name, found, wanted) = different.next()?;
    Some(format!("{name} is {found}, and must be {wanted}"))
}

fn find<'a>(values: &CalicoValues, seen: &'a Dataplane) -> Option<&'a WireGuard> {
    seen.wireguard
        .iter()
        .find(|device| device.interface == values.device)
}

fn device(values: &CalicoValues, seen: &NodeEvidence) -> View {
    let name = &values.device;
    let right = format!(
        "{name} has MTU {}, port {} and mark {:#x}",
        values.mtu, values.port, values.mark
    );
    let link = seen.dataplane.links.iter().find(|link| link.name == *name);
    let wrong = match (find(values, &seen.dataplane), link) {
        (Some(device), Some(link)) => first_difference([
            ("its state", state(link.up), state(true)),
            ("its MTU", link.mtu.to_string(), values.mtu.to_string()),
            (
                "its UDP port",
                device.listen_port.unwrap_or_default().to_string(),
                values.port.to_string(),
            ),
            (
                "its mark",
                format!("{:#x}", device.fwmark),
                format!("{:#x}", values.mark),
            ),
        ])
        .map(|wrong| format!("{name}: {wrong}")),
        (None, _) | (_, None) => Some(format!("it has no WireGuard device {name}")),
    };
    View { right, wrong }
}

fn state(up: bool) -> String {
    let state = if up { "up" } else { "down" };
    state.to_owned()
}

fn rule(values: &CalicoValues, family: Family, seen: &NodeEvidence, tampered: bool) -> View {
    let rules = |plane: &Dataplane| match family {
        Family::Ipv4 => plane.rules.clone(),
        Family::Ipv6 => plane.rules6.clone(),
    };
    let found = rules(&seen.dataplane);
    let before = seen.before.as_ref();
    let is_new =
        |rule: &&dataplane::Rule| !before.is_some_and(|before| rules(before).contains(rule));
    // Tables that somebody else had before the engine, and the kernel's own, are not free.
    let taken: BTreeSet<u32> = before
        .map(|before| {
            let routes = before.routes.iter();
            let routes = routes.filter(|route| Family::of(route.destination.addr()) == family);
            let of_rules = rules(before).into_iter().filter_map(|rule| rule.table);
            of_rules.chain(routes.map(|route| route.table)).collect()
        })
        .unwrap_or_default();
    let is_free = |table: &u32| !taken.contains(table) && !KERNEL_TABLES.contains(table);
    let free = || values.tables.iter().cloned().flatten().filter(is_free);
    let own = found
        .iter()
        .filter(is_new)
        .find(|rule| rule.not && rule.fwmark.is_some());
    let right = format!(
        "its rule has priority {} and mark {:#x}/{:#x}",
        values.priority, values.mark, values.mark
    );
    let Some(own) = own else {
        return View {
            right,
            wrong: Some("no rule sends its packets without the mark to a routing table".into()),
        };
    };
    let (mark, mask) = own.fwmark.unwrap_or_default();
    let table = own.table.unwrap_or_default();
    // What a step adds may have taken the first; Felix takes the first for IPv4, and the next for IPv6 (`driver.go`).
    let choice = match (tampered, family) {
        (true, _) => usize::MAX,
        (false, Family::Ipv4) => 1,
        (false, Family::Ipv6) => 2,
    };
    let is_one = free().take(choice).any(|free| free == table);
    let wanted = if is_one {
        table
    } else {
        free().next().unwrap_or_default()
    };
    let wrong = first_difference([
        (
            "the mark",
            format!("{mark:#x}"),
            format!("{:#x}", values.mark),
        ),
        (
            "the mask",
            format!("{mask:#x}"),
            format!("{:#x}", values.mark),
        ),
        (
            "the priority",
            own.priority.to_string(),
            values.priority.to_string(),
        ),
        ("the routing table", table.to_string(), wanted.to_string()),
    ]);
    View {
        right,
        wrong: wrong.map(|wrong| format!("its rule `{}`: {wrong}", dataplane::rule(own))),
    }
}

fn peers(
    values: &CalicoValues,
    wanted: &BTreeMap<NodeName, CalicoPeer>,
    family: Family,
    seen: &NodeEvidence,
    evidence: &Evidence,
) -> View {
    let right = match wanted.len() {
        1 => "its peer is as Calico makes it".to_owned(),
        count => format!("its {count} peers are as Calico makes them"),
    };
    let wrong = match find(values, &seen.dataplane) {
        None => Some(format!("it has no WireGuard device {}", values.device)),
        Some(device) => wrong_peer(values, wanted, family, device, evidence),
    };
    View { right, wrong }
}

fn wrong_peer(
    values: &CalicoValues,
    all: &BTreeMap<NodeName, CalicoPeer>,
    family: Family,
    device: &WireGuard,
    evidence: &Evidence,
) -> Option<String> {
    let mut found: BTreeMap<&str, &Peer> = device
        .peers
        .iter()
        .map(|peer| (peer.public_key.as_str(), peer))
        .collect();
    for (name, wanted) in all {
        let published = evidence.nodes.get(name).and_then(|node| match family {
            Family::Ipv4 => node.published_key.as_deref(),
            Family::Ipv6 => node.published_key6.as_deref(),
        });
        let Some(key) = wanted.key.as_deref().or(published) else {
            return Some(format!("{name} has published no key for {}", family.name()));
        };
        let Some(peer) = found.remove(key) else {
            return Some(format!("{name} is no peer of {}", device.interface));
        };
        if let Some(wrong) = difference(wanted, values.keepalive, peer) {
            return Some(format!("its peer {name}: {wrong}"));
        }
    }
    let more = found.len();
    (more > 0).then(|| {
        format!(
            "{} has {more} more peers than there are nodes that encrypt",
            device.interface
        )
    })
}

fn difference(wanted: &CalicoPeer, keepalive: Option<u16>, peer: &Peer) -> Option<String> {
    let endpoint = wanted.endpoint.and_then(|wanted| {
        let found = peer
            .endpoint
            .map_or("unknown".into(), |found| found.to_string());
        first_difference([("its endpoint", found, wanted.to_string())])
    });
    let keepalive =
        first_difference([("its keepalive", seconds(peer.keepalive), seconds(keepalive))]);
    endpoint.or(keepalive).or_else(|| {
        let found: BTreeSet<IpNet> = peer.allowed_ips.iter().copied().collect();
        let lacks = wanted.allowed_ips.difference(&found).next();
        let more = found.difference(&wanted.allowed_ips).next();
        match (lacks, more) {
            (Some(network), _) => Some(format!("its allowed IPs lack {network}")),
            (None, Some(network)) => Some(format!(
                "its allowed IPs have {network}, which is not its own"
            )),
            (None, None) => None,
        }
    })
}

fn seconds(keepalive: Option<u16>) -> String {
    keepalive.map_or("off".into(), |seconds| format!("{seconds} s"))
}
