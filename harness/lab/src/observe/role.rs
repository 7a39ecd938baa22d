//! Roles of a namespace's interfaces, by their names and at any time of a run.

use wireproof_model::evidence::{Place, Role};
use wireproof_model::frame::LinkType;
use wireproof_model::name::IfName;
use wireproof_model::plan::{Family, Plan, State};

use crate::cluster::topology::UPLINK;

/// The cluster before and after each step: interfaces come and go.
#[derive(Debug)]
pub(crate) struct Roles {
    moments: Vec<State>,
}

impl Roles {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            moments: plan.states().collect(),
        }
    }

    /// What an interface of that name connects in that place, at whatever time.
    pub(crate) fn role(&self, place: &Place, name: &IfName) -> Role {
        if name.as_str() == "lo" {
            return Role::Loopback;
        }
        let known = self
            .moments
            .iter()
            .find_map(|state| role_in(state, place, name));
        known.unwrap_or(Role::Other)
    }

    /// How the frames of an interface start.
    pub(crate) fn link(role: &Role, no_header: bool) -> LinkType {
        if *role == Role::Tunnel || no_header {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        }
    }
}

fn role_in(state: &State, place: &Place, name: &IfName) -> Option<Role> {
    match place {
        Place::Fabric => state
            .nodes
            .iter()
            .chain(&state.clients)
            .find(|node| &IfName::from(&node.name) == name)
            .map(|node| Role::Port(node.name.clone())),
        Place::Node(_)
            if Family::ALL
                .into_iter()
                .any(|family| state.cluster.tunnel(family) == *name) =>
        {
            Some(Role::Tunnel)
        }
        Place::Node(_) if name.as_str() == UPLINK => Some(Role::Uplink),
        Place::Node(node) => state
            .nodes
            .iter()
            .filter(|planned| &planned.name == node)
            .flat_map(|planned| &planned.pods)
            .find(|pod| &pod.interface == name)
            .map(|pod| Role::PodLink(pod.name.clone())),
        Place::Pod(_) if name.as_str() == UPLINK => Some(Role::PodUplink),
        Place::Pod(_) => None,
    }
}
