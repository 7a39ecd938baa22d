//! What a plan needs of a machine that not every machine has.

use std::collections::BTreeSet;

use super::{Harm, Plan};

/// Something that not every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The program of etcd.
    Etcd,
    /// The queueing discipline that delays packets (Linux: `sch_netem`).
    Netem,
}

impl Need {
    /// As reports tell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Netem => "netem",
        }
    }

    /// What it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Etcd => "the cluster's resources are in one",
            Self::Netem => "the wire delays packets",
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
        etcd.into_iter().chain(netem).collect()
    }
}
