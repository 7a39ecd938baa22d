//! Capabilities of a virtual machine, as far as they are known without booting it.

use std::collections::BTreeMap;

use wireproof_model::plan::Need;

use crate::base::program;

use super::kernel::Kernel;
use super::qemu::PROGRAM;

/// The kernel of a machine that can be had; otherwise why it cannot.
///
/// # Errors
/// There is no such kernel, or nothing to boot it with.
pub fn bootable(kernel: &str) -> Result<Kernel, String> {
    match program::find(PROGRAM) {
        None => Err(format!("{PROGRAM} is not in PATH")),
        Some(_) => Kernel::find(kernel).map_err(|error| error.cause),
    }
}

/// The needs that a machine with that kernel does not meet, each with the cause.
pub fn lacks(kernel: &str) -> BTreeMap<Need, String> {
    let kernel = match bootable(kernel) {
        Ok(kernel) => kernel,
        Err(cause) => return Need::ALL.map(|need| (need, cause.clone())).into(),
    };
    let missing = Need::ALL.into_iter().filter_map(|need| {
        let cause = match modules(need) {
            // Programs come along from the host.
            [] if need == Need::Etcd && program::find("etcd").is_none() => {
                "etcd is not in PATH".to_owned()
            }
            [] => return None,
            modules if modules.iter().any(|module| kernel.has(module)) => return None,
            modules => format!("{} has no module {}", kernel.release, modules.join(" or ")),
        };
        Some((need, cause))
    });
    missing.collect()
}

/// The modules that each meet a need; none where it is a program, or never lacking: a kernel that
/// netfilter's modules of IPv6 were made for has IPv6 (Debian has it built in).
fn modules(need: Need) -> &'static [&'static str] {
    match need {
        Need::Etcd | Need::OwnKernel => &[],
        Need::Ipv6 => &["nft_fib_ipv6"],
        Need::Numgen => &["nft_numgen"],
        Need::Limit => &["nft_limit"],
        Need::Nat => &["nft_nat"],
        Need::Netem => &["sch_netem"],
        Need::Userspace => &["tun"],
        Need::KernelWireGuard => &["wireguard"],
        Need::AnyWireGuard => &["wireguard", "tun"],
    }
}
