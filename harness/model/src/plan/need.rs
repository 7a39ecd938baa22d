//! Needs: requirements of a plan that not every machine meets.

use std::collections::BTreeSet;

use super::{Fabric, ImpairmentKind, Plan};

/// Something that not every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The program of etcd.
    Etcd,
    /// The kernel's second Internet protocol (`CONFIG_IPV6`, and not switched off at boot).
    Ipv6,
    /// Random and counted choices in nftables (Linux: `nft_numgen`).
    Numgen,
    /// Rates in nftables (Linux: `nft_limit`).
    Limit,
    /// Translated addresses and zones of connections in nftables (Linux: `nft_nat`, `nft_ct`).
    Nat,
    /// The queueing discipline that delays packets (Linux: `sch_netem`).
    Netem,
    /// A WireGuard that is a process: it can be killed, and can notify of a change of its peers, of which the
    /// kernel's sends no notification (Linux: `drivers/net/wireguard/netlink.c`).
    Userspace,
    /// The kernel's own WireGuard (Linux: `wireguard`); no plan needs it, some runs ask for it.
    KernelWireGuard,
    /// Some WireGuard, the kernel's or a process.
    AnyWireGuard,
    /// A kernel that ends with the run, a virtual machine's; no plan needs it, some engines do.
    OwnKernel,
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Etcd,
        Self::Ipv6,
        Self::Numgen,
        Self::Limit,
        Self::Nat,
        Self::Netem,
        Self::Userspace,
        Self::KernelWireGuard,
        Self::AnyWireGuard,
        Self::OwnKernel,
    ];

    /// As reports print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Ipv6 => "IPv6",
            Self::Numgen => "nftables numgen",
            Self::Limit => "nftables limit",
            Self::Nat => "nftables NAT",
            Self::Netem => "netem",
            Self::Userspace => "userspace WireGuard",
            Self::KernelWireGuard => "kernel WireGuard",
            Self::AnyWireGuard => "WireGuard",
            Self::OwnKernel => "virtual machine",
        }
    }

    /// What it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Etcd => "the cluster's resources are in one",
            Self::Ipv6 => "the cluster speaks it",
            Self::Numgen => "the wire loses packets",
            Self::Limit => "the wire carries so much in a second",
            Self::Nat => "a node is behind one",
            Self::Netem => "the wire delays packets",
            Self::Userspace => "its process is killed, or its peers are tampered with",
            Self::KernelWireGuard => "the run asks for it",
            Self::AnyWireGuard => "the engine encrypts with it",
            Self::OwnKernel => "the engine is not contained",
        }
    }
}

impl Plan {
    /// Everything that it needs.
    pub fn needs(&self) -> BTreeSet<Need> {
        let moments = self.states().map(|state| state.fabric);
        let mut needs: BTreeSet<_> = moments.flat_map(|fabric| of_fabric(&fabric)).collect();
        needs.extend(self.store.socket().is_some().then_some(Need::Etcd));
        let steps = self.steps.iter();
        needs.extend(steps.filter_map(|step| step.action.change().need()));
        needs
    }

    /// The same, with the WireGuard that a run asks for, or with any where an engine that may choose
    /// encrypts at some moment.
    pub fn needs_with(&self, wireguard: Option<&str>) -> BTreeSet<Need> {
        let asked = match wireguard {
            None | Some("auto") => self.encrypts().then_some(Need::AnyWireGuard),
            Some("kernel") => Some(Need::KernelWireGuard),
            Some(_) => Some(Need::Userspace),
        };
        self.needs().into_iter().chain(asked).collect()
    }

    /// Whether a node encrypts before the first step or after any of them.
    fn encrypts(&self) -> bool {
        let mut moments = (0..=self.steps.len()).map(|steps| self.after(steps));
        moments.any(|state| !state.encrypting.is_empty())
    }
}

fn of_fabric(fabric: &Fabric) -> Vec<Need> {
    let impairments = fabric
        .impairments
        .iter()
        .map(|impairment| match impairment.kind {
            ImpairmentKind::Loss { .. } | ImpairmentKind::EveryNth { .. } => Need::Numgen,
            ImpairmentKind::Rate { .. } => Need::Limit,
            ImpairmentKind::Delay { .. } => Need::Netem,
        });
    impairments
        .chain(fabric.nat.is_some().then_some(Need::Nat))
        .chain(fabric.ipv6.then_some(Need::Ipv6))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provoked_change_has_the_needs_of_the_change_itself() {
        let needs = |step: &str| {
            let text = format!(
                "title = \"t\"\n[node.ada]\npods = [\"web\"]\n[node.bob]\npods = [\"db\"]\n[[step]]\n{step}\n"
            );
            let engine = "wiremesh".parse().unwrap();
            let plan = crate::resolve::plan("t.toml", &text, &[engine]);
            plan.map_err(|problems| problems.render()).unwrap().needs()
        };
        let kill = "action = \"tamper\", node = \"ada\", delete = \"tunnel-process\"";
        let everything = "action = \"tamper\", node = \"ada\", delete = \"everything\"";
        let provoked = |what: &str| {
            needs(&format!(
                "action = \"crash-everywhere\"\nnode = \"ada\"\nprovoke = {{ {what} }}"
            ))
        };
        let userspace = BTreeSet::from([Need::Userspace]);
        assert_eq!(needs(&kill.replace(", ", "\n")), userspace);
        assert_eq!(provoked(kill), userspace);
        assert_eq!(provoked(everything), BTreeSet::new());
    }
}
