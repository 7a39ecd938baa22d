//! What a virtual machine will be able to do, as far as can be told without booting it.

use std::collections::BTreeMap;

use wireproof_model::plan::Need;

use crate::program;

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
        let cause = match module(need) {
            Some(module) if kernel.has(module) => return None,
            Some(module) => format!("{} has no module {module}", kernel.release),
            // Programs come along from the host.
            None if need == Need::Etcd && program::find("etcd").is_none() => {
                "etcd is not in PATH".to_owned()
            }
            None => return None,
        };
        Some((need, cause))
    });
    missing.collect()
}

/// The module that meets a need; none where it is a program, or never lacking: a kernel that
/// netfilter's modules of IPv6 were made for has IPv6 (Debian has it built in).
fn module(need: Need) -> Option<&'static str> {
    match need {
        Need::Etcd => None,
        Need::Ipv6 => Some("nft_fib_ipv6"),
        Need::Numgen => Some("nft_numgen"),
        Need::Limit => Some("nft_limit"),
        Need::Nat => Some("nft_nat"),
        Need::Netem => Some("sch_netem"),
        Need::Userspace => Some("tun"),
        Need::KernelWireGuard => Some("wireguard"),
    }
}
