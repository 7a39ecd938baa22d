//! The atlas: which interface connects what.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Interface, Place, Role, Round};
use crate::name::IfName;
use crate::plan::{Endpoint, Node, Pod};

/// The observed interfaces by place and role.
#[derive(Debug)]
pub(crate) struct Atlas<'a> {
    evidence: &'a Evidence,
    interfaces: BTreeMap<(&'a Place, &'a Role), &'a Interface>,
}

/// A node's tunnel device, as far as the evidence knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tunnel<'a> {
    /// It was observed.
    Observed(&'a Interface),
    /// The node had none.
    Absent,
    /// The node had one, or may have had one, that no observer knew.
    Unobserved,
}

impl<'a> Atlas<'a> {
    pub(crate) fn new(evidence: &'a Evidence) -> Self {
        let mut interfaces = BTreeMap::new();
        for interface in &evidence.interfaces {
            interfaces
                .entry((&interface.place, &interface.role))
                .or_insert(interface);
        }
        Self {
            evidence,
            interfaces,
        }
    }

    fn find(&self, place: &Place, role: &Role) -> Option<&'a Interface> {
        self.interfaces.get(&(place, role)).copied()
    }

    fn need(&self, place: &Place, role: &Role, what: &str) -> Result<&'a Interface, String> {
        self.find(place, role)
            .ok_or_else(|| format!("the evidence has no {what} of {}", place.name()))
    }

    /// A node's `eth0`.
    pub(crate) fn uplink(&self, node: &Node) -> Result<&'a Interface, String> {
        self.need(&Place::Node(node.name.clone()), &Role::Uplink, "eth0")
    }

    /// The fabric's port towards a node.
    pub(crate) fn port(&self, node: &Node) -> Result<&'a Interface, String> {
        let role = Role::Port(node.name.clone());
        self.find(&Place::Fabric, &role)
            .ok_or_else(|| format!("the evidence has no port towards {}", node.name))
    }

    /// A pod's `eth0`.
    pub(crate) fn pod_uplink(&self, pod: &Pod) -> Result<&'a Interface, String> {
        self.need(&Place::Pod(pod.name.clone()), &Role::PodUplink, "eth0")
    }

    /// The node's veth to one of its pods.
    pub(crate) fn pod_link(&self, node: &Node, pod: &Pod) -> Result<&'a Interface, String> {
        self.need(
            &Place::Node(node.name.clone()),
            &Role::PodLink(pod.name.clone()),
            pod.interface.as_str(),
        )
    }

    /// A node's tunnel device, which is called `name`.
    pub(crate) fn tunnel(&self, node: &Node, name: &IfName) -> Tunnel<'a> {
        let place = Place::Node(node.name.clone());
        let observed = self.evidence.interfaces.iter().find(|interface| {
            (&interface.place, &interface.role, &interface.name) == (&place, &Role::Tunnel, name)
        });
        // One that only an earlier step had is none that a probe could have passed.
        let was_there = |interface: &Interface| {
            let beacons = self.evidence.beacons.iter();
            beacons
                .filter(|beacon| beacon.round != Round::Armed && beacon.no_link.is_none())
                .any(|beacon| beacon.interface == interface.id)
        };
        let evidence = self.evidence.nodes.get(&node.name);
        let is_there = evidence.is_none_or(|seen| {
            let mut links = seen.dataplane.links.iter();
            links.any(|link| &link.name == name)
        });
        match observed {
            Some(interface) if is_there || was_there(interface) => Tunnel::Observed(interface),
            None if is_there => Tunnel::Unobserved,
            Some(_) | None => Tunnel::Absent,
        }
    }

    /// The interfaces between an endpoint and its node's network stack, from the endpoint's side.
    pub(crate) fn veth(&self, endpoint: &Endpoint<'_>) -> Result<Vec<&'a Interface>, String> {
        match endpoint.pod {
            Some(pod) => Ok(vec![
                self.pod_uplink(pod)?,
                self.pod_link(endpoint.node, pod)?,
            ]),
            None => Ok(vec![]),
        }
    }
}
