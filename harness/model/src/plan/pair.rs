//! The cluster's intent for two endpoints.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Class, Endpoint, Family, Flow, Protection, State, gateway_of};

impl Endpoint<'_> {
    /// The source address of its first packet to `to`: a node has its bridge's among its own pods, as the one
    /// of the interface that leads there (ip(7), RFC 6724).
    pub fn source_address(&self, to: &Endpoint<'_>) -> Ipv4Addr {
        let to_own_pod = self.pod.is_none() && to.pod.is_some() && self.node.name == to.node.name;
        let bridge = self.node.bridge.filter(|_| to_own_pod);
        bridge.map_or(self.address, gateway_of)
    }

    /// The traffic class of packets from here to `to`.
    pub fn class(&self, to: &Endpoint<'_>) -> Class {
        if self.node.name == to.node.name {
            Class::SameHost
        } else if self.node.external || to.node.external {
            Class::External
        } else if !(self.node.wireguard && to.node.wireguard) {
            Class::Mixed
        } else if self.pod.is_none() && to.pod.is_none() {
            Class::HostToHost
        } else {
            Class::CrossHost
        }
    }
}

impl Protection {
    /// Whether nothing of it may be readable on the wire.
    fn is_secret(self) -> bool {
        match self {
            Self::Encrypted | Self::Blocked => true,
            Self::Plaintext | Self::Delivered => false,
        }
    }

    /// Whether it arrives.
    fn is_delivered(self) -> bool {
        match self {
            Self::Encrypted | Self::Plaintext | Self::Delivered => true,
            Self::Blocked => false,
        }
    }
}

/// What has to become of a flow's packets between two steps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FlowCourse {
    /// Nothing of it may be readable on the wire.
    pub(crate) is_hidden: bool,
    /// It has to arrive.
    pub(crate) is_delivered: bool,
}

impl State {
    /// The cluster's intent for a flow between two endpoints, if both exist.
    fn course(&self, family: Family, ends: Option<(&Endpoint<'_>, &Endpoint<'_>)>) -> FlowCourse {
        let Some((from, to)) = ends else {
            return FlowCourse::default();
        };
        let protection = self.protection(from, to, family);
        FlowCourse {
            is_hidden: protection.is_some_and(Protection::is_secret),
            is_delivered: !self.are_apart(from, to)
                && protection.is_some_and(Protection::is_delivered),
        }
    }

    fn course_of(&self, flow: &Flow) -> FlowCourse {
        let ends = self.endpoint(&flow.from).zip(self.endpoint(&flow.to));
        self.course(flow.family, ends.as_ref().map(|(from, to)| (from, to)))
    }

    /// The same of each flow: endpoints are looked up in a map, as there may be many of both.
    pub(crate) fn courses(&self, flows: &[Flow]) -> Vec<FlowCourse> {
        let endpoints = self.endpoints();
        let by_name: BTreeMap<_, _> = endpoints.iter().map(|end| (&end.name, end)).collect();
        let course = |flow: &Flow| {
            let ends = [&flow.from, &flow.to].map(|name| by_name.get(name).copied());
            self.course(flow.family, ends[0].zip(ends[1]))
        };
        flows.iter().map(course).collect()
    }

    /// Whether nothing of a flow may be readable.
    pub fn hides(&self, flow: &Flow) -> bool {
        self.course_of(flow).is_hidden
    }

    /// Whether a flow has to arrive.
    pub fn delivers(&self, flow: &Flow) -> bool {
        self.course_of(flow).is_delivered
    }

    /// Of a pair on two nodes that encrypt, one of which has no Node any more: the other one. Of two such
    /// nodes the first.
    fn beside_deleted<'e>(
        &self,
        from: &'e Endpoint<'_>,
        to: &'e Endpoint<'_>,
        class: Class,
    ) -> Option<&'e Endpoint<'e>> {
        let deleted = |end: &Endpoint<'_>| self.deleted.contains(&end.node.name);
        let encrypts = matches!(class, Class::CrossHost | Class::HostToHost);
        match (deleted(from), deleted(to)) {
            _ if !encrypts => None,
            (true, _) => Some(to),
            (false, true) => Some(from),
            (false, false) => None,
        }
    }

    /// What is promised where a Node is deleted before its pods. Nobody has its key, and under encrypt or
    /// drop what it had stays protected, whether or not its own agent runs; without that, the two ends may
    /// be of two minds.
    fn with_deleted(
        &self,
        from: &Endpoint<'_>,
        to: &Endpoint<'_>,
        other: &Endpoint<'_>,
        family: Family,
    ) -> Option<Protection> {
        let node = &other.node.name;
        let knows = !self.deleted.contains(node)
            && self.agents.contains(node)
            && self.encrypting.contains(node)
            && !self.cluster.leaves_out(family);
        let hosts = from.pod.is_none() || to.pod.is_none();
        let covered = !hosts || self.cluster.host_encryption;
        let settings = &self.cluster.settings;
        let refused = [from, to]
            .iter()
            .all(|end| settings.refuses(&end.node.name));
        (knows && covered && refused).then_some(Protection::Blocked)
    }

    /// What the cluster's intent promises about a pair in a family; none if nothing follows from it.
    pub fn protection(
        &self,
        from: &Endpoint<'_>,
        to: &Endpoint<'_>,
        family: Family,
    ) -> Option<Protection> {
        let class = from.class(to);
        if let Some(other) = self.beside_deleted(from, to, class) {
            return self.with_deleted(from, to, other, family);
        }
        if class != Class::SameHost
            && [from, to]
                .iter()
                .any(|end| self.unclear.contains(&end.node.name))
        {
            return None;
        }
        let asked = !self.cluster.leaves_out(family);
        let ends = [from, to].map(|end| asked && self.encrypting.contains(&end.node.name));
        match class {
            Class::SameHost | Class::External => Some(Protection::Plaintext),
            // One that encrypts refuses another that does not, unless that one is listed.
            Class::Mixed if ends != [false, false] => {
                let plain = if ends[0] { to } else { from };
                let hosts = from.pod.is_none() || to.pod.is_none();
                match self.cluster.settings.refuses(&plain.node.name) {
                    true if hosts && !self.cluster.host_encryption => None,
                    true => Some(Protection::Blocked),
                    false => Some(Protection::Plaintext),
                }
            }
            Class::Mixed => Some(Protection::Plaintext),
            Class::CrossHost | Class::HostToHost if ends == [false, false] => {
                Some(Protection::Plaintext)
            }
            // One of the two has no agent, and keeps to what was asked for before.
            Class::CrossHost | Class::HostToHost if ends != [true, true] => None,
            Class::HostToHost if self.cluster.host_encryption => Some(Protection::Encrypted),
            Class::HostToHost => Some(Protection::Plaintext),
            Class::CrossHost if from.pod.is_some() && to.pod.is_some() => {
                Some(Protection::Encrypted)
            }
            Class::CrossHost if self.cluster.host_encryption => Some(Protection::Encrypted),
            // Without host encryption Calico sends a pod's packets to a remote node through the
            // tunnel, where no peer is allowed to have the node's address (projectcalico/calico, 9751).
            Class::CrossHost => None,
        }
    }
}
