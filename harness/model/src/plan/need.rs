//! What a plan needs of a machine that not every machine has.

use std::collections::BTreeSet;

use super::{Action, Foreign, Harm, Own, Plan, Tamper};

/// Something that not every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The program of etcd.
    Etcd,
    /// The queueing discipline that delays packets (Linux: `sch_netem`).
    Netem,
    /// A WireGuard that is a process: it can be killed, and can tell of a change of its peers, of
    /// which the kernel's sends no notification (Linux: `drivers/net/wireguard/netlink.c`).
    Userspace,
}

impl Need {
    /// As reports tell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Netem => "netem",
            Self::Userspace => "userspace WireGuard",
        }
    }

    /// What it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Etcd => "the cluster's resources are in one",
            Self::Netem => "the wire delays packets",
            Self::Userspace => "its process is killed, or its peers are tampered with",
        }
    }
}

impl Plan {
    /// Everything that it needs.
    pub fn needs(&self) -> BTreeSet<Need> {
        let moments = (0..=self.steps.len()).map(|steps| self.after(steps));
        let mut faults = moments.flat_map(|state| state.fabric.faults);
        let delays = faults.any(|fault| matches!(fault.harm, Harm::Delay { .. }));
        let etcd = self.store.socket().is_some().then_some(Need::Etcd);
        let netem = delays.then_some(Need::Netem);
        let mut actions = self.steps.iter().map(|step| &step.action);
        let userspace = actions.any(is_for_userspace).then_some(Need::Userspace);
        etcd.into_iter().chain(netem).chain(userspace).collect()
    }
}

/// Whether only a WireGuard that is a process can show what the step is about.
fn is_for_userspace(action: &Action) -> bool {
    let Action::Tamper { what, .. } = action else {
        return false;
    };
    matches!(
        what,
        Tamper::Delete(Own::TunnelProcess | Own::Peer(_)) | Tamper::Add(Foreign::Peer)
    )
}
