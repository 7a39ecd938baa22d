//! Evidence of a cluster in which nothing has happened: its interfaces, observers and nodes.

use std::collections::BTreeMap;

use crate::dataplane::{Dataplane, Link};
use crate::evidence::*;
use crate::frame::LinkType;
use crate::plan::*;

use super::cluster::parsed;

pub(super) fn interfaces(plan: &Plan) -> Vec<Interface> {
    let mut interfaces = Vec::new();
    let mut add = |place: &Place, name: &str, role: Role| {
        interfaces.push(Interface {
            id: InterfaceId(u16::try_from(interfaces.len()).unwrap()),
            place: place.clone(),
            name: parsed(name),
            link: if role == Role::Tunnel {
                LinkType::RawIp
            } else {
                LinkType::Ethernet
            },
            role,
        });
    };
    for node in &plan.nodes {
        add(
            &Place::Fabric,
            node.name.as_str(),
            Role::Port(node.name.clone()),
        );
    }
    for node in &plan.nodes {
        let place = Place::Node(node.name.clone());
        add(&place, "lo", Role::Loopback);
        add(&place, "eth0", Role::Uplink);
        for pod in &node.pods {
            add(
                &place,
                pod.interface.as_str(),
                Role::PodLink(pod.name.clone()),
            );
        }
        if node.wireguard {
            add(&place, plan.cluster.interface.as_str(), Role::Tunnel);
        }
        for pod in &node.pods {
            add(&Place::Pod(pod.name.clone()), "eth0", Role::PodUplink);
        }
    }
    interfaces
}

pub(super) fn observers(plan: &Plan) -> Vec<Observer> {
    let pods = plan.nodes.iter().flat_map(|node| &node.pods);
    std::iter::once(Place::Fabric)
        .chain(plan.nodes.iter().map(|node| Place::Node(node.name.clone())))
        .chain(pods.map(|pod| Place::Pod(pod.name.clone())))
        .map(|place| Observer {
            place,
            seen: 1,
            dropped: 0,
            dropped_early: 0,
        })
        .collect()
}

pub(super) fn node_evidence(node: &Node) -> NodeEvidence {
    let link = |name: &str, kind: &str, mtu| Link {
        name: parsed(name),
        kind: kind.parse().unwrap(),
        mtu,
        up: true,
    };
    let mut links = vec![link("lo", "loopback", 65_536), link("eth0", "veth", 1500)];
    if node.wireguard {
        links.push(link("wireguard.cali", "tun", 1340));
    }
    let own = links[..2].to_vec();
    let of_pods = node.pods.iter();
    links.extend(of_pods.map(|pod| link(pod.interface.as_str(), "veth", 1500)));
    let before = Dataplane {
        links: own,
        ..Dataplane::default()
    };
    NodeEvidence {
        dataplane: Dataplane {
            links,
            ..Dataplane::default()
        },
        before: Some(before),
        published_key6: None,
        published_key: node.wireguard.then(|| format!("{}=", node.name)),
        key_history: vec![],
        drops: BTreeMap::new(),
        moved: BTreeMap::new(),
        lookups: vec![],
        rule_counts: Default::default(),
        root_hidden: false,
    }
}
