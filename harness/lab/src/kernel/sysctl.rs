//! Kernel parameters of one namespace.

use std::collections::BTreeMap;
use std::{fs, io};

use wireproof_model::name::IfName;
use wireproof_model::plan::{Node, Pod, RpFilter, SYSCTLS};

use crate::base::error::{Doing, LabError};
use crate::kernel::namespace::Namespace;

/// A parameter as a path below `/proc/sys`, since interface names may hold dots.
pub(crate) type Setting<'a> = (&'a str, &'a str);

/// New namespaces inherit the host's IPv4 settings (`net.core.devconf_inherit_init_net`),
/// so everything that decides about a packet is set to the kernel's own default first.
const KERNEL_DEFAULTS: &[Setting<'_>] = &[
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/src_valid_mark", "0"),
    ("net/ipv4/conf/default/src_valid_mark", "0"),
    ("net/ipv4/conf/all/arp_ignore", "0"),
    ("net/ipv4/conf/default/arp_ignore", "0"),
    ("net/ipv4/conf/all/arp_announce", "0"),
    ("net/ipv4/conf/default/arp_announce", "0"),
    ("net/ipv4/conf/all/arp_filter", "0"),
    ("net/ipv4/conf/default/arp_filter", "0"),
    ("net/ipv4/conf/all/accept_local", "0"),
    ("net/ipv4/conf/default/accept_local", "0"),
    ("net/ipv4/conf/all/route_localnet", "0"),
    ("net/ipv4/conf/default/route_localnet", "0"),
    ("net/ipv4/conf/all/proxy_arp", "0"),
    ("net/ipv4/conf/default/proxy_arp", "0"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/default/accept_redirects", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
];

/// A connection that nobody has open any more, and whose other end is gone, keeps its namespace for
/// minutes while the kernel tries to end it properly (Linux: `tcp_orphan_retries` in `net/ipv4/tcp_timer.c`,
/// 0 means 8 times). It tries once.
const ORPHAN_RETRIES: Setting<'_> = ("net/ipv4/tcp_orphan_retries", "1");

/// Before a namespace has any interface.
pub(crate) fn reset(namespace: &Namespace) -> Result<(), LabError> {
    set(namespace, KERNEL_DEFAULTS)?;
    set(namespace, &[ORPHAN_RETRIES])
}

/// Enables IPv6 in a namespace, before it has any interface. Its addresses are the lab's, so that nobody needs
/// to look for duplicates or to ask a router.
pub(crate) fn enable_ipv6(namespace: &Namespace) -> Result<(), LabError> {
    set(
        namespace,
        &[
            ("net/ipv6/conf/all/disable_ipv6", "0"),
            ("net/ipv6/conf/default/disable_ipv6", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
        ],
    )
}

/// Lets a namespace forward IPv6.
pub(crate) fn forward_ipv6(namespace: &Namespace) -> Result<(), LabError> {
    set(namespace, &[("net/ipv6/conf/all/forwarding", "1")])
}

/// The fabric forwards, and answers each packet that is too large, however many there are.
pub(crate) fn make_fabric(namespace: &Namespace) -> Result<(), LabError> {
    set(
        namespace,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/icmp_ratemask", "0"),
            ("net/ipv6/icmp/ratelimit", "0"),
        ],
    )
}

/// A port of the fabric answers ARP for every address, and at once.
pub(crate) fn make_port(namespace: &Namespace, port: &IfName) -> Result<(), LabError> {
    set(
        namespace,
        &[
            (&format!("net/ipv4/conf/{port}/proxy_arp"), "1"),
            (&format!("net/ipv4/neigh/{port}/proxy_delay"), "0"),
        ],
    )
}

/// A node forwards between its pods and its uplink.
pub(crate) fn make_node(namespace: &Namespace, node: &Node) -> Result<(), LabError> {
    set(
        namespace,
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/eth0/rp_filter", number_of(node.rp_filter)),
        ],
    )
}

/// The node's end of a pod's link checks what comes out of the pod.
pub(crate) fn make_pod_link(namespace: &Namespace, pod: &Pod) -> Result<(), LabError> {
    let path = format!("net/ipv4/conf/{}/rp_filter", pod.interface);
    set(namespace, &[(&path, number_of(pod.rp_filter))])
}

/// As the kernel writes it (ip-sysctl).
pub(crate) fn number_of(rp_filter: RpFilter) -> &'static str {
    match rp_filter {
        RpFilter::Off => "0",
        RpFilter::Strict => "1",
        RpFilter::Loose => "2",
    }
}

/// Whether a path below `/proc/sys` is none of a network namespace: what is not below `net` is the host's.
fn is_outside(path: &str) -> bool {
    !path.starts_with("net/") || path.split('/').any(|part| [".", "..", ""].contains(&part))
}

/// Sets parameters by their dotted names, behind everybody's back.
pub(crate) fn overwrite(
    namespace: &Namespace,
    settings: &BTreeMap<String, String>,
) -> Result<(), LabError> {
    let paths: Vec<_> = settings
        .iter()
        .map(|(name, value)| (undotted(name), value.as_str()))
        .collect();
    if let Some((path, _)) = paths.iter().find(|(path, _)| is_outside(path)) {
        let what = format!("set {}", dotted(path));
        return Err(LabError::machine(
            what,
            "it is no sysctl of a network namespace",
        ));
    }
    namespace.enter(|| {
        for (path, value) in &paths {
            let written = fs::write(format!("/proc/sys/{path}"), value);
            written.map_err(|error| unset(path, value, &error))?;
        }
        Ok(())
    })
}

/// Why the kernel did not take what a scenario sets. Which names and values it knows differs from kernel to
/// kernel, so that nobody can name it before.
fn unset(path: &str, value: &str, error: &io::Error) -> LabError {
    let what = format!("set {} to {value}", dotted(path));
    match error.kind() {
        io::ErrorKind::NotFound => LabError::request(what, "there is no such sysctl").help(
            "correct its name: `unshare -n sysctl -aN` lists those of a network namespace, and an interface has its \
             own while it is there",
        ),
        io::ErrorKind::InvalidInput => LabError::request(what, "the kernel takes no such value")
            .help("write a value that the kernel's documentation gives (ip-sysctl)"),
        io::ErrorKind::PermissionDenied => {
            LabError::request(what, "it can only be read in a network namespace")
                .help("take another sysctl")
        }
        _ => LabError::machine(what, error),
    }
}

pub(crate) fn set(namespace: &Namespace, settings: &[Setting<'_>]) -> Result<(), LabError> {
    namespace.enter(|| {
        for (path, value) in settings {
            // A kernel without IPv6 has nothing to switch off.
            let result = fs::write(format!("/proc/sys/{path}"), value);
            if path.starts_with("net/ipv6") && !fs::exists("/proc/sys/net/ipv6").unwrap_or(true) {
                continue;
            }
            result.doing(format!("set {} to {value}", dotted(path)))?;
        }
        Ok(())
    })
}

/// The parameters that decide about a node's packets, by their dotted names; absent ones are left out.
/// Call it inside the namespace.
pub(crate) fn read_observed(tunnel: &str) -> impl Iterator<Item = (String, String)> {
    SYSCTLS.iter().filter_map(move |path| {
        let path = path.replace("{tunnel}", tunnel);
        let value = fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
        Some((dotted(&path), value.trim().to_owned()))
    })
}

/// As sysctl(8) writes it: dots between, and slashes for the dots inside a part.
fn dotted(path: &str) -> String {
    path.replace('.', "\0").replace('/', ".").replace('\0', "/")
}

/// A path from a dotted name.
fn undotted(name: &str) -> String {
    name.replace('/', "\0").replace('.', "/").replace('\0', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_sysctl_is_the_scenario_s_mistake() {
        use crate::base::error::Blame;
        let path = "net/ipv4/conf/all/rp_filte";
        for (kind, blame, words) in [
            (
                io::ErrorKind::NotFound,
                Blame::Request,
                "there is no such sysctl",
            ),
            (io::ErrorKind::InvalidInput, Blame::Request, "no such value"),
            (
                io::ErrorKind::PermissionDenied,
                Blame::Request,
                "only be read",
            ),
            (io::ErrorKind::OutOfMemory, Blame::Machine, "memory"),
        ] {
            let error = unset(path, "1", &io::Error::from(kind));
            assert_eq!(error.blame, blame, "{kind}");
            let text = error.to_string();
            assert!(
                text.starts_with("set net.ipv4.conf.all.rp_filte to 1: "),
                "{text}"
            );
            assert!(text.contains(words), "{text}");
            assert_eq!(error.help.is_some(), blame == Blame::Request, "{kind}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_namespace() {
        for name in [
            "//.//.tmp.x",
            "net.//.//.tmp.x",
            "kernel.panic",
            "net",
            "net..x",
            "net./.x",
        ] {
            assert!(is_outside(&undotted(name)), "{name}");
        }
        for name in ["net.ipv4.ip_forward", "net.ipv4.conf.eth0/100.rp_filter"] {
            assert!(!is_outside(&undotted(name)), "{name}");
        }
    }
}
