//! A rule of another that comes before the agent's and sends traffic past the tunnel: log, status, readiness
//! and metrics report it while it is there, in both families; and in strict mode nothing of it leaves the node.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Instant;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
};
use nix::sys::time::TimeVal;

use crate::{DEADLINE, INSIDE, Node, configuration, in_namespaces, write};

/// Every kind of rule and route, compared with the kernel's own decisions.
mod kinds;

/// Where the agent of this namespace serves its metrics.
const METRICS: &str = "127.0.0.1:9091";

pub(crate) const SETTINGS: &str = ", wireguardHostEncryptionEnabled: true, prometheusMetricsEnabled: true, \
                        prometheusMetricsHost: 127.0.0.1";

/// Another node, with a key that nobody has the private one of.
pub(crate) const BOB: &str = "kind: Node\nmetadata: {name: bob}\n\
    spec: {bgp: {ipv4Address: 10.0.0.2/24, ipv6Address: 'fd00::2/64'}}\n\
    status: {wireguardPublicKey: 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=', \
    wireguardPublicKeyV6: 'AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI='}\n";

/// The configuration of this test in strict mode.
fn strict() -> String {
    configuration(SETTINGS).replace(
        "metadata: {name: default}",
        "metadata: {name: default, annotations: {wiremesh/strict: 'true'}}",
    )
}

#[test]
fn a_rule_that_sends_traffic_past_the_tunnel_is_reported_while_it_is_there() {
    in_namespaces("bypass::inside_a_rule_comes_before_the_agent_s");
}

pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn get(path: &str) -> String {
    let mut stream = TcpStream::connect(METRICS).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: ada\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Waits until the answer to a request has all these parts.
pub(crate) fn until(path: &str, wanted: &[&str]) {
    let deadline = Instant::now() + DEADLINE;
    let mut page = String::new();
    while Instant::now() < deadline {
        page = get(path);
        if wanted.iter().all(|part| page.contains(part)) {
            return;
        }
    }
    panic!("never {wanted:?}: {page}");
}

/// What `status --check` prints, and whether it is content.
fn check(node: &Node) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wiremesh"))
        .args(["status", "--check", "--node", "ada", "--store"])
        .arg(format!("dir:{}", node.store.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

/// Receives every packet of this namespace.
struct Capture(OwnedFd);

impl Capture {
    fn open() -> Self {
        let packets = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        );
        let packets = packets.unwrap();
        setsockopt(&packets, ReceiveTimeout, &TimeVal::new(1, 0)).unwrap();
        Self(packets)
    }

    /// Whether `text` has left through `outside` before `last` has.
    fn has_left(&self, text: &str, last: &str) -> bool {
        let outside = usize::try_from(if_nametoindex("outside").unwrap()).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let mut buffer = [0; 2048];
        let mut found = false;
        while Instant::now() < deadline {
            let received = recvfrom::<LinkAddr>(self.0.as_raw_fd(), &mut buffer);
            let Ok((length, Some(from))) = received else {
                continue;
            };
            let has = |text: &str| {
                let mut windows = buffer[..length].windows(text.len());
                from.ifindex() == outside && windows.any(|window| window == text.as_bytes())
            };
            found |= has(text);
            if has(last) {
                return found;
            }
        }
        panic!("`{last}` has never left");
    }
}

/// Whether what is sent to bob leaves this node in clear. A datagram to somebody who is no node does.
fn leaves_in_clear(bob: IpAddr, nobody: IpAddr) -> bool {
    let capture = Capture::open();
    let any = if bob.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let sender = UdpSocket::bind(any).unwrap();
    // What nftables drops on its way out is an error of the call.
    let _ = sender.send_to(b"in-clear-to-bob", SocketAddr::new(bob, 9));
    sender
        .send_to(b"in-clear-to-nobody", SocketAddr::new(nobody, 9))
        .unwrap();
    capture.has_left("in-clear-to-bob", "in-clear-to-nobody")
}

#[test]
#[ignore = "the test above runs it in a namespace of its own"]
fn inside_a_rule_comes_before_the_agent_s() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let on = configuration(SETTINGS);
    for address in ["10.0.0.2", "10.0.0.77", "fd00::2", "fd00::77"] {
        ip(&format!(
            "neighbour add {address} lladdr 02:00:00:00:00:02 dev outside nud permanent"
        ));
    }
    // What only looks like a rule of the agent's, or of Felix's, is neither.
    let looks_like = "98:\tnot from all fwmark 0x100000/0x100000 lookup 77";
    for flag in ["-4", "-6"] {
        ip(&format!(
            "{flag} rule add pref 98 not fwmark 0x100000/0x100000 lookup 77"
        ));
    }
    let node = Node::start(folder.path(), &[("default.yaml", &on), ("bob.yaml", BOB)]);
    node.until("in sync", |status| {
        status.contains("STATUS=in sync: 2 peers")
    });
    until("/readyz", &["200 OK"]);
    let (well, text) = check(&node);
    assert!(well, "{text}");
    for flag in ["-4", "-6"] {
        let rules = ip(&format!("{flag} rule list"));
        assert!(rules.contains(looks_like), "{rules}");
    }
    let families = [
        ("-4", "IPv4", "10.0.0.2", "10.0.0.77", "default dev outside"),
        ("-6", "IPv6", "fd00::2", "fd00::77", "default dev outside"),
    ];
    for (flag, family, bob, nobody, default) in families {
        ip(&format!("{flag} route add {default} table 80"));
        for rule in ["lookup main", "to BOB lookup main", "iif lo lookup 80"] {
            let rule = rule.replace("BOB", bob);
            assert!(!leaves_in_clear(
                bob.parse().unwrap(),
                nobody.parse().unwrap()
            ));
            ip(&format!("{flag} rule add pref 20 {rule}"));
            assert!(ip(&format!("{flag} route get {bob}")).contains("dev outside"));
            let problem = format!("{family}: the rule `20: from all ");
            node.until("told of the rule", |status| status.contains(&problem));
            until(
                "/readyz",
                &["503 ", &problem, "past the tunnel through outside"],
            );
            let sample = format!(
                "wiremesh_peers{{family=\"{}\",reason=\"bypassed\",state=\"plain\"}} 1\n",
                family.to_lowercase()
            );
            until("/metrics", &["wiremesh_in_sync 0\n", &sample]);
            let (well, text) = check(&node);
            let because = format!("{family}: bob is reached in clear: the rule `20: from all ");
            assert!(!well && text.contains(&because), "{text}");
            assert!(leaves_in_clear(
                bob.parse().unwrap(),
                nobody.parse().unwrap()
            ));
            // In strict mode it is as wrong, and nothing leaves.
            write(&node.store, "default.yaml", &strict());
            node.until("said that it is dropped", |status| {
                status.contains("is dropped, since it would be in clear")
            });
            assert!(!leaves_in_clear(
                bob.parse().unwrap(),
                nobody.parse().unwrap()
            ));
            let (well, text) = check(&node);
            let because = format!("{family}: bob is cut off: the rule `20: from all ");
            assert!(!well && text.contains(&because), "{text}");
            write(&node.store, "default.yaml", &on);
            ip(&format!("{flag} rule del pref 20"));
            node.until("forgot the rule", |status| {
                status.contains("STATUS=in sync: 2 peers") && !status.contains("the rule")
            });
            until("/readyz", &["200 OK"]);
        }
    }
    // What leads no traffic of this node's past the tunnel is nobody's business.
    for rule in [
        "fwmark 0x20 lookup main",
        "iif outside lookup main",
        "to 10.7.0.0/16 lookup main",
    ] {
        ip(&format!("rule add pref 20 {rule}"));
        let (well, text) = check(&node);
        assert!(well, "{rule}: {text}");
        ip("rule del pref 20");
    }
}
