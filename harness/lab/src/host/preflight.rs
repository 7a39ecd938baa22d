//! Capabilities of this machine, and what each missing one costs.
//!
//! Call it inside the sandbox: everything is tried for real, in a namespace made
//! for the purpose, and gone when this returns.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use rtnetlink::packet_route::link::InfoKind;

use crate::base::error::{Doing, LabError};
use crate::base::program::program;
use crate::cluster::node;
use crate::kernel::namespace::Namespace;
use crate::kernel::neighbour;
use crate::kernel::netlink::{Delay, Netlink};
use crate::kernel::packet::Listener;
use crate::kernel::sandbox;
use crate::kernel::sys::make_tun;
use crate::observe::drop_watch::DropWatch;

/// One thing that a machine can or cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// What, in a few words.
    pub name: &'static str,
    /// Whether it is there; otherwise the system's error.
    pub missing: Option<String>,
    /// Whether nothing runs without it.
    pub needed: bool,
    /// What its absence costs.
    pub cost: &'static str,
    /// How to get it.
    pub remedy: &'static str,
}

/// Tries everything that the lab uses or could use.
pub fn survey() -> Vec<Capability> {
    let root = Capability {
        name: "the host's root",
        missing: sandbox::unprivileged().then(|| "this is a user namespace".to_owned()),
        needed: false,
        cost: "none: scenarios run in a user namespace",
        remedy: "run as root",
    };
    let tried = |name, result: Result<(), LabError>, cost, remedy| Capability {
        name,
        missing: result.err().map(|error| error.cause),
        needed: false,
        cost,
        remedy,
    };
    let optional = [
        tried(
            "etcd",
            try_program("etcd", &["--version"]),
            "scenarios with `store = \"etcd\"` do not run",
            "Debian: apt-get install etcd-server",
        ),
        tried(
            "TUN devices",
            try_tun(),
            "userspace WireGuard does not run; with kernel WireGuard nothing is lost",
            "modprobe tun, and make /dev/net/tun readable and writable for this user",
        ),
        tried(
            "the kernel's drop reasons",
            DropWatch::begin()
                .map(drop)
                .map_err(|why| LabError::machine("count dropped packets by reason", why)),
            "spoofed packets are judged and broken promises explained by counters alone, and `rpf` names no reason",
            "run as root, on a kernel with CONFIG_BPF_SYSCALL and CONFIG_DEBUG_INFO_BTF",
        ),
        tried(
            "files of their own for engines",
            node::survey_containment().and_then(|lacks| match lacks.is_empty() {
                true => Ok(()),
                false => Err(LabError::machine("contain a node", lacks.join("; "))),
            }),
            "what engines write or see is as said; all else of the host is out of their reach",
            "run as root, on a kernel with CONFIG_OVERLAY_FS, and not inside another container",
        ),
        tried(
            "room in the neighbour tables",
            neighbour::try_room(),
            "runs lose packets for want of entries, and are inconclusive",
            neighbour::REMEDY,
        ),
        tried(
            "kernel WireGuard",
            try_link(InfoKind::Wireguard),
            "wiremesh falls back to its own userspace tunnel; kernel WireGuard is not tested",
            "modprobe wireguard",
        ),
        tried(
            "netem",
            try_netem(),
            "scenarios in which the wire delays packets are skipped",
            "modprobe sch_netem",
        ),
    ];
    let needed = needed_by_all().iter().cloned();
    [root].into_iter().chain(needed).chain(optional).collect()
}

/// What no scenario runs without. It is tried once in the life of a process.
pub fn needed_by_all() -> &'static [Capability] {
    static TRIED: OnceLock<Vec<Capability>> = OnceLock::new();
    TRIED.get_or_init(|| {
        let tried = |name, result: Result<(), LabError>, cost, remedy| Capability {
            name,
            missing: result.err().map(|error| error.cause),
            needed: true,
            cost,
            remedy,
        };
        vec![
            tried(
                "network namespaces",
                Namespace::create("survey").map(drop),
                "no scenario runs",
                "run as root, or allow unprivileged user namespaces",
            ),
            tried(
                "kernel parameters of a network namespace",
                try_parameter("net/ipv4/ip_forward", "1"),
                "no scenario runs: nodes cannot forward",
                "mount /proc/sys writable (containers: --privileged)",
            ),
            tried(
                "veth",
                try_link(InfoKind::Veth),
                "no scenario runs: nothing connects nodes and pods",
                "modprobe veth",
            ),
            tried(
                "bridge",
                try_link(InfoKind::Bridge),
                "no scenario runs: the fabric has no answer for unknown addresses",
                "modprobe bridge",
            ),
            tried(
                "packet sockets with timestamps",
                Namespace::create("survey")
                    .and_then(|namespace| Listener::open(&namespace, 1514, 0).map(drop)),
                "no scenario runs: nothing can be observed",
                "a kernel with CONFIG_PACKET",
            ),
            tried(
                "raw ICMP sockets",
                try_raw_socket(),
                "no scenario runs: ICMP cannot be probed",
                "run as root, or allow unprivileged user namespaces",
            ),
            tried(
                "nft",
                try_program("nft", &["--version"]),
                "no scenario runs: neither the fabric nor wiremesh can set a rule",
                "Debian: apt-get install nftables",
            ),
            tried(
                "nftables in the kernel",
                Namespace::create("survey").and_then(|namespace| {
                    namespace.enter(|| try_program("nft", &["list", "ruleset"]))
                }),
                "no scenario runs: neither the fabric nor wiremesh can set a rule",
                "modprobe nf_tables",
            ),
        ]
    })
}

/// Whether scenarios can run: everything needed is there, and some WireGuard.
pub fn fit(survey: &[Capability]) -> bool {
    let has = |name: &str| survey.iter().any(|c| c.name == name && c.missing.is_none());
    survey.iter().all(|c| !c.needed || c.missing.is_none())
        && (has("TUN devices") || has("kernel WireGuard"))
}

pub(crate) fn try_link(kind: InfoKind) -> Result<(), LabError> {
    let namespace = Namespace::create("survey")?;
    Netlink::open(&namespace)?.try_kind("survey0", kind)
}

pub(crate) fn try_netem() -> Result<(), LabError> {
    let namespace = Namespace::create("survey")?;
    let netlink = Netlink::open(&namespace)?;
    netlink.try_kind("survey0", InfoKind::Bridge)?;
    let delay = Delay {
        millis: 1,
        jitter: 1,
        reorder: 1,
    };
    netlink.delay(netlink.index("survey0")?, delay)
}

fn try_raw_socket() -> Result<(), LabError> {
    Namespace::create("survey")?.enter(|| {
        socket(
            AddressFamily::Inet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::Icmp,
        )
        .map(drop)
        .doing("open a raw socket")
    })
}

/// Sets a parameter below `/proc/sys` in a namespace made for it.
pub(crate) fn try_parameter(path: &str, value: &str) -> Result<(), LabError> {
    Namespace::create("survey")?
        .enter(|| fs::write(format!("/proc/sys/{path}"), value).doing(format!("write {path}")))
}

/// Makes a device: a file of that name may be something else, and that it can be opened proves nothing.
pub(crate) fn try_tun() -> Result<(), LabError> {
    Namespace::create("survey")?.enter(|| {
        let device = Path::new("/dev/net/tun");
        let file = fs::OpenOptions::new().read(true).write(true).open(device);
        let file = file.doing("open /dev/net/tun")?;
        make_tun(file.as_fd()).doing("make a TUN device")
    })
}

pub(crate) fn try_program(name: &str, arguments: &[&str]) -> Result<(), LabError> {
    let doing = format!("run {name} {}", arguments.join(" "));
    let output = program(name).args(arguments).output().doing(&doing)?;
    if output.status.success() {
        return Ok(());
    }
    let cause = String::from_utf8_lossy(&output.stderr);
    Err(LabError::machine(doing, cause.trim()))
}
