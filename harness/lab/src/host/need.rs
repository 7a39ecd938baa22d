//! Requirements of scenarios that not every machine meets: whether this one does.
//!
//! Call it inside the sandbox: everything is tried for real.

use std::collections::BTreeSet;
use std::path::Path;

use rtnetlink::packet_route::link::InfoKind;

use wireproof_model::plan::Need;

use crate::base::error::LabError;
use crate::base::machine::is_guest;
use crate::host::preflight::{
    needed_by_all, try_link, try_netem, try_parameter, try_program, try_tun,
};
use crate::kernel::namespace::Namespace;

/// Why this machine does not meet a need; none if it does.
pub fn lacks(need: Need) -> Option<String> {
    let tried = match need {
        Need::Etcd => try_program("etcd", &["--version"]),
        Need::Ipv6 => match Path::new("/proc/sys/net/ipv6").is_dir() {
            true => try_parameter("net/ipv6/conf/all/forwarding", "1"),
            false => Err(LabError::machine("look for IPv6", "the kernel has none")),
        },
        Need::Numgen => try_rule("numgen inc mod 2 == 0"),
        Need::Limit => try_rule("limit rate 1/second"),
        Need::Nat => try_nat(),
        Need::Netem => try_netem(),
        Need::Userspace => try_tun(),
        Need::KernelWireGuard => try_link(InfoKind::Wireguard),
        Need::OwnKernel => match is_guest() {
            true => Ok(()),
            false => Err(LabError::machine(
                "look at the kernel",
                "this lane runs on the host's own kernel",
            )),
        },
        Need::AnyWireGuard => try_link(InfoKind::Wireguard).or_else(|of_kernel| {
            try_tun().map_err(|of_tun| {
                let cause = format!(
                    "the kernel's: {}; a process on a TUN device: {}",
                    of_kernel.cause, of_tun.cause
                );
                LabError::machine("find a WireGuard", cause)
            })
        }),
    };
    tried.err().map(|error| first_line(&error.cause).to_owned())
}

/// nft prints the rule below its message about it.
fn first_line(cause: &str) -> &str {
    cause.lines().next().unwrap_or_default()
}

/// How a machine comes to meet a need.
pub fn remedy(need: Need) -> &'static str {
    match need {
        Need::Etcd => "Debian: apt-get install etcd-server",
        Need::Ipv6 => "boot without ipv6.disable=1",
        Need::Numgen => "modprobe nft_numgen",
        Need::Limit => "modprobe nft_limit",
        Need::Nat => "modprobe nft_chain_nat nft_nat nft_ct",
        Need::Netem => "modprobe sch_netem",
        Need::Userspace => "modprobe tun, and make /dev/net/tun readable and writable",
        Need::KernelWireGuard => "modprobe wireguard",
        Need::OwnKernel => "--lane vm:KERNEL (ci/setup --kernels)",
        Need::AnyWireGuard => {
            "modprobe wireguard, or modprobe tun and make /dev/net/tun readable and writable"
        }
    }
}

/// Why no scenario runs on this machine, with the remedy; none if some do.
pub fn unfit() -> Option<String> {
    let missing = needed_by_all().iter().find_map(|capability| {
        let cause = first_line(capability.missing.as_ref()?);
        Some((capability, cause))
    });
    missing.map(|(capability, cause)| {
        let (name, cost, remedy) = (capability.name, capability.cost, capability.remedy);
        format!("no {name} ({cause}): {cost}; {remedy}")
    })
}

/// Why what has these needs cannot be tried on this machine; none if it can.
pub fn unmet(needs: &BTreeSet<Need>) -> Option<String> {
    if let Some(why) = unfit() {
        return Some(format!("this run has {why}"));
    }
    if let Some(why) = contradiction(needs) {
        return Some(why);
    }
    needs.iter().copied().find_map(|need| {
        let cause = lacks(need)?;
        let (what, why, remedy) = (need.as_str(), need.purpose(), remedy(need));
        Some(format!("this run has no {what} ({cause}): {why}; {remedy}"))
    })
}

/// Why no machine at all can meet these needs.
pub fn contradiction(needs: &BTreeSet<Need>) -> Option<String> {
    let both = [Need::Userspace, Need::KernelWireGuard];
    both.iter().all(|need| needs.contains(need)).then(|| {
        let (what, why) = (Need::Userspace.as_str(), Need::Userspace.purpose());
        format!("this run has no {what} (the kernel's was asked for): {why}")
    })
}

fn try_rule(matching: &str) -> Result<(), LabError> {
    try_chain(&format!("filter hook input priority 0; {matching} drop;"))
}

fn try_nat() -> Result<(), LabError> {
    try_chain("filter hook prerouting priority raw; ct zone set 1;")?;
    try_chain(
        "nat hook postrouting priority srcnat; meta l4proto udp snat to 192.0.2.1:40000-40999;",
    )
}

fn try_chain(what: &str) -> Result<(), LabError> {
    Namespace::create("survey")?.enter(|| {
        let rules = format!("table ip survey {{ chain tried {{ type {what} }}; }}");
        try_program("nft", &["--check", &rules])
    })
}
